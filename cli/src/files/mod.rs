//! Arrays in files: `.npy`, and arrays in `.npz` and `.safetensors`.
//!
//! ```text
//! location   the name that the user wrote      layout    the contents of a header (npy, npz, safetensors)
//! bytes      a mapped file, or memory          gather    any range in the type and order wanted
//! source     an array in a file                scratch   room for elements that are converted
//! output     files that results are saved to   replace   their names, all at once
//! checksum   of an archive's member, as it is read
//! ```
//!
//! Files are mapped, never read as a whole, and a header is checked against the file's length before it is used: no
//! header makes us allocate more than the file holds.

mod bytes;
mod checksum;
mod element;
mod gather;
mod layout;
mod location;
mod npy;
mod npz;
mod output;
mod replace;
mod safetensors;
mod scratch;
mod source;

pub use self::bytes::Bytes;
pub use self::element::{Element, Kind};
pub use self::location::Location;
pub use self::output::{Destination, Picture, Unfinished};
pub use self::replace::{finish, finish_part};
pub use self::scratch::Scratch;
pub use self::source::{Part, Source, floats};

/// Returns an I/O error in plain words.
pub(crate) fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "no such file".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::UnexpectedEof => "ends before its array does".into(),
        ErrorKind::StorageFull => "the disk is full".into(),
        _ => error.to_string(),
    }
}
