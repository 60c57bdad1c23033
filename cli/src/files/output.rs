//! Files that results are saved to. They appear complete or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::scratch::write_at;
use super::{Bytes, Element, npy, reason};
use crate::error::Failure;
use crate::interrupt::Temporaries;

/// A file to be written, whose folder was writable when it was probed.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The user's name for it.
    pub name: PathBuf,
    /// The file itself after following links, so that a link stays a link.
    pub(super) path: PathBuf,
    /// The folder that it is in.
    pub(super) folder: PathBuf,
}

/// The most links that are followed to a file, as in Linux.
const MOST_LINKS: usize = 40;

/// The formats of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// Lines and text.
    Svg,
    /// Dots.
    Png,
}

impl Destination {
    /// Checks that `name` can be written as an array, before the long work is done.
    pub fn new(name: &Path) -> Result<Self, Failure> {
        Self::ending(name, "npy", "results")
    }

    /// Checks that `name` can be written as what was found about shards.
    pub fn json(name: &Path) -> Result<Self, Failure> {
        Self::ending(name, "json", "partials")
    }

    /// Checks that `name` can be written as a heatmap.
    pub fn heatmap(name: &Path) -> Result<Self, Failure> {
        Self::ending(name, "png", "heatmaps")
    }

    fn ending(name: &Path, wanted: &str, what: &str) -> Result<Self, Failure> {
        let ending = name.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !ending.eq_ignore_ascii_case(wanted) {
            let problem = format!("{what} are saved as .{wanted} files: use a name that ends so");
            return Err(Failure::Usage(format!("{}: {problem}", name.display())));
        }
        Self::probe(name).map_err(|problem| Failure::of(name.display(), problem))
    }

    /// Checks that `name` can be written as a picture, whose format is that of its ending.
    pub fn picture(name: &Path) -> Result<(Self, Picture), Failure> {
        let ending = name.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let format = match ending.to_ascii_lowercase().as_str() {
            "svg" => Picture::Svg,
            "png" => Picture::Png,
            _ => {
                let problem = "pictures are saved as .svg or .png files: use a name that ends so";
                return Err(Failure::Usage(format!("{}: {problem}", name.display())));
            }
        };
        let probed = Self::probe(name).map_err(|problem| Failure::of(name.display(), problem))?;
        Ok((probed, format))
    }

    /// Writes a file from its bytes.
    pub fn bytes(&self, bytes: &[u8]) -> Result<Unfinished, Failure> {
        let mut file = self.begin()?;
        file.file.write_all(bytes).map_err(|e| self.failed(&e))?;
        Ok(file)
    }

    /// Begins an array whose elements come later, in any order.
    pub fn array(&self, element: Element, shape: &[usize]) -> Result<Unfinished, Failure> {
        let mut file = self.begin()?;
        let header = npy::header(element, shape);
        file.offset = header.len() as u64;
        // The product was checked for inputs of this shape, and no result has larger elements.
        let elements = shape.iter().fold(1u64, |n, &extent| n.saturating_mul(extent as u64));
        file.length = elements.saturating_mul(element.bytes() as u64);
        file.file.write_all(&header).map_err(|e| self.failed(&e))?;
        Ok(file)
    }

    fn begin(&self) -> Result<Unfinished, Failure> {
        let file = self.temporary().map_err(|e| self.failed(&e))?;
        Ok(Unfinished { destination: self.clone(), file, offset: 0, length: 0 })
    }

    pub(super) fn failed(&self, e: &io::Error) -> Failure {
        Failure::of(self.name.display(), format!("cannot be written: {}", reason(e)))
    }

