//! The net under a change of shaders or plans: the text of every kernel, and what drivers get of it, are what
//! `tests/data/texts.tsv` says. A change of Rust that moves nothing leaves the first alone, one of WGSL that moves
//! nothing the second.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use naga::back::spv;
use rayon::prelude::*;
use support::places::run_example;
use support::spirv::canonical;
use support::texts::{parsed, parsed_kernel};
use xxhash_rust::xxh3::xxh3_64;

use crate::grid::{Text, grid};

/// A line of the file, of the kernels of one kind: how many texts there are, a hash of them and one of their SPIR-V.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    texts: usize,
    text: u64,
    spirv: u64,
}

/// All texts by their kind.
fn by_kind() -> BTreeMap<&'static str, Vec<&'static Text>> {
    let mut kinds: BTreeMap<&str, Vec<&Text>> = BTreeMap::new();
    grid().texts.iter().for_each(|text| kinds.entry(&text.kind).or_default().push(text));
    kinds
}

/// One hash of several, in whatever order they are.
fn of_all(mut hashes: Vec<u64>) -> u64 {
    hashes.sort_unstable();
    xxh3_64(bytemuck::cast_slice(&hashes))
}

fn spirv_of(texts: &[&Text]) -> u64 {
    let hash = |text: &&Text| {
        let (module, info) = parsed_kernel(&text.spec);
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let words = spv::write_vec(&module, &info, &options, None).expect("SPIR-V");
        xxh3_64(bytemuck::cast_slice(&canonical(&words)))
    };
    of_all(texts.par_iter().map(hash).collect())
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/texts.tsv")
}

fn stored() -> BTreeMap<String, Line> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let line = |line: &str| {
        let mut parts = line.split('\t');
        let mut next = || parts.next().unwrap_or_else(|| panic!("four fields in {line:?}"));
        let (kind, texts) = (next().to_owned(), next().parse().expect("a number of texts"));
        let mut hash = || u64::from_str_radix(next(), 16).expect("a hash");
        (kind, Line { texts, text: hash(), spirv: hash() })
    };
    text.lines().skip(1).map(line).collect()
}

/// Translating takes minutes, so it is done for the kinds whose texts have changed; for all of them where the file is
/// written, by `WGPU_LOSS_RENEW=1 cargo test --profile tests --test cpu texts`.
#[test]
fn texts_and_spirv_are_those_that_are_stored() {
    let (texts, stored) = (by_kind(), stored());
    let renew = std::env::var_os("WGPU_LOSS_RENEW").is_some();
    let mut changed = Vec::new();
    let mut written = String::from("kind\ttexts\ttext\tSPIR-V\n");
    for (kind, texts) in &texts {
        let text = of_all(texts.iter().map(|text| text.hash).collect());
        let old = stored.get(*kind);
        let same = |line: &Line| (line.texts, line.text) == (texts.len(), text);
        if old.is_some_and(same) && !renew {
            continue;
        }
        let spirv = spirv_of(texts);
        writeln!(written, "{kind}\t{}\t{text:016x}\t{spirv:016x}", texts.len()).unwrap();
        match old {
            None => changed.push(format!("{kind}: not stored")),
            Some(old) if old.spirv != spirv => changed.push(format!("{kind}: SPIR-V")),
            Some(old) if !same(old) => changed.push(format!("{kind}: text alone")),
            Some(_) => {}
        }
    }
    let gone = stored.keys().filter(|kind| !texts.contains_key(kind.as_str()));
    changed.extend(gone.map(|kind| format!("{kind}: no longer there")));
    if renew {
        std::fs::write(file(), written).expect("a file");
        return println!("{} kinds changed:\n{}", changed.len(), changed.join("\n"));
    }
    assert!(
        changed.is_empty(),
        "kernels have changed; if they were meant to, WGPU_LOSS_RENEW=1 cargo test --profile tests --test cpu texts:\n{}",
        changed.join("\n")
    );
}

/// A name that is always on where a condition asks for it, or always off, decides nothing.
#[test]
fn every_name_in_a_condition_is_seen_both_ways() {
    let seen = &grid().names;
    let mut wrong = Vec::new();
    for ((file, line, name), [no, yes]) in seen {
        if !(no & yes) {
            wrong.push(format!("{file}:{line}: {name} is always {yes}"));
        }
    }
    for (file, line) in conditions_in_files() {
        if !seen.keys().any(|&(seen, at, _)| seen == file && at == line) {
            wrong.push(format!("{file}:{line}: never asked"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// File and line of every condition in `shaders/`.
fn conditions_in_files() -> Vec<(String, usize)> {
    let mut all = Vec::new();
    for (name, text) in shaders() {
        let lines = text.lines().enumerate();
        let conditions = lines.filter(|(_, line)| line.contains("@if(") || line.contains("@elif("));
        all.extend(conditions.map(|(number, _)| (name.clone(), number + 1)));
    }
    all
}

/// Names and texts of the files that kernels are made of: those in folders of `shaders/`.
pub fn shaders() -> Vec<(String, String)> {
    let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut all = Vec::new();
    for folder in shaders.read_dir().expect("the shaders") {
        for entry in folder.expect("an entry").path().read_dir().into_iter().flatten() {
            let path = entry.expect("a file").path();
            let name = path.strip_prefix(&shaders).expect("a shader").with_extension("");
            let name = name.to_str().expect("a name").replace('/', "::");
            all.push((name, std::fs::read_to_string(&path).expect("a text")));
        }
    }
    all
}

/// The example prints what is handed to wgpu, after a line for each dispatch.
#[test]
fn the_example_prints_kernels() {
    let args = ["cross-entropy", "20000x1000", "--grad", "--subgroups", "32"];
    let output = run_example("wgsl", &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("text");
    let kernels: Vec<&str> = printed.split("\n// --- ").collect();
    let [dispatches, kernels @ ..] = &kernels[..] else { panic!("nothing is printed") };
    let rows = dispatches.lines().filter(|line| line.contains(" groups  Rows, ")).count();
    assert_eq!((rows, kernels.len()), (1, 4), "{printed}");
    for kernel in kernels {
        parsed(kernel.split_once('\n').expect("a text after the kernel's name").1);
    }
}
