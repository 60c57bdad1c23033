//! A host that records into its own passes, on its own device.

use support::answer::{Answer, widened};
use support::close::Judged;
use support::embedded::read_words_of;
use support::frame::Frame;
use support::rounding::Rounding;
use wgpu_loss::{Bound, CrossEntropy, Outputs, Reader};
use wgpu_loss_fuzz::draw::Draw;

use crate::devices::Devices;

const SHAPES: [[usize; 2]; 5] = [[40, 12], [300, 1000], [2000, 100], [7, 33], [64, 5000]];
/// Frames in flight.
const RING: usize = 3;

/// Some frames of one shape, of which the host keeps three in flight.
pub fn step(devices: &mut Devices, bytes: &[u8]) -> Judged {
    let draw = &Draw::new(bytes);
    let (host, kernels) = (&devices.host, &devices.kernels);
    if draw.comes(1) {
        kernels.clear();
    }
    let shape = draw.one_of(&SHAPES);
    let frame = |turn| Frame::new(&host.device, &host.queue, shape, turn);
    let mut frames: Vec<Frame> = (0..RING).map(|turn| frame(turn + draw.below(9))).collect();
    host.undisturbed(|| {
        let first = frames[0].bound(kernels).expect("bound work");
        let again = |frame: &Frame| first.rebind(&frame.buffers()).expect("bound again");
        let mut ring: Vec<Bound> = frames.iter().map(again).collect();
        let reader = |bound: &Bound| bound.reader().expect("a reader");
        let mut readers: Vec<Reader> = ring.iter().map(reader).collect();
        let steps = RING + draw.within(0, 24) as usize;
        for step in 0..steps + RING {
            let at = step % RING;
            if step >= RING {
                let decoded = readers[at].wait().expect("a result");
                frames[at].check(&format!("frame {step}"), decoded);
            }
            if step >= RING && draw.comes(1) {
                // New buffers for this frame; the old ones are dropped while others are in flight.
                frames[at] = frame(draw.below(99));
                ring[at] = again(&frames[at]);
                readers[at] = reader(&ring[at]);
            }
            if step < steps {
                host.submit(&ring[at], Some(&readers[at]));
            } else {
                // What comes last is read twice.
                host.submit(&ring[at], Some(&readers[at]));
                frames[at].check("the last frame", readers[at].wait().expect("a result"));
            }
        }
        let last = &frames[draw.below(RING)];
        let truth = last.data.truth(&CrossEntropy::new(), Frame::outputs());
        let words = read_words_of(&host.device, &host.queue, &last.grad);
        let grad: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
        let got = Answer { loss: truth.loss.clone(), grad: Some(widened(&grad)), elements: None };
        let outputs = Outputs::loss().with_grad();
        let rounding = Rounding::new(&CrossEntropy::new(), &last.data, outputs);
        rounding.compare("a frame's gradient", &got, &Answer::from(&truth)).1
    })
}
