//! Every kernel that the grid of plans asks for, assembled once for all tests of this program.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rayon::prelude::*;
use support::specs::every_spec;
use wgpu_loss::kernels::Spec;
use xxhash_rust::xxh3::xxh3_64;

/// A kernel's text, which its specialisation yields again: all of them take two gigabytes.
pub struct Text {
    pub kind: String,
    pub hash: u64,
    pub spec: Spec,
}

/// The names in conditions by file and line, and whether each was seen off and on.
pub type Names = BTreeMap<(&'static str, usize, &'static str), [bool; 2]>;

pub struct Grid {
    /// Each text once, by kind; many specialisations differ in nothing that the text shows.
    pub texts: Vec<Text>,
    pub names: Names,
}

pub fn grid() -> &'static Grid {
    static GRID: OnceLock<Grid> = OnceLock::new();
    GRID.get_or_init(|| {
        let specs: Vec<Spec> = every_spec().into_iter().collect();
        let (texts, names): (Vec<Vec<Text>>, Vec<Names>) =
            specs.par_chunks(256).map(assembled).unzip();
        let mut texts: Vec<Text> = texts.into_iter().flatten().collect();
        // A text that several kinds have is of the first.
        texts.sort_by(|a, b| (a.hash, &a.kind).cmp(&(b.hash, &b.kind)));
        texts.dedup_by_key(|text| text.hash);
        texts.sort_by(|a, b| (&a.kind, a.hash).cmp(&(&b.kind, b.hash)));
        assert!(texts.len() > 500, "only {} texts", texts.len());
        println!("{} texts", texts.len());
        Grid { texts, names: names.into_iter().fold(Names::new(), merged) }
    })
}

/// Every text in so many; with `SOAK` in the environment, all of them.
pub fn sampled(step: usize) -> Vec<&'static Text> {
    let step = if std::env::var_os("SOAK").is_some() { 1 } else { step };
    grid().texts.iter().step_by(step).collect()
}

fn assembled(specs: &[Spec]) -> (Vec<Text>, Names) {
    let mut names = Names::new();
    let text = |spec: &Spec| {
        let assembly = spec.assembled();
        for asked in &assembly.asked {
            let at = names.entry((asked.file, asked.line, asked.name)).or_default();
            at[usize::from(asked.holds)] = true;
        }
        Text { kind: kind(spec), hash: xxh3_64(assembly.text.as_bytes()), spec: *spec }
    };
    let texts = specs.iter().map(text).collect();
    (texts, names)
}

fn merged(mut all: Names, some: Names) -> Names {
    for (at, [off, on]) in some {
        let seen = all.entry(at).or_default();
        *seen = [seen[0] | off, seen[1] | on];
    }
    all
}

/// Kinds small enough that a hash which differs says where to look.
fn kind(spec: &Spec) -> String {
    let Spec { kernel, phase, input, output, .. } = spec;
    let layout = match (spec.layout.residency.is_resident(), spec.layout.load) {
        (true, load) => format!("resident by {}", load.elements()),
        (false, load) => format!("by {}", load.elements()),
    };
    format!("{kernel:?}, {phase:?}, {} to {}, {layout}", input.name(), output.name())
}
