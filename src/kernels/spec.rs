//! Specialisations: the kernel, its parts, its geometry.

use std::fmt;

use super::RowFeatures;
use super::geometry::Geometry;
use super::layout::{Layout, RowLoads};
use super::pointwise::PointwiseSpec;
use crate::loss::Upstream;
use crate::words::CLASS_WORDS;
use crate::{ElementType, LabelType};

/// Rows whose weights a lane reads together.
pub(crate) const SUMMED_ROWS: u32 = 4;

/// The kernels, one WGSL file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Softmax losses over contiguous classes.
    Rows,
    /// Softmax losses if rows are neighbours.
    Columns,
    /// nll forward.
    NllForward,
    /// nll gradient.
    NllBackward,
    /// The sum of the rows' weights: the mean's divisor, from the labels.
    SumRowWeights,
    /// Losses of single elements.
    Pointwise,
    /// The gradient with respect to variances that several elements share.
    VarianceGrad,
    /// The sums of the partials and the loss (or, before gradients, the divisor).
    ReducePartials,
    /// The labels' logits of rows that are cut.
    LabelLogits,
    /// Zeros, for the sums of classes.
    ZeroFill,
    /// The states of rows from those of their parts, or of shards of their classes.
    MergeStates,
}

impl Kernel {
    /// Returns its file in `shaders/`.
    pub(super) fn file(self) -> &'static str {
        match self {
            Kernel::Rows => "kernels::rows",
            Kernel::Columns => "kernels::columns",
            Kernel::NllForward => "kernels::nll_forward",
            Kernel::NllBackward => "kernels::nll_backward",
            Kernel::SumRowWeights => "kernels::sum_row_weights",
            Kernel::Pointwise => "kernels::pointwise",
            Kernel::VarianceGrad => "kernels::variance_grad",
            Kernel::ReducePartials => "kernels::reduce_partials",
            Kernel::LabelLogits => "kernels::label_logits",
            Kernel::ZeroFill => "kernels::zero_fill",
            Kernel::MergeStates => "kernels::merge_states",
        }
    }
}

/// The distribution that a second read of the logits writes, in addition to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Log-probabilities.
    LogProbs,
    /// Probabilities.
    Probs,
}

/// The target of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// No target: the distribution itself.
    None,
    /// Labels, read in their type.
    Labels(LabelType),
    /// Class probabilities of an element type.
    Probabilities(ElementType),
    /// No target, but an upstream gradient for each class, in the place of the probabilities.
    Upstream(ElementType),
}

/// What becomes of the totals of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A partial, which [`Kernel::ReducePartials`] adds up with those of other groups.
    Partial,
    /// The mean's divisor: they are the totals of all rows.
    Divisor,
    /// The loss and the counts of rows: they are the totals of all rows.
    Result,
}

/// The phase of the work on rows that several groups share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// All of the work: a row has one group.
    Whole,
    /// The states of the parts of rows.
    Fold,
    /// The states of rows from those of their parts, and the losses.
    Merge,
    /// Gradient or distribution, part by part.
    Write,
}

/// The place of the states of rows, or of their parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatePlace {
    /// The workspace, for other dispatches.
    Workspace,
    /// A tensor of the call.
    Tensor,
    /// None: no states are read, or none are kept.
    Nowhere,
}

/// A specialisation: everything that a kernel's text depends on, and the key of its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The kernel.
    pub kernel: Kernel,
    /// The target.
    pub target: Target,
    /// Every class may have a share: class probabilities, or label smoothing.
    pub dense_target: bool,
    /// The type of the logits, for kernels that read them.
    pub input: ElementType,
    /// The type of gradient and distribution, for kernels that write them.
    pub output: ElementType,
    /// The type of the class weights, if there are any.
    pub weight: Option<ElementType>,
    /// Form of the upstream gradient; only gradients use it.
    pub upstream: Upstream,
    /// The divisor is the sum of the rows' weights.
    pub sums_weights: bool,
    /// For [`Kernel::ReducePartials`]: rows may differ in their weights.
    pub weighs_rows: bool,
    /// What becomes of the totals of a group.
    pub outcome: Outcome,
    /// Each group computes the divisor itself: there are few rows.
    pub own_divisor: bool,
    /// One loss per row is written.
    pub row_loss: bool,
    /// The gradient is written.
    pub grad: bool,
    /// The gradient overwrites the logits.
    pub in_place: bool,
    /// Inputs are bound for writing, as outputs are: one buffer holds some of both, and wgpu does not bind a buffer
    /// both ways in one dispatch.
    pub all_read_write: bool,
    /// Log-probabilities or probabilities are written.
    pub distribution: Option<Distribution>,
    /// Rows that do not count are read too, for their log-probabilities, which this or another kernel writes.
    pub every_row: bool,
    /// The driver converts f16 to f32 exactly.
    pub native_f16: bool,
    /// The driver rounds to f16 as the kernels do.
    pub rounds_f16: bool,
    /// For [`Kernel::Rows`]: the phase of the work.
    pub phase: Phase,
    /// A piece has a part of its rows' classes.
    pub cut: bool,
    /// The parts of each such piece have states of their own, which are merged in an order that does not depend on the
    /// cuts of rows.
    pub apart: bool,
    /// The input has a shard of the classes: class weights and labels are of all of them.
    pub shard: bool,
    /// The place from which states are read.
    pub states_from: StatePlace,
    /// The place to which states are written.
    pub states_to: StatePlace,
    /// The optional work.
    pub row_features: RowFeatures,
    /// The classes for whose sums a group has workgroup memory, or 0 if it adds each row to the tensor's sums.
    pub group_classes: u32,
    /// For the kernels of single elements: the formula, and its operands.
    pub pointwise: Option<PointwiseSpec>,
    /// The layout of the lanes over the data.
    pub layout: Layout,
}

