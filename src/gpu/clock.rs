//! The time that recorded work takes: by the device's own clock, or by the wall clock.

use std::time::Duration;

use super::Gpu;
use super::buffers::{create, read, readable};
use super::stopwatch::Stopwatch;
use crate::error_scope::{is_lost, scoped};
use crate::poll::{Wait, block_on};
use crate::{Bound, Error};

pub(super) const DURING: &str = "measuring time";
/// The time for which work is repeated before it is measured: caches fill, and GPUs raise their clocks, which takes an
/// idle H200 a quarter of a second.
const WARM_UP_GPU: Duration = Duration::from_millis(300);
/// A processor's clocks are already raised: it has just recorded the work.
const WARM_UP_SOFTWARE: Duration = Duration::from_millis(50);
/// The target time of a warm-up submission. A GPU that waits for the host after each short work stays slow.
const SUBMISSION: Duration = Duration::from_millis(10);

/// The clock of a time: see [`Timer`].
///
/// ```
/// use wgpu_loss::gpu::{Clock, Times};
///
/// fn described(times: &Times) -> String {
///     let what = match times.clock {
///         Clock::Timestamps => "kernels",
///         Clock::Wall => "kernels and their submission",
///     };
///     format!("{what}: {:?}", times.median())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The device's timestamps at the boundaries of a compute pass: the work alone.
    Timestamps,
    /// The host's clock, from submission to the end of the work: the work, and the cost of submitting it and of
    /// noticing its end.
    Wall,
}

/// Times of the same work, repeated by a [`Timer`].
///
/// ```
/// use std::time::Duration;
/// use wgpu_loss::gpu::{Clock, Times};
///
/// let times = Times::new(Clock::Wall, [9, 4, 5].map(Duration::from_millis).to_vec());
/// assert_eq!([times.least(), times.median(), times.most()], [4, 5, 9].map(Duration::from_millis));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// The clock of all of the times.
    pub clock: Clock,
    /// The times, shortest first; at least one.
    pub sorted: Vec<Duration>,
}

impl Times {
    /// Sorts times. An empty list becomes one time of zero.
    pub fn new(clock: Clock, mut times: Vec<Duration>) -> Self {
        if times.is_empty() {
            times.push(Duration::ZERO);
        }
        times.sort_unstable();
        Self { clock, sorted: times }
    }

    /// Returns the median; the lower of two.
    pub fn median(&self) -> Duration {
        self.sorted[(self.sorted.len() - 1) / 2]
    }

    /// Returns the shortest time.
    pub fn least(&self) -> Duration {
        self.sorted[0]
    }

    /// Returns the longest time.
    pub fn most(&self) -> Duration {
        self.sorted[self.sorted.len() - 1]
    }

    /// Returns the sum of all times.
    pub fn sum(&self) -> Duration {
        self.sorted.iter().sum()
    }
}

/// Measures work on a device.
///
/// ```no_run
/// use wgpu_loss::{Bound, Error, Gpu};
///
/// fn tell(gpu: &Gpu, bound: &Bound) -> Result<(), Error> {
///     let timer = gpu.timer()?;
///     let kernel = timer.kernel(9, |pass| bound.record(pass))?;
///     let resident = timer.resident(9, bound)?;
///     println!("{:?} by {:?}, {:?} in all", kernel.median(), kernel.clock, resident.median());
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Timer<'a> {
    pub(super) gpu: &'a Gpu,
    /// `None` if the device has no timestamps.
    queries: Option<Queries>,
    /// The buffer for one number of a result, read by the host.
    scalar: wgpu::Buffer,
}

/// Timestamps at both ends of some passes, and the buffers that bring them to the host.
#[derive(Debug)]
pub(super) struct Queries {
    passes: u32,
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
    /// Nanoseconds per tick.
    period: f64,
}

impl<'a> Timer<'a> {
    pub(super) fn new(gpu: &'a Gpu) -> Result<Self, Error> {
        let scalar = readable(gpu, DURING, size_of::<f32>() as u64)?;
        Ok(Self { gpu, queries: Queries::new(gpu, 1)?, scalar })
    }

    /// Returns true if the device supports timestamps. If its timestamps make no sense, [`Timer::kernel`] uses the wall
    /// clock all the same.
    pub fn has_timestamps(&self) -> bool {
        self.queries.is_some()
    }

