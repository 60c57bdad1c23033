//! Waiting for the device, on this thread or without blocking it.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_intrusive::channel::shared::{OneshotReceiver, OneshotSender, oneshot_channel};

use crate::Error;
use crate::scope::{is_lost, scoped};

/// Who polls the device while a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// The calling thread, which blocks.
    Here,
    /// A thread of its own; the calling task yields. (In a browser, the browser.)
    Elsewhere,
}

/// Runs a call that waits on this thread. In a browser, where that would be forever, it is not even begun.
pub(crate) fn block_on<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    #[cfg(not(target_arch = "wasm32"))]
    return pollster::block_on(call);
    #[cfg(target_arch = "wasm32")]
    {
        drop(call);
        Err(Error::Blocking)
    }
}

/// What will be known once the device is done.
pub(crate) struct Answer {
    receiver: OneshotReceiver<Result<(), Error>>,
    /// For whoever waits for the device and fails: nobody else would answer.
    sender: Arc<OneshotSender<Result<(), Error>>>,
}

impl Answer {
    fn new() -> Self {
        let (sender, receiver) = oneshot_channel();
        Self { receiver, sender: Arc::new(sender) }
    }

    /// What answers. An answer that comes second, or that nobody waits for any more, is dropped.
    fn answering(&self) -> impl Fn(Result<(), Error>) + Send + Sync + 'static {
        let sender = self.sender.clone();
        move |answer| drop(sender.send(answer))
    }

    /// Waits for the answer.
    pub async fn receive(&self, device: &wgpu::Device, during: &'static str) -> Result<(), Error> {
        let answer = self.receiver.receive().await;
        answer.unwrap_or(Err(Error::Lost { during })).map_err(|error| explained(device, error))
    }
}

/// Asks for a buffer to be mapped, which happens once the device has no use for it.
pub(crate) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode, during: &'static str) -> Answer {
    let answer = Answer::new();
    let answering = answer.answering();
    buffer.map_async(mode, .., move |result| {
        answering(result.map_err(|error| Error::Device { during, reason: error.to_string() }));
    });
    answer
}

/// The cause of a failure of which wgpu has said no more than that it failed.
pub(crate) fn explained(device: &wgpu::Device, error: Error) -> Error {
    match error {
        // In a browser our mappings fail for no other reason.
        Error::Device { during, .. } if cfg!(target_arch = "wasm32") || is_lost(device) => {
            Error::Lost { during }
        }
        error => error,
    }
}

impl Wait {
    /// Waits until all that was submitted is done.
    pub async fn for_queue(
        self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        during: &'static str,
    ) -> Result<(), Error> {
        let answer = Answer::new();
        let answering = answer.answering();
        queue.on_submitted_work_done(move || answering(Ok(())));
        self.for_maps(device, None, [&answer], during).await
    }

    /// Waits until a submission is done (the last one, without its index), and with it the mappings
    /// of the buffers it used.
    pub async fn for_maps<const N: usize>(
        self,
        device: &wgpu::Device,
        submission: Option<wgpu::SubmissionIndex>,
        answers: [&Answer; N],
        during: &'static str,
    ) -> Result<(), Error> {
        match self {
            Wait::Here => poll(device, submission, during)?,
            // The browser does; there a device stays on its thread.
            #[cfg(target_arch = "wasm32")]
            Wait::Elsewhere => {}
            #[cfg(not(target_arch = "wasm32"))]
            Wait::Elsewhere => {
                let device = device.clone();
                let answering = answers.map(Answer::answering);
                let polling = std::thread::Builder::new().name("wgpu-loss poll".into());
                let polling = polling.spawn(move || {
                    if let Err(error) = poll(&device, submission, during) {
                        answering.iter().for_each(|answering| answering(Err(error.clone())));
                    }
                });
                polling.map_err(|error| Error::Device { during, reason: error.to_string() })?;
            }
        }
        for answer in answers {
            let mut receiving = pin!(answer.receive(device, during));
            match (self, now(receiving.as_mut())) {
                (_, Some(answer)) => answer?,
                // The submission was an earlier one than the mapping waits for.
                (Wait::Here, None) => {
                    poll(device, None, during)?;
                    receiving.await?;
                }
                (Wait::Elsewhere, None) => receiving.await?,
            }
        }
        Ok(())
    }
}

/// What a future has to say at once.
pub(crate) fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Waits for a submission on this thread.
///
/// wgpu panics where the wait itself finds the device lost (`handle_error_fatal` in wgpu 30's `Device::poll`). Who
/// waits for a number wants an error.
fn poll(
    device: &wgpu::Device,
    submission_index: Option<wgpu::SubmissionIndex>,
    during: &'static str,
) -> Result<(), Error> {
    let wait = wgpu::PollType::Wait { submission_index, timeout: None };
    // Nothing of ours is touched in there, so nothing can be left halfway.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(wait))) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Error::Device { during, reason: error.to_string() }),
        Err(_) => Err(Error::Lost { during }),
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// A mapping of a buffer, undone when it is dropped, whether it has come or not.
#[derive(Debug)]
pub(crate) struct Mapping {
    buffer: wgpu::Buffer,
    device: wgpu::Device,
}

impl Mapping {
    /// Asks for a buffer to be mapped for reading.
    pub fn of(
        device: &wgpu::Device,
        buffer: &wgpu::Buffer,
        during: &'static str,
    ) -> Result<(Answer, Self), Error> {
        let answer = scoped(device, during, || map(buffer, wgpu::MapMode::Read, during))?;
        Ok((answer, Self { buffer: buffer.clone(), device: device.clone() }))
    }

    /// The bytes, once the mapping has come.
    pub fn bytes(&self, during: &'static str) -> Result<wgpu::BufferView, Error> {
        let view = self.buffer.slice(..).get_mapped_range();
        view.map_err(|error| {
            explained(&self.device, Error::Device { during, reason: error.to_string() })
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // A mapping that failed is none, of which wgpu would tell the host's handler.
        let _ = scoped(&self.device, "unmapping", || self.buffer.unmap());
    }
}
