//! What calls on host data make of their inputs before anything else: operands that are broadcast along more axes than a
//! plan can distinguish are written out in the input's shape, and the states of several shards are merged.

use crate::loss::Loss;
use crate::row_states::{check_states, merged_states};
use crate::tensor::OwnedFloats;
use crate::{Error, Inputs, Outputs, Problem, Tensor};

/// Returns the problem that a loss states of these inputs, and the inputs that belong to it: where that is necessary,
/// with operands written out into `room`, or states merged there.
pub(crate) fn stated<'a>(
    loss: &(impl Loss + ?Sized),
    inputs: &Inputs<'a>,
    outputs: Outputs,
    room: &'a mut Option<Expanded>,
) -> Result<(Problem, Inputs<'a>), Error> {
    match loss.problem(&inputs.shapes(), outputs) {
        Err(Error::Groups { .. }) => {}
        problem => return with_states(loss, problem?, *inputs, outputs, room),
    }
    let room = &*room.insert(Expanded::of(inputs)?);
    let tensor = |operand: &'a Option<OwnedFloats>, given: Option<Tensor<'a>>| match operand {
        Some(operand) => Some(Tensor { data: operand.borrow(), shape: inputs.input.shape }),
        None => given,
    };
    let inputs = Inputs {
        target: tensor(&room.target, inputs.target),
        element_weight: tensor(&room.element_weight, inputs.element_weight),
        pos_weight: tensor(&room.pos_weight, inputs.pos_weight),
        ..*inputs
    };
    Ok((loss.problem(&inputs.shapes(), outputs)?, inputs))
}

/// Returns the problem and its inputs with one state of each row, if any are given: all shards compute the same from
/// these, on any device.
fn with_states<'a>(
    loss: &(impl Loss + ?Sized),
    problem: Problem,
    inputs: Inputs<'a>,
    outputs: Outputs,
    room: &'a mut Option<Expanded>,
) -> Result<(Problem, Inputs<'a>), Error> {
    let Some((words, shards)) = inputs.states else { return Ok((problem, inputs)) };
    check_states(&problem, words, shards)?;
    if shards == 1 {
        return Ok((problem, inputs));
    }
    let states = Some(merged_states(&problem, words, shards));
    let room = room.insert(Expanded { states, ..Expanded::default() });
    let inputs = Inputs { states: room.states.as_deref().map(|words| (words, 1)), ..inputs };
    Ok((loss.problem(&inputs.shapes(), outputs)?, inputs))
}

/// Operands in the input's shape, where they are broadcast. Variances stay as they are, because their gradient has
/// their shape; they never need to be written out.
#[derive(Debug, Default)]
pub(crate) struct Expanded {
    states: Option<Vec<u32>>,
    target: Option<OwnedFloats>,
    element_weight: Option<OwnedFloats>,
    pos_weight: Option<OwnedFloats>,
}

impl Expanded {
    fn of(inputs: &Inputs<'_>) -> Result<Self, Error> {
        let shape = inputs.input.shape;
        let expand = |what, operand: Option<Tensor<'_>>| {
            let Some(tensor) = operand else { return Ok(None) };
            tensor.check(what)?;
            if tensor.shape == shape || tensor.data.len() == 1 {
                return Ok(None);
            }
            let places = Places::new(tensor.shape, shape);
            let (count, runs) = (places.left, places.map(|place| place..place + 1));
            OwnedFloats::gathered(what, tensor.data, runs, count).map(Some)
        };
        Ok(Self {
            target: expand("target", inputs.target)?,
            element_weight: expand("element weight", inputs.element_weight)?,
            pos_weight: expand("pos_weight", inputs.pos_weight)?,
            states: None,
        })
    }
}

/// Iterates over the indices of a tensor's elements that belong to the input's elements, in order, as NumPy broadcasts.
struct Places {
    /// From the last axis on: the current position, the extent, and the tensor's stride.
    axes: Vec<(usize, usize, usize)>,
    next: usize,
    left: usize,
}

impl Places {
    fn new(shape: &[usize], input: &[usize]) -> Self {
        let mut stride = 1;
        let own = shape.iter().rev().copied().chain(std::iter::repeat(1));
        let axes = input.iter().rev().zip(own).map(|(&extent, own)| {
            let apart = if own > 1 { stride } else { 0 };
            stride *= own;
            (0, extent, apart)
        });
        Self { axes: axes.collect(), next: 0, left: input.iter().product() }
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.next;
        for (at, extent, apart) in &mut self.axes {
            *at += 1;
            self.next += *apart;
            if at < extent {
                break;
            }
            self.next -= *at * *apart;
            *at = 0;
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_repeat_along_the_axes_that_are_missing() {
        let places = |shape: &[usize]| Places::new(shape, &[2, 3, 2]).collect::<Vec<_>>();
        assert_eq!(places(&[2, 3, 2]), Vec::from_iter(0..12));
        assert_eq!(places(&[2]), [0, 1].repeat(6));
        assert_eq!(places(&[3, 1]), [0, 0, 1, 1, 2, 2].repeat(2));
        assert_eq!(places(&[2, 1, 2]), [0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]);
        assert_eq!(places(&[]), [0; 12]);
    }
}
