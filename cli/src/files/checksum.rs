//! The checksum of an archive's member, taken as its bytes are read.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use flate2::Crc;

/// The CRC-32 of a member that is read where it lies. Each byte is taken once, in order, whatever is
/// read twice or never.
#[derive(Debug)]
pub struct Checksum {
    /// What errors call the member.
    name: String,
    /// What the archive says.
    wanted: u32,
    /// Where the member ends.
    end: usize,
    /// Up to here, the bytes are taken.
    taken: Cell<usize>,
    crc: RefCell<Crc>,
}

impl Checksum {
    /// That of the member called `name` in this range of an archive.
    pub fn new(name: &str, range: &Range<usize>, wanted: u32) -> Self {
        let (name, taken, crc) = (name.into(), Cell::new(range.start), RefCell::new(Crc::new()));
        Self { name, wanted, end: range.end, taken, crc }
    }

    /// Takes the bytes before a place in the archive. To be called when they have been read: they are
    /// still in memory then.
    pub fn take(&self, archive: &[u8], before: usize) {
        let (from, to) = (self.taken.get(), before.min(self.end));
        if from < to {
            self.crc.borrow_mut().update(&archive[from..to]);
            self.taken.set(to);
        }
    }

    /// Takes all that is left, and refuses a member whose checksum is another.
    pub fn check(&self, archive: &[u8]) -> Result<(), String> {
        self.take(archive, self.end);
        match self.crc.borrow().sum() == self.wanted {
            true => Ok(()),
            false => Err(damaged(&self.name)),
        }
    }
}

/// What is said of a member whose checksum is not the one that its archive has for it.
pub fn damaged(name: &str) -> String {
    format!(
        "member {name:?} is damaged: its bytes do not have the checksum that its archive states"
    )
}
