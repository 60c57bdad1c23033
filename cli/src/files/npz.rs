//! Arrays in `.npz`: a zip archive of `.npy` files.
//!
//! `np.savez` stores them uncompressed, and they are used in place. `np.savez_compressed` deflates them, and they have
//! to be inflated before they can be read in any order. Sizes that the archive states are not relied on: the `.npy`
//! header says how many elements there are, and the member must hold exactly these.

use std::ffi::OsStr;
use std::io::Read;
use std::ops::Range;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, Error, ErrorKind, ZipArchive};

use super::bytes::Bytes;
use super::checksum::{self, Checksum};
use super::layout::{Layout, listed};
use super::npy;
use super::scratch::Scratch;

/// Elements are inflated in steps of this many bytes.
const STEP: usize = 1 << 20;

/// No deflated byte stands for more than this many bytes.
const MOST_INFLATION: u64 = 1032;

/// A `.npy` file in the archive.
#[derive(Debug)]
pub enum Member {
    /// Stored uncompressed, in this range of the archive.
    Stored(Range<usize>, Checksum),
    /// Deflated.
    Deflated(Deflated),
}

/// A deflated `.npy` file.
#[derive(Debug)]
pub struct Deflated {
    /// Its name in errors.
    name: String,
    /// Its range in the archive.
    range: Range<usize>,
    /// Its length after inflation, as the archive states it.
    size: u64,
    crc: u32,
}

/// Finds an array in an archive; without a name, the only one.
pub fn find(archive: &[u8], name: Option<&OsStr>) -> Result<Member, String> {
    let zip = ZipArchive::from_slice(archive).map_err(|e| damaged(&e))?;
    let trailing = (archive.len() as u64).saturating_sub(zip.end_offset());
    if trailing > 0 {
        return Err(format!("has {trailing} extra bytes after its archive"));
    }
    let (mut names, mut found, mut number) = (Vec::new(), Vec::new(), 0u64);
    let mut entries = zip.entries();
    while let Some(entry) = entries.next_entry().map_err(|e| damaged(&e))? {
        number += 1;
        // A member that is not a .npy file is no array; NumPy does not load it as one either.
        let path = entry.file_path().as_bytes();
        let Some(array) = path.strip_suffix(b".npy") else { continue };
        let shown = String::from_utf8_lossy(array).into_owned();
        let called =
            |name: &OsStr| [array, path, shown.as_bytes()].contains(&name.as_encoded_bytes());
        if name.is_none_or(called) {
            found.push((entry, String::from_utf8_lossy(path).into_owned()));
        }
        names.push(shown);
    }
    if number != zip.entries_hint() {
        return Err(format!(
            "has a damaged directory: {number} files instead of {}",
            zip.entries_hint()
        ));
    }
    let (entry, path) = match (&found[..], name) {
        ([(entry, path)], _) => (entry, path),
        ([], Some(name)) => return Err(format!("has no array {name:?}; {}", listed(names))),
        (_, Some(name)) => {
            return Err(format!("has {} arrays called {name:?}", found.len()));
        }
        (_, None) => {
            return Err(format!("which array? write FILE.npz:ARRAY; {}", listed(names)));
        }
    };
    if entry.flags().is_encrypted() {
        return Err("is encrypted".into());
    }
    let data = zip.get_entry(entry.wayfinder()).map_err(|e| damaged(&e))?;
    let (start, end) = data.compressed_data_range();
    let (range, size) = (start as usize..end as usize, entry.uncompressed_size_hint());
    let crc = entry.crc32();
    match entry.compression_method() {
        CompressionMethod::STORE if range.len() as u64 == size => {
            let checksum = Checksum::new(path, &range, crc);
            Ok(Member::Stored(range, checksum))
        }
        CompressionMethod::STORE => {
            Err(format!("says that {} stored bytes are {size}", range.len()))
        }
        CompressionMethod::DEFLATE if size / MOST_INFLATION > range.len() as u64 => {
            Err(format!("says that {} deflated bytes are {size}, which cannot be", range.len()))
        }
        CompressionMethod::DEFLATE => {
            Ok(Member::Deflated(Deflated { name: path.clone(), range, size, crc }))
        }
        other => Err(format!(
            "is compressed by method {}, but only the methods of np.savez and np.savez_compressed are supported",
            other.as_u16()
        )),
    }
}

impl Deflated {
    /// Inflates the header, and reads it.
    pub fn read_layout(&self, archive: &[u8]) -> Result<Layout, String> {
        let mut start = Vec::new();
        let decoder = DeflateDecoder::new(&archive[self.range.clone()]);
        let most = npy::MOST_BEFORE_ELEMENTS as u64;
        decoder.take(most).read_to_end(&mut start).map_err(|e| damaged_data(&e))?;
        npy::read_layout(&start, self.size)
    }

