//! Rows whose classes are split over several calls, as several machines have them: the states of each shard, the answer
//! of each from the states of all, and the answers put together.

use std::ops::Range;

use wgpu_loss::{
    CrossEntropy, Entropy, Error, Inputs, Loss, Output, Outputs, RowStates, Softmax, Summary,
};

use super::answer::Answer;
use super::data::Data;
use super::extras::Extras;

/// A computation of one call: a device, or the reference.
pub type Run<'a> = dyn Fn(&dyn Loss, &Inputs<'_>, Outputs) -> Result<Numbers, Error> + 'a;

/// A loss whose classes may be split.
pub trait Shardable: Loss {
    /// Returns the loss over a shard of its classes.
    fn shard(&self, first: u64, of: u64) -> Box<dyn Loss>;
}

impl Shardable for CrossEntropy {
    fn shard(&self, first: u64, of: u64) -> Box<dyn Loss> {
        Box::new(self.clone().class_shard(first, of))
    }
}

impl Shardable for Entropy {
    fn shard(&self, first: u64, of: u64) -> Box<dyn Loss> {
        Box::new(self.clone().class_shard(first, of))
    }
}

impl Shardable for Softmax {
    fn shard(&self, first: u64, of: u64) -> Box<dyn Loss> {
        Box::new(self.clone().class_shard(first, of))
    }
}

/// The results of one call.
#[derive(Clone, Debug)]
pub struct Numbers {
    pub answer: Answer,
    pub extras: Extras,
    pub states: Option<RowStates>,
    pub summary: Summary,
}

impl<T> From<Output<T>> for Numbers
where
    Answer: for<'a> From<&'a Output<T>>,
    Extras: for<'a> From<&'a Output<T>>,
{
    fn from(output: Output<T>) -> Self {
        Self {
            answer: Answer::from(&output),
            extras: Extras::from(&output),
            states: output.states,
            summary: output.summary,
        }
    }
}

/// A call whose classes are split.
pub struct Sharded<'a> {
    pub loss: &'a dyn Shardable,
    pub outputs: Outputs,
    classes: usize,
    shards: Vec<(Range<usize>, Data)>,
    whole: &'a Data,
}

impl<'a> Sharded<'a> {
    /// Splits the classes of `data` at `cuts`, which ascend.
    pub fn new(loss: &'a dyn Shardable, data: &'a Data, outputs: Outputs, cuts: &[usize]) -> Self {
        let classes = data.view.classes;
        let ends = cuts.iter().copied().chain([classes]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let shards = starts.zip(ends).map(|(start, end)| (start..end, data.of_classes(start..end)));
        Self { loss, outputs, classes, shards: shards.collect(), whole: data }
    }

    /// Returns the number of shards.
    pub fn count(&self) -> usize {
        self.shards.len()
    }

    /// Returns each shard's loss and data.
    pub fn shards(&self) -> impl Iterator<Item = (Box<dyn Loss>, &Data)> {
        self.shards.iter().map(|(classes, data)| {
            let loss = self.loss.shard(classes.start as u64, self.classes as u64);
            (loss, data)
        })
    }

    /// Returns the states of each shard.
    #[track_caller]
    pub fn states(&self, run: &Run<'_>) -> Vec<RowStates> {
        let states = self.shards().map(|(loss, data)| {
            let numbers = run(&*loss, &data.inputs(), self.outputs.only_states()).unwrap();
            assert!(numbers.answer.loss.is_empty() && numbers.answer.grad.is_none());
            numbers.states.expect("states were asked for")
        });
        states.collect()
    }

    /// Returns each shard's answer from the states of all.
    pub fn answers(
        &self,
        run: &Run<'_>,
        states: &[u32],
        shards: usize,
    ) -> Vec<Result<Numbers, Error>> {
        self.shards()
            .map(|(loss, data)| run(&*loss, &data.inputs().states(states, shards), self.outputs))
            .collect()
    }

    /// Returns the answer of all shards together. Their losses and outputs of rows are the same to the bit.
    #[track_caller]
    pub fn run(&self, what: &str, run: &Run<'_>) -> Numbers {
        let states = self.states(run);
        let words: Vec<u32> = states.iter().flat_map(|states| states.words()).copied().collect();
        let answers = self.answers(run, &words, self.count());
        let answers: Vec<Numbers> = answers.into_iter().map(Result::unwrap).collect();
        self.together(what, &answers)
    }

    /// Puts the shards' answers together.
    #[track_caller]
    pub fn together(&self, what: &str, answers: &[Numbers]) -> Numbers {
        let first = &answers[0];
        let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for other in answers {
            assert_eq!(bits(&other.answer.loss), bits(&first.answer.loss), "{what}: losses");
            let same = format!("{:?}", other.extras) == format!("{:?}", first.extras);
            assert!(same, "{what}: {:?} and {:?}", other.extras, first.extras);
            assert_eq!(format!("{:?}", other.summary), format!("{:?}", first.summary), "{what}");
        }
        let elements = |of: fn(&Answer) -> &Option<Vec<f64>>| {
            of(&first.answer).as_ref().map(|_| {
                let parts =
                    answers.iter().map(|n| of(&n.answer).as_deref().expect("of all shards"));
                self.whole_of(&parts.collect::<Vec<_>>())
            })
        };
        let answer = Answer {
            loss: first.answer.loss.clone(),
            grad: elements(|answer| &answer.grad),
            elements: elements(|answer| &answer.elements),
        };
        Numbers { answer, ..first.clone() }
    }

    /// Returns a tensor of all classes from its shards.
    fn whole_of(&self, parts: &[&[f64]]) -> Vec<f64> {
        let view = self.whole.view;
        let mut whole = vec![f64::NAN; view.elements()];
        for ((classes, data), part) in self.shards.iter().zip(parts) {
            assert_eq!(part.len(), data.view.elements());
            for (element, &number) in part.iter().enumerate() {
                let (row, class) = data.view.row_and_class(element);
                whole[view.row_start(row) + (classes.start + class) * view.inner] = number;
            }
        }
        whole
    }
}
