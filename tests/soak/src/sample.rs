//! What the process holds at one moment.

use std::fmt::Write as _;

/// The quantities that may not grow, in the order in which [`Sample::held`] has them.
pub const HELD: [&str; 5] =
    ["allocated MiB", "resident MiB", "virtual MiB", "descriptors", "threads"];

/// One sample, taken between two steps.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Seconds since the start.
    pub seconds: f64,
    /// Steps since the start.
    pub steps: u64,
    /// Pipelines of the devices that stay open.
    pub pipelines: usize,
    /// True at the start of a round, when devices are new and have no pipelines.
    pub settled: bool,
    /// Numbers of [`HELD`]; `None` if this system does not tell them.
    pub held: Option<[f64; 5]>,
}

impl Sample {
    /// Takes a sample in the middle of a round.
    pub fn take(seconds: f64, steps: u64, pipelines: usize) -> Self {
        Self { seconds, steps, pipelines, settled: false, held: held() }
    }

    /// Takes a sample at the start of a round, after the allocator has given back what it holds free.
    pub fn settled(seconds: f64, steps: u64, pipelines: usize) -> Self {
        trim();
        Self { settled: true, ..Self::take(seconds, steps, pipelines) }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn held() -> Option<[f64; 5]> {
    let process = procfs::process::Process::myself().ok()?;
    let status = process.status().ok()?;
    let mib = |kib: Option<u64>| kib.map(|kib| kib as f64 / 1024.0);
    // The directory of descriptors that is open while it is counted is not one of them.
    let descriptors = process.fd_count().ok()?.saturating_sub(1);
    let allocated = allocated() as f64 / f64::from(1 << 20);
    let (resident, size) = (mib(status.vmrss)?, mib(status.vmsize)?);
    Some([allocated, resident, size, descriptors as f64, status.threads as f64])
}

/// Returns the bytes that the allocator has handed out to this program and to drivers.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn allocated() -> usize {
    // SAFETY: it only reads the allocator's counters, under the allocator's own locks.
    let told = unsafe { libc::mallinfo2() };
    told.uordblks + told.hblkhd
}

/// Keeps glibc at its first threshold of what it holds free at the end of each arena. After large blocks are freed it
/// raises that to as much as 64 MiB, and [`trim`] takes such memory back from the first arena alone.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_threshold() {
    // SAFETY: it sets a number of the allocator's, under the allocator's own lock.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10) };
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: it changes only memory that nobody has, under the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn held() -> Option<[f64; 5]> {
    None
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_threshold() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

/// Returns samples as CSV, with [`rates`].
pub fn csv(samples: &[Sample]) -> String {
    let columns = HELD.map(|name| name.replace(' ', "_")).join(",");
    let mut text = format!("seconds,steps,steps_per_second,pipelines,settled,{columns}\n");
    let rates = rates(samples);
    for (sample, rate) in samples.iter().zip(rates) {
        let Sample { seconds, steps, pipelines, settled, held } = sample;
        let settled = u8::from(*settled);
        let _ = write!(text, "{seconds:.1},{steps},{rate:.2},{pipelines},{settled}");
        for index in 0..HELD.len() {
            let _ = match held {
                Some(held) => write!(text, ",{:.1}", held[index]),
                None => write!(text, ","),
            };
        }
        text.push('\n');
    }
    text
}

/// Returns the steps per second up to each sample since the start of its round, or at a start, since the one before.
pub fn rates(samples: &[Sample]) -> Vec<f64> {
    let (mut seconds, mut steps) = (0.0, 0);
    let rate = |sample: &Sample| {
        let rate = (sample.steps - steps) as f64 / (sample.seconds - seconds).max(1e-3);
        if sample.settled {
            (seconds, steps) = (sample.seconds, sample.steps);
        }
        rate
    };
    samples.iter().map(rate).collect()
}
