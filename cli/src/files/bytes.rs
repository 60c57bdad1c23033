//! Bytes that are not copied: a mapped file, or memory.
//!
//! A mapped file costs no memory of its own: the kernel reads its pages when they are first touched and drops them when
//! it needs room. The price is that if another program truncates a mapped file, our first access past the new end
//! raises SIGBUS and ends the program; there is no error to return. Our own temporary files have no name, so no other
//! program can truncate them.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Memory is released in runs of this many bytes, whole pages on any machine.
#[cfg(unix)]
const PAGES: usize = 1 << 20;

/// Shared bytes that are aligned to 8 bytes or more.
#[derive(Clone, Debug)]
pub struct Bytes(Arc<Held>);

#[derive(Debug)]
enum Held {
    Mapped(Mmap),
    Memory(Memory),
}

impl Bytes {
    /// Maps a whole file.
    pub fn map(file: &File) -> io::Result<Self> {
        // Some systems refuse to map an empty file.
        if file.metadata()?.len() == 0 {
            return Ok(Memory::default().into());
        }
        // SAFETY: the bytes are only read, and as types for which all bit patterns are valid. A program that changes
        // the file meanwhile changes numbers, which we never rely on twice; one that truncates it ends us.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Arc::new(Held::Mapped(map))))
    }

    /// Tells the kernel that the bytes will be read from the front to the end.
    pub fn will_be_read_in_order(&self) {
        #[cfg(unix)]
        if let Held::Mapped(map) = &*self.0 {
            // A hint: if the kernel ignores it, reading is only slower.
            let _ = map.advise(memmap2::Advice::Sequential);
        }
    }
}

impl Bytes {
    /// Lets the kernel take back the memory of a range that will hardly be read again. A later read finds the same
    /// bytes.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Held::Mapped(map) = &*self.0 {
            let end = range.end.min(map.len());
            let (start, length) = (range.start / PAGES * PAGES, end.saturating_sub(range.start));
            // Not past the end: the start is rounded down by as much as the range is before it.
            let length = length / PAGES * PAGES;
            if length > 0 {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                // SAFETY: the map is shared with a file and only read, so its pages hold nothing that the file does
                // not. A hint: if the kernel ignores it, the memory is only kept.
                let _ = unsafe { map.unchecked_advise_range(advice, start, length) };
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl From<Memory> for Bytes {
    fn from(memory: Memory) -> Self {
        Self(Arc::new(Held::Memory(memory)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Held::Mapped(map) => map,
            Held::Memory(memory) => memory.bytes(),
        }
    }
}

/// Memory that is aligned to 8 bytes, so that elements of every type can be read in place.
#[derive(Debug, Default)]
pub struct Memory {
    words: Vec<u64>,
    length: usize,
}

impl Memory {
    /// Allocates zeros; an error if they do not fit into memory.
    pub fn zeros(length: usize) -> Result<Self, String> {
        let mut words = Vec::new();
        let count = length.div_ceil(8);
        words
            .try_reserve_exact(count)
            .map_err(|_| format!("{length} bytes of elements do not fit into memory"))?;
        words.resize(count, 0);
        Ok(Self { words, length })
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    /// Returns the bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}