    fn probe(name: &Path) -> Result<Self, String> {
        let cannot = |e: &io::Error| match e.kind() {
            io::ErrorKind::NotFound => "cannot be written: no such folder".into(),
            _ => format!("cannot be written: {}", reason(e)),
        };
        match fs::metadata(name) {
            Ok(metadata) if metadata.is_dir() => {
                return Err("cannot be written: it is a folder".into());
            }
            // A rename would replace a device by a file.
            Ok(metadata) if !metadata.is_file() => {
                return Err("cannot be written: it is not a regular file".into());
            }
            Ok(metadata) if metadata.permissions().readonly() => {
                return Err("cannot be written: it is read-only".into());
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(cannot(&e)),
        }
        let path = followed(name).map_err(|e| cannot(&e))?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let destination = Self { name: name.to_path_buf(), path, folder };
        // Removed again at once, so that no file is left while the inputs are opened.
        destination.temporary().map_err(|e| cannot(&e))?;
        Ok(destination)
    }

    /// Returns true if both are one file.
    pub fn same_file(&self, other: &Self) -> bool {
        self.path == other.path
    }

    /// Creates an empty file in the destination's folder, on the same file system, with the mode and the owner of the
    /// file that it will replace.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        let old = match fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            old => Some(old?),
        };
        let mut builder = temporaries();
        #[cfg(unix)]
        if old.is_none() {
            use std::os::unix::fs::PermissionsExt;
            // The permissions of any new file; a temporary file's own would hide the result from all other users.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = Temporaries::lock().create(|| builder.tempfile_in(&self.folder))?;
        old.map_or(Ok(()), |old| make_like(file.as_file(), &old))?;
        Ok(file)
    }
}

/// Returns a builder with the names of temporary files.
pub(super) fn temporaries() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wgpu-loss-").suffix(".tmp");
    builder
}

/// Returns the file that a name means: links are followed, also to a file that does not exist yet.
fn followed(name: &Path) -> io::Result<PathBuf> {
    let mut path = name.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::canonicalize(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new(".")).to_path_buf();
        let Ok(target) = fs::read_link(&path) else {
            let file = path.file_name().ok_or(io::ErrorKind::NotFound)?;
            return Ok(fs::canonicalize(folder)?.join(file));
        };
        path = folder.join(target);
    }
    Err(io::Error::other("too many links"))
}

/// Gives a new file the owner, group and mode of an old one. On systems other than Unix it inherits from its folder.
#[cfg(unix)]
fn make_like(file: &File, old: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = file.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        let kept = fchown(file, Some(old.uid()), Some(old.gid()));
        kept.map_err(|e| {
            let (uid, gid) = (old.uid(), old.gid());
            let problem = format!(
                "it is there and belongs to user {uid} and group {gid}, which cannot be kept ({})",
                reason(&e)
            );
            io::Error::other(problem)
        })?;
    }
    // After the owner, because changing the owner clears some bits of the mode.
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn make_like(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// A file that is being written: in its final folder, under a temporary name.
#[derive(Debug)]
pub struct Unfinished {
    pub(super) destination: Destination,
    pub(super) file: NamedTempFile,
    /// First byte of the elements.
    offset: u64,
    /// The number of bytes of all elements.
    length: u64,
}

impl Unfinished {
    /// Writes elements, at a byte offset from the first element.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let written = write_at(self.file.as_file_mut(), self.offset + offset, bytes);
        written.map_err(|e| self.destination.failed(&e))
    }

    /// Returns the bytes that were written, and the offset of the elements in them.
    pub fn read(&self) -> Result<(Bytes, u64), Failure> {
        let bytes = Bytes::map(self.file.as_file()).map_err(|e| self.destination.failed(&e))?;
        if bytes.len() as u64 != self.offset + self.length {
            let problem = "was not written to its end";
            return Err(Failure::of(self.destination.name.display(), problem));
        }
        Ok((bytes, self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endings say what is written, in capitals too; any other is refused before work is done.
    #[test]
    fn endings_are_formats() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, format) in [
            ("a.svg", Picture::Svg),
            ("a.b.SVG", Picture::Svg),
            ("a.png", Picture::Png),
            ("b.Png", Picture::Png),
        ] {
            let (destination, found) = Destination::picture(&path(name)).unwrap();
            assert_eq!((destination.name, found), (path(name), format));
        }
        for name in ["a.npy", "a.svg.gz", "png", "a."] {
            let Err(Failure::Usage(message)) = Destination::picture(&path(name)) else {
                panic!("{name} is taken")
            };
            assert!(message.contains(name) && message.contains(".svg or .png"), "{message}");
        }
        assert!(
            Destination::new(&path("a.NPY")).is_ok()
                && Destination::heatmap(&path("a.png")).is_ok()
        );
        for refused in [Destination::new(&path("a.png")), Destination::heatmap(&path("a.svg"))] {
            assert!(matches!(refused, Err(Failure::Usage(_))), "{refused:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
