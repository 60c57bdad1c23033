//! The kinds of work. A step panics if a promise is broken.

mod calls;
mod frames;
mod large;
mod lost;
mod partials;
mod refused;
mod reopened;
mod several;
mod squeezed;
mod streams;
mod threads;

use support::close::Judged;

use crate::devices::Devices;

/// A kind of work.
pub struct Kind {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// What one step does.
    pub about: &'static str,
    /// How often it comes, compared with the others.
    pub weight: usize,
    /// Runs a step from bytes, and returns the number of judged numbers.
    pub step: fn(&mut Devices, &[u8]) -> Judged,
}

macro_rules! kinds {
    ($($name:ident $weight:literal $about:literal,)*) => {
        /// All kinds, in the order of a run's first steps.
        pub const ALL: &[Kind] = &[
            $(Kind { name: stringify!($name), about: $about, weight: $weight, step: $name::step },)*
        ];
    };
}

kinds! {
    calls 40 "any loss, options, types and outputs, on host data or recorded; up to 30,000 elements",
    large 6 "from no element to 28 million, over classes and over single elements",
    streams 10 "batches of any sizes are one tensor",
    several 8 "two devices on one adapter share the pieces",
    partials 8 "shards over bytes add up to the whole",
    frames 14 "a host's own device: frames in flight, rebinding, pipelines cleared",
    threads 6 "three threads share a device of a few KiB",
    refused 10 "bad labels, values, shapes and options are typed errors",
    lost 4 "devices are lost before, between and during calls",
    squeezed 4 "budgets of a few bytes; an address space that is full",
    reopened 2 "all devices are closed and opened anew",
}
