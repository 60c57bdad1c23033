//! Calls on host data from no element to 111 MB.

use support::close::Judged;
use support::points::{Kind, Points, Types};
use wgpu_loss::Reduction;
use wgpu_loss_fuzz::draw::Draw;

use crate::call::Call;
use crate::devices::Devices;

const CLASSES: [&[usize]; 12] = [
    &[4096, 1000],
    &[0, 10],
    &[1, 1],
    &[1, 100_000],
    &[300_000, 3],
    &[16, 151_936],
    &[1 << 20, 10],
    &[8, 19, 128, 128],
    &[3, 1_000_000],
    &[0, 4, 5],
    &[65_537, 65],
    &[7, 50_257],
];
/// One in sixteen.
const LARGEST: &[usize] = &[16, 21, 288, 288];
const POINTS: [&[usize]; 5] = [&[1000, 300], &[0], &[1], &[1 << 20], &[64, 3, 100, 33]];

/// A call of one size.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let gpu = devices.either(draw);
    let gpu = match draw.comes(4) {
        true => gpu.with_memory_budget(draw.one_of(&[32 << 20, 8 << 20, 1 << 30])),
        false => gpu.with_memory_budget(512 << 20),
    };
    if draw.comes(3) {
        let reduction = draw.one_of(&[Reduction::Mean, Reduction::None, Reduction::Sum]);
        let kind = draw.one_of(&Kind::ALL);
        let points = Points::random(kind, draw.one_of(&POINTS), Types::F32);
        let got = points.on(&gpu, reduction, kind.outputs());
        let truth = points.truth(reduction, kind.outputs());
        let what = format!("{kind:?} of {:?}", points.input.shape);
        return points.compare(&what, reduction, kind.outputs(), &got, &truth);
    }
    let shape = if draw.below(16) == 15 { LARGEST } else { draw.one_of(&CLASSES) };
    Call::draw(draw, shape).check("large", &gpu)
}
