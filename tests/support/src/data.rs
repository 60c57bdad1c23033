//! Owned inputs of one call, so that a test can change a part of them and run again.

use std::ops::Range;

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    ClassView, ElementType, Floats, Gpu, Inputs, LabelType, Loss, Output, Outputs, Plan, Profile,
    Tensor, reference,
};

use super::floats::OwnedFloats;
use super::labels::OwnedLabels;
use super::random::Random;

/// The inputs of one call.
#[derive(Clone, Debug)]
pub struct Data {
    pub input: Vec<f32>,
    pub target: Target,
    pub weight: Option<Vec<f32>>,
    pub row_weights: Option<Vec<f32>>,
    pub view: ClassView,
    shape: Vec<usize>,
    row_shape: Vec<usize>,
    upstream: Option<(Vec<f32>, Vec<usize>)>,
    encoded: Option<Encoded>,
}

/// The element types of one call.
#[derive(Clone, Copy, Debug)]
pub struct Types {
    pub input: ElementType,
    pub probabilities: ElementType,
    pub weight: ElementType,
}

impl Types {
    /// One type for all tensors.
    pub fn all(element_type: ElementType) -> Self {
        Self { input: element_type, probabilities: element_type, weight: element_type }
    }
}

/// The tensors in types of their own.
#[derive(Clone, Debug)]
struct Encoded {
    input: OwnedFloats,
    probabilities: Option<OwnedFloats>,
    weight: Option<OwnedFloats>,
    /// The gradient of each element, which may have a type of its own.
    upstream: Option<OwnedFloats>,
}

/// The target of the input.
#[derive(Clone, Debug)]
pub enum Target {
    None,
    Labels(OwnedLabels),
    Probabilities(Vec<f32>),
}

impl Data {
    /// An input in a shape whose classes lie along `axis`, without a target.
    pub fn new(shape: &[usize], axis: isize, input: Vec<f32>) -> Self {
        let (view, axis) = ClassView::new(shape, Some(axis)).unwrap();
        let mut row_shape = shape.to_vec();
        row_shape.remove(axis);
        Self {
            input,
            target: Target::None,
            weight: None,
            row_weights: None,
            view,
            shape: shape.to_vec(),
            row_shape,
            upstream: None,
            encoded: None,
        }
    }

    /// Rounds the data to element types, and passes them in these. To be called last.
    pub fn in_types(mut self, types: Types) -> Self {
        let encode = |element_type, floats: &mut Vec<f32>| {
            let encoded = OwnedFloats::new(element_type, floats);
            *floats = encoded.wide();
            encoded
        };
        let input = encode(types.input, &mut self.input);
        let probabilities = match &mut self.target {
            Target::Probabilities(q) => Some(encode(types.probabilities, q)),
            _ => None,
        };
        let weight = self.weight.as_mut().map(|weight| encode(types.weight, weight));
        let upstream = match &mut self.upstream {
            Some((gradients, shape)) if *shape == self.shape => {
                Some(encode(types.probabilities, gradients))
            }
            _ => None,
        };
        self.encoded = Some(Encoded { input, probabilities, weight, upstream });
        self
    }

    /// Rows of logits with an i64 label each.
    pub fn rows<const C: usize>(rows: &[[f32; C]], labels: &[i64]) -> Self {
        Self::new(&[rows.len(), C], 1, rows.as_flattened().to_vec()).labels(LabelType::I64, labels)
    }

    /// Random logits in `[-4, 4)` and random i64 labels.
    pub fn random(shape: &[usize], axis: isize) -> Self {
        let mut random = Random(shape.iter().fold(7, |seed, &d| seed * 31 + d as u64));
        let count = shape.iter().product();
        let input = (0..count).map(|_| random.uniform(-4.0, 4.0)).collect();
        let data = Self::new(shape, axis, input);
        let labels = (0..data.view.rows()).map(|_| random.below(data.view.classes) as i128);
        let labels = OwnedLabels::new(LabelType::I64, labels);
        Self { target: Target::Labels(labels), ..data }
    }

    /// With these labels.
    pub fn labels(mut self, label_type: LabelType, labels: &[i64]) -> Self {
        let wide = labels.iter().map(|&label| label.into());
        self.target = Target::Labels(OwnedLabels::new(label_type, wide));
        self
    }

    /// With the same labels in another type.
    pub fn labels_as(mut self, label_type: LabelType) -> Self {
        let Target::Labels(labels) = &self.target else { panic!("labels to convert") };
        self.target = Target::Labels(OwnedLabels::new(label_type, labels.iter()));
        self
    }

    /// With another label for each of these rows.
    pub fn labelled(mut self, rows: &[usize], label: i64) -> Self {
        let Target::Labels(OwnedLabels::I64(labels)) = &mut self.target else {
            panic!("i64 labels to change")
        };
        rows.iter().for_each(|&row| labels[row] = label);
        self
    }

    /// With these class probabilities.
    pub fn probabilities(mut self, probabilities: Vec<f32>) -> Self {
        self.target = Target::Probabilities(probabilities);
        self
    }

