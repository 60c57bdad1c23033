//! Waiting for the device, on this thread or without blocking it.

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::Error;

/// Who polls the device while a call waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// The calling thread, which blocks.
    Here,
    /// A thread of its own; the calling task yields. (In a browser, the browser.)
    Elsewhere,
}

/// What will be known once the device is done.
pub(super) type Answer = OneshotReceiver<Result<(), Error>>;

/// Asks for a buffer to be mapped, which happens once the device has no use for it.
pub(super) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode, during: &'static str) -> Answer {
    let (sender, receiver) = oneshot_channel();
    buffer.map_async(mode, .., move |result| {
        let result = result.map_err(|error| Error::Device { during, reason: error.to_string() });
        // The receiver is gone where the waiting future was dropped.
        let _ = sender.send(result);
    });
    receiver
}

impl Wait {
    /// Waits until all that was submitted is done.
    pub async fn for_queue(
        self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        during: &'static str,
    ) -> Result<(), Error> {
        let (sender, receiver) = oneshot_channel::<Result<(), Error>>();
        queue.on_submitted_work_done(move || {
            // The receiver is gone where the waiting future was dropped.
            let _ = sender.send(Ok(()));
        });
        self.for_maps(device, None, [receiver], during).await
    }

    /// Waits until a submission is done (the last one, without its index), and with it the mappings
    /// of the buffers it used.
    pub async fn for_maps<const N: usize>(
        self,
        device: &wgpu::Device,
        submission: Option<wgpu::SubmissionIndex>,
        answers: [Answer; N],
        during: &'static str,
    ) -> Result<(), Error> {
        match self {
            Wait::Here => poll(device, submission, during)?,
            Wait::Elsewhere if cfg!(target_arch = "wasm32") => {}
            Wait::Elsewhere => {
                let device = device.clone();
                // A failed poll drops the callbacks, and with them the senders.
                std::thread::spawn(move || poll(&device, submission, during));
            }
        }
        for answer in answers {
            let lost = || Err(Error::Device { during, reason: "the device was lost".into() });
            answer.receive().await.unwrap_or_else(lost)?;
        }
        Ok(())
    }
}

fn poll(
    device: &wgpu::Device,
    submission_index: Option<wgpu::SubmissionIndex>,
    during: &'static str,
) -> Result<(), Error> {
    match device.poll(wgpu::PollType::Wait { submission_index, timeout: None }) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Device { during, reason: error.to_string() }),
    }
}
