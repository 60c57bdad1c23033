//! The list of mutants of kernels (`tests/data/kernel_mutants.tsv`) fits the shaders.

use std::collections::{BTreeMap, HashSet};

use support::mutants::{self, Mutant, unindented};
use support::texts::parsed;

use crate::grid::{Text, grid};
use crate::texts::shaders;

/// An edit means one place of one file. `scripts/mutants-kernels` replaces its text wherever an assembled kernel has
/// it.
#[test]
fn every_edit_means_one_place() {
    let shaders = shaders().into_iter().map(|(name, text)| (name, unindented(&text)));
    let shaders: Vec<_> = shaders.collect();
    let mut names = HashSet::new();
    for mutant in mutants::all() {
        let Mutant { name, file, find, replace, tests, .. } = &mutant;
        assert!(names.insert(*name), "{name} is there twice");
        assert!(find != replace && !tests.is_empty(), "{name} changes or asks nothing");
        for (other, text) in &shaders {
            let wanted = usize::from(other == file);
            assert_eq!(mutant.places(text), wanted, "{name} in {other}: {find}");
        }
    }
}

/// Some kernel of the grid has the text of every edit, and is a kernel afterwards: a fault that does not compile is
/// noticed by every test.
#[test]
fn every_edit_makes_another_kernel() {
    let mut rest = mutants::all();
    // A few texts of every kind have nearly all edits: one of each kind, then another of each.
    let mut kinds: BTreeMap<&str, Vec<&Text>> = BTreeMap::new();
    for text in &grid().texts {
        kinds.entry(&text.kind).or_default().push(text);
    }
    let longest = kinds.values().map(Vec::len).max().unwrap_or(0);
    let texts = (0..longest).flat_map(|i| kinds.values().filter_map(move |texts| texts.get(i)));
    for text in texts {
        if rest.is_empty() {
            break;
        }
        let assembled = unindented(&text.spec.assembled().text);
        let (here, later): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|mutant| mutant.places(&assembled) > 0);
        for mutant in here {
            println!("{} in {}", mutant.name, text.kind);
            parsed(&mutant.edit(&assembled));
        }
        rest = later;
    }
    let names: Vec<&str> = rest.iter().map(|mutant| mutant.name).collect();
    assert!(names.is_empty(), "no kernel has the texts of {names:?}");
}
