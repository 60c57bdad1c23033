//! The parts of a run, by name.

use clap::ValueEnum;

/// A part of a run. The most important comes first, in case the time runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Tests,
    #[value(name = "bench-f32")]
    BenchF32,
    #[value(name = "bench-bf16")]
    BenchBf16,
    #[value(name = "bench-f16")]
    BenchF16,
    Start,
    Upload,
    Record,
    Stream,
    Stages,
    Compiler,
    Pointwise,
    Extras,
    #[value(name = "peers-f32")]
    PeersF32,
    #[value(name = "peers-bf16")]
    PeersBf16,
    #[value(name = "peers-f16")]
    PeersF16,
    Tunings,
    Tune,
    BenchTuned,
}

impl Part {
    /// Returns all parts in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Returns the name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_string())
    }
}
