//! Mutants of kernels: faults that are put into their texts one by one, to see that a test fails of each.
//!
//! `tests/data/kernel_mutants.tsv` lists them; `scripts/mutants-kernels` runs the GPU tests with each. Its name in the
//! environment variable [`VARIABLE`] changes the kernels of all devices that [`TestGpu`](crate::gpus::TestGpu) opens.

use std::io::Write;
use std::sync::{Once, OnceLock};

use wgpu_loss::Gpu;

/// The environment variable that names the mutant of this process.
pub const VARIABLE: &str = "WGPU_LOSS_MUTANT";

/// A fault: one edit of a shader's text.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The fault in a few words.
    pub name: &'static str,
    /// The shader, such as `shared::fold`.
    pub file: &'static str,
    /// The text that is replaced: lines without indentation.
    pub find: String,
    pub replace: String,
    /// The beginnings of names of tests that fail of it, quick ones first.
    pub tests: Vec<&'static str>,
    /// The reason why no test on a software driver fails of it; empty if one does.
    pub reason: &'static str,
}

/// Returns the list.
///
/// # Panics
/// If a line has not six fields.
pub fn all() -> Vec<Mutant> {
    include_str!("../../data/kernel_mutants.tsv").lines().skip(1).map(mutant).collect()
}

fn mutant(line: &'static str) -> Mutant {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, file, find, replace, tests, reason] = fields[..] else {
        panic!("six fields in {line:?}");
    };
    let text = |field: &str| field.replace("\\n", "\n");
    let tests = tests.split_whitespace().collect();
    Mutant { name, file, find: text(find), replace: text(replace), tests, reason }
}

/// Returns the mutant of this process, if the environment names one.
///
/// # Panics
/// If the list has no such mutant.
pub fn chosen() -> Option<&'static Mutant> {
    static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
    let find = |name: String| {
        let found = all().into_iter().find(|mutant| mutant.name == name);
        found.unwrap_or_else(|| panic!("{VARIABLE}: no mutant {name}"))
    };
    CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok().map(find)).as_ref()
}

impl Mutant {
    /// Returns the number of places that the edit changes in an [`unindented`] text.
    pub fn places(&self, text: &str) -> usize {
        text.matches(&self.find).count()
    }

    /// Returns an [`unindented`] text with this fault in all places.
    pub fn edit(&self, text: &str) -> String {
        text.replace(&self.find, &self.replace)
    }
}

/// Returns a text without its indentation, which assembly changes.
pub fn unindented(text: &str) -> String {
    text.lines().flat_map(|line| [line.trim_start(), "\n"]).collect()
}

/// Returns a device with the mutant of this process in its kernels. Without one it is the same device.
pub fn on(gpu: Gpu) -> Gpu {
    if chosen().is_some() { gpu.edited(mutated) } else { gpu }
}

/// Returns a kernel's text with the mutant of this process, if there is one. The first change is reported to the
/// standard error output, past the capture of a test's output.
pub fn mutated(text: String) -> String {
    static APPLIED: Once = Once::new();
    let Some(mutant) = chosen() else { return text };
    let bare = unindented(&text);
    if mutant.places(&bare) == 0 {
        return text;
    }
    APPLIED.call_once(|| {
        // A report that cannot be written reads as "not applied".
        let _ = writeln!(std::io::stderr(), "mutant applied: {}", mutant.name);
    });
    mutant.edit(&bare)
}
