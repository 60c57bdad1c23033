//! Calls that together run every kernel, each small enough for a software driver.

use std::collections::TryReserveError;

use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, ElementType, Entropy, GaussianNll, KlDiv, Nll, Outputs,
    PoissonNll, Reduction, Softmax,
};

use crate::data::{Data, Given, Operand, Role};
use crate::formula::Formula;
use crate::stored::{Stored, random};

/// A call.
pub struct Case {
    /// The kind of kernel that it is about.
    pub name: &'static str,
    /// The loss.
    pub formula: Formula,
    /// The outputs.
    pub outputs: Outputs,
    /// The device memory that it may use, if it is to be cut.
    pub memory_budget: Option<u64>,
    /// True if the classes are computed in two halves, as on two devices.
    pub split: bool,
    tensors: Vec<(Role, Elements, Vec<usize>)>,
}

enum Elements {
    Floats(Stored),
    Labels(Vec<i32>),
}

impl Case {
    /// Makes a call without tensors.
    fn bare(name: &'static str, formula: Formula, outputs: Outputs) -> Self {
        Self { name, formula, outputs, memory_budget: None, split: false, tensors: Vec::new() }
    }

    /// Makes a call over logits from -4 to 4.
    fn new(
        name: &'static str,
        formula: Formula,
        element_type: ElementType,
        shape: &[usize],
        outputs: Outputs,
    ) -> Result<Self, TryReserveError> {
        Self::bare(name, formula, outputs).with(Role::Input, element_type, shape, -4.0..4.0)
    }

    /// Adds a tensor of random numbers in a range.
    fn with(
        mut self,
        role: Role,
        element_type: ElementType,
        shape: &[usize],
        range: std::ops::Range<f32>,
    ) -> Result<Self, TryReserveError> {
        let seed = 1 + self.tensors.len() as u64;
        let numbers = random(seed).map(|x| range.start + (range.end - range.start) * x);
        let floats = Stored::new(element_type, shape.iter().product(), numbers)?;
        self.tensors.push((role, Elements::Floats(floats), shape.to_vec()));
        Ok(self)
    }

    /// Adds labels, of which one in sixteen is -100.
    fn with_labels(mut self, classes: usize, shape: &[usize]) -> Self {
        let label = |x: f32| match x < 1.0 / 16.0 {
            true => -100,
            false => ((x * classes as f32) as i32).min(classes as i32 - 1),
        };
        let labels = random(9).map(label).take(shape.iter().product());
        self.tensors.push((Role::Target, Elements::Labels(labels.collect()), shape.to_vec()));
        self
    }

    /// Returns the first half of the classes of (rows, classes), and the others.
    pub fn halves(&self) -> [Vec<f32>; 2] {
        let Some((_, Elements::Floats(stored), shape)) = self.tensors.first() else {
            return Default::default();
        };
        let (classes, floats) = (shape[1], stored.floats());
        let half = |classes_of: std::ops::Range<usize>| {
            let rows = (0..shape[0]).map(|row| row * classes);
            let elements = rows.flat_map(|row| classes_of.clone().map(move |class| row + class));
            elements.map(|element| floats.get(element)).collect()
        };
        [half(0..classes / 2), half(classes / 2..classes)]
    }

    /// Returns the tensors.
    pub fn data(&self) -> Data<'_> {
        Data::new(self.tensors.iter().map(|(role, elements, shape)| {
            let operand = match elements {
                Elements::Floats(stored) => Operand::Floats(stored.floats()),
                Elements::Labels(labels) => Operand::Labels(labels.into()),
            };
            Given { role: *role, operand, shape }
        }))
    }
}

/// Returns all calls.
pub fn all() -> Result<Vec<Case>, TryReserveError> {
    let mut cases = over_rows()?;
    cases.extend(over_columns()?);
    cases.extend(of_elements()?);
    cases.extend(with_options()?);
    Ok(cases)
}

const F32: ElementType = ElementType::F32;

fn cross_entropy(
    name: &'static str,
    element_type: ElementType,
    shape: &[usize],
    outputs: Outputs,
) -> Result<Case, TryReserveError> {
    let loss = CrossEntropy::new().ignore_index(-100);
    let rows = [&shape[..1], &shape[2..]].concat();
    let case = Case::new(name, Formula::CrossEntropy(loss), element_type, shape, outputs)?;
    Ok(case.with_labels(shape[1], &rows))
}

