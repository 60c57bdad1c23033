//! Where results go as they come: files under way, temporary files, memory, or nowhere.

use std::ops::Range;

use wgpu_loss::{Floats, LargeOutput};

use crate::check::Answer;
use crate::computed::Computed;
use crate::error::Failure;
use crate::files::{Bytes, Destination, Element, Scratch, Unfinished, floats};

/// A result on its way.
#[derive(Debug)]
struct Wanted {
    what: LargeOutput,
    element: Element,
    place: Place,
}

/// Where it goes.
#[derive(Debug)]
enum Place {
    /// It is compared or reported, but not saved.
    Scratch(Scratch),
    /// It is saved.
    File(Unfinished),
}

/// The results that somebody wants, on their way.
#[derive(Debug, Default)]
pub struct Results(Vec<Wanted>);

/// The results, complete: each with its bytes and where its elements begin.
#[derive(Debug)]
pub struct Complete(Vec<(LargeOutput, Element, Bytes, u64)>);

impl Results {
    /// Keeps a result of so many elements for a while, if it is not saved.
    pub fn keep(
        &mut self,
        what: LargeOutput,
        element: Element,
        count: usize,
    ) -> Result<(), Failure> {
        if self.find(what).is_none() {
            let scratch = Scratch::new((count * element.bytes()) as u64);
            let place = Place::Scratch(scratch.map_err(Failure::Failed)?);
            self.0.push(Wanted { what, element, place });
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
        let place = Place::File(to.array(element, shape)?);
        self.0.push(Wanted { what, element, place });
        Ok(())
    }

    fn find(&mut self, what: LargeOutput) -> Option<&mut Wanted> {
        self.0.iter_mut().find(|result| result.what == what)
    }

    /// Takes a part of a result, from a byte of all its elements on.
    pub fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        match self.find(what).map(|result| &mut result.place) {
            None => Ok(()),
            Some(Place::Scratch(scratch)) => scratch.write(offset, bytes).map_err(Failure::Failed),
            Some(Place::File(file)) => file.write(offset, bytes),
        }
    }

    /// Nothing more will come. The files are still to be given their names.
    pub fn complete(self) -> Result<(Complete, Vec<Unfinished>), Failure> {
        let (mut all, mut files) = (Vec::new(), Vec::new());
        for Wanted { what, element, place } in self.0 {
            let (bytes, start) = match place {
                Place::Scratch(scratch) => (scratch.done().map_err(Failure::Failed)?, 0),
                Place::File(file) => {
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
    /// A result of floats; nothing where nobody wanted it.
    pub fn floats(&self, what: LargeOutput) -> Option<Floats<'_>> {
        let found = self.0.iter().find(|(other, ..)| *other == what);
        let (_, element, bytes, start) = found?;
        Some(floats(element.float_type()?, &bytes[*start as usize..]))
    }

    /// Says that a range of a result's elements will hardly be read again: mapped files need not stay in
    /// memory for them.
    pub fn release(&self, what: LargeOutput, range: Range<usize>) {
        if let Some((_, element, bytes, start)) = self.0.iter().find(|(other, ..)| *other == what) {
            let at = |index: usize| *start as usize + index * element.bytes();
            bytes.release(at(range.start)..at(range.end));
        }
    }

    /// All that was computed, to be compared.
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