    /// With random class probabilities. They need not add up to one, and some are zero: all that
    /// belong to a logit of `-inf`, and a few more.
    pub fn random_probabilities(self) -> Self {
        let mut random = Random(99);
        let scale = 2.0 / self.view.classes as f32;
        let probability = |&x: &f32| {
            let q = random.uniform(0.0, scale);
            if x == f32::NEG_INFINITY || q < scale / 16.0 { 0.0 } else { q }
        };
        let probabilities = self.input.iter().map(probability).collect();
        self.probabilities(probabilities)
    }

    /// With these class weights.
    pub fn weight(mut self, weight: &[f32]) -> Self {
        self.weight = Some(weight.to_vec());
        self
    }

    /// With random class weights in `[0.5, 2)`.
    pub fn random_weight(self) -> Self {
        let mut random = Random(3);
        let weight: Vec<f32> = (0..self.view.classes).map(|_| random.uniform(0.5, 2.0)).collect();
        self.weight(&weight)
    }

    /// With these weights of the rows.
    pub fn row_weights(mut self, weights: Vec<f32>) -> Self {
        self.row_weights = Some(weights);
        self
    }

    /// With random weights of the rows in `[0.5, 2)`. About one in eight is zero, and its label, if labels are i64, is
    /// one that must not be read.
    pub fn random_row_weights(mut self) -> Self {
        let mut random = Random(17);
        let mut weights = Vec::new();
        for row in 0..self.view.rows() {
            let left_out = random.below(8) == 0;
            weights.push(if left_out { 0.0 } else { random.uniform(0.5, 2.0) });
            if let (true, Target::Labels(OwnedLabels::I64(labels))) = (left_out, &mut self.target) {
                labels[row] = 1 << 40;
            }
        }
        self.row_weights(weights)
    }

    /// With a gradient for the reduced loss.
    pub fn upstream(mut self, gradient: f32) -> Self {
        self.upstream = Some((vec![gradient], Vec::new()));
        self
    }

    /// With a gradient for each row's loss.
    pub fn upstream_rows(mut self, gradients: Vec<f32>) -> Self {
        self.upstream = Some((gradients, self.row_shape.clone()));
        self
    }

    /// With a random gradient in `[0.5, 2)` for each row's loss.
    pub fn random_upstream(self) -> Self {
        let mut random = Random(5);
        let gradients = (0..self.view.rows()).map(|_| random.uniform(0.5, 2.0)).collect();
        self.upstream_rows(gradients)
    }

    /// With a random gradient in `[-1, 1)` for each element of a distribution.
    pub fn random_upstream_elements(self) -> Self {
        let mut random = Random(23);
        let gradients = self.input.iter().map(|_| random.uniform(-1.0, 1.0)).collect();
        self.upstream_elements(gradients)
    }

    /// With a gradient for each element of a distribution.
    pub fn upstream_elements(mut self, gradients: Vec<f32>) -> Self {
        self.upstream = Some((gradients, self.shape.clone()));
        self
    }

    /// Without a gradient for the loss.
    pub fn without_upstream(mut self) -> Self {
        self.upstream = None;
        self
    }

    /// One step along the first axis, which is not the classes'.
    pub fn step(&self, step: usize) -> Self {
        let mut data = self.clone();
        (data.shape[0], data.row_shape[0], data.view.outer) =
            (1, 1, self.view.outer / self.shape[0]);
        let elements = data.view.elements() * step..data.view.elements() * (step + 1);
        let rows = data.view.rows() * step..data.view.rows() * (step + 1);
        data.input = self.input[elements.clone()].to_vec();
        match &mut data.target {
            Target::None => {}
            Target::Probabilities(q) => *q = q[elements].to_vec(),
            Target::Labels(OwnedLabels::I64(labels)) => *labels = labels[rows.clone()].to_vec(),
            Target::Labels(_) => panic!("i64 labels to cut"),
        }
        let of_rows = |values: &Vec<f32>| values[rows.clone()].to_vec();
        data.row_weights = self.row_weights.as_ref().map(of_rows);
        if let Some((gradients, shape)) = &mut data.upstream {
            if !shape.is_empty() {
                (*gradients, shape[0]) = (of_rows(gradients), 1);
            }
        }
        data
    }

    /// The same rows with some of their classes. Labels and class weights stay those of all classes.
    pub fn of_classes(&self, classes: Range<usize>) -> Self {
        let mut data = self.clone();
        let is_axis = |&axis: &usize| {
            let outer: usize = self.shape[..axis].iter().product();
            self.shape[axis] == self.view.classes && outer == self.view.outer
        };
        let axis = (0..self.shape.len()).find(is_axis).expect("a class axis");
        data.shape[axis] = classes.len();
        data.view.classes = classes.len();
        let cut = |elements: &[f32]| -> Vec<f32> {
            let of_step = elements.chunks((self.view.classes * self.view.inner).max(1));
            let part = classes.start * self.view.inner..classes.end * self.view.inner;
            of_step.flat_map(|step| &step[part.clone()]).copied().collect()
        };
        data.input = cut(&self.input);
        if let Target::Probabilities(q) = &mut data.target {
            *q = cut(q);
        }
        if let Some(encoded) = &mut data.encoded {
            encoded.input = OwnedFloats::new(encoded.input.element_type(), &data.input);
            if let (Some(encoded), Target::Probabilities(q)) =
                (&mut encoded.probabilities, &data.target)
            {
                *encoded = OwnedFloats::new(encoded.element_type(), q);
            }
        }
        data
    }

