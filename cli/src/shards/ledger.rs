//! What was found about shards, in files: `--save-partial`, the folder of `--resume`, and `merge`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wgpu_loss::Partial;

use crate::adapter::Adapter;
use crate::error::Failure;
use crate::files::{Destination, Unfinished, reason};

const FORMAT: &str = "wgpu-loss shards";
const VERSION: u32 = 1;

/// The shards that one run has computed, or several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    format: String,
    version: u32,
    pub command: String,
    /// The reduction that was asked for: each partial has the sums of all.
    pub reduction: String,
    /// The list that the shards are of.
    pub list: ListId,
    pub shards: Vec<Entry>,
}

/// A list of shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListId {
    /// The fingerprint of all of its files and options.
    pub id: String,
    /// The number of its shards.
    pub shards: u64,
}

/// A shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the list, from 0.
    pub number: u64,
    pub name: String,
    /// The fingerprint of its files and of the options.
    pub id: String,
    pub dtype: String,
    pub target: Option<String>,
    pub weighted: bool,
    pub row_weights: bool,
    /// True if its rows are tokens.
    pub tokens: bool,
    /// `None` for the CPU reference.
    pub adapter: Option<Adapter>,
    pub seconds: f64,
    pub partial: Partial,
}

impl Ledger {
    pub fn new(command: &str, reduction: &str, list: ListId, shards: Vec<Entry>) -> Self {
        let (command, reduction) = (command.into(), reduction.into());
        Self { format: FORMAT.into(), version: VERSION, command, reduction, list, shards }
    }

    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let fault = |what: String| Failure::of(file.display(), what);
        let text = fs::read(file).map_err(|error| fault(reason(&error)))?;
        let ledger: Self = serde_json::from_slice(&text)
            .map_err(|error| fault(format!("is no file of --save-partial: {error}")))?;
        match (&*ledger.format, ledger.version) {
            (FORMAT, VERSION) => Ok(ledger),
            (FORMAT, other) => {
                Err(fault(format!("has version {other}, and this program reads {VERSION}")))
            }
            _ => Err(fault("is no file of --save-partial".into())),
        }
    }

    /// Writes a file, which still has to be given its name.
    pub fn write(&self, to: &Destination) -> Result<Unfinished, Failure> {
        let text =
            serde_json::to_vec(self).map_err(|error| Failure::of(to.name.display(), error))?;
        to.bytes(&text)
    }
}

/// Puts the shards of several files into one, in the order of their numbers.
///
/// # Errors
/// Other commands and lists, and a shard that is there twice, in any state of its files.
pub fn together(files: Vec<(String, Ledger)>) -> Result<Ledger, Failure> {
    let mut all: Option<(String, Ledger)> = None;
    let mut seen: HashMap<u64, String> = HashMap::new();
    for (name, mut ledger) in files {
        let shards = std::mem::take(&mut ledger.shards);
        let (first, all) = all.get_or_insert_with(|| (name.clone(), ledger.clone()));
        let [ours, theirs] = [all.question(), ledger.question()];
        if ours != theirs {
            return Err(Failure::of(name, format!("is of {theirs}, but {first} is of {ours}")));
        }
        check_numbers(&name, &shards, all.list.shards, &mut seen)?;
        all.shards.extend(shards);
    }
    let Some((_, mut all)) = all else {
        return Err(Failure::Usage("there is nothing to merge".into()));
    };
    all.shards.sort_by_key(|entry| entry.number);
    Ok(all)
}

/// Refuses shards that another file has too. `seen`: the file of each number so far.
fn check_numbers(
    file: &str,
    shards: &[Entry],
    of: u64,
    seen: &mut HashMap<u64, String>,
) -> Result<(), Failure> {
    for Entry { number, name, .. } in shards {
        if *number >= of {
            return Err(Failure::of(file, format!("has shard number {number} of {of}")));
        }
        if let Some(other) = seen.insert(*number, file.into()) {
            let twice = format!("has the shard {name}, which {other} has too");
            return Err(Failure::of(file, twice));
        }
    }
    Ok(())
}

impl Ledger {
    /// Returns what its shards have in common, for a person.
    fn question(&self) -> String {
        let Self { command, reduction, list: ListId { id, shards }, .. } = self;
        format!("{command}, reduction {reduction}, of {shards} shards with the fingerprint {id}")
    }
}

impl Ledger {
    /// Returns how many of the list's shards are not there, and the number of the first one.
    pub fn missing(&self) -> Option<(u64, u64)> {
        let count = self.list.shards.saturating_sub(self.shards.len() as u64);
        // The shards are in the order of their numbers.
        let first = (0..).zip(&self.shards).find(|(number, entry)| entry.number != *number);
        (count > 0).then(|| (count, first.map_or(self.shards.len() as u64, |(number, _)| number)))
    }
}
