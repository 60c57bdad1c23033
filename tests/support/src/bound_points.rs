//! Losses of single elements as a host embeds them: tensors inside larger buffers, outputs poisoned
//! first, and the words around them checked afterwards.

use wgpu_loss::{
    BadValue, Bound, Buffers, ElementType, Gpu, Output, Outputs, Plan, Profile, Reduction,
};

use super::embedded::{Room, read_words, submit};
use super::floats::from_bytes;
use super::points::Points;

const POISON: u32 = 0x7fc0_dead;
const POISON_HALF: u16 = 0xdead;
const GUARD: u32 = 0xeeee_eeee;
/// Words after each tensor.
const AFTER: usize = 100;

/// A tensor inside a buffer.
struct Held {
    buffer: wgpu::Buffer,
    /// Bytes of the buffer that belong to the tensor, guards included.
    own: std::ops::Range<usize>,
    lead: usize,
    element_type: ElementType,
    elements: usize,
}

impl Held {
    fn new(gpu: &Gpu, room: &Room, bytes: &[u8], element_type: ElementType, lead: usize) -> Self {
        let mut all = vec![GUARD; lead];
        all.extend(bytes.chunks(4).map(|bytes| {
            let mut word = GUARD.to_le_bytes();
            word[..bytes.len()].copy_from_slice(bytes);
            u32::from_le_bytes(word)
        }));
        all.extend(vec![GUARD; room.after(AFTER)]);
        let elements = bytes.len() / element_type.bytes() as usize;
        let (buffer, start) = room.place(gpu, &all);
        let own = 4 * start..4 * (start + all.len());
        Self { buffer, own, lead, element_type, elements }
    }

    /// Makes an output that holds poison.
    fn poisoned(
        gpu: &Gpu,
        room: &Room,
        elements: usize,
        element_type: ElementType,
        lead: usize,
    ) -> Self {
        let bytes: Vec<u8> = match element_type.bytes() {
            2 => (0..elements).flat_map(|_| POISON_HALF.to_le_bytes()).collect(),
            _ => (0..elements).flat_map(|_| POISON.to_le_bytes()).collect(),
        };
        Self::new(gpu, room, &bytes, element_type, lead)
    }

    fn range(&self) -> wgpu::BufferBinding<'_> {
        let bytes = (self.elements as u64 * u64::from(self.element_type.bytes())).max(4);
        wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: (self.own.start + 4 * self.lead) as u64,
            size: wgpu::BufferSize::new(bytes.next_multiple_of(4)),
        }
    }

    /// Returns the elements.
    ///
    /// # Panics
    /// If one was not written, or a word around them was.
    #[track_caller]
    fn read(&self, gpu: &Gpu, what: &str) -> Vec<f32> {
        let words = read_words(gpu, &self.buffer);
        let bytes: &[u8] = &bytemuck::cast_slice(&words)[self.own.clone()];
        let size = self.element_type.bytes() as usize;
        let (start, end) = (4 * self.lead, 4 * self.lead + self.elements * size);
        let outside = bytes[..start].iter().chain(&bytes[end..]);
        assert!(
            outside.copied().all(|byte| byte == 0xee),
            "{what}: something outside it was written"
        );
        let poison = match size {
            2 => POISON_HALF.to_le_bytes().to_vec(),
            _ => POISON.to_le_bytes().to_vec(),
        };
        let missed = bytes[start..end].chunks(size).position(|element| element == poison);
        assert_eq!(missed, None, "{what}: not written");
        from_bytes(self.element_type, &bytes[start..end])
    }
}

/// The way in which a call is embedded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Words in front of the tensors; each has one more than the one before.
    pub lead: usize,
    /// The same lead for all.
    pub alike: bool,
    /// The gradient overwrites the input.
    pub in_place: bool,
    /// All tensors are in one buffer.
    pub arena: bool,
    /// Bytes that a binding holds of a tensor, where it is less than the device allows.
    pub binding: Option<u64>,
}

/// The plan of a call.
pub fn plan_of(
    gpu: &Gpu,
    points: &Points,
    reduction: Reduction,
    outputs: Outputs,
    place: Place,
) -> Plan {
    let mut profile: Profile = gpu.kernels().profile().clone();
    if let Some(bytes) = place.binding {
        let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment).max(32) + 32;
        profile.limits.max_storage_buffer_binding_size = bytes + slack;
    }
    let loss = points.kind.loss(reduction);
    Plan::new(&*loss, &points.inputs().shapes(), outputs, &profile).unwrap()
}

/// Runs a call twice, asserts that the bits are the same, and returns the result as a host call would.
#[track_caller]
pub fn run(
    gpu: &Gpu,
    points: &Points,
    reduction: Reduction,
    outputs: Outputs,
    place: Place,
) -> (Output<f32>, usize, Option<BadValue>) {
    let first = run_once(gpu, points, reduction, outputs, place);
    let second = run_once(gpu, points, reduction, outputs, place);
    let bits = |output: &Output<f32>| {
        let all = [
            Some(&output.loss),
            output.grad.as_ref(),
            output.target_grad.as_ref(),
            output.var_grad.as_ref(),
        ];
        all.map(|values| values.map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>()))
    };
    assert!(bits(&first.0) == bits(&second.0), "two runs differ: {place:?}");
    first
}

