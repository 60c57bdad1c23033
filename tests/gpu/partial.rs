//! Partials of a GPU: those of shards add up to the bits of the stream over all of them, and to those of the reference
//! within the rounding of f32.

use support::gpus::gpus;
use support::random::Random;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    BceWithLogits, CrossEntropy, Error, Gpu, Inputs, LargeOutput, Loss, Outputs, Partial,
    Reduction, Sink, Tensor,
};

const CLASSES: usize = 50;
/// The rows of each shard: none in one, one in another.
const SHARDS: [usize; 6] = [700, 0, 1, 333, 64, 1201];

struct Shard {
    logits: Vec<f32>,
    labels: Vec<i32>,
    targets: Vec<f32>,
}

impl Shard {
    fn all() -> Vec<Self> {
        let mut random = Random(11);
        SHARDS
            .into_iter()
            .map(|rows| {
                let logits = (0..rows * CLASSES).map(|_| random.uniform(-8.0, 8.0)).collect();
                let labels =
                    (0..rows).map(|row| if row % 7 == 3 { -100 } else { (row % 50) as i32 });
                let targets = (0..rows * CLASSES).map(|_| random.uniform(0.0, 1.0)).collect();
                Self { logits, labels: labels.collect(), targets }
            })
            .collect()
    }

    fn with<T>(&self, labelled: bool, visit: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let (shape, rows) = ([self.labels.len(), CLASSES], [self.labels.len()]);
        let inputs = Inputs::new(Tensor::new(&self.logits, &shape));
        visit(&match labelled {
            true => inputs.labels(&self.labels, &rows),
            false => inputs.target(Tensor::new(&self.targets, &shape)),
        })
    }
}

fn loss(labelled: bool, reduction: Reduction) -> Box<dyn Loss> {
    match labelled {
        true => Box::new(CrossEntropy::new().z_loss(1e-4).reduction(reduction)),
        false => Box::new(BceWithLogits::new().reduction(reduction)),
    }
}

fn outputs(labelled: bool) -> Outputs {
    let sums = Outputs::loss().with_accuracy().with_top_k(3).with_class_losses();
    if labelled { sums } else { Outputs::loss() }
}

fn merged(device: &dyn Device, labelled: bool, reduction: Reduction) -> Partial {
    let partials = Shard::all().into_iter().map(|shard| {
        let partial = shard
            .with(labelled, |inputs| {
                let loss = loss(labelled, reduction);
                device.partial(&*loss, inputs, outputs(labelled), &mut ())
            })
            .expect("a partial");
        // That of no rows, too, which has had no piece with sums of classes.
        assert_eq!(Partial::from_bytes(&partial.to_bytes()), Ok(partial.clone()));
        partial
    });
    partials
        .reduce(|mut all, next| {
            all.merge(&next).expect("the same question");
            all
        })
        .expect("shards")
}

fn streamed(gpu: &Gpu, labelled: bool, reduction: Reduction) -> Partial {
    let loss = loss(labelled, reduction);
    let mut stream = gpu.stream(&*loss, outputs(labelled));
    for shard in Shard::all() {
        shard.with(labelled, |inputs| stream.push(inputs, &mut ())).expect("a batch");
    }
    stream.partial().expect("a partial")
}

