//! Gives files their final names, all of them or none.
//!
//! A file system renames one file at a time. Therefore all bytes are on the disk before the first file is renamed;
//! files that are replaced are kept under temporary names in the same folder until the last one is renamed; and if one
//! cannot be renamed, the renames before it are undone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::output::{Destination, Unfinished, temporaries};
use crate::error::Failure;
use crate::interrupt::{Saved, Temporaries};

/// Gives all results of a run their final names. Ctrl-C waits for all of them.
pub fn finish(files: Vec<Unfinished>) -> Result<(), Failure> {
    name(files, Saved::All)
}

/// Gives the results of a part of a run their final names.
pub fn finish_part(files: Vec<Unfinished>) -> Result<(), Failure> {
    name(files, Saved::Parts)
}

fn name(files: Vec<Unfinished>, saved: Saved) -> Result<(), Failure> {
    for Unfinished { destination, file, .. } in &files {
        file.as_file().sync_all().map_err(|e| destination.failed(&e))?;
    }
    let folders: BTreeSet<PathBuf> =
        files.iter().map(|file| file.destination.folder.clone()).collect();
    let mut uninterrupted = Temporaries::lock();
    let several = files.len() > 1;
    let mut renamed = Renamed(Vec::new());
    for Unfinished { destination, file, .. } in files {
        renamed.add(file, &destination, several).map_err(|e| destination.failed(&e))?;
    }
    for folder in folders {
        sync_folder(&folder).map_err(|e| Failure::of(folder.display(), e))?;
    }
    renamed.0.clear();
    uninterrupted.saved(saved);
    Ok(())
}

/// Renamed files; dropping this undoes the renames, the last one first.
struct Renamed(Vec<Place>);

/// A file's final place.
struct Place {
    path: PathBuf,
    /// The file that was there before, under a temporary name.
    old: Option<TempPath>,
    /// True if the new file is there.
    new: bool,
}

impl Renamed {
    /// Renames a file. With `keep`, the file that it replaces is kept so that this can be undone.
    fn add(&mut self, file: NamedTempFile, to: &Destination, keep: bool) -> io::Result<()> {
        let old = if keep { keep_old(to)? } else { None };
        self.0.push(Place { path: to.path.clone(), old, new: false });
        file.persist(&to.path).map_err(|e| e.error)?;
        self.0.last_mut().into_iter().for_each(|place| place.new = true);
        Ok(())
    }
}

impl Drop for Renamed {
    fn drop(&mut self) {
        self.0.drain(..).rev().for_each(Place::undo);
    }
}

impl Place {
    fn undo(self) {
        match self.old {
            Some(old) if fs::rename(&old, &self.path).is_err() => {
                // It stays under its temporary name, which is better than deleting it.
                let _ = old.keep();
            }
            Some(_) => {}
            None if self.new => drop(fs::remove_file(&self.path)),
            None => {}
        }
    }
}

/// Keeps the file at a place under another name, if there is one.
fn keep_old(to: &Destination) -> io::Result<Option<TempPath>> {
    match fs::symlink_metadata(&to.path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if !metadata.is_file() => {
            return Err(io::Error::other("it is no longer a regular file"));
        }
        Err(e) => return Err(e),
        Ok(_) => {}
    }
    // Some file systems have no hard links. Without one, the place is empty until the new file is renamed.
    let link = |other: &Path| match fs::hard_link(&to.path, other) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => fs::rename(&to.path, other),
        linked => linked,
    };
    Ok(Some(temporaries().make_in(&to.folder, link)?.into_temp_path()))
}

/// Writes a folder's names to the disk, if the system can.
fn sync_folder(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, Unsupported};
    // A folder without read permission cannot be opened, and Windows opens none.
    let Ok(opened) = fs::File::open(folder) else { return Ok(()) };
    match opened.sync_all() {
        Err(e) if !matches!(e.kind(), InvalidInput | Unsupported) => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Element;

    fn array(folder: &Path, name: &str) -> (PathBuf, Unfinished) {
        let path = folder.join(name);
        let mut array = Destination::new(&path).unwrap().array(Element::F32, &[]).unwrap();
        array.write(0, &[0; 4]).unwrap();
        (path, array)
    }

    /// If the second of three results cannot be renamed, all files are as before, and no temporary
    /// file is left.
    #[test]
    fn one_that_fails_undoes_all() {
        for old in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let (first, a) = array(folder.path(), "a.npy");
            let (second, b) = array(folder.path(), "b.npy");
            let (_, c) = array(folder.path(), "c.npy");
            if old {
                fs::write(&first, "old").unwrap();
            }
            fs::create_dir(&second).unwrap();
            let message = finish(vec![a, b, c]).unwrap_err().message();
            assert!(message.contains("b.npy: cannot be written"), "{message}");
            assert_eq!(fs::read(&first).ok(), old.then(|| b"old".to_vec()));
            assert!(second.is_dir());
            let left = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 1 + usize::from(old), "with an old file: {old}");
        }
    }

    /// A replaced file is restored, however it was kept, whether the new file was renamed or not.
    #[test]
    fn what_was_there_comes_back() {
        for (linked, new) in [(true, true), (true, false), (false, true), (false, false)] {
            let folder = tempfile::tempdir().unwrap();
            let (path, file) = array(folder.path(), "a.npy");
            fs::write(&path, "old").unwrap();
            let old = keep_old(&file.destination).unwrap();
            assert_eq!(fs::read(old.as_ref().unwrap()).unwrap(), b"old");
            if !linked {
                fs::remove_file(&path).unwrap();
            }
            match new {
                true => drop(file.file.persist(&path).unwrap()),
                false => drop(file),
            }
            Place { path: path.clone(), old, new }.undo();
            assert_eq!(fs::read(&path).unwrap(), b"old", "linked: {linked}, new: {new}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn all_are_renamed_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (first, a) = array(folder.path(), "a.npy");
        let (second, b) = array(folder.path(), "b.npy");
        fs::write(&second, "old").unwrap();
        finish(vec![a, b]).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