    /// With about one logit in sixteen at `-inf`, but never the label's.
    pub fn holes(mut self) -> Self {
        let mut random = Random(11);
        for element in 0..self.input.len() {
            let (row, class) = self.view.row_and_class(element);
            if random.below(16) == 0 && self.label(row) != Some(class as i128) {
                self.input[element] = f32::NEG_INFINITY;
            }
        }
        self
    }

    /// The label of a row, where there are labels.
    pub fn label(&self, row: usize) -> Option<i128> {
        match &self.target {
            Target::Labels(labels) => Some(labels.get(row)),
            _ => None,
        }
    }

    /// The gradient of a row's loss, or of the reduced one.
    pub fn upstream_of(&self, row: usize) -> f64 {
        let Some((gradients, _)) = &self.upstream else { return 1.0 };
        gradients[row % gradients.len()].into()
    }

    /// The gradients given for the loss.
    pub fn upstream_data(&self) -> Option<&[f32]> {
        self.upstream.as_ref().map(|(gradients, _)| gradients.as_slice())
    }

    /// The bytes of the gradients given for the loss, or for each element of a distribution.
    pub fn upstream_bytes(&self) -> Option<Vec<u8>> {
        let (gradients, _) = self.upstream.as_ref()?;
        let encoded = self.encoded.as_ref().and_then(|e| e.upstream.as_ref());
        let gradients = encoded.map_or(Floats::from(gradients), OwnedFloats::borrow);
        Some(gradients.bytes().to_vec())
    }

    /// The input's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The data as the library takes it.
    pub fn inputs(&self) -> Inputs<'_> {
        let encoded = self.encoded.as_ref();
        let input = encoded.map_or(Floats::from(&self.input), |e| e.input.borrow());
        let mut inputs = Inputs::new(Tensor::new(input, &self.shape));
        match &self.target {
            Target::None => {}
            Target::Labels(labels) => inputs = inputs.labels(labels.borrow(), &self.row_shape),
            Target::Probabilities(q) => {
                let encoded = encoded.and_then(|e| e.probabilities.as_ref());
                let q = encoded.map_or(Floats::from(q), OwnedFloats::borrow);
                inputs = inputs.probabilities(Tensor::new(q, &self.shape));
            }
        }
        if let Some(weight) = &self.weight {
            let encoded = encoded.and_then(|e| e.weight.as_ref());
            inputs = inputs.weight(encoded.map_or(Floats::from(weight), OwnedFloats::borrow));
        }
        if let Some(weights) = &self.row_weights {
            inputs = inputs.row_weights(Tensor::new(weights, &self.row_shape));
        }
        if let Some((gradients, shape)) = &self.upstream {
            let encoded = encoded.and_then(|e| e.upstream.as_ref());
            let gradients = encoded.map_or(Floats::from(gradients), OwnedFloats::borrow);
            inputs = inputs.upstream(Tensor::new(gradients, shape));
        }
        inputs
    }

    /// The bytes of input, class probabilities and weights.
    pub fn bytes(&self) -> [Vec<u8>; 3] {
        let bytes = |floats: Option<Floats<'_>>| floats.map_or(Vec::new(), |f| f.bytes().to_vec());
        let encoded = self.encoded.as_ref();
        let input = encoded.map_or(Floats::from(&self.input), |e| e.input.borrow());
        let probabilities = match (&self.target, encoded) {
            (_, Some(e)) => e.probabilities.as_ref().map(OwnedFloats::borrow),
            (Target::Probabilities(q), None) => Some(Floats::from(q)),
            _ => None,
        };
        let weight = match encoded {
            Some(e) => e.weight.as_ref().map(OwnedFloats::borrow),
            None => self.weight.as_ref().map(Floats::from),
        };
        [bytes(Some(input)), bytes(probabilities), bytes(weight)]
    }

    /// The shapes as the library takes them.
    pub fn shapes(&self) -> Shapes<'_> {
        self.inputs().shapes()
    }

    /// The answer of a GPU.
    #[track_caller]
    pub fn on(&self, gpu: &Gpu, loss: &dyn Loss, outputs: Outputs) -> Output<f32> {
        gpu.run(loss, &self.inputs(), outputs).unwrap()
    }

    /// The reference's answer.
    #[track_caller]
    pub fn truth(&self, loss: &dyn Loss, outputs: Outputs) -> Output<f64> {
        reference::run(loss, &self.inputs(), outputs).unwrap()
    }

    /// The plan for a device of `profile`.
    #[track_caller]
    pub fn plan(&self, loss: &dyn Loss, outputs: Outputs, profile: &Profile) -> Plan {
        Plan::new(loss, &self.shapes(), outputs, profile).unwrap()
    }
}
