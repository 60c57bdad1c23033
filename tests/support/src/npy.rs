//! Reads the sample data's `.npy` files: a dictionary of Python in one line, then the elements.

use std::fs;
use std::path::Path;

use crate::examples::Result;

/// An array.
pub struct Npy {
    /// The type of its elements, as NumPy writes it: `<f4`, `<i8`, `|u1`.
    pub descr: String,
    pub shape: Vec<usize>,
    /// Its elements in C order.
    pub bytes: Vec<u8>,
}

/// Reads an array whose elements have this type.
pub fn read(path: &Path, descr: &str) -> Result<Npy> {
    let file = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let npy = parse(&file).filter(|npy| npy.descr == descr);
    npy.ok_or_else(|| format!("{} is no .npy file of {descr}", path.display()).into())
}

/// A file of version 1: 8 bytes that say so, the header's length in two, the header, the elements.
fn parse(file: &[u8]) -> Option<Npy> {
    let rest = file.strip_prefix(b"\x93NUMPY\x01\x00")?;
    let (length, rest) = rest.split_first_chunk()?;
    let (header, bytes) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let header = str::from_utf8(header).ok()?;
    let after = |key, end| Some(header.split_once(key)?.1.split_once(end)?.0);
    let descr = after("'descr': '", '\'')?.to_string();
    let sizes = after("'shape': (", ')')?.split(',').map(str::trim);
    let shape = sizes.filter(|size| !size.is_empty()).map(|size| size.parse().ok());
    Some(Npy { descr, shape: shape.collect::<Option<_>>()?, bytes: bytes.to_vec() })
}
