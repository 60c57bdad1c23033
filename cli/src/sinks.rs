//! The places of results as they come: files being written, temporary files, memory, or none.

use std::ops::Range;

use wgpu_loss::{Floats, LargeOutput};

use crate::check::Answer;
use crate::computed::Computed;
use crate::error::Failure;
use crate::files::{Bytes, Destination, Element, Scratch, Unfinished, floats};

/// A result that is being written.
#[derive(Debug)]
struct LargeSink {
    what: LargeOutput,
    element: Element,
    storage: Storage,
}

/// The storage of a result.
#[derive(Debug)]
enum Storage {
    /// It is compared or reported, but not saved.
    Scratch(Scratch),
    /// It is saved.
    File(Unfinished),
}

/// The requested results, while they are written.
#[derive(Debug, Default)]
pub struct Sinks(Vec<LargeSink>);

/// The complete results: each with its bytes and the offset of its elements.
#[derive(Debug)]
pub struct Complete(Vec<(LargeOutput, Element, Bytes, u64)>);

impl Sinks {
    /// Keeps a result of so many elements temporarily, if it is not saved.
    pub fn keep(
        &mut self,
        what: LargeOutput,
        element: Element,
        count: usize,
    ) -> Result<(), Failure> {
        if self.find(what).is_none() {
            let scratch = Scratch::new((count * element.bytes()) as u64);
            let storage = Storage::Scratch(scratch.map_err(Failure::Failed)?);
            self.0.push(LargeSink { what, element, storage });
        }
        Ok(())
    }

    /// Saves a result.
    pub fn save(
        &mut self,
        what: LargeOutput,
        element: Element,
        to: &Destination,
        shape: &[usize],
    ) -> Result<(), Failure> {
        let storage = Storage::File(to.array(element, shape)?);
        self.0.push(LargeSink { what, element, storage });
        Ok(())
    }

    fn find(&mut self, what: LargeOutput) -> Option<&mut LargeSink> {
        self.0.iter_mut().find(|result| result.what == what)
    }

    /// Writes a part of a result, at a byte offset from its first element.
    pub fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        match self.find(what).map(|result| &mut result.storage) {
            None => Ok(()),
            Some(Storage::Scratch(scratch)) => {
                scratch.write(offset, bytes).map_err(Failure::Failed)
            }
            Some(Storage::File(file)) => file.write(offset, bytes),
        }
    }

    /// Completes all results. The files still have to be given their names.
    pub fn complete(self) -> Result<(Complete, Vec<Unfinished>), Failure> {
        let (mut all, mut files) = (Vec::new(), Vec::new());
        for LargeSink { what, element, storage } in self.0 {
            let (bytes, start) = match storage {
                Storage::Scratch(scratch) => (scratch.done().map_err(Failure::Failed)?, 0),
                Storage::File(file) => {
                    let read = file.read()?;
                    files.push(file);
                    read
                }
            };
            all.push((what, element, bytes, start));
        }
        Ok((Complete(all), files))
    }
}

impl Complete {
    /// Returns a result of floats; `None` if it was not requested.
    pub fn floats(&self, what: LargeOutput) -> Option<Floats<'_>> {
        let found = self.0.iter().find(|(other, ..)| *other == what);
        let (_, element, bytes, start) = found?;
        Some(floats(element.float_type()?, &bytes[*start as usize..]))
    }

    /// Releases the memory of a range of a mapped result, whose elements will hardly be read again.
    pub fn release(&self, what: LargeOutput, range: Range<usize>) {
        if let Some((_, element, bytes, start)) = self.0.iter().find(|(other, ..)| *other == what) {
            let at = |index: usize| *start as usize + index * element.bytes();
            bytes.release(at(range.start)..at(range.end));
        }
    }

    /// Returns all results, to be compared.
    pub fn answer<'a>(&'a self, computed: &'a Computed) -> Answer<'a> {
        let Computed { loss, z_loss, summary, .. } = *computed;
        let classes = computed.classes.as_ref();
        let mut answer = Answer { loss, z_loss, summary, classes, ..Answer::default() };
        for (what, element, bytes, start) in &self.0 {
            let bytes = &bytes[*start as usize..];
            match element.float_type() {
                Some(element_type) => answer.floats.push((*what, floats(element_type, bytes))),
                None => answer.words.push((*what, bytemuck::cast_slice(bytes))),
            }
        }
        answer
    }
}
