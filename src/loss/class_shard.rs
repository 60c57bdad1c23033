//! Rows whose classes are split over several calls: the classes of one call, and the fields of the states that calls
//! exchange.

use super::{Function, Outputs, Problem, Shapes};
use crate::Error;
use crate::tensor::ClassView;

/// The classes of an input that has not all of its rows' classes; a part of the [`Problem`].
///
/// ```
/// use wgpu_loss::loss::{ClassShard, Loss, Shapes};
/// use wgpu_loss::{CrossEntropy, LabelType, Outputs, TargetType};
///
/// // The classes 50,000 to 99,999 of 150,000.
/// let shapes = Shapes::new(&[8, 50_000]).target(TargetType::Labels(LabelType::U32), &[8]);
/// let loss = CrossEntropy::new().class_shard(50_000, 150_000);
/// let problem = loss.problem(&shapes, Outputs::loss().only_states())?;
/// assert_eq!(problem.class_shard, Some(ClassShard { first: 50_000, of: 150_000 }));
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassShard {
    /// The number of the input's first class.
    pub first: u64,
    /// The number of all classes.
    pub of: u64,
}

impl ClassShard {
    /// Returns the classes of a call that takes or returns states; `None` for calls over whole rows. `given` is the
    /// option of the loss.
    pub(super) fn of_call(
        given: Option<Self>,
        view: &ClassView,
        shapes: &Shapes<'_>,
        outputs: Outputs,
    ) -> Result<Option<Self>, Error> {
        let refuse =
            |given: String, wanted| Err(Error::Option { option: "class_shard", given, wanted });
        let by_states = outputs.states || shapes.states.is_some();
        if by_states {
            Self::check(outputs, shapes.states)?;
        }
        let classes = view.classes as u64;
        match given {
            None => Ok(by_states.then_some(Self { first: 0, of: classes })),
            Some(Self { first, of }) if first.checked_add(classes).is_none_or(|end| end > of) => {
                refuse(
                    format!(
                        "classes {first} to {} of {of}",
                        u128::from(first) + u128::from(classes)
                    ),
                    "a shard must end within the classes",
                )
            }
            Some(Self { first, of }) if !by_states => refuse(
                format!("classes {first} to {} of {of}", first + classes),
                "a call must ask for its states, or have the states of all shards",
            ),
            shard => Ok(shard),
        }
    }

    /// Returns an error for outputs that need more of a row's other classes than their states, and for no states at all.
    fn check(outputs: Outputs, shards: Option<usize>) -> Result<(), Error> {
        let refused = [
            (outputs.rank, "rank"),
            (outputs.top_k > 0, "top_k"),
            (outputs.class_losses, "class_losses"),
        ];
        if let Some((_, option)) = refused.into_iter().find(|(asked, _)| *asked) {
            let wanted = "states do not have it: it needs whole rows";
            return Err(Error::Option { option, given: "asked for".into(), wanted });
        }
        match shards {
            Some(0) => Err(Error::Option {
                option: "states",
                given: "of 0 shards".into(),
                wanted: "those of 1 shard or more",
            }),
            _ => Ok(()),
        }
    }
}

