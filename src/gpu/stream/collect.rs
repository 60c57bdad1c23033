//! A sink that keeps all outputs.

use half::{bf16, f16};

use crate::gpu::parallel_copy::extend;
use crate::stream::Sink;
use crate::tensor::ElementType;
use crate::{Error, LargeOutput, Problem};

/// Large outputs in memory. Floats are widened to f32; classes and ranks are stored as the bits of an f32.
#[derive(Debug, Default)]
pub(in crate::gpu) struct Collected {
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    what: LargeOutput,
    /// The element type in which it arrives.
    element_type: ElementType,
    values: Vec<f32>,
}

impl Collected {
    /// Returns a sink with room for a problem's outputs.
    pub fn new(problem: &Problem) -> Result<Self, Error> {
        let mut all = Self::default();
        for tensor in problem.tensors() {
            let Some(what) = LargeOutput::of(tensor.slot) else { continue };
            let column = column_type(problem, what);
            // A row's state has several words.
            let words = tensor.element_bytes / u64::from(column.bytes());
            all.make_room(what, column, tensor.elements.saturating_mul(words))?;
        }
        let record = if problem.outputs.states { Vec::new() } else { problem.record() };
        for what in record {
            all.make_room(what, column_type(problem, what), problem.view.rows() as u64)?;
        }
        Ok(all)
    }

    fn make_room(
        &mut self,
        what: LargeOutput,
        element_type: ElementType,
        elements: u64,
    ) -> Result<(), Error> {
        let mut values = Vec::new();
        values.try_reserve_exact(elements as usize).map_err(|_| Error::Limit {
            what: what.name(),
            limit: "memory in bytes",
            needed: elements.saturating_mul(4),
            allowed: isize::MAX as u64,
        })?;
        self.columns.push(Column { what, element_type, values });
        Ok(())
    }

    /// Returns an output of floats, if it was requested.
    pub fn take(&mut self, what: LargeOutput) -> Option<Vec<f32>> {
        let column = self.columns.iter_mut().find(|column| column.what == what)?;
        Some(std::mem::take(&mut column.values))
    }

    /// Returns the words of an output of rows, if it was requested: classes, ranks, or numbers' bits.
    pub fn take_words(&mut self, what: LargeOutput) -> Option<Vec<u32>> {
        self.take(what).map(bytemuck::allocation::cast_vec)
    }
}

impl Sink for Collected {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let column = self.columns.iter_mut().find(|column| column.what == what);
        let Some(Column { element_type, values, .. }) = column else { return Ok(()) };
        let (element_type, element_bytes) = (*element_type, element_type.bytes() as usize);
        let start = offset as usize / element_bytes;
        let end = start + bytes.len() / element_bytes;
        if end > values.len() {
            // Pieces mostly come in order, and then no element is written twice.
            values.resize(start.max(values.len()), 0.0);
        }
        let over = values.len() - start;
        let (inside, rest) = bytes.split_at((over * element_bytes).min(bytes.len()));
        match element_type {
            ElementType::F32 => {
                let places = &mut values[start..start + over.min(end - start)];
                bytemuck::cast_slice_mut::<f32, u8>(places).copy_from_slice(inside);
                extend(values, rest, f32::from_ne_bytes);
            }
            ElementType::F16 => {
                widen(values, start, inside, rest, |two| f16::from_le_bytes(two).to_f32());
            }
            ElementType::BF16 => {
                widen(values, start, inside, rest, |two| bf16::from_le_bytes(two).to_f32());
            }
        }
        Ok(())
    }
}

/// Returns the floats that an output is kept as: words are as long as an f32.
fn column_type(problem: &Problem, what: LargeOutput) -> ElementType {
    problem.float_type_of(what).unwrap_or(ElementType::F32)
}

fn widen(
    values: &mut Vec<f32>,
    start: usize,
    inside: &[u8],
    rest: &[u8],
    number: impl Fn([u8; 2]) -> f32 + Sync,
) {
    for (value, two) in values[start..].iter_mut().zip(inside.chunks_exact(2)) {
        *value = number([two[0], two[1]]);
    }
    extend(values, rest, number);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(what: LargeOutput, element_type: ElementType) -> Collected {
        let mut all = Collected::default();
        all.make_room(what, element_type, 16).unwrap();
        all
    }

    #[test]
    fn numbers_come_in_any_order() {
        let numbers: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&numbers);
        for order in [[0..4, 4..7, 7..10], [7..10, 0..4, 4..7], [4..7, 7..10, 0..4]] {
            let mut all = column(LargeOutput::Grad, ElementType::F32);
            for part in order {
                let part = 4 * part.start..4 * part.end;
                all.write(LargeOutput::Grad, part.start as u64, &bytes[part]).unwrap();
            }
            assert_eq!(all.take(LargeOutput::Grad), Some(numbers.clone()));
            assert_eq!(all.take(LargeOutput::RowLoss), None);
        }
    }

    #[test]
    fn short_floats_are_widened() {
        for element_type in [ElementType::F16, ElementType::BF16] {
            let mut all = column(LargeOutput::Distribution, element_type);
            let halves: Vec<u8> = [1.5f32, -2.0, 0.25]
                .into_iter()
                .flat_map(|x| match element_type {
                    ElementType::F16 => f16::from_f32(x).to_le_bytes(),
                    _ => bf16::from_f32(x).to_le_bytes(),
                })
                .collect();
            all.write(LargeOutput::Distribution, 2, &halves[2..]).unwrap();
            all.write(LargeOutput::Distribution, 0, &halves[..2]).unwrap();
            assert_eq!(all.take(LargeOutput::Distribution), Some(vec![1.5, -2.0, 0.25]));
        }
    }

    #[test]
    fn classes_are_words() {
        let mut all = column(LargeOutput::Argmax, ElementType::F32);
        let classes = [3u32, u32::MAX, 0x7f80_0001, 0];
        all.write(LargeOutput::Argmax, 8, bytemuck::cast_slice(&classes[2..])).unwrap();
        all.write(LargeOutput::Argmax, 0, bytemuck::cast_slice(&classes[..2])).unwrap();
        assert_eq!(all.take_words(LargeOutput::Argmax), Some(classes.to_vec()));
    }
}
