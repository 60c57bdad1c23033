//! The bits of a row, alone and among others. Docs: `docs/invariance.md`, whose two columns are tested here, with and
//! without the option.

use std::sync::OnceLock;

use support::data::{Data, Types};
use support::embedded::{Embedded, Place};
use support::gpus::{TestGpu, gpus, in_turn};
use support::random::Random;
use wgpu_loss::plan::Piece;
use wgpu_loss::{
    CrossEntropy, ElementType, Error, Gpu, Inputs, LabelType, LargeOutput, Loss, Output, Outputs,
    Plan, Profile, Reduction, RowColumn, Sink, Softmax, Stream,
};

/// The seed of a row: all its numbers follow from it.
type Seed = u64;
/// Rows of nothing but NaN, and of nothing but infinity.
const NAN: Seed = u64::MAX;
const INF: Seed = u64::MAX - 1;

/// The requested outputs of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Loss,
    Gradient,
    Everything,
    Probabilities,
    Distribution,
}

const ASKS: [Ask; 5] =
    [Ask::Gradient, Ask::Everything, Ask::Probabilities, Ask::Distribution, Ask::Loss];

/// A kind of rows.
#[derive(Clone, Copy, Debug)]
struct Kind {
    ask: Ask,
    classes: usize,
    /// Positions of an image; `None` if the classes are the last axis.
    inner: Option<usize>,
    element_type: ElementType,
}

impl Kind {
    fn loss(&self) -> Box<dyn Loss> {
        let none = CrossEntropy::new().reduction(Reduction::None);
        match self.ask {
            Ask::Everything => Box::new(none.label_smoothing(0.1).z_loss(1e-3)),
            Ask::Distribution => Box::new(Softmax::probs().axis(1)),
            Ask::Loss => Box::new(none.softcap(30.0)),
            Ask::Gradient | Ask::Probabilities => Box::new(none),
        }
    }

    fn outputs(&self) -> Outputs {
        let loss = Outputs::loss();
        match self.ask {
            Ask::Gradient | Ask::Probabilities => loss.with_grad(),
            Ask::Everything => loss
                .with_grad()
                .with_log_probs()
                .with_lse()
                .with_argmax()
                .with_rank()
                .with_entropy()
                .with_variance(),
            Ask::Distribution | Ask::Loss => loss,
        }
    }

    /// Returns the tensors of these rows.
    fn data(&self, rows: &[Seed]) -> Data {
        let (classes, inner) = (self.classes, self.inner.unwrap_or(1));
        assert!(rows.len().is_multiple_of(inner));
        let place =
            |row: usize, class: usize| (row / inner * classes + class) * inner + row % inner;
        let count = rows.len() * classes;
        let (mut input, mut probabilities) = (vec![0.0; count], vec![0.0; count]);
        let (mut labels, mut upstream) = (Vec::new(), Vec::new());
        for (row, &seed) in rows.iter().enumerate() {
            let mut random = Random(seed.wrapping_mul(77).wrapping_add(classes as u64));
            for class in 0..classes {
                let logit = random.uniform(-6.0, 6.0);
                input[place(row, class)] = match seed {
                    NAN => f32::NAN,
                    INF => f32::INFINITY,
                    _ if random.below(32) == 0 => f32::NEG_INFINITY,
                    _ => logit,
                };
                probabilities[place(row, class)] = random.uniform(0.0, 2.0 / classes as f32);
            }
            labels.push(random.below(classes) as i64);
            upstream.push(random.uniform(0.5, 2.0));
        }
        let shape = match self.inner {
            None => vec![rows.len(), classes],
            Some(inner) => vec![rows.len() / inner, classes, inner],
        };
        let data = Data::new(&shape, 1, input);
        let data = match self.ask {
            Ask::Distribution => data,
            Ask::Probabilities => data.probabilities(probabilities).random_weight(),
            Ask::Everything => data.labels(LabelType::I32, &labels).random_weight(),
            Ask::Gradient | Ask::Loss => data.labels(LabelType::I64, &labels),
        };
        let data = match self.ask {
            Ask::Distribution | Ask::Loss => data,
            _ => data.upstream_rows(upstream),
        };
        match self.element_type {
            ElementType::F32 => data,
            other => data.in_types(Types::all(other)),
        }
    }

    fn plan(&self, rows: &[Seed], profile: &Profile) -> Plan {
        self.data(rows).plan(&*self.loss(), self.outputs(), profile)
    }