    /// Inflates the elements that the header promises.
    pub fn inflate(&self, archive: &[u8], layout: &Layout) -> Result<Bytes, String> {
        let length = (layout.count * layout.element.bytes()) as u64;
        let mut scratch = Scratch::new(length)?;
        let mut decoder = DeflateDecoder::new(&archive[self.range.clone()]);
        let (mut crc, mut at, mut step) = (Crc::new(), 0u64, vec![0; STEP]);
        loop {
            let read = decoder.read(&mut step).map_err(|e| damaged_data(&e))?;
            if read == 0 {
                break;
            }
            crc.update(&step[..read]);
            let (from, to) = (at, at + read as u64);
            if to > self.size {
                return Err(format!("inflates to more than the {} bytes it says", self.size));
            }
            if to > layout.offset {
                let header = layout.offset.saturating_sub(from) as usize;
                scratch.write(from.max(layout.offset) - layout.offset, &step[header..read])?;
            }
            at = to;
        }
        match at == self.size && crc.sum() == self.crc {
            true => scratch.done(),
            false if at < self.size => {
                Err(format!("inflates to {at} bytes where it says {}", self.size))
            }
            false => Err(checksum::damaged(&self.name)),
        }
    }
}

fn damaged(error: &Error) -> String {
    match error.kind() {
        ErrorKind::MissingEndOfCentralDirectory => "is cut short or not an .npz file".into(),
        ErrorKind::Eof => "is damaged: it ends inside its archive".into(),
        _ => format!("is damaged: {error}"),
    }
}

fn damaged_data(error: &std::io::Error) -> String {
    format!("cannot be inflated: {error}")
}

#[cfg(test)]
pub mod tests {
    use std::io::Write;

    use super::*;

    /// Makes an archive of files given as name, contents and whether they are deflated.
    pub fn archive(files: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for &(name, contents, deflate) in files {
            let mut data = contents.to_vec();
            if deflate {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
                encoder.write_all(contents).unwrap();
                data = encoder.finish().unwrap();
            }
            let mut crc = Crc::new();
            crc.update(contents);
            let mut fixed = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0x21, 0];
            fixed.extend(crc.sum().to_le_bytes());
            fixed.extend((data.len() as u32).to_le_bytes());
            fixed.extend((contents.len() as u32).to_le_bytes());
            fixed.extend((name.len() as u16).to_le_bytes());
            fixed.extend([0, 0]);
            directory.extend(*b"PK\x01\x02\x14\x00");
            directory.extend(&fixed);
            directory.extend([0; 10]);
            directory.extend((archive.len() as u32).to_le_bytes());
            directory.extend(name.bytes());
            archive.extend(*b"PK\x03\x04");
            archive.extend(&fixed);
            archive.extend(name.bytes());
            archive.extend(data);
        }
        let (start, count) = (archive.len() as u32, (files.len() as u16).to_le_bytes());
        archive.extend(&directory);
        archive.extend(*b"PK\x05\x06\0\0\0\0");
        archive.extend([count, count].concat());
        archive.extend((directory.len() as u32).to_le_bytes());
        archive.extend(start.to_le_bytes());
        archive.extend([0, 0]);
        archive
    }

    #[test]
    fn arrays_are_found_by_name() {
        let find = |archive: &[u8], name: Option<&str>| find(archive, name.map(OsStr::new));
        let stored = |found| match found {
            Ok(Member::Stored(range, _)) => range,
            other => panic!("{other:?}"),
        };
        let good =
            archive(&[("a.npy", b"1", false), ("b.npy", b"22", true), ("c.txt", b"3", false)]);
        assert_eq!(stored(find(&good, Some("a"))), 35..36);
        assert_eq!(stored(find(&good, Some("a.npy"))), 35..36);
        assert!(matches!(find(&good, Some("b")), Ok(Member::Deflated(_))));
        for (name, said) in [(Some("c"), "a, b"), (Some("c.txt"), "a, b"), (None, "which array")] {
            let error = find(&good, name).unwrap_err();
            assert!(error.contains(said), "{name:?}: {error}");
        }
        let one = archive(&[("only.npy", b"1", false), ("c.txt", b"3", false)]);
        assert_eq!(stored(find(&one, None)), 38..39);
        let two = archive(&[("a.npy", b"1", false), ("a.npy", b"2", false)]);
        assert!(find(&two, Some("a")).unwrap_err().contains("2 arrays called"));
        let none = archive(&[]);
        assert!(find(&none, None).unwrap_err().contains("there are none"));
    }
}