/// Cross-entropy, classes next to each other.
fn over_rows() -> Result<Vec<Case>, TryReserveError> {
    let (loss, grad) = (Outputs::loss(), Outputs::loss().with_grad());
    // Ranks need the logits of the labels before the classes are counted.
    let cut = cross_entropy("rows, cut", F32, &[2, 300_000], grad.with_rank())?;
    Ok(vec![
        cross_entropy("rows", F32, &[512, 1000], loss)?,
        cross_entropy("rows, gradient", F32, &[512, 1000], grad)?,
        cross_entropy("rows, f16", ElementType::F16, &[512, 1000], grad)?,
        cross_entropy("rows, bf16", ElementType::BF16, &[512, 1000], grad)?,
        cross_entropy("short rows", F32, &[20_000, 10], grad)?,
        Case { split: true, ..cross_entropy("split classes", F32, &[256, 1000], loss)? },
        cross_entropy("long rows", F32, &[16, 50_257], grad)?,
        Case { memory_budget: Some(1 << 20), ..cut },
    ])
}

/// Cross-entropy and nll of images, where rows are neighbours.
fn over_columns() -> Result<Vec<Case>, TryReserveError> {
    let grad = Outputs::loss().with_grad();
    let nll = || Formula::Nll(Nll::new());
    let image = [2, 21, 64, 64];
    let rows = [2, 64, 64];
    let cut = Case::new("nll of maps, cut", nll(), F32, &[1, 21, 256, 256], grad)?;
    let cut = cut.with_labels(21, &[1, 256, 256]);
    Ok(vec![
        cross_entropy("columns", F32, &image, grad)?,
        Case::new("nll", nll(), F32, &[512, 1000], grad)?.with_labels(1000, &[512]),
        Case::new("nll of maps", nll(), F32, &image, grad)?.with_labels(21, &rows),
        Case { memory_budget: Some(1 << 20), ..cut },
    ])
}

/// What cross-entropy may have in addition, and the losses without a target.
fn with_options() -> Result<Vec<Case>, TryReserveError> {
    let shape = [256, 100];
    let grad = Outputs::loss().with_grad();
    let cross_entropy = |loss| Formula::CrossEntropy(loss);
    let options = CrossEntropy::new().label_smoothing(0.1).softcap(30.0).z_loss(1e-4);
    let none = CrossEntropy::new().z_loss(1e-4).reduction(Reduction::None);
    let dense = CrossEntropy::new().label_smoothing(0.1);
    let of_rows = Outputs::loss()
        .with_lse()
        .with_argmax()
        .with_rank()
        .with_entropy()
        .with_variance()
        .with_accuracy()
        .with_top_k(3)
        .with_class_losses();
    let softmax = |loss| Formula::Softmax(loss);
    let distribution = Outputs::loss();
    Ok(vec![
        Case::new("weights and options", cross_entropy(options), F32, &shape, grad)?
            .with_labels(100, &shape[..1])
            .with(Role::Weight, F32, &[100], 0.5..2.0)?
            .with(Role::RowWeights, F32, &shape[..1], 0.0..1.0)?,
        Case::new("class probabilities", cross_entropy(dense), F32, &shape, grad)?.with(
            Role::Target,
            F32,
            &shape,
            0.0..0.02,
        )?,
        Case::new("loss of each row", cross_entropy(none), F32, &shape, grad)?
            .with_labels(100, &shape[..1]),
        Case::new(
            "outputs of rows, classes",
            cross_entropy(CrossEntropy::new()),
            F32,
            &shape,
            of_rows,
        )?
        .with_labels(100, &shape[..1]),
        Case::new("softmax", softmax(Softmax::probs()), F32, &shape, distribution)?,
        Case::new("log-softmax, gradient", softmax(Softmax::log_probs()), F32, &shape, grad)?
            .with(Role::Upstream, F32, &shape, -1.0..1.0)?,
        Case::new("entropy", Formula::Entropy(Entropy::new()), F32, &shape, grad)?,
    ])
}

