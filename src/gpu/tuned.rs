//! Tunings that were measured, kept in files: one per adapter, in the user's cache folder.
//!
//! What a file says is believed only where it is about this adapter, this driver and this version of
//! the crate, and where every number is one that a plan can be laid out with. Everything else counts
//! as no file at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::plan::Tuning;

/// The environment variable that names another folder.
const FOLDER: &str = "WGPU_LOSS_CACHE";
/// Bytes of a file at most: ours have a few hundred.
const MOST_BYTES: u64 = 1 << 16;

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    key: Key,
    /// Read only where the key is right: other versions may have other numbers.
    tuning: serde_json::Value,
}

/// What a tuning was measured on.
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

    /// The file of an adapter. Adapters whose names differ in odd characters alone share it, and the
    /// key inside tells whose it is.
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
    /// What was stored for an adapter, by [`Tuning::store`] or `wgpu-loss tune`. `None` where there is
    /// nothing, where it is of another driver or another version of this crate, or where the file is
    /// damaged.
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

    /// Stores these numbers for an adapter, in place of what was stored before, and gives the file.
    /// It appears whole or not at all, whoever else stores or reads.
    ///
    /// # Errors
    /// What [`Tuning::check`] refuses, and [`Error::Store`] where there is no folder to write to.
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

    /// Forgets what was stored for an adapter, whatever its driver and version, and tells whether there
    /// was anything.
    ///
    /// # Errors
    /// [`Error::Store`] where the file cannot be removed.
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

/// The tuning in a file that is about `key`; `None` where there is no such file. An error says what is
/// wrong with it.
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
        // A pipe would keep its reader waiting.
        Ok(found) if !found.is_file() => return Err("it is not a file".into()),
        Ok(found) if found.len() > MOST_BYTES => return Err("it is too long".into()),
        Ok(_) => {}
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// Writes a file beside its place and moves it there.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // No other thread and no other process has this name.
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It is of no use to anybody; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}
