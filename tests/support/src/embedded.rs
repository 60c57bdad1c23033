//! The library as a host embeds it: the host's buffers, encoder, pass and submission. Each tensor
//! is somewhere inside a larger buffer, outputs are poisoned first, and all words that no kernel
//! may write are checked afterwards.

use std::cell::Cell;

use wgpu_loss::loss::Function;
use wgpu_loss::{
    Bound, Buffers, CLASS_BYTES, Decoded, ElementType, Gpu, LargeOutput, Plan, Problem, Reduction,
    RowOutputs, Summary, class_losses,
};

use super::answer::Answer;
use super::data::{Data, Target};
use super::extras::Extras;
use super::floats::from_bytes;

/// The content of outputs before they are written: a NaN that no kernel writes.
pub const POISON: u32 = 0x7fc0_dead;

/// The words before and after a tensor. As labels: 0xee, 0xeeee, ... are bad ones.
const GUARD: u32 = 0xeeee_eeee;

/// The content of outputs of two bytes before they are written.
const POISON_HALF: u16 = 0xdead;

/// Words after each tensor: more than any kernel reads or writes at once.
const AFTER: usize = 1100;

/// The placement of the tensors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Words in front of each tensor.
    pub lead: usize,
    /// The gradient overwrites the input.
    pub in_place: bool,
    /// All tensors are in one buffer, a word between each and the next.
    pub arena: bool,
}

/// The buffers that tensors are put into.
pub enum Room {
    /// Each into a buffer of its own.
    Apart,
    /// One after the other into one buffer, which has so many words in use.
    Arena(wgpu::Buffer, Cell<usize>),
}

impl Room {
    /// A room for tensors of so many words in all.
    pub fn new(gpu: &Gpu, arena: bool, words: usize) -> Self {
        match arena {
            true => Self::Arena(buffer(gpu, &vec![GUARD; words]), Cell::new(0)),
            false => Self::Apart,
        }
    }

    /// Puts words into a buffer: which, and where in it they begin.
    pub fn place(&self, gpu: &Gpu, words: &[u32]) -> (wgpu::Buffer, usize) {
        let Self::Arena(arena, used) = self else { return (buffer(gpu, words), 0) };
        let start = used.replace(used.get() + words.len());
        gpu.queue().write_buffer(arena, 4 * start as u64, bytemuck::cast_slice(words));
        (arena.clone(), start)
    }

    /// Returns the number of guards after each tensor, of those that there would be in a buffer of its own.
    pub fn after(&self, apart: usize) -> usize {
        if matches!(self, Self::Apart) { apart } else { 1 }
    }
}

/// A tensor inside a buffer.
struct Held {
    name: &'static str,
    buffer: wgpu::Buffer,
    /// The start of the guards before the tensor in the buffer.
    start: usize,
    lead: usize,
    after: usize,
    /// The tensor's words before the run.
    words: Vec<u32>,
    written: bool,
    /// The last word holds one element of two bytes, and a guard.
    filled: bool,
}

/// A plan bound to poisoned and guarded buffers.
pub struct Embedded<'a> {
    gpu: &'a Gpu,
    pub bound: Bound,
    tensors: Vec<Held>,
}

/// The contents of the buffers after a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// The reduced loss as a word; softmax has none.
    pub reduced: Option<u32>,
    /// The rows' losses as words, for reduction `none`.
    pub rows: Option<Vec<u32>>,
    pub grad: Option<Vec<u32>>,
    pub elements: Option<Vec<u32>>,
    /// The rows' records and the classes' sums.
    pub records: Option<Vec<u32>>,
    pub classes: Option<Vec<u32>>,
    /// The rows' states.
    pub states: Option<Vec<u32>>,
    /// The reduced z-loss, where there is one.
    pub z_loss: Option<u32>,
    pub summary: Summary,
}

impl<'a> Embedded<'a> {
    /// Puts the data into buffers and binds the plan to them.
    #[track_caller]
    pub fn new(gpu: &'a Gpu, data: &Data, plan: Plan, place: Place) -> Self {
        Self::from_states(gpu, data, plan, place, &[])
    }