/// Losses of single elements.
fn of_elements() -> Result<Vec<Case>, TryReserveError> {
    let shape = [64, 1000];
    let grad = Outputs::loss().with_grad();
    let both = grad.with_target_grad();
    let kl_div = Formula::KlDiv { loss: KlDiv::new(), log_target: false };
    let gaussian = || Formula::GaussianNll { loss: GaussianNll::new(), eps: 1e-6 };
    let poisson =
        Formula::PoissonNll { loss: PoissonNll::new(), log_input: true, full: false, eps: 1e-8 };
    let bce = Case::bare("bce", Formula::Bce(Bce::new()), grad);
    let with_logits = Formula::BceWithLogits(BceWithLogits::new());
    Ok(vec![
        bce.with(Role::Input, F32, &shape, 0.01..0.99)?.with(
            Role::Values,
            F32,
            &shape,
            0.0..1.0,
        )?,
        Case::new("bce with logits", with_logits, F32, &shape, grad)?
            .with(Role::Values, F32, &shape, 0.0..1.0)?
            .with(Role::PosWeight, F32, &[1000], 0.5..2.0)?,
        Case::new("kl-div", kl_div, F32, &shape, both)?.with(
            Role::Values,
            F32,
            &shape,
            0.01..1.0,
        )?,
        Case::new("gaussian nll", gaussian(), F32, &shape, both.with_var_grad())?
            .with(Role::Values, F32, &shape, -4.0..4.0)?
            .with(Role::Var, F32, &shape, 0.5..2.0)?,
        Case::new("gaussian nll of rows", gaussian(), F32, &shape, both.with_var_grad())?
            .with(Role::Values, F32, &shape, -4.0..4.0)?
            .with(Role::Var, F32, &[64, 1], 0.5..2.0)?,
        Case::new("poisson nll", poisson, F32, &shape, grad)?.with(
            Role::Values,
            F32,
            &shape,
            0.0..9.0,
        )?,
    ])
}

#[cfg(test)]
impl Case {
    /// Returns the number of elements of the input.
    pub fn elements(&self) -> usize {
        self.tensors.first().map_or(0, |(_, _, shape)| shape.iter().product())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wgpu_loss::kernels::Kernel;
    use wgpu_loss::{Plan, Profile};

    use super::*;

    const KERNELS: [Kernel; 11] = [
        Kernel::Rows,
        Kernel::Columns,
        Kernel::NllForward,
        Kernel::NllBackward,
        Kernel::SumRowWeights,
        Kernel::Pointwise,
        Kernel::VarianceGrad,
        Kernel::ReducePartials,
        Kernel::LabelLogits,
        Kernel::ZeroFill,
        Kernel::MergeStates,
    ];

    /// A new kernel does not compile here until it is in the list.
    fn index(kernel: Kernel) -> usize {
        match kernel {
            Kernel::Rows => 0,
            Kernel::Columns => 1,
            Kernel::NllForward => 2,
            Kernel::NllBackward => 3,
            Kernel::SumRowWeights => 4,
            Kernel::Pointwise => 5,
            Kernel::VarianceGrad => 6,
            Kernel::ReducePartials => 7,
            Kernel::LabelLogits => 8,
            Kernel::ZeroFill => 9,
            Kernel::MergeStates => 10,
        }
    }

    /// A kind of kernel without a call would be said to be right.
    #[test]
    fn every_kernel_is_run() {
        // That of split classes, which are computed from states.
        let mut seen = HashSet::from([Kernel::MergeStates]);
        assert!(all().unwrap().iter().any(|case| case.split));
        for case in all().unwrap() {
            let mut profile = Profile::portable();
            if let Some(bytes) = case.memory_budget {
                profile.limits.max_storage_buffer_binding_size = bytes / 2;
            }
            let data = case.data();
            let whole = data.whole().unwrap();
            let shapes = whole.inputs();
            let plan = Plan::new(case.formula.loss(), &shapes.shapes(), case.outputs, &profile);
            let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            seen.extend(plan.specs().map(|spec| spec.kernel));
        }
        for (at, kernel) in KERNELS.into_iter().enumerate() {
            assert_eq!(index(kernel), at);
            assert!(seen.contains(&kernel), "no case runs {kernel:?}");
        }
    }
}
