//! Reading a result back, for hosts that want numbers.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Bound;
use super::result::{Decoded, RESULT_BYTES, decoded};
use crate::error_scope::{allocating, is_lost};
use crate::plan::Plan;
use crate::poll::{Answer, Mapping, Poller, Wait, block_on, now};
use crate::{Error, Problem};

const DURING: &str = "reading a result";

/// Reads the content of [`Bound::result`] through a staging buffer that is made once and reused.
///
/// [`Reader::record`] copies the result on the GPU; after the host's submission, one of [`Reader::wait`],
/// [`Reader::read`] and [`Reader::try_read`] brings it to the host. A reader holds one result at a time: until it is
/// read, the commands that overwrite it may not be submitted. A host with several frames in flight has a
/// [`Bound`] and a reader for each of them.
///
/// ```no_run
/// use wgpu_loss::{Bound, Error, Reader, wgpu};
///
/// fn step(
///     device: &wgpu::Device,
///     queue: &wgpu::Queue,
///     bound: &Bound,
///     reader: &Reader, // `bound.reader()?`, once
/// ) -> Result<f32, Error> {
///     let mut encoder = device.create_command_encoder(&Default::default());
///     bound.encode(&mut encoder);
///     reader.record(&mut encoder);
///     queue.submit([encoder.finish()]);
///     let decoded = reader.wait()?; // or `reader.read().await?`, anywhere
///     decoded.summary.check(reader.problem())?; // bad labels as an error
///     Ok(decoded.loss)
/// }
/// ```
pub struct Reader {
    device: wgpu::Device,
    source: wgpu::Buffer,
    offset: u64,
    staging: wgpu::Buffer,
    plan: Arc<Plan>,
    poller: Poller,
    /// True while a reading is under way: if a buffer is mapped twice, wgpu reports the second call's error on the
    /// first mapping.
    busy: Arc<AtomicBool>,
    /// The mapping that [`Reader::try_read`] has asked for.
    asked: Mutex<Option<Reading>>,
}

/// A mapping in progress, or complete.
#[derive(Debug)]
struct Reading {
    // Dropped in this order: without its receiver, the end of an abandoned mapping has no effect.
    answer: Answer,
    mapping: Mapping,
    _guard: ReadGuard,
    device: wgpu::Device,
    plan: Arc<Plan>,
}

/// The exclusive right to read, released on drop.
#[derive(Debug)]
struct ReadGuard(Arc<AtomicBool>);

impl ReadGuard {
    fn of(busy: &Arc<AtomicBool>) -> Result<Self, Error> {
        match busy.swap(true, Ordering::AcqRel) {
            true => Err(Error::Busy { what: DURING }),
            false => Ok(Self(busy.clone())),
        }
    }
}

impl Drop for ReadGuard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Reader {
    /// Returns a reader with a staging buffer for the result of bound work.
    pub(super) fn new(bound: &Bound) -> Result<Self, Error> {
        let result = bound.result();
        if !result.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::Usage { what: "result", missing: "COPY_SRC" });
        }
        let device = bound.kernels.device();
        let staging = allocating(device, "a staging buffer", RESULT_BYTES, || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&format!("{} result on the host", bound.label)),
                size: RESULT_BYTES,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            })
        })?;
        if is_lost(device) {
            return Err(Error::Lost { during: "making a staging buffer" });
        }
        Ok(Self {
            device: device.clone(),
            source: result.buffer.clone(),
            offset: result.offset,
            staging,
            plan: bound.plan.clone(),
            poller: bound.kernels.poller().clone(),
            busy: Arc::default(),
            asked: Mutex::new(None),
        })
    }

    /// Returns the problem, which [`Summary::check`](crate::Summary::check) needs.
    pub fn problem(&self) -> &Problem {
        self.plan.problem()
    }

    /// Records a copy of the result; record it after the work. A reading that [`Reader::try_read`] has begun is
    /// abandoned.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.give_up();
        let size = self.staging.size();
        encoder.copy_buffer_to_buffer(&self.source, self.offset, &self.staging, 0, size);
    }

    /// Blocks until the result is there, and returns it. Later submissions stay in flight, though on a busy queue the
    /// end may be noticed a millisecond late; [`Reader::wait_for`] is exact.
    ///
    /// A lost device is an error. (wgpu panics if its own wait is the first to find the loss. The panic is caught; only
    /// in programs whose panics abort does it end the program.)
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Device`], and [`Error::Busy`] while a future of [`Reader::read`] is neither done nor
    /// dropped; [`Error::Blocking`] in a browser.
    pub fn wait(&self) -> Result<Decoded, Error> {
        self.waited(None)
    }

    /// Waits as [`Reader::wait`] does, for the submission with the copy.
    ///
    /// # Errors
    /// As [`Reader::wait`].
    pub fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<Decoded, Error> {
        self.waited(Some(submission))
    }

    fn waited(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<Decoded, Error> {
        self.give_up();
        block_on(async { self.ask()?.finished(Wait::Here, submission).await })
    }

    /// Returns the result when it is there, under any executor: a thread polls the device meanwhile (in a browser, the
    /// browser does). All readers of a [`Kernels`](crate::Kernels) share this thread; it starts at first use and sleeps
    /// while there are no requests. Later submissions stay in flight. The future borrows nothing: the caller may keep,
    /// send or drop it.
    ///
    /// # Errors
    /// As [`Reader::wait`], when the future is done.
    pub fn read(&self) -> impl Future<Output = Result<Decoded, Error>> + use<> {
        self.give_up();
        let reading = self.ask();
        let poller = self.poller.clone();
        async move { reading?.finished(Wait::Elsewhere(&poller), None).await }
    }

    /// Returns the result if it has come. It neither blocks nor polls the device: the host must poll it. The first call
    /// asks for the result, and the first call after a result was returned asks again.
    ///
    /// # Errors
    /// As [`Reader::wait`].
    pub fn try_read(&self) -> Option<Result<Decoded, Error>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = match asked.take() {
            Some(reading) => reading,
            None => match self.ask() {
                Ok(reading) => reading,
                Err(error) => return Some(Err(error)),
            },
        };
        match reading.has_come() {
            None => {
                *asked = Some(reading);
                None
            }
            Some(come) => Some(come.and_then(|()| reading.decoded())),
        }
    }

    /// Drops the mapping that [`Reader::try_read`] has asked for.
    fn give_up(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn ask(&self) -> Result<Reading, Error> {
        let guard = ReadGuard::of(&self.busy)?;
        let (answer, mapping) = Mapping::of(&self.device, &self.staging, DURING)?;
        let (device, plan) = (self.device.clone(), self.plan.clone());
        Ok(Reading { answer, mapping, _guard: guard, device, plan })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.plan.problem().function.name();
        write!(f, "Reader of {name}, bytes {} on of {:?}", self.offset, self.source)
    }
}

impl Reading {
    async fn finished(
        self,
        wait: Wait<'_>,
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Result<Decoded, Error> {
        wait.for_answers(&self.device, submission, [&self.answer], DURING).await?;
        self.decoded()
    }

    fn has_come(&self) -> Option<Result<(), Error>> {
        now(pin!(self.answer.receive(&self.device, DURING)))
    }

    fn decoded(&self) -> Result<Decoded, Error> {
        let bytes = self.mapping.bytes(DURING)?;
        decoded(self.plan.problem(), &bytes)
    }
}
