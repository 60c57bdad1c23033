//! Where an array lies, by what the user wrote.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::reason;

/// A file, and the array in it.
#[derive(Debug, PartialEq)]
pub enum Location {
    /// `FILE.npy`.
    Npy(PathBuf),
    /// `FILE.npz:ARRAY`, or `FILE.npz` where it holds one.
    Npz(PathBuf, Option<String>),
    /// `FILE.safetensors:TENSOR`; no name where the user gave none.
    Safetensors(PathBuf, Option<String>),
}

impl Location {
    /// What kind of file a name means; `None` for an unknown ending.
    pub fn of(name: &Path) -> Option<Self> {
        // An array's name may hold anything, so the file ends at the first of these.
        let text = name.to_str().unwrap_or_default();
        let cut = |ending: &str| {
            let at = text.find(&format!("{ending}:"))? + ending.len();
            Some((at, PathBuf::from(&text[..at]), Some(text[at + 1..].to_string())))
        };
        match (cut(".safetensors"), cut(".npz")) {
            (Some((at, ..)), Some((first, file, array))) if first < at => {
                return Some(Location::Npz(file, array));
            }
            (Some((_, file, tensor)), _) => return Some(Location::Safetensors(file, tensor)),
            (None, Some((_, file, array))) => return Some(Location::Npz(file, array)),
            (None, None) => {}
        }
        let file = name.to_path_buf();
        match name.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "npy" => Some(Location::Npy(file)),
            "npz" => Some(Location::Npz(file, None)),
            "safetensors" => Some(Location::Safetensors(file, None)),
            _ => None,
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Location::Npy(file) | Location::Npz(file, _) | Location::Safetensors(file, _) => file,
        }
    }
}

/// Opens a file whose length means something.
pub fn open_regular(path: &Path) -> Result<File, String> {
    // Looked at before it is opened, because opening a named pipe waits for its writer.
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
        for name in ["x", "x.np", "x.safetensors.gz", "", "..", ".npy", "x."] {
            assert_eq!(located(name), None, "{name}");
        }
    }
}
