//! The checksum of an archive's member, computed as its bytes are read.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use flate2::Crc;

/// The CRC-32 of a member that is read in place. Each byte is added once, in order, however often it is read.
#[derive(Debug)]
pub struct Checksum {
    /// The member's name in errors.
    name: String,
    /// The checksum that the archive states.
    wanted: u32,
    /// The end of the member in the archive.
    end: usize,
    /// The bytes before this one are added.
    taken: Cell<usize>,
    crc: RefCell<Crc>,
}

impl Checksum {
    /// Begins the checksum of the member called `name` in this range of an archive.
    pub fn new(name: &str, range: &Range<usize>, wanted: u32) -> Self {
        let (name, taken, crc) = (name.into(), Cell::new(range.start), RefCell::new(Crc::new()));
        Self { name, wanted, end: range.end, taken, crc }
    }

    /// Adds the bytes before a place in the archive. To be called when they have been read: they are still in memory
    /// then.
    pub fn take(&self, archive: &[u8], before: usize) {
        let (from, to) = (self.taken.get(), before.min(self.end));
        if from < to {
            self.crc.borrow_mut().update(&archive[from..to]);
            self.taken.set(to);
        }
    }

    /// Adds all bytes that are left, and refuses a member whose checksum is another.
    pub fn check(&self, archive: &[u8]) -> Result<(), String> {
        self.take(archive, self.end);
        match self.crc.borrow().sum() == self.wanted {
            true => Ok(()),
            false => Err(damaged(&self.name)),
        }
    }
}

/// Returns the error of a member whose checksum is not the one that its archive states.
pub fn damaged(name: &str) -> String {
    format!(
        "member {name:?} is damaged: its bytes do not have the checksum that its archive states"
    )
}
