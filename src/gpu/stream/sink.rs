//! Where results go as they come.

use crate::{Error, LargeOutput};

/// Where large outputs go as they come. `()` is one that drops them.
///
/// ```no_run
/// use wgpu_loss::gpu::stream::Progress;
/// use wgpu_loss::{CrossEntropy, Error, Gpu, Inputs, LargeOutput, Outputs, Sink, Tensor};
///
/// /// Keeps the gradient's bytes, and says how far it is.
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
/// let logits = vec![0.5f32; 1 << 20];
/// let inputs = Inputs::new(Tensor::new(&logits, &[1 << 10, 1 << 10])).labels(&[3u8; 1 << 10], &[1 << 10]);
/// let mut gradient = Gradient(vec![0; 4 << 20]);
/// Gpu::new()?.run_into(&CrossEntropy::new(), &inputs, Outputs::loss().with_grad(), &mut gradient)?;
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
pub trait Sink {
    /// Takes a part of an output: its bytes from byte `offset` of the whole tensor on. Every byte of
    /// every output that was asked for comes exactly once, in any order, in whole elements of the
    /// output's type (of the machine's byte order). `bytes` may start at any address.
    ///
    /// # Errors
    /// Whatever goes wrong, as [`Error::Sink`]: it ends the call.
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Hears what is done, after each piece.
    ///
    /// # Errors
    /// Any, to end the call: [`Error::Stopped`] says no more than that.
    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        let _ = done;
        Ok(())
    }
}

impl Sink for () {
    fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// How far a call is, as a [`Sink`] hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows that are done.
    pub rows: u64,
    /// Of how many; `None` where nobody knows.
    pub of: Option<u64>,
    /// Bytes that were moved to the device and back.
    pub bytes: u64,
}
