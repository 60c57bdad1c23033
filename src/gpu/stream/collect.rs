//! A sink that keeps everything.

use half::{bf16, f16};

use super::cut::cut_slots;
use super::{LargeOutput, Sink};
use crate::plan::Extent;
use crate::tensor::ElementType;
use crate::{Error, Problem};

/// Large outputs in memory, as f32.
#[derive(Debug, Default)]
pub(in crate::gpu) struct Collected {
    /// The element type of gradient and distribution.
    output_type: ElementType,
    pub rows: Vec<f32>,
    pub grad: Vec<f32>,
    pub distribution: Vec<f32>,
    pub target_grad: Vec<f32>,
    pub var_grad: Vec<f32>,
    /// The element types of the gradients with respect to target and variance.
    operand_types: (ElementType, ElementType),
}

impl Collected {
    /// Nothing yet of a problem's outputs, but room for them.
    pub fn new(problem: &Problem) -> Result<Self, Error> {
        let operand_types = problem.pointwise.map(|p| (p.target_grad, p.var_grad));
        let mut all = Self {
            output_type: problem.output_type,
            operand_types: operand_types.unwrap_or_default(),
            ..Self::default()
        };
        for slot in cut_slots(problem) {
            let Some(what) = LargeOutput::of(slot) else { continue };
            let (values, element_type) = all.place(what);
            let elements = Extent::of(slot, problem).bytes() / u64::from(element_type.bytes());
            values.try_reserve_exact(elements as usize).map_err(|_| Error::Limit {
                what: what.name(),
                limit: "memory in bytes",
                needed: elements.saturating_mul(4),
                allowed: isize::MAX as u64,
            })?;
        }
        Ok(all)
    }

    fn place(&mut self, what: LargeOutput) -> (&mut Vec<f32>, ElementType) {
        match what {
            LargeOutput::RowLoss => (&mut self.rows, ElementType::F32),
            LargeOutput::Grad => (&mut self.grad, self.output_type),
            LargeOutput::Distribution => (&mut self.distribution, self.output_type),
            LargeOutput::TargetGrad => (&mut self.target_grad, self.operand_types.0),
            LargeOutput::VarGrad => (&mut self.var_grad, self.operand_types.1),
        }
    }
}

impl Sink for Collected {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let (values, element_type) = self.place(what);
        let element_bytes = element_type.bytes() as usize;
        let start = offset as usize / element_bytes;
        let end = start + bytes.len() / element_bytes;
        if end > values.len() {
            // Pieces mostly come in order, and then nothing is written twice.
            values.resize(start.max(values.len()), 0.0);
        }
        let over = values.len() - start;
        let (inside, behind) = bytes.split_at((over * element_bytes).min(bytes.len()));
        match element_type {
            ElementType::F32 => {
                let places = &mut values[start..start + over.min(end - start)];
                bytemuck::cast_slice_mut::<f32, u8>(places).copy_from_slice(inside);
                extend_f32(values, behind);
            }
            ElementType::F16 => {
                widen(values, start, inside, behind, |two| f16::from_le_bytes(two).to_f32());
            }
            ElementType::BF16 => {
                widen(values, start, inside, behind, |two| bf16::from_le_bytes(two).to_f32());
            }
        }
        Ok(())
    }
}

/// Appends the bytes of f32 numbers, wherever they lie.
fn extend_f32(values: &mut Vec<f32>, bytes: &[u8]) {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => values.extend_from_slice(numbers),
        Err(_) => values.extend(bytemuck::pod_collect_to_vec::<u8, f32>(bytes)),
    }
}

fn widen(
    values: &mut Vec<f32>,
    start: usize,
    inside: &[u8],
    behind: &[u8],
    number: impl Fn([u8; 2]) -> f32,
) {
    let number = |two: &[u8]| number([two[0], two[1]]);
    for (value, two) in values[start..].iter_mut().zip(inside.chunks_exact(2)) {
        *value = number(two);
    }
    values.extend(behind.chunks_exact(2).map(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_any_order() {
        let numbers: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&numbers);
        for order in [[0..4, 4..7, 7..10], [7..10, 0..4, 4..7], [4..7, 7..10, 0..4]] {
            let mut all = Collected::default();
            for part in order {
                let part = 4 * part.start..4 * part.end;
                all.write(LargeOutput::Grad, part.start as u64, &bytes[part]).unwrap();
            }
            assert_eq!(all.grad, numbers);
            assert!(all.rows.is_empty() && all.distribution.is_empty());
        }
    }

    #[test]
    fn short_floats_are_widened() {
        for element_type in [ElementType::F16, ElementType::BF16] {
            let mut all = Collected { output_type: element_type, ..Collected::default() };
            let halves: Vec<u8> = [1.5f32, -2.0, 0.25]
                .into_iter()
                .flat_map(|x| match element_type {
                    ElementType::F16 => f16::from_f32(x).to_le_bytes(),
                    _ => bf16::from_f32(x).to_le_bytes(),
                })
                .collect();
            all.write(LargeOutput::Distribution, 2, &halves[2..]).unwrap();
            all.write(LargeOutput::Distribution, 0, &halves[..2]).unwrap();
            all.write(LargeOutput::RowLoss, 0, bytemuck::bytes_of(&3.0f32)).unwrap();
            assert_eq!((all.distribution, all.rows), (vec![1.5, -2.0, 0.25], vec![3.0]));
        }
    }
}