    /// Puts the data, and the states of rows, into buffers and binds the plan to them.
    #[track_caller]
    pub fn from_states(
        gpu: &'a Gpu,
        data: &Data,
        plan: Plan,
        place: Place,
        given_states: &[u32],
    ) -> Self {
        let problem = plan.problem().clone();
        let (rows, elements) = (data.view.rows(), data.view.elements());
        let mut tensors = Vec::new();
        // Ten tensors at most, none of which has more words than this.
        let weights = data.weight.as_ref().map_or(0, Vec::len);
        let each = 2 * elements + 16 * rows + 64 * data.view.classes + place.lead + 64;
        let each = each + weights + given_states.len();
        let room = Room::new(gpu, place.arena, 10 * each);
        let mut hold = |name, words, written| {
            tensors.push(Held::new(gpu, &room, name, words, place.lead, written));
        };
        let [input, probabilities, weight] = data.bytes();
        hold("input", padded(&input), place.in_place);
        match &data.target {
            Target::None => {}
            Target::Labels(labels) => hold("target", padded(labels.borrow().bytes()), false),
            Target::Probabilities(_) => hold("target", padded(&probabilities), false),
        }
        if data.weight.is_some() {
            hold("weight", padded(&weight), false);
        }
        if let Some(gradients) = data.upstream_bytes() {
            hold("upstream", padded(&gradients), false);
        }
        if let Some(weights) = &data.row_weights {
            hold("row_weights", bytemuck::pod_collect_to_vec(weights), false);
        }
        if !given_states.is_empty() {
            hold("given_states", given_states.to_vec(), false);
        }
        let only_states = problem.outputs.states;
        if only_states {
            hold("states", vec![POISON; problem.state_fields().len() * rows], true);
        }
        let record = problem.record().len();
        if record > 0 && !only_states {
            hold("records", vec![POISON; record * rows], true);
        }
        if problem.outputs.class_losses {
            hold("classes", vec![POISON; CLASS_BYTES as usize / 4 * data.view.classes], true);
        }
        if problem.reduction == Reduction::None && !only_states {
            hold("loss", vec![POISON; rows], true);
        }
        if problem.outputs.grad && !place.in_place {
            hold("grad", poisoned(problem.output_type, elements), true);
        }
        let distribution = problem.outputs.log_probs || problem.function == Function::Softmax;
        if distribution && !only_states {
            hold("elements", poisoned(problem.output_type, elements), true);
        }
        let mut buffers = Buffers::new(tensors[0].range());
        for tensor in &tensors[1..] {
            let range = tensor.range();
            buffers = match tensor.name {
                "target" => buffers.target(range),
                "weight" => buffers.weight(range),
                "upstream" => buffers.upstream(range),
                "row_weights" => buffers.row_weights(range),
                "records" => buffers.records(range),
                "classes" => buffers.classes(range),
                "given_states" => buffers.given_states(range),
                "states" => buffers.states(range),
                "loss" => buffers.loss(range),
                "grad" => buffers.grad(range),
                _ => buffers.distribution(range),
            };
        }
        if place.in_place {
            buffers = buffers.grad_in_place();
        }
        let bound = Bound::new(gpu.kernels(), plan, &buffers).unwrap();
        Self { gpu, bound, tensors }
    }

    /// Records the work once, submits it and returns the results.
    #[track_caller]
    pub fn run(&self) -> Results {
        submit(self.gpu, |pass| self.bound.record(pass));
        self.results()
    }

    /// Returns a result as a host reads it.
    pub fn decoded(&self) -> Decoded {
        let result = read_words(self.gpu, self.bound.result().buffer);
        self.bound.decode(bytemuck::cast_slice(&result)).unwrap()
    }

    /// Reads the results.
    ///
    /// # Panics
    /// If an output's element was not written, or another word was.
    #[track_caller]
    pub fn results(&self) -> Results {
        let problem = self.bound.plan().problem();
        let result = read_words(self.gpu, self.bound.result().buffer);
        let summary = self.bound.decode(bytemuck::cast_slice(&result)).unwrap().summary;
        let reduced = problem.reduction != Reduction::None
            && problem.function != Function::Softmax
            && !problem.outputs.states;
        let z_loss = reduced && problem.z_loss != 0.0;
        let mut results = Results {
            reduced: reduced.then_some(result[0]),
            records: None,
            classes: None,
            states: None,
            z_loss: z_loss.then_some(result[10]),
            rows: None,
            grad: None,
            elements: None,
            summary,
        };
        for tensor in &self.tensors {
            let words = tensor.read(self.gpu);
            let (count, output) = (problem.view.elements(), problem.output_type);
            let elements = |words: &[u32]| {
                let bytes = &bytemuck::cast_slice(words)[..count * output.bytes() as usize];
                from_bytes(output, bytes).iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
            };
            if !tensor.written {
                continue;
            }
            if let "loss" | "records" | "classes" | "states" = tensor.name {
                let missed = words.iter().position(|&word| word == POISON);
                assert_eq!(missed, None, "an element of {} was not written", tensor.name);
                match tensor.name {
                    "loss" => results.rows = Some(words),
                    "records" => results.records = Some(words),
                    "states" => results.states = Some(words),
                    _ => results.classes = Some(words),
                }
                continue;
            }
            // A value of two poisoned bytes is none that the tests' data lead to.
            let missed = match output.bytes() {
                2 => bytemuck::cast_slice::<u32, u16>(&words).contains(&POISON_HALF),
                _ => words.contains(&POISON),
            };
            assert!(!missed, "an element of {} was not written", tensor.name);
            match tensor.name {
                "elements" => results.elements = Some(elements(&words)),
                _ => results.grad = Some(elements(&words)),
            }
        }
        results
    }
}

