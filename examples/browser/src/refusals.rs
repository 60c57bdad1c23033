//! Calls that the library or the GPU refuses.

use wgpu_loss::loss::Shapes;
use wgpu_loss::{Bound, Buffers, CrossEntropy, Error, LabelType, Outputs, Plan, TargetType};

use crate::host::{Arena, Host};
use crate::truth::noise;
use crate::{Failure, page};

const ROWS: usize = 16;
const CLASSES: usize = 20;

/// Tests the library's errors, and the errors that the GPU finds in the data.
pub async fn run(host: &Host) {
    page::report(&format!("a bad label, {}", host.name), bad_label(host).await);
    page::report(&format!("ranges that overlap, {}", host.name), overlap(host));
    page::report(&format!("a range that is too small, {}", host.name), too_small(host));
    page::report(&format!("bindings that share bytes, {}", host.name), aliases(host));
    page::report(&format!("a second reading, {}", host.name), busy(host).await);
    page::report(&format!("an error in the host's scope, {}", host.name), scope(host).await);
}

fn plan(host: &Host) -> Result<Plan, Error> {
    let shapes = Shapes::new(&[ROWS, CLASSES]).target(TargetType::Labels(LabelType::I32), &[ROWS]);
    Plan::new(&CrossEntropy::new(), &shapes, Outputs::loss().with_grad(), host.kernels.profile())
}

/// Binds some work, over any tensors.
fn any(host: &Host, arena: &Arena<'_>) -> Result<Bound, Failure> {
    let (x, t) = (arena.put(&noise(ROWS * CLASSES, 9)), arena.put(&[3i32; ROWS]));
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t)).grad_in_place();
    Ok(Bound::new(&host.kernels, plan(host)?, &buffers)?)
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

/// No tensors overlap, but bindings start at multiples of more than 4 bytes, and a browser checks bindings for overlap.
fn aliases(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let (x, t) = (arena.room(4 * ROWS * CLASSES), arena.room(4 * ROWS));
    let grad = t.end + 4..t.end + 4 + x.end - x.start;
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t)).grad(arena.at(&grad));
    match Bound::new(&host.kernels, plan(host)?, &buffers) {
        Err(Error::Range { what: "gradient", .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// A reader is busy until its future is done or dropped, and never blocks.
async fn busy(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let reader = any(host, &arena)?.reader()?;
    if reader.wait() != Err(Error::Blocking) {
        return Err("a blocking wait is not refused".into());
    }
    let first = reader.read();
    match reader.read().await {
        Err(Error::Busy { .. }) => {}
        other => return Err(format!("next to another: {other:?}").into()),
    }
    drop(first);
    page::pause().await;
    reader.read().await?;
    Ok(())
}

/// Errors that the library cannot know in a browser reach the host's own error scope.
async fn scope(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let (x, t) = (arena.put(&noise(ROWS * CLASSES, 9)), arena.put(&[3i32; ROWS]));
    // More than fits: the buffer is invalid.
    let validation = host.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let broken = host.buffer(1 << 50, wgpu::BufferUsages::STORAGE);
    validation.pop().await.ok_or("no error for a buffer of 2^50 bytes")?;
    let validation = host.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let buffers = Buffers::new(arena.at(&x)).target(arena.at(&t));
    let bound =
        Bound::new(&host.kernels, plan(host)?, &buffers.grad(broken.as_entire_buffer_binding()));
    let heard = validation.pop().await;
    match (bound, heard) {
        (Ok(_), Some(_)) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Tests a lost device, which must be one that no other case needs.
pub async fn lose(host: Host) {
    page::report(&format!("a lost device, {}", host.name), lost(&host).await);
}

async fn lost(host: &Host) -> Result<(), Failure> {
    let arena = Arena::new(host, 1 << 13);
    let bound = any(host, &arena)?;
    let reader = bound.reader()?;
    let mut encoder = host.encoder();
    bound.encode(&mut encoder);
    reader.record(&mut encoder);
    host.queue.submit([encoder.finish()]);
    let reading = reader.read();
    host.device.destroy();
    match reading.await {
        // The result may have arrived before.
        Ok(_) | Err(Error::Lost { .. }) => {}
        other => return Err(format!("what was under way: {other:?}").into()),
    }
    page::pause().await;
    match reader.read().await {
        Err(Error::Lost { .. }) => {}
        other => return Err(format!("a reader: {other:?}").into()),
    }
    // Neither panics nor reports an error.
    let bound = any(host, &Arena::new(host, 1 << 13))?;
    bound.encode(&mut host.encoder());
    match bound.reader()?.read().await {
        Err(Error::Lost { .. }) => Ok(()),
        other => Err(format!("a new reader: {other:?}").into()),
    }
}
