//! The location of an array, from the name that the user wrote.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::reason;

/// A file, and the array in it. Names need not be UTF-8.
#[derive(Debug, PartialEq)]
pub enum Location {
    /// `FILE.npy`.
    Npy(PathBuf),
    /// `FILE.npz:ARRAY`, or `FILE.npz` where it holds one.
    Npz(PathBuf, Option<OsString>),
    /// `FILE.safetensors:TENSOR`; no name where the user gave none.
    Safetensors(PathBuf, Option<OsString>),
}

impl Location {
    /// Parses a name; `None` for an unknown ending. Endings may be in capitals.
    pub fn of(name: &Path) -> Option<Self> {
        // An array's name may hold anything, so the file ends at the first of these.
        let cuts = [".npz", ".safetensors"].map(|ending| cut(name.as_os_str(), ending));
        let first = cuts.into_iter().flatten().min_by_key(|(file, _)| file.len());
        let (file, array) = first
            .map_or((name, None), |(file, array)| (Path::new(file), Some(array.to_os_string())));
        let path = file.to_path_buf();
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "npy" => Some(Location::Npy(path)),
            "npz" => Some(Location::Npz(path, array)),
            "safetensors" => Some(Location::Safetensors(path, array)),
            _ => None,
        }
    }

    /// Returns the file's path.
    pub fn file(&self) -> &Path {
        match self {
            Location::Npy(file) | Location::Npz(file, _) | Location::Safetensors(file, _) => file,
        }
    }
}

/// Splits `FILE<ending>:ARRAY` into the file and the array, at the first such place.
fn cut<'a>(name: &'a OsStr, ending: &str) -> Option<(&'a OsStr, &'a OsStr)> {
    let bytes = name.as_encoded_bytes();
    let mut windows = bytes.windows(ending.len() + 1);
    let start = windows.position(|window| {
        window.strip_suffix(b":").is_some_and(|end| end.eq_ignore_ascii_case(ending.as_bytes()))
    })?;
    let colon = start + ending.len();
    // SAFETY: the bytes are those of a name, cut right before and right after an ASCII character.
    let part = |bytes| unsafe { OsStr::from_encoded_bytes_unchecked(bytes) };
    Some((part(&bytes[..colon]), part(&bytes[colon + 1..])))
}

/// Opens a regular file, whose length is meaningful.
pub fn open_regular(path: &Path) -> Result<File, String> {
    // Checked before the file is opened, because opening a named pipe waits for its writer.
    let metadata = fs::metadata(path).map_err(|e| reason(&e))?;
    if metadata.is_dir() {
        return Err("is a folder, not a file".into());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    File::open(path).map_err(|e| reason(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_located() {
        let located = |name: &str| Location::of(Path::new(name));
        assert_eq!(located("a/b.npy"), Some(Location::Npy("a/b.npy".into())));
        assert_eq!(located("a/b.NPZ"), Some(Location::Npz("a/b.NPZ".into(), None)));
        assert_eq!(located("b.npz:x"), Some(Location::Npz("b.npz".into(), Some("x".into()))));
        let array = Some("y.safetensors:z".into());
        assert_eq!(located("b.npz:y.safetensors:z"), Some(Location::Npz("b.npz".into(), array)));
        let tensor = |file: &str, name: &str| Location::Safetensors(file.into(), Some(name.into()));
        assert_eq!(located("C:\\m.safetensors:a.b:c"), Some(tensor("C:\\m.safetensors", "a.b:c")));
        assert_eq!(located("m.safetensors:x.npy"), Some(tensor("m.safetensors", "x.npy")));
        assert_eq!(located("m.safetensors:x.npz:y"), Some(tensor("m.safetensors", "x.npz:y")));
        assert_eq!(
            located("m.safetensors"),
            Some(Location::Safetensors("m.safetensors".into(), None))
        );
        assert_eq!(located("B.NPZ:x"), Some(Location::Npz("B.NPZ".into(), Some("x".into()))));
        assert_eq!(located("M.SafeTensors:X"), Some(tensor("M.SafeTensors", "X")));
        assert_eq!(
            located("a.npz:b.npz:c"),
            Some(Location::Npz("a.npz".into(), Some("b.npz:c".into())))
        );
        for name in ["x", "x.np", "x.safetensors.gz", "", "..", ".npy", "x."] {
            assert_eq!(located(name), None, "{name}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn names_need_not_be_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let os = |bytes| OsStr::from_bytes(bytes);
        let located = Location::of(Path::new(os(b"caf\xe9/\xff.npz:\xe9t\xe9")));
        let (file, array) = (PathBuf::from(os(b"caf\xe9/\xff.npz")), os(b"\xe9t\xe9").into());
        assert_eq!(located, Some(Location::Npz(file, Some(array))));
        let file = PathBuf::from(os(b"\xff.npy"));
        assert_eq!(Location::of(&file), Some(Location::Npy(file.clone())));
    }
}
