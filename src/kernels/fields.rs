//! The fields of a state of `shaders/shared/state.wgsl` beyond those that every state has. The merge of a field, and
//! the value that a class adds to it, are in its file in `shaders/fields/`.

use super::RowFeatures;
use super::spec::Spec;
use super::template::Value;

/// Words of a state without further fields: maximum, sum_exp_m1, flags, the label's logit.
const COMMON_WORDS: u32 = 4;

/// The relation of a field's values in several lanes with resident classes of the same row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Across {
    Sum,
    Least,
    /// All lanes have the same value.
    Same,
}

/// A field.
#[derive(Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    is_real: bool,
    /// The value of a state of no classes.
    identity: &'static str,
    across: Across,
}

impl Field {
    const fn real(name: &'static str, across: Across) -> Self {
        Self { name, is_real: true, identity: "0.0", across }
    }

    const fn word(name: &'static str, identity: &'static str, across: Across) -> Self {
        Self { name, is_real: false, identity, across }
    }

    /// Returns the names of the field for the files of `shaders/`, as number `index`.
    fn record(&self, index: usize) -> Value {
        let [components, scalar] = if self.is_real { ["Reals", "f32"] } else { ["Words", "u32"] };
        let at = COMMON_WORDS as usize + index;
        Value::Record(vec![
            ("name", Value::text(self.name)),
            ("components", Value::text(components)),
            ("rows", Value::text(format!("Row{components}"))),
            ("scalar", Value::text(scalar)),
            ("identity", Value::text(self.identity)),
            ("at", Value::text(format!("{at}u"))),
            ("is_real", Value::Flag(self.is_real)),
            ("sums", Value::Flag(self.across == Across::Sum)),
            ("least", Value::Flag(self.across == Across::Least)),
        ])
    }
}

impl RowFeatures {
    /// Returns the fields of a state; `dense_target`: every class may have a share.
    pub(super) fn fields(self, dense_target: bool) -> Vec<Field> {
        [
            (dense_target, Field::real("weighted_gap", Across::Sum)),
            (dense_target, Field::real("weight_sum", Across::Sum)),
            (self.finds_maximum(), Field::word("argmax", "NO_CLASS", Across::Least)),
            (self.counts_rank(), Field::word("label_rank", "0u", Across::Sum)),
            (self.sums_gaps(), Field::real("exp_gap_sum", Across::Sum)),
            (self.wants_variance(), Field::real("squares", Across::Sum)),
            (self.product, Field::real("product", Across::Sum)),
            (self.product, Field::real("u_max", Across::Same)),
        ]
        .into_iter()
        .filter_map(|(on, field)| on.then_some(field))
        .collect()
    }

    /// Returns the words of a state in the workspace; `STATE_WORDS` in the shaders.
    pub(crate) fn state_words(self, dense_target: bool) -> u32 {
        COMMON_WORDS + self.fields(dense_target).len() as u32
    }
}

impl Spec {
    /// Returns the words of a state.
    pub(super) fn state_words(&self) -> u32 {
        self.row_features.state_words(self.dense_target)
    }

    /// Returns FIELDS for the files of `shaders/`.
    pub(super) fn field_records(&self) -> Value {
        let fields = self.row_features.fields(self.dense_target);
        Value::List(fields.iter().enumerate().map(|(index, field)| field.record(index)).collect())
    }
}

/// Returns STATES for the files of `shaders/`: the state of a row, and of a component of a load.
pub(super) fn states() -> Value {
    let state = |name, kind, rows, is_fold| {
        Value::Record(vec![
            ("name", Value::text(name)),
            ("type", Value::text(kind)),
            ("reals", Value::text(format!("{rows}Reals"))),
            ("words", Value::text(format!("{rows}Words"))),
            ("is_fold", Value::Flag(is_fold)),
        ])
    };
    Value::List(vec![state("state", "State", "Row", false), state("fold", "Fold", "", true)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Shapes, StateField};
    use crate::{CrossEntropy, LabelType, Loss, Outputs, TargetType};

    fn name(field: &StateField) -> &'static str {
        match field {
            StateField::Max => "max",
            StateField::SumExpM1 => "sum_exp_m1",
            StateField::Flags => "flags",
            StateField::LabelLogit => "label_logit",
            StateField::WeightedGap => "weighted_gap",
            StateField::WeightSum => "weight_sum",
            StateField::Argmax => "argmax",
            StateField::ExpGapSum => "exp_gap_sum",
            StateField::Squares => "squares",
        }
    }

    /// The words that a problem says a record has are those that the kernels write.
    #[test]
    fn records_have_the_fields_of_states() {
        let common = ["max", "sum_exp_m1", "flags", "label_logit"];
        for bits in 0..64u32 {
            let is_on = |bit: u32| bits >> bit & 1 == 1;
            let mut outputs = Outputs::loss().only_states();
            (outputs.argmax, outputs.accuracy) = (is_on(0), is_on(1));
            (outputs.entropy, outputs.variance, outputs.lse) = (is_on(2), is_on(3), is_on(4));
            let loss = CrossEntropy::new().label_smoothing(if is_on(5) { 0.1 } else { 0.0 });
            let labels = TargetType::Labels(LabelType::U8);
            let shapes = Shapes::new(&[8, 3]).target(labels, &[8]);
            let problem = loss.problem(&shapes, outputs).unwrap();
            let of_kernels = RowFeatures::of(&problem).fields(problem.has_dense_target());
            let of_kernels = of_kernels.iter().map(|field| field.name);
            let wanted: Vec<_> = common.into_iter().chain(of_kernels).collect();
            let named: Vec<_> = problem.state_fields().iter().map(name).collect();
            assert_eq!(named, wanted, "{outputs:?}");
        }
    }
}