impl Spec {
    /// Returns a kernel with all options off.
    pub fn new(kernel: Kernel, geometry: Geometry) -> Self {
        Self {
            kernel,
            target: Target::None,
            dense_target: false,
            input: ElementType::F32,
            output: ElementType::F32,
            weight: None,
            upstream: Upstream::Ones,
            sums_weights: false,
            weighs_rows: false,
            outcome: Outcome::Partial,
            own_divisor: false,
            row_loss: false,
            grad: false,
            in_place: false,
            all_read_write: false,
            distribution: None,
            every_row: false,
            native_f16: false,
            rounds_f16: false,
            phase: Phase::Whole,
            cut: false,
            apart: false,
            shard: false,
            states_from: StatePlace::Workspace,
            states_to: StatePlace::Workspace,
            row_features: RowFeatures::default(),
            group_classes: 0,
            pointwise: None,
            layout: Layout::plain(geometry),
        }
    }

    /// Returns the number of its storage bindings: all but the parameters.
    pub(crate) fn storage_bindings(&self) -> u64 {
        self.slots().len() as u64 - 1
    }

    /// Returns the features of a device that it needs, with their names in `wgpu::Features`.
    pub(crate) fn features(&self) -> Vec<(wgpu::Features, &'static str)> {
        [
            (self.layout.geometry.cluster > 1, wgpu::Features::SUBGROUP, "SUBGROUP"),
            (self.layout.u64_loads, wgpu::Features::SHADER_INT64, "SHADER_INT64"),
        ]
        .into_iter()
        .filter_map(|(needed, feature, name)| needed.then_some((feature, name)))
        .collect()
    }

    /// Returns true if it folds logits.
    pub(crate) fn is_softmax(&self) -> bool {
        matches!(self.kernel, Kernel::Rows | Kernel::Columns)
    }

    /// Returns true if gradient or distribution is written.
    pub(crate) fn writes(&self) -> bool {
        self.is_softmax() && (self.grad || self.distribution.is_some())
    }

    /// Returns true if it reads a further tensor in the input's shape: class probabilities, or an upstream gradient.
    pub(crate) fn has_probabilities(&self) -> bool {
        matches!(self.target, Target::Probabilities(_) | Target::Upstream(_))
    }

    /// Returns true if powers replace the resident logits: if a gradient is all that is written, and it needs
    /// nothing else.
    pub(super) fn stores_powers(&self) -> bool {
        let RowFeatures { softcap, entropy_loss, .. } = self.row_features;
        let needs_logits = softcap || entropy_loss || self.row_features.wants_variance();
        self.layout.residency.is_resident()
            && self.grad
            && self.distribution.is_none()
            && !needs_logits
    }

    /// Returns true if the gradient of every class but the label's is a power times one number of its row, on the path
    /// of finite loads.
    pub(super) fn has_plain_gradient(&self) -> bool {
        let RowFeatures { entropy_loss, jacobian, .. } = self.row_features;
        self.layout.finite_path
            && self.grad
            && self.writes()
            && self.label_type().is_some()
            && self.distribution.is_none()
            && !(self.dense_target || entropy_loss || jacobian)
            && (!self.layout.residency.is_resident() || self.stores_powers())
    }

    /// Returns true if its blocks add to a lane's totals.
    pub(super) fn sums(&self) -> bool {
        match self.kernel {
            Kernel::Rows
            | Kernel::Columns
            | Kernel::Pointwise
            | Kernel::NllForward
            | Kernel::SumRowWeights => true,
            Kernel::NllBackward | Kernel::VarianceGrad | Kernel::LabelLogits => false,
            // These kernels do not walk over blocks.
            Kernel::ReducePartials | Kernel::ZeroFill => false,
            Kernel::MergeStates => false,
        }
    }

    /// Returns true if the totals of groups are summed; `group_totals` in `totals.wgsl`.
    fn sums_groups(&self) -> bool {
        self.kernel == Kernel::ReducePartials || self.sums() && self.counts()
    }

    /// Returns true if groups leave their totals as partials.
    pub(crate) fn leaves_partials(&self) -> bool {
        self.sums() && self.counts() && self.outcome == Outcome::Partial
    }