    /// Returns the results of each row in a host's buffers.
    fn recorded(&self, gpu: &Gpu, profile: &Profile, place: Place, rows: &[Seed]) -> Vec<Bits> {
        let plan = self.plan(rows, profile);
        let records = plan.problem().record().len();
        let results = Embedded::new(gpu, &self.data(rows), plan, place).run();
        let record = |row: usize| {
            let all = results.records.as_deref().unwrap_or_default();
            all[row * records..(row + 1) * records].to_vec()
        };
        let of_row = |row| Bits {
            loss: results.rows.as_ref().map(|losses| losses[row]),
            grad: self.elements(&results.grad, row),
            elements: self.elements(&results.elements, row),
            record: record(row),
        };
        (0..rows.len()).map(of_row).collect()
    }

    /// A row's elements.
    fn elements(&self, tensor: &Option<Vec<u32>>, row: usize) -> Vec<u32> {
        let (classes, inner) = (self.classes, self.inner.unwrap_or(1));
        let place = |class| (row / inner * classes + class) * inner + row % inner;
        let all = |tensor: &Vec<u32>| (0..classes).map(|class| tensor[place(class)]).collect();
        tensor.as_ref().map_or(Vec::new(), all)
    }

    /// Returns the results of each row of the host's data.
    fn run(&self, gpu: &Gpu, rows: &[Seed]) -> Vec<Bits> {
        let output = self.data(rows).on(gpu, &*self.loss(), self.outputs());
        self.of_output(&output, rows.len())
    }

