//! A sink for large outputs.

use crate::{Error, LargeOutput};

/// A receiver of large outputs, piece by piece. `()` is one that drops them.
///
/// ```
/// use wgpu_loss::stream::Progress;
/// use wgpu_loss::{CrossEntropy, Error, Inputs, LargeOutput, Outputs, Sink, Tensor, reference};
///
/// /// Keeps the gradient's bytes, and prints the progress.
/// struct Gradient(Vec<u8>);
///
/// impl Sink for Gradient {
///     fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
///         if what == LargeOutput::Grad {
///             let start = offset as usize;
///             self.0[start..start + bytes.len()].copy_from_slice(bytes);
///         }
///         Ok(())
///     }
///
///     fn progress(&mut self, done: &Progress) -> Result<(), Error> {
///         println!("{} rows of {:?}", done.rows, done.of);
///         Ok(())
///     }
/// }
///
/// let logits = vec![0.5f32; 1 << 16];
/// let inputs = Inputs::new(Tensor::new(&logits, &[1 << 8, 1 << 8])).labels(&[3u8; 1 << 8], &[1 << 8]);
/// let mut gradient = Gradient(vec![0; 4 << 16]);
/// // On a GPU, `Gpu::run_into` takes the same arguments.
/// reference::run_into(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad(), &mut gradient)?;
/// assert_eq!(gradient.0[..4], (1.0f32 / 65536.0).to_ne_bytes());
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub trait Sink {
    /// Receives a part of an output: its bytes from byte `offset` of the whole tensor on. Every byte of every requested
    /// output comes exactly once, in any order, in whole elements of the output's type ([`LargeOutput`] documents it;
    /// in the machine's byte order), on every device. `bytes` may start at any address.
    ///
    /// # Errors
    /// Any failure, as [`Error::Sink`]: it ends the call.
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Receives the progress of the call after each piece.
    ///
    /// # Errors
    /// Any error ends the call; [`Error::Stopped`] is for a stop that is no failure.
    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        let _ = done;
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        (**self).write(what, offset, bytes)
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        (**self).progress(done)
    }
}

impl Sink for () {
    fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// The progress of a call, as a [`Sink`] receives it.
///
/// ```
/// use wgpu_loss::stream::Progress;
/// use wgpu_loss::{Error, LargeOutput, Sink};
///
/// /// Ends a call after some bytes.
/// struct Limited(u64);
///
/// impl Sink for Limited {
///     fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
///         Ok(())
///     }
///
///     fn progress(&mut self, done: &Progress) -> Result<(), Error> {
///         if done.bytes > self.0 { Err(Error::Stopped) } else { Ok(()) }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that are done.
    pub rows: u64,
    /// The number of all rows; `None` in a stream, which may go on.
    pub of: Option<u64>,
    /// Bytes of tensors that were read and written: on a GPU, moved to the device and back.
    pub bytes: u64,
}
