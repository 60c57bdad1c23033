//! What is refused, by the library or by the GPU.

use wgpu_loss::loss::Shapes;
use wgpu_loss::{Bound, Buffers, CrossEntropy, Error, LabelType, Outputs, Plan, TargetType};

use crate::host::{Arena, Host};
use crate::truth::noise;
use crate::{Failure, page};

const ROWS: usize = 16;
const CLASSES: usize = 20;

pub async fn run(host: &Host) {
    page::report(&format!("a bad label, {}", host.name), bad_label(host).await);
    page::report(&format!("ranges that overlap, {}", host.name), overlap(host));
    page::report(&format!("a range that is too small, {}", host.name), too_small(host));
}

fn plan(host: &Host) -> Result<Plan, Error> {
    let shapes = Shapes::new(&[ROWS, CLASSES]).target(TargetType::Labels(LabelType::I32), &[ROWS]);
    Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss().with_grad(), host.kernels.profile())
}

async fn bad_label(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let mut labels = [3i32; ROWS];
    labels[5] = -7;
    labels[9] = CLASSES as i32;
    let (x, t) = (arena.put(&noise(ROWS * CLASSES, 9)), arena.put(&labels));
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t)).grad_in_place();
    let bound = Bound::new(&host.kernels, plan(host)?, &buffers)?;
    let reader = bound.reader()?;
    let mut encoder = host.encoder();
    bound.encode(&mut encoder);
    reader.record(&mut encoder);
    host.queue.submit([encoder.finish()]);
    let summary = reader.read().await?.summary;
    let seen = (summary.bad, summary.first_bad, summary.live);
    if seen != (2, Some((5, -7)), 14) {
        return Err(format!("bad labels, the first, and live rows: {seen:?}").into());
    }
    match summary.check(reader.problem()) {
        Err(Error::BadTargets { .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn overlap(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let (x, t) = (arena.room(4 * ROWS * CLASSES), arena.room(4 * ROWS));
    let grad = x.start + 256..x.end + 256;
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t)).grad(arena.at(&grad));
    match Bound::new(&host.kernels, plan(host)?, &buffers) {
        Err(Error::Overlap { .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn too_small(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let (x, t) = (arena.room(4 * ROWS * CLASSES), arena.room(4 * ROWS - 4));
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t)).grad_in_place();
    match Bound::new(&host.kernels, plan(host)?, &buffers) {
        Err(Error::Range { what: "target", .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}