    /// Returns true if one group does all of the work, and what sums partials otherwise.
    pub(super) fn is_lone(&self) -> bool {
        self.sums() && self.outcome != Outcome::Partial
    }

    /// Returns true if it reads or writes the workspace: partials, the divisor, or the states of rows.
    pub(super) fn uses_workspace(&self) -> bool {
        let divides = self.grad && self.sums_weights && !self.own_divisor;
        match self.kernel {
            Kernel::ZeroFill => false,
            Kernel::MergeStates => self.states_from == StatePlace::Workspace,
            _ if self.phase == Phase::Fold => self.states_to == StatePlace::Workspace,
            _ if !self.is_lone() => true,
            _ => divides || self.outcome == Outcome::Divisor || self.phase != Phase::Whole,
        }
    }

    /// Returns true if rows may weigh other than 1, so that their weights have a sum of their own.
    pub(super) fn sums_row_weights(&self) -> bool {
        match self.kernel {
            Kernel::ReducePartials => self.weighs_rows,
            _ => self.weight.is_some() || self.row_features.row_weights,
        }
    }

    /// Returns the bytes of workgroup memory, as WebGPU counts them: each variable of `totals.wgsl`, `classes.wgsl`,
    /// `merge.wgsl`, `sums.wgsl`, `staged.wgsl` and `variance_grad.wgsl` rounded up to 16. wgpu does not check them
    /// against the device's limit if their number is a constant; browsers do.
    pub fn workgroup_bytes(&self) -> u64 {
        let Geometry { workgroup, lanes, cluster, .. } = self.layout.geometry;
        let RowFeatures { z_loss, accuracy, top_k, .. } = self.row_features;
        let variables = |number: u32, words: u32| {
            u64::from(number) * (4 * u64::from(words)).next_multiple_of(16)
        };
        let totals = match self.sums_groups() {
            true => {
                variables(2 + u32::from(self.sums_row_weights()) + u32::from(z_loss), workgroup)
                    + variables(5 + u32::from(accuracy) + u32::from(top_k), 1)
            }
            false => 0,
        };
        // The words that the clusters of a row merge: one for each field, and the maximum of the resident classes.
        let clusters = workgroup / cluster;
        let merged = match self.kernel {
            Kernel::Rows if lanes > cluster && self.phase != Phase::Write => {
                variables(1, self.state_words() * clusters)
                    + variables(self.layout.residency.is_resident().into(), clusters)
            }
            Kernel::VarianceGrad if lanes > cluster => variables(1, workgroup),
            _ => 0,
        };
        totals + merged + self.stage_bytes() + variables(1, CLASS_WORDS * self.group_classes)
    }

    /// Returns true if it reads the logits.
    pub(super) fn reads_logits(&self) -> bool {
        matches!(self.kernel, Kernel::NllForward | Kernel::LabelLogits)
            || self.evaluates()
            || self.is_softmax() && self.phase != Phase::Merge
    }

    /// Returns true if it adds losses to the totals.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.phase, Phase::Whole | Phase::Merge) && self.kernel != Kernel::MergeStates
    }

    /// Returns true if it writes the rows' records.
    pub(crate) fn writes_records(&self) -> bool {
        let of_rows = self.is_softmax() || self.kernel == Kernel::NllForward;
        of_rows && self.counts() && self.row_features.record.words() > 0
    }
}

/// Returns true if two elements share a word.
pub(crate) fn is_half(element_type: ElementType) -> bool {
    element_type.bytes() == 2
}

/// Prints the kernel and its layout, for people.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layout { geometry, load, residency, row_loads, by_class, pairs, short, .. } =
            self.layout;
        let Geometry { workgroup, lanes, .. } = geometry;
        write!(f, "{:?}", self.kernel)?;
        if self.phase != Phase::Whole {
            write!(f, " ({:?})", self.phase)?;
        }
        write!(f, ", {workgroup} lanes")?;
        if self.kernel == Kernel::Rows {
            write!(f, ", {lanes} to a row")?;
        }
        if self.is_softmax() && self.phase != Phase::Merge {
            write!(f, ", loads of {}, {:?}", load.elements(), residency)?;
        }
        if let Some(pointwise) = self.pointwise {
            write!(f, ", {:?}, loads of {}", pointwise.formula, load.elements())?;
        }
        if self.reads_logits() && self.input != ElementType::F32 {
            write!(f, ", {}", self.input.name())?;
        }
        let marks = [
            (row_loads == RowLoads::Strided, "strided"),
            (row_loads == RowLoads::Ragged, "ragged"),
            (by_class, "by class"),
            (row_loads == RowLoads::Loose, "anywhere"),
            (pairs, "in pairs"),
            (short, "short rows"),
            (self.layout.staged, "staged"),
            (self.cut && !self.shard, "cut rows"),
            (self.shard, "a shard of classes"),
        ];
        for (_, mark) in marks.into_iter().filter(|(on, _)| *on) {
            write!(f, ", {mark}")?;
        }
        Ok(())
    }
}
