//! Specialisations: which kernel, with which parts, in which geometry.

use crate::LabelType;
use crate::loss::Upstream;
use crate::plan::Geometry;

/// The kernels, one WGSL file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Softmax losses over contiguous classes.
    Rows,
    /// Softmax losses where rows are neighbours.
    Columns,
    /// nll forward.
    Gather,
    /// nll gradient.
    GatherGrad,
    /// The mean's divisor from the labels.
    Weigh,
    /// Partials to the loss (or, before gradients, to the divisor).
    Finish,
}

/// What a second read of the logits writes beside the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elements {
    /// Log-probabilities.
    LogProbs,
    /// Probabilities.
    Probs,
}

/// The target of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// None: the distribution itself.
    None,
    /// Labels, read in their type.
    Labels(LabelType),
    /// Class probabilities.
    Probabilities,
}

/// How many packs a lane folds: it decides the loops around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// A few: one plain loop. Every further loop costs a software driver a masked turn.
    Few,
    /// Enough to load four at a time.
    Fours,
    /// So many that they are summed in chunks of [`CHUNK`], to keep the sums short.
    Chunks,
}

/// Packs a lane folds before it starts a new sum. The rounding error of a sum grows with its length.
pub const CHUNK: u32 = 128;

impl Depth {
    /// For lanes that fold `packs` each.
    pub fn of(packs: usize) -> Self {
        match packs {
            0..8 => Depth::Few,
            packs if packs <= CHUNK as usize => Depth::Fours,
            _ => Depth::Chunks,
        }
    }
}

/// A specialisation: everything that a kernel's text depends on, and the key of its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Which kernel.
    pub kernel: Kernel,
    /// The target.
    pub target: Target,
    /// Every class carries weight: class probabilities, or label smoothing.
    pub spread: bool,
    /// Class weights.
    pub weight: bool,
    /// Form of the upstream gradient; only gradients look at it.
    pub upstream: Upstream,
    /// The divisor comes from the labels.
    pub label_weights: bool,
    /// For [`Kernel::Finish`]: only the divisor is wanted.
    pub divisor_only: bool,
    /// One loss per row is written.
    pub row_loss: bool,
    /// The gradient is written.
    pub grad: bool,
    /// The gradient overwrites the logits.
    pub in_place: bool,
    /// Log-probabilities or probabilities are written.
    pub elements: Option<Elements>,
    /// Loads of four elements.
    pub wide: bool,
    /// For [`Kernel::Rows`]: a row's classes are `inner` apart.
    pub strided: bool,
    /// The loops of the fold.
    pub depth: Depth,
    /// The layout of lanes.
    pub geometry: Geometry,
}

impl Spec {
    /// A kernel with nothing switched on.
    pub fn new(kernel: Kernel, geometry: Geometry) -> Self {
        Self {
            kernel,
            target: Target::None,
            spread: false,
            weight: false,
            upstream: Upstream::Ones,
            label_weights: false,
            divisor_only: false,
            row_loss: false,
            grad: false,
            in_place: false,
            elements: None,
            wide: false,
            strided: false,
            depth: Depth::Few,
            geometry,
        }
    }

    /// Whether the logits are read a second time, to write gradient or distribution.
    pub(super) fn writes(&self) -> bool {
        let softmax = matches!(self.kernel, Kernel::Rows | Kernel::Columns);
        softmax && (self.grad || self.elements.is_some())
    }

    /// The symbols that `#if` in the shaders asks for.
    pub(super) fn symbols(&self) -> Vec<&'static str> {
        let label = match self.target {
            Target::Labels(label_type) => Some(label_type),
            _ => None,
        };
        let g = self.geometry;
        [
            (self.kernel == Kernel::Finish, "FINISH"),
            (label.is_some(), "LABELS"),
            (label.is_some_and(LabelType::signed), "LABEL_SIGNED"),
            (label.is_some_and(|l| l.bytes() == 8), "LABEL_8_BYTES"),
            (self.target == Target::Probabilities, "PROBABILITIES"),
            (self.spread, "SPREAD"),
            (self.weight, "WEIGHT"),
            (self.upstream == Upstream::Scalar, "UPSTREAM_SCALAR"),
            (self.upstream == Upstream::PerRow, "UPSTREAM_ROWS"),
            (self.label_weights, "LABEL_WEIGHTS"),
            (self.divisor_only, "DIVISOR_ONLY"),
            (self.row_loss, "ROW_LOSS"),
            (self.grad, "GRAD"),
            (self.in_place, "IN_PLACE"),
            (self.elements.is_some(), "ELEMENTS"),
            (self.elements == Some(Elements::Probs), "PROBS"),
            (self.writes(), "WRITES"),
            (self.wide, "WIDE"),
            (self.strided, "STRIDED"),
            (self.depth >= Depth::Fours, "FOURS"),
            (self.depth == Depth::Chunks, "CHUNKS"),
            (g.cluster > 1, "SUBGROUPS"),
            (g.lanes > g.cluster, "SHARED_STATES"),
        ]
        .into_iter()
        .filter_map(|(on, symbol)| on.then_some(symbol))
        .collect()
    }

    /// The numbers that the shaders name.
    pub(super) fn constants(&self) -> Vec<(&'static str, u32)> {
        let mut constants = vec![("WORKGROUP", self.geometry.workgroup)];
        if self.kernel == Kernel::Rows {
            constants.push(("LANES", self.geometry.lanes));
            constants.push(("CLUSTER", self.geometry.cluster));
        }
        if self.depth == Depth::Chunks {
            constants.push(("CHUNK", CHUNK));
        }
        if let Target::Labels(label_type) = self.target {
            constants.push(("LABEL_BYTES", label_type.bytes()));
        }
        constants
    }
}