    fn of_output(&self, output: &Output<f32>, rows: usize) -> Vec<Bits> {
        let words = |floats: &Option<Vec<f32>>| {
            floats.as_ref().map(|floats| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        let distribution = words(&output.log_probs).or(words(&output.probs));
        let grad = words(&output.grad);
        let z_loss = (self.ask == Ask::Everything).then(|| output.z_loss.clone());
        let of_rows = output.rows.columns().map(|(_, column)| match column {
            RowColumn::Numbers(numbers) => numbers.iter().map(|x| x.to_bits()).collect(),
            RowColumn::Words(words) => words.to_vec(),
        });
        let of_rows: Vec<Vec<u32>> = of_rows.chain(words(&z_loss)).collect();
        let of_row = |row: usize| Bits {
            loss: output.loss.get(row).map(|loss| loss.to_bits()),
            grad: self.elements(&grad, row),
            elements: self.elements(&distribution, row),
            record: of_rows.iter().map(|words| words[row]).collect(),
        };
        (0..rows).map(of_row).collect()
    }

    /// Returns the results of batches of these sizes.
    fn streamed(&self, gpu: &Gpu, batches: &[usize], rows: &[Seed]) -> Vec<Bits> {
        let loss = self.loss();
        let mut stream: Stream<'_> = gpu.stream(&*loss, self.outputs());
        let mut sink = Tensors::default();
        let mut start = 0;
        for &batch in batches.iter().cycle() {
            if start == rows.len() {
                break;
            }
            let end = rows.len().min(start + batch);
            let data = self.data(&rows[start..end]);
            let inputs: Inputs<'_> = data.inputs();
            stream.push(&inputs, &mut sink).unwrap();
            start = end;
        }
        stream.finish().unwrap();
        let Tensors(tensors) = sink;
        let (output_type, classes) = (self.element_type, self.classes);
        let tensor = |what: LargeOutput| {
            let bytes = &tensors.iter().find(|(other, _)| *other == what)?.1;
            Some(match (what, output_type) {
                (LargeOutput::Grad | LargeOutput::Distribution, half) if half.bytes() == 2 => {
                    let floats = support::floats::from_bytes(half, bytes);
                    floats.iter().map(|x| x.to_bits()).collect()
                }
                _ => bytemuck::pod_collect_to_vec::<u8, u32>(bytes),
            })
        };
        let (loss, grad) = (tensor(LargeOutput::RowLoss), tensor(LargeOutput::Grad));
        let elements = tensor(LargeOutput::Distribution);
        let problem = self.loss().problem(&self.data(rows).shapes(), self.outputs()).unwrap();
        let of_rows: Vec<Vec<u32>> = problem.record().into_iter().filter_map(tensor).collect();
        let whole = |tensor: &Option<Vec<u32>>, row: usize| {
            let all = |tensor: &Vec<u32>| tensor[row * classes..(row + 1) * classes].to_vec();
            tensor.as_ref().map_or(Vec::new(), all)
        };
        let of_row = |row: usize| Bits {
            loss: loss.as_ref().map(|losses| losses[row]),
            grad: whole(&grad, row),
            elements: whole(&elements, row),
            record: of_rows.iter().map(|words| words[row]).collect(),
        };
        (0..rows.len()).map(of_row).collect()
    }
}

/// All results of a row.
#[derive(Clone, Debug, PartialEq)]
struct Bits {
    loss: Option<u32>,
    grad: Vec<u32>,
    elements: Vec<u32>,
    record: Vec<u32>,
}

impl Bits {
    /// Describes the first difference.
    fn difference(&self, other: &Self) -> Option<String> {
        let lists = [
            ("gradient", &self.grad, &other.grad),
            ("distribution", &self.elements, &other.elements),
            ("record", &self.record, &other.record),
        ];
        if self.loss != other.loss {
            return Some(format!("loss {:?} and {:?}", self.loss, other.loss));
        }
        lists.into_iter().find_map(|(what, a, b)| {
            let first = a.iter().zip(b).position(|(a, b)| a != b);
            let first = first.or((a.len() != b.len()).then_some(usize::MAX))?;
            let count = a.iter().zip(b).filter(|(a, b)| a != b).count();
            let (a, b) = (a.get(first), b.get(first));
            Some(format!("{count} of {what}, the first {first}: {a:?} and {b:?}"))
        })
    }
}

/// The outputs that a stream has written.
#[derive(Default)]
struct Tensors(Vec<(LargeOutput, Vec<u8>)>);

impl Sink for Tensors {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        if !self.0.iter().any(|(other, _)| *other == what) {
            self.0.push((what, Vec::new()));
        }
        let (_, all) = self.0.iter_mut().find(|(other, _)| *other == what).expect("it is there");
        let end = offset as usize + bytes.len();
        all.resize(all.len().max(end), 0);
        all[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// A change of a row's surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// The other rows are NaN, infinite or ordinary.
    Neighbours,
    /// Rows in another order.
    Position,
    /// Fewer rows, down to one.
    Number,
    /// Tensors at another word of their buffers.
    Word(usize),
    /// All tensors at odd words of one buffer.
    Arena,
    /// Bindings that hold two rows.
    Pieces,
    /// Bindings that hold a part of a row, for rows that may be divided.
    Boxes,
}

const CHANGES: [Change; 9] = [
    Change::Neighbours,
    Change::Position,
    Change::Number,
    Change::Word(1),
    Change::Word(2),
    Change::Word(4),
    Change::Arena,
    Change::Pieces,
    Change::Boxes,
];

/// Rows of a kind: twelve, or two images.
fn rows_of(kind: Kind) -> Vec<Seed> {
    let count = kind.inner.map_or(12, |inner| 2 * inner);
    (1..=count as Seed).collect()
}

/// Returns the first difference that a change makes to the bits of rows, which are `wanted`.
fn difference(
    gpu: &Gpu,
    profile: &Profile,
    kind: Kind,
    wanted: &[Bits],
    change: Change,
) -> Option<String> {
    let place = Place::default();
    let rows = rows_of(kind);
    let run = |rows: &[Seed]| kind.recorded(gpu, profile, place, rows);
    let same = |got: &[Bits], rows_of: &[usize]| {
        assert_eq!(got.len(), rows_of.len());
        let reported = |(at, (got, &row)): (usize, (&Bits, &usize))| {
            let difference = got.difference(&wanted[row])?;
            Some(format!("row {row} at {at}: {difference}"))
        };
        got.iter().zip(rows_of).enumerate().find_map(reported)
    };
    let all: Vec<usize> = (0..rows.len()).collect();
    let bindings = |bytes: u64| {
        let mut small = profile.clone();
        let slack = u64::from(small.limits.min_storage_buffer_offset_alignment).max(32) + 32;
        small.limits.max_storage_buffer_binding_size = bytes.next_multiple_of(32) + slack;
        small
    };
    let step =
        kind.classes as u64 * kind.inner.unwrap_or(1) as u64 * u64::from(kind.element_type.bytes());
    match change {
        Change::Neighbours => {
            let mut others = rows.clone();
            for (row, seed) in others.iter_mut().enumerate() {
                *seed = [*seed, NAN, INF, *seed, *seed + 100][row % 5];
            }
            let got = run(&others);
            let kept: Vec<usize> =
                all.into_iter().filter(|&row| others[row] == rows[row]).collect();
            let of_kept: Vec<Bits> = kept.iter().map(|&row| got[row].clone()).collect();
            same(&of_kept, &kept)
        }
        Change::Position => {
            let turned: Vec<usize> = all.iter().map(|row| (row * 5 + 7) % rows.len()).collect();
            let turned = if turned.len().is_multiple_of(5) {
                all.into_iter().rev().collect()
            } else {
                turned
            };
            let seeds: Vec<Seed> = turned.iter().map(|&row| rows[row]).collect();
            same(&run(&seeds), &turned)
        }
        Change::Number => [1, 2, 3, 7].into_iter().find_map(|count| {
            // Images of fewer positions.
            let kind = Kind { inner: kind.inner.map(|_| count), ..kind };
            let from = if count < rows.len() { 1 } else { 0 };
            let part: Vec<usize> = (from..rows.len()).take(count).collect();
            let seeds: Vec<Seed> = part.iter().map(|&row| rows[row]).collect();
            if part.len() < count {
                return None;
            }
            same(&kind.recorded(gpu, profile, place, &seeds), &part)
        }),
        Change::Word(lead) => {
            same(&kind.recorded(gpu, profile, Place { lead, ..place }, &rows), &all)
        }
        Change::Arena => {
            let place = Place { lead: 3, arena: true, ..place };
            same(&kind.recorded(gpu, profile, place, &rows), &all)
        }
        Change::Pieces => {
            // A step of every tensor, records of 20 bytes for each row among them.
            let inner = kind.inner.unwrap_or(2) as u64;
            let bytes = if kind.inner.is_some() { step.max(20 * inner) } else { 2 * step };
            let small = bindings(bytes);
            if rows.len() as u64 * 20 < bytes + 64 || rows.len() as u64 / inner * step < bytes + 64
            {
                return None;
            }
            let plan = kind.plan(&rows, &small);
            assert!(plan.pieces().len() > 1, "{kind:?}: not cut");
            same(&kind.recorded(gpu, &small, place, &rows), &all)
        }
        Change::Boxes => {
            let small = bindings(step * 3 / 5);
            // A binding has 32 bytes more than its limit says.
            if step < 256 {
                return None;
            }
            let loss = kind.loss();
            let data = kind.data(&rows);
            match Plan::new(&*loss, &data.shapes(), kind.outputs(), &small) {
                Ok(plan) => {
                    let cut = |piece: &Piece| piece.rows() < rows.len();
                    assert!(plan.pieces().iter().all(cut), "{kind:?}: not cut");
                    same(&kind.recorded(gpu, &small, place, &rows), &all)
                }
                // With the option, rows that are never divided have to fit.
                Err(Error::Limit { needed, allowed, .. }) if profile.batch_invariant => {
                    assert!(needed > allowed, "{kind:?}: {needed} of {allowed}");
                    None
                }
                Err(error) => panic!("{kind:?}: {error}"),
            }
        }
    }
}

/// Returns the same devices with the option.
fn invariant() -> &'static [TestGpu] {
    static GPUS: OnceLock<Vec<TestGpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let open = |gpu: &TestGpu| TestGpu::open(&gpu.name, gpu.options.clone().batch_invariant());
        gpus().iter().map(open).collect()
    })
}

