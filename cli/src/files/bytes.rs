//! Bytes that stay where they are: a mapped file, or memory.
//!
//! A mapped file costs no memory of its own: the kernel reads its pages when they are first touched
//! and drops them when it needs room. The price is that a file which another program cuts short while
//! it is mapped ends ours with SIGBUS at the first touch behind its new end; there is no error to
//! return. Temporary files of ours have no name, so nobody can.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Memory is given back in runs of this many bytes, whole pages on any machine.
#[cfg(unix)]
const PAGES: usize = 1 << 20;

/// Shared bytes that start on 8 bytes or better.
#[derive(Clone, Debug)]
pub struct Bytes(Arc<Held>);

#[derive(Debug)]
enum Held {
    Mapped(Mmap),
    Memory(Memory),
}

impl Bytes {
    /// A whole file.
    pub fn map(file: &File) -> io::Result<Self> {
        // Nothing cannot be mapped everywhere.
        if file.metadata()?.len() == 0 {
            return Ok(Memory::default().into());
        }
        // SAFETY: the bytes are only read, and as types for which any bits do. Whoever changes the file
        // meanwhile changes numbers, which we never rely on twice; whoever truncates it ends us.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Arc::new(Held::Mapped(map))))
    }

    /// Tells the kernel that the bytes will be read from the front to the end.
    pub fn will_be_read_in_order(&self) {
        #[cfg(unix)]
        if let Held::Mapped(map) = &*self.0 {
            // A hint: who does not take it is only slower.
            let _ = map.advise(memmap2::Advice::Sequential);
        }
    }
}

impl Bytes {
    /// Lets the kernel take back the memory behind a range that will hardly be read again. Whoever reads
    /// it all the same finds it as it was.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Held::Mapped(map) = &*self.0 {
            let (start, length) =
                (range.start / PAGES * PAGES, range.end.saturating_sub(range.start));
            let length = length / PAGES * PAGES;
            if length > 0 && start + length <= map.len() {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                // SAFETY: the map is shared with a file and only read, so its pages hold nothing that the
                // file does not. A hint: who does not take it only keeps the memory.
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

/// Memory that starts on 8 bytes, so that elements of every type can be read in place.
#[derive(Debug, Default)]
pub struct Memory {
    words: Vec<u64>,
    length: usize,
}

impl Memory {
    /// Zeros; an error where they do not fit into memory.
    pub fn zeros(length: usize) -> Result<Self, String> {
        let mut words = Vec::new();
        let count = length.div_ceil(8);
        words
            .try_reserve_exact(count)
            .map_err(|_| format!("{length} bytes of elements do not fit into memory"))?;
        words.resize(count, 0);
        Ok(Self { words, length })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}