impl Held {
    fn new(
        gpu: &Gpu,
        room: &Room,
        name: &'static str,
        words: Vec<u32>,
        lead: usize,
        written: bool,
    ) -> Self {
        let after = room.after(AFTER);
        let mut all = vec![GUARD; lead];
        all.extend(&words);
        all.extend(vec![GUARD; after]);
        let filled = written && words.last().is_some_and(|word| word >> 16 == GUARD >> 16);
        let (buffer, start) = room.place(gpu, &all);
        Self { name, buffer, start, lead, after, words, written, filled }
    }

    fn range(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: 4 * (self.start + self.lead) as u64,
            // wgpu has no empty ranges; nothing of a tensor without elements is read.
            size: wgpu::BufferSize::new(4 * self.words.len().max(1) as u64),
        }
    }

    /// The tensor's words.
    #[track_caller]
    fn read(&self, gpu: &Gpu) -> Vec<u32> {
        let (name, all) = (self.name, read_words(gpu, &self.buffer));
        let (front, rest) = all[self.start..].split_at(self.lead);
        let (words, rest) = rest.split_at(self.words.len());
        let after = &rest[..self.after];
        for (place, guards) in [("in front of", front), ("after", after)] {
            let touched = guards.iter().position(|&word| word != GUARD);
            assert_eq!(touched, None, "words {place} {name} were written");
        }
        assert!(self.written || words == self.words, "{name} was written");
        if self.filled {
            let last = words.last().map(|word| word >> 16);
            assert_eq!(last, Some(GUARD >> 16), "after the last half word of {name}");
        }
        words.to_vec()
    }
}

impl Results {
    /// The numbers, widened.
    pub fn answer(&self) -> Answer {
        let wide =
            |words: &Vec<u32>| words.iter().map(|&word| f32::from_bits(word).into()).collect();
        let reduced = || self.reduced.iter().map(|&word| f32::from_bits(word).into()).collect();
        Answer {
            loss: self.rows.as_ref().map_or_else(reduced, wide),
            grad: self.grad.as_ref().map(wide),
            elements: self.elements.as_ref().map(wide),
        }
    }
}

impl Results {
    /// Returns the outputs of rows and classes.
    pub fn extras(&self, problem: &Problem) -> Extras {
        let (asked, records) = (problem.record(), self.records.as_deref().unwrap_or_default());
        let wide = |words: Vec<u32>| -> Vec<f64> {
            words.into_iter().map(|word| f32::from_bits(word).into()).collect()
        };
        let z_loss = match asked.iter().position(|&what| what == LargeOutput::ZLoss) {
            Some(place) => Some(records.chunks_exact(asked.len()).map(|r| r[place]).collect()),
            None => self.z_loss.map(|word| vec![word]),
        };
        let classes = |words: &Vec<u32>| class_losses(bytemuck::cast_slice(words)).unwrap();
        Extras {
            z_loss: z_loss.map(wide).unwrap_or_default(),
            rows: RowOutputs::of_records(&asked, records).map(f64::from),
            classes: self.classes.as_ref().map(classes),
            correct: self.summary.correct,
            top_k: self.summary.top_k,
        }
    }
}

/// A storage buffer that can be read back.
pub fn buffer(gpu: &Gpu, words: &[u32]) -> wgpu::Buffer {
    buffer_of(gpu.device(), gpu.queue(), words)
}

/// Makes a buffer as [`buffer`] does, of any device.
pub fn buffer_of(device: &wgpu::Device, queue: &wgpu::Queue, words: &[u32]) -> wgpu::Buffer {
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("test"),
        size: 4 * words.len() as u64,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    buffer
}

/// Submits one compute pass.
pub fn submit(gpu: &Gpu, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    gpu.queue().submit([encoder.finish()]);
}

/// A buffer's contents, once all that was submitted is done.
pub fn read_words(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<u32> {
    read_words_of(gpu.device(), gpu.queue(), buffer)
}

/// Reads as [`read_words`] does, of any device.
pub fn read_words_of(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
) -> Vec<u32> {
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("test read back"),
        size: buffer.size(),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = staging.slice(..).get_mapped_range().unwrap();
    bytemuck::pod_collect_to_vec(&view)
}

/// Returns an output of a type, filled with poison.
fn poisoned(element_type: ElementType, elements: usize) -> Vec<u32> {
    match element_type.bytes() {
        2 => padded(bytemuck::cast_slice(&vec![POISON_HALF; elements])),
        _ => vec![POISON; elements],
    }
}

/// Bytes as whole words; a last part of one is filled up as guards are.
fn padded(bytes: &[u8]) -> Vec<u32> {
    let word = |bytes: &[u8]| {
        let mut word = GUARD.to_le_bytes();
        word[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(word)
    };
    bytes.chunks(4).map(word).collect()
}
