//! The values of the names in the files of `shaders/`, for one specialisation.

use super::fields::states;
use super::layout::{CHUNK, Layout, Residency, RowLoads, VectorWidth};
use super::params::origin_of;
use super::spec::{
    Distribution, Kernel, Outcome, Phase, SUMMED_ROWS, Spec, StatePlace, Target, is_half,
};
use super::stores::{COMPONENTS, stores};
use super::template::{Names, Value};
use super::tensor::ClassTensor;
use crate::loss::Upstream;
use crate::tensor::TensorSlot;
use crate::{ElementType, LabelType, words};

impl Spec {
    /// Returns all names.
    pub(super) fn names(&self) -> Names {
        let mut names = Names::default();
        names.insert_flags(self.flags());
        let weight = self.weight.unwrap_or_default();
        names.insert("WEIGHT_TYPE", Value::text(weight.name()));
        names.insert("GRAD_TYPE", Value::text(self.output.name()));
        names.insert("HALVES", Value::texts(self.halves().iter().copied()));
        names.insert("COMPONENTS", Value::texts(COMPONENTS));
        names.insert("SUMMED", Value::texts((0..SUMMED_ROWS).map(|k| k.to_string())));
        names.insert("REGISTERS", Value::texts((0..self.registers()).map(|k| format!("{k}u"))));
        names.insert("FIELDS", self.field_records());
        let constant = |&(name, value): &(&'static str, u32)| {
            Value::Record(vec![
                ("name", Value::text(name)),
                ("value", Value::text(value.to_string())),
            ])
        };
        let param = |(name, kind): (String, &'static str)| {
            Value::Record(vec![("name", Value::text(name)), ("type", Value::text(kind))])
        };
        names.insert("PARAMS", Value::List(self.params().map(param).collect()));
        names.insert("CONSTANTS", Value::List(words::ALL.iter().map(constant).collect()));
        let sums: &[&str] =
            if self.group_classes > 0 { &["classes", "group_classes"] } else { &["classes"] };
        names.insert("CLASS_SUMS", Value::texts(sums.iter().copied()));
        names.insert("COUNTED", Value::text(sums[sums.len() - 1]));
        names.insert("RAISED_BY", Value::text(words::RAISED_BY.to_string()));
        names.insert("STATES", states());
        let [given, written] = [TensorSlot::GivenStates, TensorSlot::States];
        for (place, slot, variable, first) in [
            (self.states_from, given, "STATES_READ", "FIRST_READ"),
            (self.states_to, written, "STATES_WRITTEN", "FIRST_WRITTEN"),
        ] {
            let in_tensor = place == StatePlace::Tensor;
            let slot_of_place = if in_tensor { slot } else { TensorSlot::Workspace };
            names.insert(variable, Value::text(slot_of_place.variable()));
            let start = if in_tensor { origin_of(slot.variable()) } else { "states".to_owned() };
            names.insert(first, Value::text(start));
        }
        names.insert(
            "PATHS",
            Value::List(
                self.paths()
                    .iter()
                    .map(|&(name, finite)| {
                        Value::Record(vec![
                            ("name", Value::text(name)),
                            ("finite", Value::Flag(finite)),
                        ])
                    })
                    .collect(),
            ),
        );
        names.insert("RECORD_STORES", Value::texts(stores(self)));
        let tensors = |which: fn(&ClassTensor) -> bool| {
            Value::List(self.tensors().filter(which).map(|tensor| tensor.record(self)).collect())
        };
        names.insert("READ", tensors(|tensor| tensor.read));
        names.insert("WRITTEN", tensors(|tensor| tensor.written));
        names.insert("STAGES", self.stage_records());
        names.insert("OPERANDS", Value::List(self.operands().map(|o| o.record()).collect()));
        names
    }

