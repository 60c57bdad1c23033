//! Waiting for the device, on this thread or without blocking it.

#[cfg(not(target_arch = "wasm32"))]
mod poller;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_intrusive::channel::shared::{OneshotReceiver, OneshotSender, oneshot_channel};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use self::poller::Poller;
use crate::Error;
use crate::error_scope::{is_lost, scoped};

/// The pauses between checks for an answer: an eighth of the time that has passed, within bounds.
///
/// wgpu 30 can wait with a timeout too, but panics if another thread polls meanwhile: it finds the queue empty after a
/// wait that timed out, and treats that as impossible (`Device::maintain`).
pub(crate) struct Pauses(Duration);

impl Pauses {
    const SHORTEST: Duration = Duration::from_micros(20);
    const LONGEST: Duration = Duration::from_millis(1);

    pub fn new() -> Self {
        Self(Self::SHORTEST)
    }

    /// Sleeps; longer at the next call.
    pub fn pause(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 9 / 8).min(Self::LONGEST);
    }
}

/// An empty stand-in: a browser polls its devices by itself.
#[cfg(target_arch = "wasm32")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Poller {}

/// The thread that polls the device while a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait<'a> {
    /// The calling thread, which blocks.
    Here,
    /// A thread that does nothing else; the calling task yields. (In a browser, the browser.)
    Elsewhere(&'a Poller),
}

/// Runs a call that waits on this thread. In a browser, where it would wait forever, the call is not begun.
pub(crate) fn block_on<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    #[cfg(not(target_arch = "wasm32"))]
    return pollster::block_on(call);
    #[cfg(target_arch = "wasm32")]
    {
        drop(call);
        Err(Error::Blocking)
    }
}

/// The receiving end of a result that is known once the device is done.
pub(crate) struct Answer {
    receiver: OneshotReceiver<Result<(), Error>>,
    /// Kept so that a failed wait for the device can answer it: no one else would.
    question: Arc<Question>,
}

/// The sending end of an [`Answer`].
struct Question {
    sender: OneshotSender<Result<(), Error>>,
    answered: AtomicBool,
}

impl Question {
    /// Answers. A second answer is dropped, as is one whose receiver is gone.
    fn answer(&self, answer: Result<(), Error>) {
        self.answered.store(true, Ordering::Release);
        drop(self.sender.send(answer));
    }

    fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Acquire)
    }
}

impl Answer {
    fn new() -> Self {
        let (sender, receiver) = oneshot_channel();
        Self { receiver, question: Arc::new(Question { sender, answered: AtomicBool::new(false) }) }
    }

    /// Returns a function that answers.
    fn answering(&self) -> impl FnOnce(Result<(), Error>) + Send + 'static {
        let question = self.question.clone();
        move |answer| question.answer(answer)
    }

    /// Waits for the answer.
    pub async fn receive(&self, device: &wgpu::Device, during: &'static str) -> Result<(), Error> {
        let answer = self.receiver.receive().await;
        answer.unwrap_or(Err(Error::Lost { during })).map_err(|error| explained(device, error))
    }
}

/// Asks for a buffer to be mapped; the device maps it once it no longer uses it.
pub(crate) fn map(buffer: &wgpu::Buffer, mode: wgpu::MapMode, during: &'static str) -> Answer {
    let answer = Answer::new();
    let answering = answer.answering();
    buffer.map_async(mode, .., move |result| {
        answering(result.map_err(|error| Error::Device { during, reason: error.to_string() }));
    });
    answer
}

/// Returns the cause of an error for which wgpu gives none.
pub(crate) fn explained(device: &wgpu::Device, error: Error) -> Error {
    match error {
        // In a browser our mappings fail for no other reason.
        Error::Device { during, .. } if cfg!(target_arch = "wasm32") || is_lost(device) => {
            Error::Lost { during }
        }
        error => error,
    }
}

