//! Tunings that were measured, kept in files: one per adapter, in the user's cache folder.
//!
//! A file is used only if it belongs to this adapter, this driver and this version of the crate, and if a plan can be
//! laid out with every number. All other files are treated as missing.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::plan::Tuning;

/// The environment variable that names another folder.
const FOLDER: &str = "WGPU_LOSS_CACHE";
/// The most bytes of a file: ours have a few hundred.
const MOST_BYTES: u64 = 1 << 16;

/// The content of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    key: Key,
    /// Parsed only if the key matches: other versions may have other numbers.
    tuning: serde_json::Value,
}

/// The adapter, driver and version that a tuning was measured with.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Key {
    adapter: String,
    vendor: u32,
    device: u32,
    backend: String,
    driver: String,
    driver_info: String,
    version: String,
}

impl Key {
    fn of(info: &wgpu::AdapterInfo) -> Self {
        Self {
            adapter: info.name.clone(),
            vendor: info.vendor,
            device: info.device,
            backend: info.backend.to_string(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Returns the file name of an adapter. Adapters whose names differ only in special characters share it; the key in
    /// the file identifies the adapter.
    fn file_name(&self) -> String {
        let Self { adapter, vendor, device, backend, .. } = self;
        let odd = |c: char| !c.is_ascii_alphanumeric();
        let words: Vec<_> = adapter.split(odd).filter(|word| !word.is_empty()).collect();
        let mut name = words.join("-");
        name.truncate(80);
        format!("tuning-{backend}-{vendor:04x}-{device:04x}-{name}.json")
    }
}

impl Tuning {
    /// Returns the tuning that [`Tuning::store`] or `wgpu-loss tune` has stored for an adapter. `None` if there is
    /// none, if it is of another driver or another version of this crate, or if the file is damaged.
    ///
    /// Needs the feature `gpu`, as [`Tuning::store`] and [`Tuning::forget`] do.
    ///
    /// Files are in the folder that the environment variable `WGPU_LOSS_CACHE` names, or else in
    /// `wgpu-loss` in the user's cache folder.
    pub fn stored(info: &wgpu::AdapterInfo) -> Option<Self> {
        let path = path(info).ok()?;
        match read(&path, &Key::of(info)) {
            Ok(tuning) => tuning,
            Err(reason) => {
                log::warn!("the stored tuning {} is ignored: {reason}", path.display());
                None
            }
        }
    }

    /// Stores these numbers for an adapter, in place of any stored before, and returns the file's path. The file is
    /// replaced as a whole, even if others store or read it at the same time.
    ///
    /// # Errors
    /// The errors of [`Tuning::check`], and [`Error::Store`] if there is no folder to write to.
    pub fn store(&self, info: &wgpu::AdapterInfo) -> Result<PathBuf, Error> {
        self.check()?;
        let path = path(info)?;
        let refuse = |reason: String| Error::Store { path: path.clone(), reason };
        let value = serde_json::to_value(self).map_err(|error| refuse(error.to_string()))?;
        let stored = Stored { key: Key::of(info), tuning: value };
        let text = serde_json::to_string_pretty(&stored).map_err(|e| refuse(e.to_string()))?;
        replace(&path, text.as_bytes()).map_err(|error| refuse(error.to_string()))?;
        Ok(path)
    }

    /// Removes the stored tuning of an adapter, whatever its driver and version, and returns true if there was one.
    ///
    /// # Errors
    /// [`Error::Store`] if the file cannot be removed.
    pub fn forget(info: &wgpu::AdapterInfo) -> Result<bool, Error> {
        let path = path(info)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::Store { path, reason: error.to_string() }),
        }
    }
}

fn path(info: &wgpu::AdapterInfo) -> Result<PathBuf, Error> {
    let given = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    let folder = given
        .map(PathBuf::from)
        .or_else(|| dirs::cache_dir().map(|folder| folder.join("wgpu-loss")));
    match folder {
        Some(folder) => Ok(folder.join(Key::of(info).file_name())),
        None => Err(Error::Store {
            path: PathBuf::new(),
            reason: format!("there is no cache folder; name one in {FOLDER}"),
        }),
    }
}

/// Reads the tuning in a file whose key is `key`; `None` if there is no such file. The error describes the fault of the
/// file.
fn read(path: &Path, key: &Key) -> Result<Option<Tuning>, String> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    let stored: Stored = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if stored.key != *key {
        log::info!("the stored tuning {} is of another driver or version", path.display());
        return Ok(None);
    }
    let tuning: Tuning =
        serde_json::from_value(stored.tuning).map_err(|error| error.to_string())?;
    tuning.check().map_err(|error| error.to_string())?;
    Ok(Some(tuning))
}

fn read_text(path: &Path) -> Result<Option<String>, String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        // Opening a pipe would block.
        Ok(found) if !found.is_file() => return Err("it is not a file".into()),
        Ok(found) if found.len() > MOST_BYTES => return Err("it is too long".into()),
        Ok(_) => {}
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// Writes a temporary file in the same folder and renames it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // No other thread and no other process uses this name.
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The temporary file is of no use; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}
