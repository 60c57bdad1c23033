//! Fingerprints of shards: the same for the same files and options, in any folder and on any device.

use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::time::UNIX_EPOCH;

use wgpu_loss::Reduction;
use xxhash_rust::xxh3::xxh3_128;

use super::list::files_of;
use crate::args::Tensor;
use crate::files::Location;
use crate::inputs::InputPaths;
use crate::run::Job;

/// Returns the text of the options on which the losses of rows depend, and of the program's version: another one may
/// know better.
pub fn options(job: &Job) -> String {
    let formula = job.formula.reduced(Reduction::None);
    let version = env!("CARGO_PKG_VERSION");
    format!("{version} {} {formula:?} {:?} {:?}", job.command, job.outputs, job.run.dtype)
}

/// Returns the fingerprint of a shard: of the options, of each file's place, size and time of change, and of the steps of
/// the first axis, if it is a run of them.
pub fn of_shard(options: &str, files: &InputPaths, run: Option<&Range<usize>>) -> String {
    let mut text = options.to_owned();
    for (role, tensor) in files.all() {
        if let Tensor::Number(number) = tensor {
            let _ = write!(text, "\0{role:?} {number}");
        }
    }
    for (role, name) in files_of(files) {
        // A file that does not exist has a name, and no more.
        let path = Location::of(name).map(|location| location.file().to_path_buf());
        let path = path.and_then(|path| fs::canonicalize(path).ok());
        let metadata = path.as_ref().and_then(|path| fs::metadata(path).ok());
        let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let size = metadata.map(|metadata| metadata.len());
        let array = name.file_name();
        let _ = write!(text, "\0{role:?} {path:?} {array:?} {size:?} {changed:?}");
    }
    let _ = write!(text, "\0{run:?}");
    hex(&text)
}

/// Returns the fingerprint of a list: of the options and of the names of all files.
pub fn of_list(options: &str, sets: &[InputPaths], runs: usize) -> String {
    let mut text = format!("{options}\0{runs}");
    for files in sets {
        let _ = write!(text, "\0{:?}", files.all());
    }
    hex(&text)
}

fn hex(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}
