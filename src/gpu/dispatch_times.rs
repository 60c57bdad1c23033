//! The time of each dispatch of a plan.

use std::time::Duration;

use super::clock::{DURING, Queries};
use super::{Clock, Timer, Times};
use crate::error_scope::scoped;
use crate::{Bound, Error};

/// One dispatch of a plan, and its times: see [`Timer::dispatches`].
///
/// ```
/// use wgpu_loss::gpu::DispatchTimes;
///
/// /// Returns the kernel that takes longest, and its part of the whole.
/// fn slowest(dispatches: &[DispatchTimes]) -> Option<(&str, f64)> {
///     let whole: f64 = dispatches.iter().map(|dispatch| dispatch.times.median().as_secs_f64()).sum();
///     let slowest = dispatches.iter().max_by_key(|dispatch| dispatch.times.median())?;
///     Some((&slowest.name, slowest.times.median().as_secs_f64() / whole))
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DispatchTimes {
    /// The kernel, its part and its layout, as the plan prints them.
    pub name: String,
    /// The number of workgroups that are dispatched.
    pub groups: u32,
    /// The times of the dispatch.
    pub times: Times,
}

impl Timer<'_> {
    /// Measures each dispatch of bound work, in the plan's order: all of them `samples` times (at least once), each in
    /// a pass of its own, after a warm-up as for [`Timer::kernel`]. If timestamps make no sense, each dispatch is
    /// submitted by itself and waited for.
    ///
    /// Between passes the device may flush its caches, and dispatches that overlap in one pass do not overlap here: the
    /// sum may be more than the time of the whole.
    ///
    /// ```no_run
    /// use wgpu_loss::{Bound, Error, Gpu};
    ///
    /// fn tell(gpu: &Gpu, bound: &Bound) -> Result<(), Error> {
    ///     for dispatch in gpu.timer()?.dispatches(9, bound)? {
    ///         println!("{:?} {} groups  {}", dispatch.times.median(), dispatch.groups, dispatch.name);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Timer::kernel`].
    pub fn dispatches(&self, samples: usize, bound: &Bound) -> Result<Vec<DispatchTimes>, Error> {
        let dispatches = bound.plan().all_dispatches();
        let queries = Queries::new(self.gpu, dispatches.len() as u32)?;
        let once = || match &queries {
            Some(queries) => self.stamped(bound, queries),
            None => Ok(None),
        };
        self.warm_up(&|pass: &mut wgpu::ComputePass<'_>| bound.record(pass))?;
        let mut taken = vec![Vec::new(); dispatches.len()];
        let mut clock = Clock::Timestamps;
        for _ in 0..samples.max(1) {
            let Some(sample) = once()? else {
                clock = Clock::Wall;
                break;
            };
            taken.iter_mut().zip(sample).for_each(|(times, time)| times.push(time));
        }
        if clock == Clock::Wall {
            taken = self.by_wall(samples, bound)?;
        }
        let reported = dispatches.iter().zip(taken).map(|(dispatch, times)| DispatchTimes {
            name: dispatch.spec.to_string(),
            groups: dispatch.groups,
            times: Times::new(clock, times),
        });
        Ok(reported.collect())
    }

    /// Runs all dispatches once, by timestamps; `None` if they make no sense.
    fn stamped(&self, bound: &Bound, queries: &Queries) -> Result<Option<Vec<Duration>>, Error> {
        let device = &self.gpu.device;
        let commands = scoped(device, DURING, || {
            let mut encoder = self.gpu.encoder();
            for dispatch in 0..bound.plan().dispatches() {
                bound.record_dispatch(
                    dispatch,
                    &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: Some("wgpu-loss measured"),
                        timestamp_writes: Some(queries.writes(dispatch as u32)),
                    }),
                );
            }
            queries.resolve(&mut encoder);
            encoder.finish()
        })?;
        let wall = self.submitted(commands)?;
        let elapsed = queries.elapsed(self.gpu)?;
        // A short dispatch may end in the tick that it began in, but not all of them.
        let sum: Duration = elapsed.iter().sum();
        Ok((!sum.is_zero() && sum <= wall).then_some(elapsed))
    }

    /// Measures each dispatch by the wall clock.
    fn by_wall(&self, samples: usize, bound: &Bound) -> Result<Vec<Vec<Duration>>, Error> {
        let once = |dispatch: usize| {
            let commands = scoped(&self.gpu.device, DURING, || {
                let mut encoder = self.gpu.encoder();
                bound.record_dispatch(
                    dispatch,
                    &mut encoder.begin_compute_pass(&Default::default()),
                );
                encoder.finish()
            })?;
            self.submitted(commands)
        };
        let all = || (0..bound.plan().dispatches()).map(once).collect::<Result<Vec<_>, Error>>();
        let mut taken = vec![Vec::new(); bound.plan().dispatches()];
        for _ in 0..samples.max(1) {
            taken.iter_mut().zip(all()?).for_each(|(times, time)| times.push(time));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use crate::{CrossEntropy, Gpu, GpuOptions, Inputs, Outputs, Tensor};

    /// Each dispatch has its time and its name, and together they take about as long as the whole.
    fn adds_up(gpu: &Gpu) {
        let shape = [4096, 1000];
        let logits: Vec<f32> = (0..shape[0] * shape[1]).map(|i| (i % 977) as f32 / 100.0).collect();
        let labels = vec![3i64; shape[0]];
        let inputs = Inputs::new(Tensor::new(&logits, &shape)).labels(&labels, &shape[..1]);
        let outputs = Outputs::loss().with_grad();
        let bound = gpu.bind(&CrossEntropy::new(), &inputs, outputs).expect("bound tensors");
        let timer = gpu.timer().expect("a timer");
        let dispatches = timer.dispatches(5, &bound).expect("times");
        let whole = timer.kernel(5, |pass| bound.record(pass)).expect("times").least();
        let plan = bound.plan().to_string();
        let lines: Vec<_> = plan.lines().take(bound.plan().dispatches()).collect();
        let reported: Vec<_> =
            dispatches.iter().map(|s| format!("{} groups  {}", s.groups, s.name)).collect();
        assert_eq!(reported, lines);
        assert!(dispatches.iter().all(|dispatch| dispatch.times.sorted.len() == 5));
        let sum =
            dispatches.iter().map(|dispatch| dispatch.times.least()).sum::<std::time::Duration>();
        let ratio = sum.as_secs_f64() / whole.as_secs_f64();
        // Other processes use the machine, too; and waiting for each dispatch takes time.
        assert!((0.2..20.0).contains(&ratio), "{sum:?} for {whole:?}");
        assert!(
            dispatches.iter().any(|dispatch| dispatch.name.starts_with("Rows")),
            "{dispatches:?}"
        );
    }

    #[test]
    fn steps_add_up() {
        adds_up(&Gpu::new().expect("a GPU adapter"));
    }

    #[test]
    fn steps_add_up_by_the_wall_clock() {
        let options = GpuOptions::new().default_limits();
        adds_up(&Gpu::with_options(&options).expect("a GPU adapter"));
    }
}