    /// Returns the halves of a load, as the arithmetic uses them.
    fn halves(&self) -> &'static [&'static str] {
        match self.layout.load {
            VectorWidth::Eight => &["a", "b"],
            VectorWidth::One | VectorWidth::Four => &["a"],
        }
    }

    /// Returns the paths of resident classes, with the endings of their functions' names; true for finite classes.
    fn paths(&self) -> &'static [(&'static str, bool)] {
        if self.layout.finite_path { &[("", false), ("_finite", true)] } else { &[("", false)] }
    }

    /// Returns the number of loads that a lane keeps. Loops over them are written out: drivers do not reliably unroll
    /// loops, and an array with a variable index is placed in memory, not in registers.
    pub(super) fn registers(&self) -> u32 {
        match self.layout.residency {
            Residency::Resident { loads, .. } => loads,
            _ => 0,
        }
    }

    /// Returns true if the gradient of a class is `V p - v`, v its share of the target.
    fn has_shares(&self) -> bool {
        self.dense_target && !self.row_features.entropy_loss && !self.row_features.product
    }

    /// Returns the flags that conditions may ask for.
    fn flags(&self) -> Vec<(bool, &'static str)> {
        let label = self.label_type();
        let halves = self.half_types();
        // Each single element is a row.
        let columns = self.kernel == Kernel::Columns || self.is_pointwise();
        [
            (halves.contains(&ElementType::BF16), "BF16"),
            (halves.contains(&ElementType::F16), "F16"),
            (self.native_f16, "NATIVE_F16"),
            (self.rounds_f16, "ROUNDS_F16"),
            (label.is_some(), "LABELS"),
            (label.is_some_and(LabelType::signed), "LABEL_SIGNED"),
            (label.is_some_and(|l| l.bytes() == 8), "LABEL_8_BYTES"),
            (self.has_probabilities(), "PROBABILITIES"),
            (self.dense_target, "DENSE_TARGET"),
            (self.has_shares(), "SHARES"),
            (self.weight.is_some(), "WEIGHT"),
            (self.weight.is_some_and(is_half), "WEIGHT_HALVES"),
            (self.grad && is_half(self.output), "GRAD_HALVES"),
            (self.upstream == Upstream::Scalar, "UPSTREAM_SCALAR"),
            (self.upstream == Upstream::PerRow, "UPSTREAM_ROWS"),
            (self.sums_weights, "SUMS_WEIGHTS"),
            (self.sums_row_weights(), "WEIGHS_ROWS"),
            (self.leaves_partials(), "PARTIALS"),
            (self.outcome == Outcome::Divisor, "DIVISOR"),
            (self.outcome == Outcome::Result, "RESULT"),
            (self.is_lone(), "LONE"),
            (self.own_divisor, "OWN_DIVISOR"),
            (self.row_loss, "ROW_LOSS"),
            (self.grad, "GRAD"),
            (self.distribution.is_some(), "DISTRIBUTION"),
            (self.every_row, "EVERY_ROW"),
            (self.distribution == Some(Distribution::Probs), "PROBS"),
            (self.writes(), "WRITES"),
            (label.is_some_and(|l| l.bytes() == 4), "LABEL_4_BYTES"),
            (label.is_some_and(|l| l.bytes() == 2), "LABEL_2_BYTES"),
            (self.writes_records(), "RECORD"),
            (columns, "PACKED_ROWS"),
            (columns && self.layout.is_wide(), "ROW_VECTORS"),
            (self.layout.by_class && self.in_place, "READ_BY_OTHERS"),
            (self.stores_powers(), "POWERS"),
            (self.has_plain_gradient(), "PLAIN_GRAD"),
            (self.cut, "CUT"),
            (self.apart, "APART"),
            (self.shard, "SHARD"),
            (self.states_from != StatePlace::Nowhere, "READS_STATES"),
            (self.states_to != StatePlace::Nowhere, "KEEPS_STATES"),
            (self.phase == Phase::Fold, "FOLD"),
            (self.phase == Phase::Merge, "MERGE"),
            (self.phase == Phase::Write, "WRITE"),
            (matches!(self.phase, Phase::Merge | Phase::Write), "MERGED"),
            (self.phase != Phase::Whole, "PARTS"),
            (matches!(self.phase, Phase::Fold | Phase::Write), "SPLIT"),
            (self.counts(), "COUNTS"),
            (self.sums(), "SUMS"),
            (self.group_classes > 0, "GROUP_SUMS"),
        ]
        .into_iter()
        .chain(self.layout.flags())
        .chain(self.row_features.flags())
        .chain(self.pointwise_flags())
        .collect()
    }

    /// Returns the numbers that the shaders name.
    pub(super) fn constants(&self) -> Vec<(&'static str, u32)> {
        let Layout { geometry, residency, .. } = self.layout;
        let mut constants = vec![("WORKGROUP", geometry.workgroup)];
        if matches!(self.kernel, Kernel::Rows | Kernel::MergeStates) {
            constants.push(("LANES", geometry.lanes));
            constants.push(("CLUSTER", geometry.cluster));
        }
        if self.kernel == Kernel::SumRowWeights {
            constants.push(("SUMMED_ROWS", SUMMED_ROWS));
        }
        match residency {
            Residency::Resident { loads, full } => {
                constants.extend([("RESIDENT_LOADS", loads), ("FULL", full)])
            }
            Residency::Chunks => constants.push(("CHUNK", CHUNK)),
            Residency::Few | Residency::Fours => {}
        }
        if self.layout.staged {
            constants
                .extend([("STAGE_RUN", self.stage_run()), ("STAGE_STRIDE", self.stage_stride())]);
        }
        if self.phase != Phase::Whole {
            constants.push(("STATE_WORDS", self.state_words()));
        }
        if self.writes_records() {
            constants.push(("RECORD_WORDS", self.row_features.record.words()));
        }
        if self.group_classes > 0 {
            constants.push(("GROUP_CLASSES", self.group_classes));
        }
        if let Target::Labels(label_type) = self.target {
            constants.push(("LABEL_BYTES", label_type.bytes()));
        }
        constants
    }
}

impl Layout {
    /// Returns the flags that depend on the layout alone.
    fn flags(&self) -> Vec<(bool, &'static str)> {
        let Self { geometry, load, residency, row_loads, .. } = *self;
        vec![
            // Only software drivers have loads of 64-bit numbers.
            (self.u64_loads, "SOFTWARE"),
            (self.label_packs, "LABEL_PACKS"),
            (self.record_packs, "RECORD_PACKS"),
            (self.weight_packs, "WEIGHT_PACKS"),
            (self.neighbours, "NEIGHBOURS"),
            (self.is_wide(), "WIDE"),
            (load == VectorWidth::Eight, "EIGHT"),
            (self.short, "SHORT"),
            (self.staged, "STAGED"),
            (row_loads == RowLoads::Strided, "STRIDED"),
            (row_loads == RowLoads::Ragged, "RAGGED"),
            (self.by_class, "BY_CLASS"),
            (row_loads == RowLoads::Loose, "LOOSE"),
            (row_loads.start_anywhere(), "ANYWHERE"),
            (row_loads == RowLoads::Ragged || self.by_class, "PARTIAL"),
            (self.pairs, "PAIRS"),
            (self.finite_path, "FINITE_PATH"),
            (residency.is_resident(), "RESIDENT"),
            (matches!(residency, Residency::Fours | Residency::Chunks), "FOURS"),
            (residency == Residency::Chunks, "CHUNKS"),
            (geometry.cluster > 1, "SUBGROUPS"),
            (geometry.whole_subgroups && residency.is_resident(), "REDUCTIONS"),
            (geometry.lanes > geometry.cluster, "SHARED_STATES"),
        ]
    }
}
