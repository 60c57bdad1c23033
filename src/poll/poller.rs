//! The thread that polls a device while futures wait.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use super::{Answer, Pauses, Question, poll};
use crate::Error;

/// Starts a thread at the first request and keeps it for later ones. The thread ends when the last clone is dropped and
/// no requests are left.
#[derive(Clone, Default)]
pub(crate) struct Poller {
    requests: Arc<Mutex<Option<Sender<Request>>>>,
}

/// Answers that a task waits for.
struct Request {
    device: wgpu::Device,
    /// Dead where the task no longer waits for the answer.
    questions: Vec<Weak<Question>>,
    during: &'static str,
}

impl Poller {
    /// Polls a device until these answers have come, or their tasks no longer wait for them.
    pub fn wait_for(
        &self,
        device: &wgpu::Device,
        answers: &[&Answer],
        during: &'static str,
    ) -> Result<(), Error> {
        // On a device that is known to be lost, all are answered.
        if answers.iter().all(|answer| answer.question.is_answered()) {
            return Ok(());
        }
        let questions = answers.iter().map(|answer| Arc::downgrade(&answer.question)).collect();
        let request = Request { device: device.clone(), questions, during };
        // A panic while the lock was held leaves a sender or none: either is valid.
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let request = match &*requests {
            None => request,
            Some(running) => match running.send(request) {
                Ok(()) => return Ok(()),
                // The thread has ended, which happens only if it panics.
                Err(refused) => refused.0,
            },
        };
        let (sender, receiver) = channel();
        let polling = thread::Builder::new().name("wgpu-loss poll".into());
        polling
            .spawn(move || serve(&receiver))
            .map_err(|error| Error::Device { during, reason: error.to_string() })?;
        // The send succeeds: the thread has just started and holds the receiver.
        let _ = sender.send(request);
        *requests = Some(sender);
        Ok(())
    }
}

/// Polls for all requests in turn, and sleeps while there are none.
fn serve(requests: &Receiver<Request>) {
    let mut open: Vec<Request> = Vec::new();
    let mut pauses = Pauses::new();
    loop {
        if open.is_empty() {
            match requests.recv() {
                Ok(request) => open.push(request),
                Err(_) => return,
            }
            pauses = Pauses::new();
        }
        let before = open.len();
        open.extend(requests.try_iter());
        if open.len() > before {
            pauses = Pauses::new();
        }
        open.iter().for_each(Request::poll);
        open.retain(Request::is_open);
        if !open.is_empty() {
            pauses.pause();
        }
    }
}

impl Request {
    /// Polls the device. If that fails, all answers of this request are the error.
    fn poll(&self) {
        if let Err(error) = poll(&self.device, None, self.during) {
            let questions = self.questions.iter().filter_map(Weak::upgrade);
            questions.for_each(|question| question.answer(Err(error.clone())));
        }
    }

    fn is_open(&self) -> bool {
        self.questions.iter().filter_map(Weak::upgrade).any(|question| !question.is_answered())
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poller")
    }
}
