//! One step after the other, a sample now and then, and what they say in the end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use support::close::Judged;
use support::random::Random;

use crate::args::{Args, Leak};
use crate::devices::Devices;
use crate::kinds::{ALL, Kind};
use crate::picture;
use crate::sample::{self, Sample, csv};
use crate::verdict::{self, judge};
use crate::watch::Watch;

/// Bytes that a step is drawn from.
const BYTES: usize = 2048;

/// Steps of a round. At its start, devices are opened anew and pipelines dropped: of a software driver's, which take some
/// megabytes each, a round makes a hundred.
const ROUND: u64 = 16;

/// Runs what was asked for, and writes and prints its results.
///
/// # Errors
/// The step that failed, or what has grown, or the file that could not be written.
pub fn run(args: &Args) -> Result<(), String> {
    let kinds = wanted(&args.only)?;
    std::fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    sample::keep_threshold();
    let seed = args.seed();
    let mut soak = Soak::new(args, seed);
    let info = soak.devices.gpu.info().clone();
    let device = format!("{}, {} {}", info.name, info.driver, info.driver_info);
    println!("seed {seed}, {:?}, on {device}", args.time());
    let ended = soak.steps(args, &kinds);
    soak.report(&kinds);
    let title = format!("{} steps in {}", soak.counts(), spoken(soak.start.elapsed()));
    let drawn = picture::svg(&title, &device, &soak.samples)?;
    soak.save(&args.out)?;
    write(&args.out.join("soak.svg"), &drawn)?;
    let ended = ended.and_then(|()| soak.judged());
    println!("samples.csv and soak.svg are in {}", args.out.display());
    ended
}

/// Returns the kinds of these names, or all.
fn wanted(names: &[String]) -> Result<Vec<&'static Kind>, String> {
    let all = || ALL.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let of = |name: &String| {
        let found = ALL.iter().find(|kind| kind.name == name);
        found.ok_or_else(|| format!("--only {name}: the kinds are {}", all()))
    };
    if names.is_empty() { Ok(ALL.iter().collect()) } else { names.iter().map(of).collect() }
}

/// A run under way.
struct Soak {
    seed: u64,
    start: Instant,
    devices: Devices,
    samples: Vec<Sample>,
    /// Steps of each kind, their time and the slowest.
    done: Vec<(u64, Duration, Duration)>,
    numbers: Judged,
    leaked: Vec<Box<dyn Any>>,
}

impl Soak {
    fn new(args: &Args, seed: u64) -> Self {
        Self {
            seed,
            devices: Devices::open(args.from / ROUND),
            samples: Vec::new(),
            done: vec![Default::default(); wanted(&args.only).map_or(0, |kinds| kinds.len())],
            numbers: Judged::default(),
            leaked: Vec::new(),
            start: Instant::now(),
        }
    }

    fn counts(&self) -> u64 {
        self.done.iter().map(|done| done.0).sum()
    }

    /// Runs steps until the time is up, or one fails.
    fn steps(&mut self, args: &Args, kinds: &[&Kind]) -> Result<(), String> {
        let watch = Watch::new(Duration::from_secs_f64(args.limit), &args.out);
        let mut said = Instant::now();
        for step in args.from..args.from.saturating_add(args.steps) {
            if self.start.elapsed() >= args.time() {
                break;
            }
            if step == args.from || step.is_multiple_of(ROUND) {
                self.round(step, &watch)?;
                // A process that is killed has written what it knew.
                self.save(&args.out)?;
            }
            self.step(step, kinds, &watch)?;
            args.leak.map(|what| self.leak(what)).transpose()?;
            self.sample(args.every);
            if said.elapsed() >= Duration::from_secs(60) {
                said = Instant::now();
                self.say();
            }
        }
        Ok(())
    }

    /// Begins the round of a step.
    fn round(&mut self, step: u64, watch: &Watch) -> Result<(), String> {
        let name = format!("the start of the round of step {step} of seed {}", self.seed);
        watch.begins(&name)?;
        guarded(&name, || self.devices.begin(step / ROUND))?;
        let seconds = self.start.elapsed().as_secs_f64();
        self.samples.push(Sample::settled(seconds, self.counts(), self.devices.pipelines()));
        Ok(())
    }

    /// Runs one step.
    fn step(&mut self, step: u64, kinds: &[&Kind], watch: &Watch) -> Result<(), String> {
        let mut random = random(self.seed, step);
        let index = chosen(&mut random, step, kinds);
        let bytes: Vec<u8> = (0..BYTES).map(|_| (random.bits() >> 8) as u8).collect();
        let kind = kinds[index];
        let name = format!("step {step} ({}) of seed {}", kind.name, self.seed);
        watch.begins(&name)?;
        let begun = Instant::now();
        let judged = guarded(&name, || (kind.step)(&mut self.devices, &bytes))?;
        self.numbers = self.numbers.and(judged);
        let (took, done) = (begun.elapsed(), &mut self.done[index]);
        *done = (done.0 + 1, done.1 + took, done.2.max(took));
        Ok(())
    }