/// Profiles that a device's kernels can be laid out by: its own, and one like a graphics card's, where lanes are
/// many and parts short.
fn profiles(gpu: &Gpu) -> [Profile; 2] {
    let own = gpu.kernels().profile().clone();
    let card = own.clone().with_device_type(wgpu_loss::wgpu::DeviceType::DiscreteGpu);
    [own, card]
}

const TYPES: [ElementType; 3] = [ElementType::F32, ElementType::BF16, ElementType::F16];

/// Lists the differences that these changes make to the bits of rows, one line for each.
fn differences(gpu: &TestGpu, profile: &Profile, kind: Kind, changes: &[Change]) -> Vec<String> {
    let wanted = kind.recorded(gpu, profile, Place::default(), &rows_of(kind));
    assert_ne!(wanted[0], wanted[1], "{kind:?}: rows that are all the same show nothing");
    let reported = |&change: &Change| {
        // Printed here, because a panic message has less.
        let what = format!("{kind:?}, {change:?} on {}, as {:?}", gpu.name, profile.device_type);
        println!("{what}");
        let found = difference(gpu, profile, kind, &wanted, change)?;
        println!("{found}");
        Some(format!("{what}: {found}"))
    };
    changes.iter().filter_map(reported).collect()
}

#[track_caller]
fn assert_none(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

// ---- With the option

/// Rows with one lane, resident, streaming, and in parts; that start on loads and inside them.
#[test]
fn rows_keep_their_bits() {
    let mut found = Vec::new();
    let classes = [2, 7, 16, 40, 100, 130, 996, 1001, 1004, 2999, 9001, 10_000];
    for (index, gpu) in invariant().iter().enumerate() {
        for (number, &classes) in classes.iter().enumerate() {
            // Every shape where there are subgroups; some elsewhere.
            if index > 0 && (number + index) % 4 != 0 {
                continue;
            }
            let turn = number + index;
            let profile = &profiles(gpu)[turn % 2];
            let (ask, element_type) = (ASKS[turn % ASKS.len()], TYPES[turn % TYPES.len()]);
            let kind = Kind { ask, classes, inner: None, element_type };
            found.extend(differences(gpu, profile, kind, &CHANGES));
        }
    }
    assert_none(&found);
}

/// Short rows that a graphics card's groups load and store together, and by themselves where there are not as many, or
/// tensors start elsewhere: with the option and without it.
#[test]
fn staged_rows_keep_their_bits() {
    use Change::{Arena, Neighbours, Number, Pieces, Position, Word};
    let changes = [Neighbours, Position, Number, Word(1), Word(4), Arena, Pieces];
    let mut found = Vec::new();
    for (number, classes) in [3, 8, 10, 12, 16].into_iter().enumerate() {
        let (ask, element_type) = (ASKS[number % ASKS.len()], TYPES[number % TYPES.len()]);
        let kind = Kind { ask, classes, inner: None, element_type };
        let gpu = if number % 2 == 0 { &invariant()[0] } else { &gpus()[0] };
        let card = &profiles(gpu)[1];
        let plan = kind.plan(&rows_of(kind), card);
        assert!(plan.specs().any(|spec| spec.layout.staged), "{plan}");
        found.extend(differences(gpu, card, kind, &changes));
    }
    assert_none(&found);
}

/// Rows that are neighbours: resident, streaming, and shared by lanes.
#[test]
fn columns_keep_their_bits() {
    let mut found = Vec::new();
    let shapes = [(5, 4), (19, 8), (33, 3), (150, 8), (600, 2), (1100, 3), (5000, 4)];
    for (index, gpu) in invariant().iter().enumerate() {
        for (number, &(classes, inner)) in shapes.iter().enumerate() {
            if index > 0 && (number + index) % 4 != 0 {
                continue;
            }
            let turn = number + index;
            let profile = &profiles(gpu)[turn % 2];
            let (ask, element_type) = (ASKS[turn % ASKS.len()], TYPES[turn % TYPES.len()]);
            let kind = Kind { ask, classes, inner: Some(inner), element_type };
            found.extend(differences(gpu, profile, kind, &CHANGES));
        }
    }
    assert_none(&found);
}

/// The host's calls: alone, in pieces, in boxes of a tiny budget, in batches of a stream.
#[test]
fn calls_on_host_data_keep_their_bits() {
    let mut found = Vec::new();
    let shapes = [
        (7, None),
        (130, None),
        (1001, None),
        (9001, None),
        (5, Some(9)),
        (40, Some(9)),
        (1100, Some(3)),
    ];
    for (index, gpu) in invariant().iter().enumerate() {
        for (number, &(classes, inner)) in shapes.iter().enumerate() {
            let turn = number + 2 * index;
            let (ask, element_type) = (ASKS[turn % ASKS.len()], TYPES[turn % TYPES.len()]);
            let kind = Kind { ask, classes, inner, element_type };
            let rows = &rows_of(kind)[..];
            let wanted = kind.run(gpu, rows);
            let mut reported = |what: &str, got: Vec<Bits>, rows_of: &[usize]| {
                for (got, &row) in got.iter().zip(rows_of) {
                    if let Some(difference) = got.difference(&wanted[row]) {
                        found.push(format!(
                            "{kind:?}, {what} on {}: row {row}: {difference}",
                            gpu.name
                        ));
                        break;
                    }
                }
            };
            let all: Vec<usize> = (0..rows.len()).collect();
            for bytes in [4096, 40_000] {
                reported("pieces", kind.run(&gpu.with_piece_bytes(bytes), rows), &all);
            }
            // Down to the smallest that is taken.
            let mut budget = 4_000_000;
            loop {
                let small = gpu.with_memory_budget(budget);
                let data = kind.data(rows);
                match small.run(&*kind.loss(), &data.inputs(), kind.outputs()) {
                    Ok(output) => reported(
                        &format!("{budget} bytes"),
                        kind.of_output(&output, rows.len()),
                        &all,
                    ),
                    Err(Error::Budget { needed, given, .. }) => {
                        assert!(needed > given && given == budget);
                        let least = gpu.with_memory_budget(needed);
                        reported(&format!("{needed} bytes"), kind.run(&least, rows), &all);
                        break;
                    }
                    Err(error) => panic!("{kind:?}, {budget} bytes: {error}"),
                }
                budget /= 3;
            }
            if inner.is_none() {
                for batches in [&[1][..], &[5, 2], &[8]] {
                    reported(
                        &format!("batches {batches:?}"),
                        kind.streamed(gpu, batches, rows),
                        &all,
                    );
                }
            }
        }
    }
    assert_none(&found);
}

// ---- By default

/// Both what holds without the option and what does not are in the table.
#[test]
fn by_default_some_changes_keep_the_bits() {
    use Change::{Arena, Neighbours, Number, Pieces, Position, Word};
    // Twelve rows are many where none is long enough to be shared by groups.
    let rows = |ask, classes| Kind { ask, classes, inner: None, element_type: ElementType::F32 };
    let always = [Neighbours, Position, Number, Word(1), Word(4), Arena, Pieces];
    let aligned = [Neighbours, Position, Number, Pieces];
    let (mut found, mut kept) = (Vec::new(), Vec::new());
    for number in 0..2 {
        for ask in [Ask::Gradient, Ask::Everything] {
            for gpu in in_turn() {
                let profile = &profiles(gpu)[number];
                // Short rows: a lane has them to itself.
                found.extend(differences(gpu, profile, rows(ask, 9), &always));
                // Rows of whole loads.
                found.extend(differences(gpu, profile, rows(ask, 1000), &aligned));
                // Rows that start inside loads.
                found.extend(differences(gpu, profile, rows(ask, 1001), &[Neighbours]));
                let moved = [Position, Number];
                if differences(gpu, profile, rows(ask, 1001), &moved).is_empty() {
                    kept.push(format!("{ask:?}, 1001 classes on {}", gpu.name));
                }
                if differences(gpu, profile, rows(ask, 1000), &[Word(1)]).is_empty() {
                    kept.push(format!("{ask:?}, 1000 classes at word 1 on {}", gpu.name));
                }
            }
        }
    }
    assert_none(&found);
    // The difference is due to the option.
    assert!(kept.is_empty(), "kept without the option:\n{}", kept.join("\n"));
}

// ---- Anything

/// Cut rows with class probabilities, whose gradients were once an ulp apart.
#[test]
fn cut_rows_keep_their_bits() {
    let mut found = Vec::new();
    for (index, gpu) in invariant().iter().enumerate() {
        for (number, ask) in [Ask::Probabilities, Ask::Everything].into_iter().enumerate() {
            let kind = Kind { ask, classes: 9001, inner: None, element_type: ElementType::F32 };
            let profile = &profiles(gpu)[(index + number) % 2];
            found.extend(differences(gpu, profile, kind, &[Change::Boxes]));
        }
    }
    assert_none(&found);
}

/// Kinds of rows and changes at random. With SOAK=n in the environment it is a longer walk somewhere else.
#[test]
fn a_walk_over_kinds_and_changes() {
    let soak: u64 = std::env::var("SOAK").map_or(0, |s| s.parse().unwrap());
    let mut random = Random(4242 + soak);
    let mut found = Vec::new();
    for _ in 0..if soak > 0 { 200 } else { 12 } {
        let size = [40, 300, 3000, 20_000][random.below(4)];
        let classes = 2 + random.below(size);
        let inner = (random.below(4) == 0).then(|| 1 + random.below(9));
        let (ask, element_type) = (ASKS[random.below(5)], TYPES[random.below(3)]);
        let kind = Kind { ask, classes, inner, element_type };
        let gpu = &invariant()[random.below(3)];
        let profile = &profiles(gpu)[random.below(2)];
        let change = CHANGES[random.below(CHANGES.len())];
        found.extend(differences(gpu, profile, kind, &[change]));
    }
    assert_none(&found);
}
