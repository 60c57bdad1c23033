//! What was found about shards, sent as bytes, adds up to the whole.

use support::close::Judged;
use support::data::Data;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::Device;
use wgpu_loss::{CrossEntropy, ElementType, Outputs, Partial, Reduction};
use wgpu_loss_fuzz::draw::Draw;

use super::streams::of_rows;
use crate::call::{batches, mean};
use crate::devices::Devices;

/// A tensor in shards, each of a GPU or of the CPU.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let shape = draw.one_of(&[[403, 33], [2000, 100], [64, 5000], [3, 40_000]]);
    let data = Data::random(&shape, 1);
    let loss = CrossEntropy::new().reduction(draw.one_of(&[Reduction::Mean, Reduction::None]));
    let small = devices.either(draw).with_memory_budget(512 << 10);
    let sums = Outputs::loss().with_accuracy().with_class_losses();
    // Rows that are larger than the budget have no sums of classes.
    let sums = if shape[1] > 10_000 { Outputs::loss() } else { sums };
    let mut all: Option<Partial> = None;
    for (start, end) in batches(draw, shape[0]) {
        let device: &dyn Device = if draw.comes(1) { &Cpu } else { &small };
        let partial = of_rows(&data, start, end, |inputs| {
            device.partial(&loss, inputs, sums, &mut ()).expect("a partial")
        });
        let sent = Partial::from_bytes(&partial.to_bytes()).expect("the same partial");
        assert_eq!(sent, partial);
        match &mut all {
            None => all = Some(sent),
            Some(all) => all.merge(&sent).expect("the same question"),
        }
    }
    let all = all.expect("a shard").reduced(Reduction::Mean);
    let (got, wanted) = (all.finish().expect("a loss").loss[0], mean(&data));
    // A rounding of f32 and of the GPU's exp for each row.
    let allowed = 2e-6 * wanted;
    assert!((got - wanted).abs() <= allowed, "{shape:?}: the shards' loss is {got}, not {wanted}");
    assert_eq!((all.summary().rows, all.summary().bad), (shape[0] as u64, 0));
    let mut judged = Judged::default();
    judged.add(ElementType::F32, wanted, allowed);
    judged
}