    fn sample(&mut self, every: f64) {
        let seconds = self.start.elapsed().as_secs_f64();
        if self.samples.last().is_none_or(|last| seconds - last.seconds >= every) {
            let sample = Sample::take(seconds, self.counts(), self.devices.pipelines());
            self.samples.push(sample);
        }
    }

    fn save(&self, out: &Path) -> Result<(), String> {
        write(&out.join("samples.csv"), csv(&self.samples).as_bytes())
    }

    fn leak(&mut self, what: Leak) -> Result<(), String> {
        match what {
            Leak::Memory => self.leaked.push(Box::new(vec![1u8; 1 << 20])),
            Leak::Descriptors => {
                let program = std::env::current_exe().and_then(std::fs::File::open);
                self.leaked.push(Box::new(program.map_err(|error| error.to_string())?));
            }
            Leak::Threads => drop(std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            })),
        }
        Ok(())
    }

    fn say(&self) {
        let Some(last) = self.samples.last() else { return };
        let Sample { seconds, steps, pipelines, held, .. } = last;
        print!("{:6.1} min  {steps:>7} steps  {pipelines:>4} pipelines", seconds / 60.0);
        if let Some([allocated, resident, _, descriptors, threads]) = held {
            print!("  {allocated:.0} MiB allocated  {resident:.0} resident");
            print!("  {descriptors} descriptors  {threads} threads");
        }
        println!();
    }

    fn report(&self, kinds: &[&Kind]) {
        println!("\n{:<9} {:>7} {:>9} {:>9}  what a step does", "kind", "steps", "mean", "slowest");
        for (kind, (steps, time, slowest)) in kinds.iter().zip(&self.done) {
            let mean = time.checked_div((*steps).min(u32::MAX.into()) as u32).unwrap_or_default();
            let [mean, slowest] =
                [mean, *slowest].map(|time| format!("{:.0} ms", 1e3 * time.as_secs_f64()));
            println!("{:<9} {steps:>7} {mean:>9} {slowest:>9}  {}", kind.name, kind.about);
        }
        let Judged { numbers, unjudged } = self.numbers;
        println!("{numbers} numbers are as close to the reference as rounding allows.");
        println!(
            "For {unjudged} of them, rounding allows more than a hundredth: those prove little."
        );
    }

    /// Returns an error for what has grown, and if the comparisons prove nothing.
    fn judged(&self) -> Result<(), String> {
        let Judged { numbers, unjudged } = self.numbers;
        if unjudged * 20 > numbers {
            return Err(format!(
                "of {numbers} numbers, rounding allows {unjudged} to be off by more than a hundredth: too many to prove \
                 anything"
            ));
        }
        let Some(growths) = judge(&self.samples) else {
            let rounds = self.samples.iter().filter(|sample| sample.settled).count();
            println!(
                "no verdict on growth: {rounds} rounds are too few, or this system tells no numbers"
            );
            return Ok(());
        };
        println!("\n{}", verdict::HEAD);
        growths.iter().for_each(|growth| println!("{growth}"));
        let grown: Vec<_> = growths.iter().filter(|g| g.is_too_much()).map(|g| g.what).collect();
        match grown.is_empty() {
            true => {
                println!("nothing grows");
                Ok(())
            }
            false => Err(format!("it grows: {}", grown.join(", "))),
        }
    }
}

/// Does some work, and returns an error if it panics. What a panic leaves behind is not used again.
fn guarded<T>(name: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("{name}: {}", said(&*panic)))
}

/// Returns the numbers that a step is drawn from.
fn random(seed: u64, step: u64) -> Random {
    let mut random = Random(seed.rotate_left(32) ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Neighbouring states have neighbouring first numbers.
    for _ in 0..4 {
        random.bits();
    }
    random
}

/// Chooses a kind by weight. The first steps of a run are one of each kind.
fn chosen(random: &mut Random, step: u64, kinds: &[&Kind]) -> usize {
    if let Some(first) = usize::try_from(step).ok().filter(|&first| first < kinds.len()) {
        return first;
    }
    let mut ticket = random.below(kinds.iter().map(|kind| kind.weight).sum());
    let takes = |kind: &&Kind| {
        let takes = ticket < kind.weight;
        ticket = ticket.wrapping_sub(kind.weight);
        takes
    };
    kinds.iter().position(takes).unwrap_or(0)
}

/// Returns what a panic says.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").into()
}

fn spoken(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    if minutes < 90.0 {
        format!("{minutes:.1} minutes")
    } else {
        format!("{:.1} hours", minutes / 60.0)
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}