#[test]
fn shards_add_up_to_the_bits_of_their_stream() {
    let budgets = |gpu: &Gpu| [gpu.with_memory_budget(64 << 10), gpu.with_memory_budget(256 << 20)];
    for gpu in gpus() {
        for (gpu, labelled) in budgets(gpu).iter().flat_map(|gpu| [(gpu, true), (gpu, false)]) {
            for reduction in
                [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None]
            {
                let (shards, stream) =
                    (merged(gpu, labelled, reduction), streamed(gpu, labelled, reduction));
                assert_eq!(shards, stream, "{reduction:?}");
                let wanted = merged(&Cpu, labelled, reduction);
                let [got, wanted_loss] = [&shards, &wanted].map(|partial| {
                    partial.clone().reduced(Reduction::Mean).finish().expect("an output")
                });
                let (x, y) = (got.loss[0], wanted_loss.loss[0]);
                assert!((x - y).abs() <= 1e-6 * y, "{reduction:?}: {x} is not {y}");
                assert_eq!(got.summary, wanted_loss.summary);
                let z_losses = got.z_loss.iter().zip(&wanted_loss.z_loss);
                assert_eq!(z_losses.len(), usize::from(labelled));
                for (x, y) in z_losses {
                    assert!((x - y).abs() <= 1e-6 * y, "{reduction:?}: {x} is not {y}");
                }
                let errors = [&shards, &wanted].map(Partial::standard_error);
                match errors {
                    [Some(x), Some(y)] => {
                        assert!((x - y).abs() <= 1e-5 * y, "{x} is not {y}");
                        assert_eq!(reduction, Reduction::None);
                    }
                    _ => assert_eq!((errors, reduction == Reduction::None), ([None; 2], false)),
                }
                // A part from here, a part from there.
                let mut both = shards;
                both.merge(&wanted).expect("the same question");
                assert_eq!(both.summary().rows, 2 * wanted.summary().rows);
            }
        }
    }
}

/// Rows that are larger than the budget pass through the device in boxes of their classes.
#[test]
fn long_rows_have_partials_too() {
    let logits: Vec<f32> = (0..3 * 40_000).map(|i| (i % 97) as f32 / 10.0).collect();
    let inputs = Inputs::new(Tensor::new(&logits, &[3, 40_000])).labels(&[7u16, 300, 39_999], &[3]);
    for reduction in [Reduction::Mean, Reduction::None] {
        let loss = CrossEntropy::new().reduction(reduction);
        let of = |device: &dyn Device| device.partial(&loss, &inputs, Outputs::loss(), &mut ());
        let wanted = of(&Cpu).expect("a partial");
        let got = of(&gpus()[0].with_memory_budget(96 << 10)).expect("a partial");
        let [x, y] = [&got, &wanted].map(|partial| {
            partial.clone().reduced(Reduction::Sum).finish().expect("an output").loss[0]
        });
        assert!((x - y).abs() <= 1e-6 * y, "{reduction:?}: {x} is not {y}");
        assert_eq!(got.summary(), wanted.summary());
        assert_eq!(got.standard_error().is_some(), reduction == Reduction::None);
    }
}

/// Receives the losses of rows.
struct Losses(Vec<u8>);

impl Sink for Losses {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        assert_eq!((what, offset), (LargeOutput::RowLoss, self.0.len() as u64));
        self.0.extend(bytes);
        Ok(())
    }
}

#[test]
fn large_outputs_go_to_the_sink_and_faults_into_the_partial() {
    let gpu = &gpus()[0];
    let (logits, labels) = ([0.5f32, 1.5, f32::NAN, 0.0, 1.0, 2.0], [1u8, 0, 9]);
    let inputs = Inputs::new(Tensor::new(&logits, &[3, 2])).labels(&labels, &[3]);
    let loss = CrossEntropy::new().reduction(Reduction::None);
    let mut losses = Losses(Vec::new());
    let partial = Device::partial(&**gpu, &loss, &inputs, Outputs::loss(), &mut losses).unwrap();
    assert_eq!(losses.0.len(), 12);
    let summary = partial.summary();
    assert_eq!((summary.bad, summary.nonfinite, summary.first_bad), (1, 1, Some((2, 9))));
    assert!(matches!(partial.finish(), Err(Error::BadTargets { first: 2, value: 9, .. })));
    let grad = Outputs::loss().with_grad();
    let refused = Device::partial(&**gpu, &CrossEntropy::new(), &inputs, grad, &mut ());
    assert!(matches!(refused, Err(Error::Option { option: "divisor", .. })), "{refused:?}");
}
