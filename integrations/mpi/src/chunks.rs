//! Runs of rows: the states of one are exchanged while those of the next are computed.

use std::ops::Range;

use wgpu_loss::{Floats, Inputs, Labels, Problem, Tensor};

/// The tensors of some steps of the first axis.
pub struct Chunk<'a> {
    pub rows: usize,
    input: (Floats<'a>, Vec<usize>),
    labels: Option<(Labels<'a>, Vec<usize>)>,
    probabilities: Option<(Floats<'a>, Vec<usize>)>,
    row_weights: Option<(Floats<'a>, Vec<usize>)>,
    upstream: Option<(Floats<'a>, Vec<usize>)>,
    weight: Option<Floats<'a>>,
}

impl<'a> Chunk<'a> {
    /// Returns everything.
    fn whole(inputs: &Inputs<'a>, rows: usize) -> Self {
        let tensor = |tensor: Tensor<'a>| (tensor.data, tensor.shape.to_vec());
        Self {
            rows,
            input: tensor(inputs.input),
            labels: inputs.labels.map(|(labels, shape)| (labels, shape.to_vec())),
            probabilities: inputs.probabilities.map(tensor),
            row_weights: inputs.row_weights.map(tensor),
            upstream: inputs.upstream.map(tensor),
            weight: inputs.weight,
        }
    }

    /// Returns some steps of the first axis, which has `rows` rows to a step.
    fn of(inputs: &Inputs<'a>, steps: Range<usize>, rows: usize) -> Self {
        let extent = inputs.input.shape[0];
        let part = |shape: &[usize]| {
            let by: usize = shape[1..].iter().product();
            let mut shape = shape.to_vec();
            shape[0] = steps.len();
            (steps.start * by..steps.end * by, shape)
        };
        let floats = |tensor: Tensor<'a>| {
            // One upstream gradient may be for the reduced loss.
            if tensor.shape.first() != Some(&extent) {
                return (tensor.data, tensor.shape.to_vec());
            }
            let (range, shape) = part(tensor.shape);
            (tensor.data.slice(range), shape)
        };
        Self {
            rows: steps.len() * rows,
            input: floats(inputs.input),
            labels: inputs.labels.map(|(labels, shape)| {
                let (range, shape) = part(shape);
                (labels.slice(range), shape)
            }),
            probabilities: inputs.probabilities.map(floats),
            row_weights: inputs.row_weights.map(floats),
            upstream: inputs.upstream.map(floats),
            weight: inputs.weight,
        }
    }

    /// Returns them as the library takes them.
    pub fn inputs(&self) -> Inputs<'_> {
        fn tensor<'b>((floats, shape): &'b (Floats<'_>, Vec<usize>)) -> Tensor<'b> {
            Tensor::new(*floats, shape)
        }
        let mut inputs = Inputs::new(tensor(&self.input));
        if let Some((labels, shape)) = &self.labels {
            inputs = inputs.labels(*labels, shape);
        }
        if let Some(probabilities) = &self.probabilities {
            inputs = inputs.probabilities(tensor(probabilities));
        }
        if let Some(weights) = &self.row_weights {
            inputs = inputs.row_weights(tensor(weights));
        }
        if let Some(upstream) = &self.upstream {
            inputs = inputs.upstream(tensor(upstream));
        }
        match self.weight {
            Some(weight) => inputs.weight(weight),
            None => inputs,
        }
    }
}

/// Cuts a call into chunks of so many steps of the first axis; at least one, so that the shape is known.
pub fn cut<'a>(problem: &Problem, inputs: &Inputs<'a>, steps: usize) -> Vec<Chunk<'a>> {
    if problem.class_axis == 0 {
        return vec![Chunk::whole(inputs, problem.view.rows())];
    }
    let extent = problem.input_shape[0];
    let rows = problem.view.rows() / extent.max(1);
    let starts = (0..extent.max(1)).step_by(steps.max(1));
    starts.map(|start| Chunk::of(inputs, start..extent.min(start + steps), rows)).collect()
}
