//! Where results go as they come: files under way, temporary files, memory, or nowhere.

use wgpu_loss::{ElementType, Floats};

use crate::error::Failure;
use crate::files::{Bytes, Destination, Scratch, Unfinished, floats};

/// Which result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// One loss per row, f32.
    RowLoss,
    /// The gradient.
    Grad,
    /// The log-probabilities or probabilities.
    Distribution,
}

/// A result on its way.
#[derive(Debug)]
enum Place {
    /// Nobody wants it.
    Nowhere,
    /// It is compared or reported, but not saved.
    Scratch(Scratch),
    /// It is saved.
    File(Unfinished),
}

/// The results on their way.
#[derive(Debug)]
pub struct Results {
    places: [(ElementType, Place); 3],
}

/// The results, complete.
#[derive(Debug)]
pub struct Complete {
    /// Each with its bytes and where its elements begin.
    bytes: [(ElementType, Option<(Bytes, u64)>); 3],
}

impl Results {
    /// Results of a type that nobody wants so far.
    pub fn new(element_type: ElementType) -> Self {
        let place = |element_type| (element_type, Place::Nowhere);
        Self { places: [place(ElementType::F32), place(element_type), place(element_type)] }
    }

    /// Keeps a result of so many elements for a while.
    pub fn keep(&mut self, what: What, elements: usize) -> Result<(), Failure> {
        let (element_type, place) = &mut self.places[what as usize];
        if let Place::Nowhere = place {
            let scratch = Scratch::new(elements as u64 * u64::from(element_type.bytes()));
            *place = Place::Scratch(scratch.map_err(Failure::Failed)?);
        }
        Ok(())
    }

    /// Saves a result.
    pub fn save(&mut self, what: What, to: &Destination, shape: &[usize]) -> Result<(), Failure> {
        let (element_type, place) = &mut self.places[what as usize];
        *place = Place::File(to.array(*element_type, shape)?);
        Ok(())
    }

    /// The type that a result is wanted in.
    pub fn element_type(&self, what: What) -> ElementType {
        self.places[what as usize].0
    }

    /// Whether anybody wants a result.
    pub fn wants(&self, what: What) -> bool {
        !matches!(self.places[what as usize].1, Place::Nowhere)
    }

    /// Takes a part of a result, from a byte of all its elements on.
    pub fn write(&mut self, what: What, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.places[what as usize].1 {
            Place::Nowhere => Ok(()),
            Place::Scratch(scratch) => scratch.write(offset, bytes).map_err(Failure::Failed),
            Place::File(file) => file.write(offset, bytes),
        }
    }

    /// Takes a part of a result in f64, from an element on, rounded once to the type wanted.
    pub fn write_rounded(
        &mut self,
        what: What,
        first: usize,
        elements: &[f64],
    ) -> Result<(), Failure> {
        if !self.wants(what) {
            return Ok(());
        }
        let offset = first as u64 * u64::from(self.element_type(what).bytes());
        match self.element_type(what) {
            ElementType::F16 => {
                let all: Vec<_> = elements.iter().map(|&x| half::f16::from_f64(x)).collect();
                self.write(what, offset, bytemuck::cast_slice(&all))
            }
            ElementType::BF16 => {
                let all: Vec<_> = elements.iter().map(|&x| half::bf16::from_f64(x)).collect();
                self.write(what, offset, bytemuck::cast_slice(&all))
            }
            _ => {
                let all: Vec<_> = elements.iter().map(|&x| x as f32).collect();
                self.write(what, offset, bytemuck::cast_slice(&all))
            }
        }
    }

    /// Nothing more will come. The files are still to be given their names.
    pub fn complete(self) -> Result<(Complete, Vec<Unfinished>), Failure> {
        let mut files = Vec::new();
        let mut read = |(element_type, place): (ElementType, Place)| {
            let bytes = match place {
                Place::Nowhere => None,
                Place::Scratch(scratch) => Some((scratch.done().map_err(Failure::Failed)?, 0)),
                Place::File(file) => {
                    let read = file.read()?;
                    files.push(file);
                    Some(read)
                }
            };
            Ok::<_, Failure>((element_type, bytes))
        };
        let [row_loss, grad, distribution] = self.places;
        let bytes = [read(row_loss)?, read(grad)?, read(distribution)?];
        Ok((Complete { bytes }, files))
    }
}

impl Complete {
    /// A result; nothing where nobody wanted it.
    pub fn floats(&self, what: What) -> Option<Floats<'_>> {
        let (element_type, bytes) = &self.bytes[what as usize];
        let (bytes, offset) = bytes.as_ref()?;
        Some(floats(*element_type, &bytes[*offset as usize..]))
    }
}