    /// Measures kernel time: records work into a compute pass, submits it and waits for it, `samples` times (at least
    /// once), after a warm-up that repeats the work for 300 ms without pauses (for 50 ms on a software driver; at least
    /// once).
    ///
    /// The clock is the device's timestamps if every one is above zero and within the wall clock's time (drivers on
    /// Metal are known to return zero), and the wall clock otherwise. Timestamps of software drivers are good too:
    /// llvmpipe's differ from the wall clock by a constant 0.2 ms.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn kernel(
        &self,
        samples: usize,
        record: impl Fn(&mut wgpu::ComputePass<'_>),
    ) -> Result<Times, Error> {
        self.warm_up(&record)?;
        let mut taken = Samples::default();
        for _ in 0..samples.max(1) {
            taken.add(self.once(&record)?);
        }
        Ok(taken.by(taken.clock()))
    }

    /// Measures kernel times of bound works that are compared: in turns, so that changes of the machine's load affect
    /// all, and by the same clock.
    #[doc(hidden)]
    pub fn in_turns(&self, samples: usize, works: &[&Bound]) -> Result<Vec<Times>, Error> {
        let once = |work: &Bound| self.once(&|pass: &mut wgpu::ComputePass<'_>| work.record(pass));
        let Some(first) = works.first() else { return Ok(Vec::new()) };
        self.warm_up(&|pass: &mut wgpu::ComputePass<'_>| first.record(pass))?;
        works.iter().try_for_each(|work| once(work).map(drop))?;
        let mut taken: Vec<_> = works.iter().map(|_| Samples::default()).collect();
        for _ in 0..samples.max(1) {
            for (taken, work) in taken.iter_mut().zip(works) {
                taken.add(once(work)?);
            }
        }
        let clock = match taken.iter().all(|taken| taken.clock() == Clock::Timestamps) {
            true => Clock::Timestamps,
            false => Clock::Wall,
        };
        Ok(taken.iter().map(|taken| taken.by(clock)).collect())
    }

    /// Measures resident time: records bound work, submits it, waits for it and reads one number of its result back,
    /// `samples` times (at least once), after a warm-up as for [`Timer::kernel`].
    ///
    /// # Errors
    /// As [`Timer::kernel`].
    pub fn resident(&self, samples: usize, bound: &Bound) -> Result<Times, Error> {
        self.warm_up(&|pass: &mut wgpu::ComputePass<'_>| bound.record(pass))?;
        self.read_scalar(bound)?;
        let times = (0..samples.max(1)).map(|_| {
            let start = Stopwatch::start();
            self.read_scalar(bound)?;
            Ok(start.elapsed())
        });
        Ok(Times::new(Clock::Wall, times.collect::<Result<_, Error>>()?))
    }

    /// Repeats work until the device has reached its full speed: many times in a submission, if it is short.
    pub(super) fn warm_up(
        &self,
        record: &impl Fn(&mut wgpu::ComputePass<'_>),
    ) -> Result<(), Error> {
        let long = match self.gpu.kernels.profile().is_software() {
            true => WARM_UP_SOFTWARE,
            false => WARM_UP_GPU,
        };
        let (start, mut times) = (Stopwatch::start(), 1);
        loop {
            let commands = scoped(&self.gpu.device, DURING, || {
                let mut encoder = self.gpu.encoder();
                let mut pass = encoder.begin_compute_pass(&Default::default());
                (0..times).for_each(|_| record(&mut pass));
                drop(pass);
                encoder.finish()
            })?;
            let took = self.submitted(commands)?;
            if !start.runs() || start.elapsed() >= long {
                return Ok(());
            }
            if took < SUBMISSION {
                times *= 2;
            }
        }
    }

    /// Runs the work once: its time by the wall clock, and by timestamps if they make sense.
    fn once(
        &self,
        record: &impl Fn(&mut wgpu::ComputePass<'_>),
    ) -> Result<(Duration, Option<Duration>), Error> {
        let Gpu { device, .. } = self.gpu;
        let commands = scoped(device, DURING, || self.encode(record))?;
        let wall = self.submitted(commands)?;
        let Some(queries) = &self.queries else { return Ok((wall, None)) };
        let elapsed = queries.elapsed(self.gpu)?[0];
        Ok((wall, (!elapsed.is_zero() && elapsed <= wall).then_some(elapsed)))
    }

    /// Submits and waits; returns the time that took.
    pub(super) fn submitted(&self, commands: wgpu::CommandBuffer) -> Result<Duration, Error> {
        let start = Stopwatch::start();
        block_on(self.gpu.submitted([commands], Wait::Here, DURING))?;
        let wall = start.elapsed();
        // The queue of a lost device is done at once: the time would be of no work.
        match is_lost(&self.gpu.device) {
            true => Err(Error::Lost { during: DURING }),
            false => Ok(wall),
        }
    }

    fn encode(&self, record: &impl Fn(&mut wgpu::ComputePass<'_>)) -> wgpu::CommandBuffer {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-loss measured"),
            timestamp_writes: self.queries.as_ref().map(|queries| queries.writes(0)),
        }));
        if let Some(queries) = &self.queries {
            queries.resolve(&mut encoder);
        }
        encoder.finish()
    }

    /// Runs one step of a host that reads its loss.
    fn read_scalar(&self, bound: &Bound) -> Result<(), Error> {
        let Gpu { device, queue, .. } = self.gpu;
        scoped(device, DURING, || {
            let mut encoder = device.create_command_encoder(&Default::default());
            bound.record(&mut encoder.begin_compute_pass(&Default::default()));
            encoder.copy_buffer_to_buffer(
                bound.result().buffer,
                0,
                &self.scalar,
                0,
                self.scalar.size(),
            );
            queue.submit([encoder.finish()]);
        })?;
        read::<f32>(self.gpu, DURING, &self.scalar).map(drop)
    }
}

/// Times of one work by both clocks.
#[derive(Debug, Default)]
struct Samples {
    wall: Vec<Duration>,
    device: Vec<Duration>,
}

impl Samples {
    fn add(&mut self, (wall, device): (Duration, Option<Duration>)) {
        self.wall.push(wall);
        self.device.extend(device);
    }

    /// Returns the device's clock, if all times have one: a mean must not mix two kinds of time.
    fn clock(&self) -> Clock {
        match self.device.len() == self.wall.len() {
            true => Clock::Timestamps,
            false => Clock::Wall,
        }
    }

    fn by(&self, clock: Clock) -> Times {
        let times = match clock {
            Clock::Timestamps => &self.device,
            Clock::Wall => &self.wall,
        };
        Times::new(clock, times.clone())
    }
}

impl Queries {
    /// Returns timestamps for `passes` passes; `None` if the device has none, or too few.
    pub fn new(gpu: &Gpu, passes: u32) -> Result<Option<Self>, Error> {
        let (device, count) = (&gpu.device, 2 * passes);
        let many = count > wgpu::QUERY_SET_MAX_QUERIES;
        if many || !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let set = scoped(device, DURING, || {
            device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("wgpu-loss timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            })
        })?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let bytes = u64::from(count) * u64::from(wgpu::QUERY_SIZE);
        let resolved = create(gpu, DURING, bytes, usage, false)?;
        let readable = readable(gpu, DURING, bytes)?;
        let period = f64::from(gpu.queue.get_timestamp_period());
        Ok(Some(Self { passes, set, resolved, readable, period }))
    }

    /// Returns the timestamp writes of one pass.
    pub fn writes(&self, pass: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        }
    }

    /// Resolves the timestamps; recorded after the passes.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.set, 0..2 * self.passes, &self.resolved, 0);
        let bytes = self.readable.size();
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readable, 0, bytes);
    }

    /// Returns the time of each pass of the last submission; zero if the clock did not move, or went backwards.
    pub fn elapsed(&self, gpu: &Gpu) -> Result<Vec<Duration>, Error> {
        let ticks: Vec<u64> = read(gpu, DURING, &self.readable)?;
        let between = ticks.chunks(2).map(|ends| ends[1].saturating_sub(ends[0]));
        let nanos = between.map(|ticks| (ticks as f64 * self.period) as u64);
        Ok(nanos.map(Duration::from_nanos).collect())
    }
}

impl Gpu {
    /// Returns a timer, which measures the time that recorded work takes on the device.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn timer(&self) -> Result<Timer<'_>, Error> {
        Timer::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |micros: &[u64]| {
            let times = micros.iter().map(|&t| Duration::from_micros(t)).collect();
            Times::new(Clock::Wall, times)
        };
        let micros = Duration::from_micros;
        assert_eq!(of(&[5, 1, 3]).median(), micros(3));
        assert_eq!(of(&[5, 1, 3, 4]).median(), micros(3));
        let times = of(&[5, 1, 3]);
        assert_eq!((times.least(), times.most(), times.sum()), (micros(1), micros(5), micros(9)));
        assert_eq!(of(&[]).median(), micros(0));
    }
}