fn run_once(
    gpu: &Gpu,
    points: &Points,
    reduction: Reduction,
    outputs: Outputs,
    place: Place,
) -> (Output<f32>, usize, Option<BadValue>) {
    run_plan(gpu, points, plan_of(gpu, points, reduction, outputs, place), place)
}

/// Runs a call by a plan of any profile, and returns the result as a host call would.
#[track_caller]
pub fn run_plan(
    gpu: &Gpu,
    points: &Points,
    plan: Plan,
    place: Place,
) -> (Output<f32>, usize, Option<BadValue>) {
    let (reduction, outputs) = (plan.problem().reduction, plan.problem().outputs);
    let pieces = plan.pieces().len();
    // Nine tensors at most, none of them larger than the input in f32.
    let most = points.input.data.borrow().len() + place.lead + 64;
    let room = &Room::new(gpu, place.arena, 10 * most);
    let mut lead = place.lead;
    let mut next = || {
        lead += usize::from(!place.alike);
        lead - usize::from(!place.alike)
    };
    let mut hold = |operand: &super::points::Operand| {
        let data = operand.data.borrow();
        Held::new(gpu, room, data.bytes(), data.element_type(), next())
    };
    let input = hold(&points.input);
    let target = hold(&points.target);
    let weight = points.weight.as_ref().map(&mut hold);
    let pos_weight = points.pos_weight.as_ref().map(&mut hold);
    let var = points.var.as_ref().map(&mut hold);
    let upstream = points.upstream.as_ref().map(|(gradients, _)| {
        Held::new(gpu, room, bytemuck::cast_slice(gradients), ElementType::F32, next())
    });
    let out = |given: ElementType| if outputs.in_f32 { ElementType::F32 } else { given };
    let count = input.elements;
    let row_loss = (reduction == Reduction::None)
        .then(|| Held::poisoned(gpu, room, count, ElementType::F32, next()));
    let grad = (outputs.grad && !place.in_place)
        .then(|| Held::poisoned(gpu, room, count, out(input.element_type), next()));
    let target_grad = outputs
        .target_grad
        .then(|| Held::poisoned(gpu, room, target.elements, out(target.element_type), next()));
    let var_grad = var
        .as_ref()
        .filter(|_| outputs.var_grad)
        .map(|var| Held::poisoned(gpu, room, var.elements, out(var.element_type), next()));
    let mut buffers = Buffers::new(input.range()).target(target.range());
    type With<'a> = fn(Buffers<'a>, wgpu::BufferBinding<'a>) -> Buffers<'a>;
    let optional: [(&Option<Held>, With<'_>); 8] = [
        (&weight, Buffers::element_weight),
        (&pos_weight, Buffers::pos_weight),
        (&var, Buffers::var),
        (&upstream, Buffers::upstream),
        (&row_loss, Buffers::loss),
        (&grad, Buffers::grad),
        (&target_grad, Buffers::target_grad),
        (&var_grad, Buffers::var_grad),
    ];
    for (held, with) in optional {
        if let Some(held) = held {
            buffers = with(buffers, held.range());
        }
    }
    if place.in_place {
        buffers = buffers.grad_in_place();
    }
    let bound = Bound::new(gpu.kernels(), plan, &buffers).unwrap();
    submit(gpu, |pass| bound.record(pass));
    let result = read_words(gpu, bound.result().buffer);
    let decoded = bound.decode(bytemuck::cast_slice(&result)).unwrap();
    let read = |held: &Option<Held>, what| held.as_ref().map(|held| held.read(gpu, what));
    // An output with all its fields can only be made by a call.
    let mut output = gpu_output(gpu);
    output.loss = read(&row_loss, "loss").unwrap_or(vec![decoded.loss]);
    output.grad = match place.in_place {
        true => Some(input.read(gpu, "gradient in place")),
        false => read(&grad, "gradient"),
    };
    output.target_grad = read(&target_grad, "target's gradient");
    output.var_grad = read(&var_grad, "variance's gradient");
    output.summary = decoded.summary;
    for (held, operand, what) in [
        (&Some(target), Some(&points.target), "target"),
        (&weight, points.weight.as_ref(), "weight"),
        (&pos_weight, points.pos_weight.as_ref(), "pos_weight"),
        (&var, points.var.as_ref(), "var"),
    ] {
        if let (Some(held), Some(operand)) = (held, operand) {
            let bits = |x: &f32| x.to_bits();
            let kept: Vec<u32> = held.read(gpu, what).iter().map(bits).collect();
            assert!(
                kept == operand.data.wide().iter().map(bits).collect::<Vec<_>>(),
                "{what} was written"
            );
        }
    }
    (output, pieces, decoded.summary.first_bad_value)
}

fn gpu_output(gpu: &Gpu) -> Output<f32> {
    let one = [1.0f32];
    let inputs = wgpu_loss::Inputs::new(wgpu_loss::Tensor::new(&one, &[1]))
        .target(wgpu_loss::Tensor::new(&one, &[1]));
    gpu.run(&wgpu_loss::Bce::new(), &inputs, Outputs::loss()).unwrap()
}