impl Wait<'_> {
    /// Waits until all submitted work is done; this submission is the last of it.
    pub async fn for_queue(
        self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        submission: wgpu::SubmissionIndex,
        during: &'static str,
    ) -> Result<(), Error> {
        let answer = Answer::new();
        let answering = answer.answering();
        queue.on_submitted_work_done(move || answering(Ok(())));
        self.for_answers(device, Some(submission), [&answer], during).await
    }

    /// Waits for answers: mappings of buffers, which complete when the submissions that use the buffers are done.
    /// `submission` is the last of these, if it is known.
    pub async fn for_answers<const N: usize>(
        self,
        device: &wgpu::Device,
        mut submission: Option<wgpu::SubmissionIndex>,
        answers: [&Answer; N],
        during: &'static str,
    ) -> Result<(), Error> {
        match self {
            Wait::Here => {
                let (mut polled, mut pauses) = (Polled::Busy, Pauses::new());
                for answer in answers {
                    let mut receiving = pin!(answer.receive(device, during));
                    let answer = loop {
                        match now(receiving.as_mut()) {
                            Some(answer) => break answer,
                            // Another thread that polls is about to deliver the answer.
                            None if polled == Polled::Idle => break receiving.await,
                            None => {
                                polled = poll(device, submission.take(), during)?;
                                if !answer.question.is_answered() {
                                    pauses.pause();
                                }
                            }
                        }
                    };
                    answer?;
                }
            }
            Wait::Elsewhere(_poller) => {
                #[cfg(not(target_arch = "wasm32"))]
                _poller.wait_for(device, &answers, during)?;
                for answer in answers {
                    answer.receive(device, during).await?;
                }
            }
        }
        Ok(())
    }
}

/// Polls several devices in turn, until one has given all answers that are asked of it, and returns its place. A device
/// that fails answers with its error.
pub(crate) fn first_answered<const N: usize>(
    asked: &[(&wgpu::Device, [&Answer; N])],
    during: &'static str,
) -> Option<usize> {
    let mut pauses = Pauses::new();
    while !asked.is_empty() {
        for (place, (device, answers)) in asked.iter().enumerate() {
            if let Err(error) = poll(device, None, during) {
                answers.iter().for_each(|answer| answer.question.answer(Err(error.clone())));
            }
            if answers.iter().all(|answer| answer.question.is_answered()) {
                return Some(place);
            }
        }
        pauses.pause();
    }
    None
}

/// Polls a future once and returns its output if it is ready.
pub(crate) fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The state of the queue at the end of a wait.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Polled {
    /// All submitted work is done.
    Idle,
    /// Some submitted work is not done; the awaited part of it may be.
    Busy,
}

/// Waits for a submission on this thread; without one, polls once. Callbacks that are due are called.
///
/// wgpu panics if the wait itself finds the device lost (`handle_error_fatal` in wgpu 30's `Device::poll`), but callers
/// need an error. On a device that is already known to be lost, a mapping fails at once, so there is no wait; where the
/// wait is the first to find the loss, the panic is caught, unless panics abort.
fn poll(
    device: &wgpu::Device,
    submission_index: Option<wgpu::SubmissionIndex>,
    during: &'static str,
) -> Result<Polled, Error> {
    let wait = match submission_index {
        Some(_) => wgpu::PollType::Wait { submission_index, timeout: None },
        None => wgpu::PollType::Poll,
    };
    // The closure touches none of our data, so a panic leaves nothing half done.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.poll(wait))) {
        Ok(Ok(status)) if status.is_queue_empty() => Ok(Polled::Idle),
        Ok(Ok(_)) => Ok(Polled::Busy),
        // wgpu does not know a submission to a lost device.
        Ok(Err(error)) => {
            Err(explained(device, Error::Device { during, reason: error.to_string() }))
        }
        Err(_) => Err(Error::Lost { during }),
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// A mapping of a buffer. It is undone on drop, completed or not.
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

    /// Returns the bytes, once the mapping has completed.
    pub fn bytes(&self, during: &'static str) -> Result<wgpu::BufferView, Error> {
        let view = self.buffer.slice(..).get_mapped_range();
        view.map_err(|error| {
            explained(&self.device, Error::Device { during, reason: error.to_string() })
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // A failed mapping leaves the buffer unmapped; wgpu would report `unmap` to the host's error handler.
        let _ = scoped(&self.device, "unmapping", || self.buffer.unmap());
    }
}