/// A word of a row's state: see [`RowStates`](crate::RowStates).
///
/// In the formulas, `z` are the mapped logits of a shard's classes, `m` is the largest of them, and `v_c` are the classes'
/// shares of the target.
///
/// ```
/// use wgpu_loss::{CrossEntropy, Inputs, Outputs, StateField, Tensor, reference};
///
/// let inputs = Inputs::new(Tensor::new(&[0.0; 4], &[1, 4])).labels(&[2u8], &[1]);
/// let output = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss().only_states())?;
/// let states = output.states.expect("states were asked for");
/// let word = |wanted| {
///     let at = states.fields().iter().position(|field| *field == wanted);
///     f32::from_bits(states.words()[at.expect("every state has it")])
/// };
/// // The log-sum-exp of the row, over the shard's classes.
/// let lse = word(StateField::Max) + word(StateField::SumExpM1).ln_1p();
/// assert_eq!(lse, 4f32.ln());
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateField {
    /// `m`, an f32. Without classes, or with all of them at `-inf`, the lowest finite f32.
    Max,
    /// `sum_c exp(z_c - m) - 1`, computed without the maximum's own 1; an f32. -1 without classes.
    SumExpM1,
    /// Bits: 1 if a class is NaN or `+inf`, or its share is not finite; 2 and 4 if a class at `-inf` has a positive or
    /// a negative share.
    Flags,
    /// The label's logit, an f32: `z_c`, or if there is a soft cap the logit itself, before cap and scale. The word 0 if
    /// the shard does not have the label.
    LabelLogit,
    /// `sum_c v_c (m - z_c)`, an f32: label smoothing and class probabilities.
    WeightedGap,
    /// `sum_c v_c`, an f32: label smoothing and class probabilities.
    WeightSum,
    /// The first class at the maximum, a u32 that counts all classes; `u32::MAX` without one.
    Argmax,
    /// `sum_c exp(z_c - m) (m - z_c)`, an f32: entropy and variance.
    ExpGapSum,
    /// `sum_c exp(z_c - m) (m - z_c - g)^2`, `g` the mean gap, an f32: the variance.
    Squares,
}

impl Problem {
    /// Returns the number of all classes: more than the input's if it has a shard of them.
    pub fn all_classes(&self) -> u64 {
        self.class_shard.map_or(self.view.classes as u64, |shard| shard.of)
    }

    /// Returns the number of the input's first class.
    pub(crate) fn first_class(&self) -> u64 {
        self.class_shard.map_or(0, |shard| shard.first)
    }

    /// Returns the fields of a row's state, in their order: the same for each shard of a loss and its outputs.
    ///
    /// ```
    /// use wgpu_loss::loss::{Loss, Shapes};
    /// use wgpu_loss::{CrossEntropy, LabelType, Outputs, StateField, TargetType};
    ///
    /// let shapes = Shapes::new(&[8, 3]).target(TargetType::Labels(LabelType::U8), &[8]);
    /// let outputs = Outputs::loss().with_argmax().only_states();
    /// let problem = CrossEntropy::new().class_shard(3, 10).problem(&shapes, outputs)?;
    /// let fields = [StateField::Max, StateField::SumExpM1, StateField::Flags, StateField::LabelLogit];
    /// assert_eq!(problem.state_fields(), [&fields[..], &[StateField::Argmax]].concat());
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    pub fn state_fields(&self) -> Vec<StateField> {
        use StateField::{
            Argmax, ExpGapSum, Flags, LabelLogit, Max, Squares, SumExpM1, WeightSum, WeightedGap,
        };
        let Outputs { argmax, accuracy, entropy, variance, .. } = self.outputs;
        let dense = self.has_dense_target();
        let entropy = entropy || self.function == Function::Entropy;
        [
            (true, Max),
            (true, SumExpM1),
            (true, Flags),
            (true, LabelLogit),
            (dense, WeightedGap),
            (dense, WeightSum),
            (argmax || accuracy, Argmax),
            (entropy || variance, ExpGapSum),
            (variance, Squares),
        ]
        .into_iter()
        .filter_map(|(on, field)| on.then_some(field))
        .collect()
    }

    /// Returns true if the logits are read: if states are computed from them, or elements written.
    pub(crate) fn reads_logits(&self) -> bool {
        self.states.is_none() || self.writes_elements()
    }

    /// Returns true if given states are merged, and nothing else is computed.
    pub(crate) fn only_merges(&self) -> bool {
        self.outputs.states && self.states.is_some()
    }

    /// Returns the part of a problem from given states that does not depend on the shard: losses and outputs of rows,
    /// as for a shard of no classes. All shards plan it alike, so that its sums have the same bits.
    pub(crate) fn of_no_classes(&self) -> Self {
        let mut input_shape = self.input_shape.clone();
        // A scalar, which is a distribution over one class, has no axis.
        input_shape.get_mut(self.class_axis).into_iter().for_each(|extent| *extent = 0);
        Self {
            view: ClassView { classes: 0, ..self.view },
            input_shape,
            class_shard: Some(ClassShard { first: 0, of: self.all_classes() }),
            outputs: Outputs { grad: false, log_probs: false, probs: false, ..self.outputs },
            ..self.clone()
        }
    }
}
