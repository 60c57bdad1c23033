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
        self.receive(device, receiver, during).await
    }

    /// Maps a buffer for reading and waits until it is mapped.
    pub async fn for_map(
        self,
        device: &wgpu::Device,
        buffer: &wgpu::Buffer,
        during: &'static str,
    ) -> Result<(), Error> {
        let (sender, receiver) = oneshot_channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let result =
                result.map_err(|error| Error::Device { during, reason: error.to_string() });
            let _ = sender.send(result);
        });
        self.receive(device, receiver, during).await
    }

    async fn receive(
        self,
        device: &wgpu::Device,
        receiver: OneshotReceiver<Result<(), Error>>,
        during: &'static str,
    ) -> Result<(), Error> {
        match self {
            Wait::Here => poll(device, during)?,
            Wait::Elsewhere if cfg!(target_arch = "wasm32") => {}
            Wait::Elsewhere => {
                let device = device.clone();
                // A failed poll drops the callbacks, and with them the sender.
                std::thread::spawn(move || poll(&device, during));
            }
        }
        receiver
            .receive()
            .await
            .unwrap_or_else(|| Err(Error::Device { during, reason: "the device was lost".into() }))
    }
}

fn poll(device: &wgpu::Device, during: &'static str) -> Result<(), Error> {
    match device.poll(wgpu::PollType::wait_indefinitely()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Device { during, reason: error.to_string() }),
    }
}
