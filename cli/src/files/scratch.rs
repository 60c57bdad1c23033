//! Storage for elements without a file name: memory, or a temporary file if there are many.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::bytes::{Bytes, Memory};
use super::reason;

/// More bytes than this go to a file.
pub const MOST_IN_MEMORY: u64 = 16 << 20;

/// Elements being written, in any order.
#[derive(Debug)]
pub enum Scratch {
    /// For few elements.
    Memory(Memory),
    /// For many elements: an unnamed file, whose pages the kernel keeps or writes out.
    File(File),
}

impl Scratch {
    /// Allocates `length` bytes. A file grows as it is written.
    pub fn new(length: u64) -> Result<Self, String> {
        if length <= MOST_IN_MEMORY {
            return Memory::zeros(length as usize).map(Scratch::Memory);
        }
        tempfile::tempfile().map(Scratch::File).map_err(|e| failed(&e))
    }

    /// Writes bytes at an offset.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), String> {
        match self {
            Scratch::Memory(memory) => {
                let room = memory.bytes_mut().get_mut(offset as usize..);
                match room.and_then(|room| room.get_mut(..bytes.len())) {
                    Some(room) => room.copy_from_slice(bytes),
                    None => return Err("more was written than there is room for".into()),
                }
                Ok(())
            }
            Scratch::File(file) => write_at(file, offset, bytes).map_err(|e| failed(&e)),
        }
    }

    /// Returns the bytes that were written.
    pub fn done(self) -> Result<Bytes, String> {
        match self {
            Scratch::Memory(memory) => Ok(memory.into()),
            Scratch::File(file) => Bytes::map(&file).map_err(|e| failed(&e)),
        }
    }
}

/// Writes bytes at an offset of a file.
pub fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

fn failed(error: &io::Error) -> String {
    let folder = std::env::temp_dir();
    format!("no room for a temporary file in {} (see TMPDIR): {}", folder.display(), reason(error))
}
