//! Losses and gradients, compared with the page's own arithmetic.

use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    BceWithLogits, Bound, Buffers, CrossEntropy, ElementType, LabelType, Loss, Outputs, Plan,
    RESULT_BYTES, TargetType,
};

use crate::host::{Arena, Host};
use crate::truth::{self, Truth, close, noise};
use crate::{Failure, page};

/// The label of rows that are left out.
const IGNORED: u32 = 255;

/// Images, classes and positions: some for the kernels of rows, and some for those of columns.
const SHAPES: [[usize; 3]; 7] = [
    [64, 10, 1],
    [37, 131, 1],
    [8, 1000, 1],
    [3, 33_001, 1],
    [2, 21, 17 * 13],
    [2, 300, 64],
    [1, 5000, 6],
];

/// More than the 128 MiB that a binding of a bare device holds: the library divides it into pieces.
const LARGE: [usize; 3] = [1050, 32_000, 1];

pub async fn run(host: &Host) {
    for shape in SHAPES {
        for layout in [Layout::Apart, Layout::InPlace, Layout::Arena] {
            let name = format!("cross_entropy of {shape:?}, {layout:?}, {}", host.name);
            page::report(&name, cross_entropy(host, shape, layout).await);
        }
    }
    let name = format!("cross_entropy of {LARGE:?}, {}", host.name);
    page::report(&name, cross_entropy(host, LARGE, Layout::InPlace).await);
    for layout in [Layout::Apart, Layout::InPlace, Layout::Arena] {
        let name = format!("bce_with_logits, {layout:?}, {}", host.name);
        page::report(&name, bce_with_logits(host, layout).await);
    }
}

/// The placement of the tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    /// Inputs in one buffer, the gradient in another.
    Apart,
    /// The gradient overwrites the logits.
    InPlace,
    /// All in one buffer, and the result too.
    Arena,
}

async fn cross_entropy(
    host: &Host,
    shape @ [images, classes, positions]: [usize; 3],
    layout: Layout,
) -> Result<(), Failure> {
    let logits = noise(images * classes * positions, 1);
    let rows = images * positions;
    let label = |row: usize| if row % 7 == 3 { IGNORED } else { (row * row % classes) as u32 };
    // A class may have that number; then no row is left out.
    let labels: Vec<u32> = (0..rows).map(label).collect();
    let ignored = if classes > IGNORED as usize { i64::from(u32::MAX) } else { IGNORED.into() };
    let truth = truth::cross_entropy(&logits, &labels, shape);
    let (of_logits, of_labels) = match positions {
        1 => (vec![images, classes], vec![images]),
        _ => (vec![images, classes, positions], vec![images, positions]),
    };
    let target = TargetType::Labels(LabelType::U32);
    let shapes = Shapes::new(&of_logits).target(target, &of_labels);
    let loss = CrossEntropy::new().ignore_index(ignored);
    compare(host, &loss, &shapes, (&logits, bytemuck::cast_slice(&labels)), layout, &truth).await
}

async fn bce_with_logits(host: &Host, layout: Layout) -> Result<(), Failure> {
    let (logits, targets) = (noise(41 * 67, 3), noise(41 * 67, 4));
    let targets: Vec<f32> = targets.iter().map(|x| (x + 3.0) / 6.0).collect();
    let truth = truth::bce_with_logits(&logits, &targets);
    let shapes = Shapes::new(&[41, 67]).target(TargetType::Values(ElementType::F32), &[41, 67]);
    let tensors = (&logits[..], bytemuck::cast_slice(&targets));
    compare(host, &BceWithLogits::new(), &shapes, tensors, layout, &truth).await
}

/// Runs a loss over an input and a target (its bytes), and reads its result in both available ways.
async fn compare(
    host: &Host,
    loss: &impl Loss,
    shapes: &Shapes<'_>,
    (input, target): (&[f32], &[u8]),
    layout: Layout,
    truth: &Truth,
) -> Result<(), Failure> {
    let bytes = 4 * input.len();
    let plan = Plan::new(loss, shapes, Outputs::loss().with_grad(), host.kernels.profile())?;
    let grads = if layout == Layout::Arena { bytes } else { 0 };
    let arena = Arena::new(host, (bytes + grads + target.len() + 1024) as u64);
    let other = Arena::new(host, bytes as u64);
    let (x, t) = (arena.put(input), arena.put(target));
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t));
    let (of_grad, grad) = match layout {
        Layout::Apart => (&other, other.room(bytes)),
        Layout::InPlace => (&arena, x.clone()),
        Layout::Arena => (&arena, arena.room(bytes)),
    };
    let result = arena.room(RESULT_BYTES as usize);
    let buffers = match layout {
        Layout::Apart => buffers.grad(of_grad.at(&grad)),
        Layout::InPlace => buffers.grad_in_place(),
        Layout::Arena => buffers.grad(of_grad.at(&grad)).result(arena.at(&result)),
    };
    let bound = Bound::new(&host.kernels, plan, &buffers)?;
    let reader = bound.reader()?;

    let mut encoder = host.encoder();
    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    reader.record(&mut encoder);
    host.queue.submit([encoder.finish()]);
    let decoded = reader.read().await?;
    decoded.summary.check(reader.problem())?;
    close("loss", &[decoded.loss], &[truth.loss], 2e-6)?;
    close("gradient", &of_grad.read::<f32>(&grad).await?, &truth.grad, 6e-6)?;
    if layout == Layout::Arena {
        let bytes = arena.read::<u8>(&result).await?;
        close("loss in the arena", &[bound.decode(&bytes)?.loss], &[truth.loss], 2e-6)?;
    }
    // Computes the same once more, and polls for the result.
    for _ in 0..10_000 {
        match reader.try_read() {
            Some(again) if again == Ok(decoded) => return Ok(()),
            Some(again) => return Err(format!("read again: {again:?} is not {decoded:?}").into()),
            None => page::pause().await,
        }
    }
    Err("`try_read` never comes".into())
}
