//! Losses of single elements in a host's buffers, in pieces, and in streams.

use support::bound_points::{Place, plan_of, run};
use support::gpus::gpus;
use support::points::{Kind, Points, Types};
use support::recorder::Recorder;
use wgpu_loss::reference::Cpu;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    Bce, ElementType, Error, Gpu, Inputs, LargeOutput, Outputs, Reduction, Stream, Tensor,
};

const REDUCTIONS: [Reduction; 4] =
    [Reduction::None, Reduction::Mean, Reduction::Sum, Reduction::BatchMean];

#[track_caller]
fn check(
    gpu: &Gpu,
    points: &Points,
    reduction: Reduction,
    outputs: Outputs,
    place: Place,
) -> usize {
    let what = format!("{:?}, {:?}, {reduction:?}, {place:?}", points.kind, points.input.shape);
    let (got, pieces, bad) = run(gpu, points, reduction, outputs, place);
    let truth = points.truth(reduction, outputs);
    points.check(&what, reduction, outputs, &got, &truth);
    assert_eq!((got.summary, bad), (truth.summary, None), "{what}");
    pieces
}

/// Formulas, with operands broadcast along all kinds of axes.
fn calls(types: Types) -> Vec<(Points, Outputs)> {
    let t = types.others;
    let logits = |shape: &[usize]| Points::random(Kind::Logits, shape, types);
    let gaussian = |shape: &[usize]| Points::random(Kind::Gaussian { full: false }, shape, types);
    let kl = |shape: &[usize]| Points::random(Kind::Kl { log_target: false }, shape, types);
    let broadcast = kl(&[3, 19, 23]).target_in(&[19, 1]);
    let grad = Outputs::loss().with_grad();
    let all = Kind::Gaussian { full: false }.outputs();
    vec![
        (logits(&[3, 19, 23]).weights(&[19, 1], &[3, 1, 23], t), grad),
        (logits(&[40, 24]).weights(&[24], &[40, 1], t), grad),
        (gaussian(&[1301]), all),
        (gaussian(&[3, 19, 23]).var_in(&[3, 1, 23]), all),
        (gaussian(&[40, 24]).var_in(&[40]), all),
        (gaussian(&[33, 31]).var_in(&[1, 31]), all),
        (gaussian(&[3, 7, 40]).var_in(&[1, 7, 40]), all),
        (gaussian(&[900]).var_in(&[1]), all),
        (broadcast, grad),
    ]
}

#[test]
fn tensors_lie_anywhere_in_a_hosts_buffers() {
    use ElementType::{BF16, F16, F32};
    let types = [
        Types::F32,
        Types { input: F16, target: BF16, others: F32 },
        Types { input: F16, target: F16, others: F16 },
    ];
    let mut turn = 0;
    for types in types {
        for (points, outputs) in calls(types) {
            let gpu = &gpus()[turn % 3];
            let reduction = REDUCTIONS[turn % 4];
            let points = points.with_upstream(reduction);
            let places = [
                Place::default(),
                Place { lead: 4, alike: true, arena: true, ..Place::default() },
                Place { lead: 8, alike: true, in_place: true, ..Place::default() },
                Place { lead: 3, in_place: true, ..Place::default() },
            ];
            check(gpu, &points, reduction, outputs, places[turn % 4]);
            check(gpu, &points, reduction, outputs, places[(turn + 1) % 4]);
            turn += 1;
        }
    }
}

#[test]
fn pieces_make_the_whole() {
    use ElementType::{BF16, F16};
    let types = [Types::F32, Types { input: F16, target: F16, others: BF16 }];
    let mut turn = 0;
    for types in types {
        for (points, outputs) in calls(types) {
            for bytes in [96, 1024] {
                let gpu = &gpus()[turn % 3];
                let reduction = REDUCTIONS[turn % 4];
                let points = points.clone().with_upstream(reduction);
                let place = Place {
                    binding: Some(bytes),
                    lead: turn % 3,
                    in_place: turn % 5 == 0,
                    arena: turn % 3 == 1,
                    ..Place::default()
                };
                let pieces = check(gpu, &points, reduction, outputs, place);
                assert!(pieces > 1, "{:?}: {pieces} pieces", points.input.shape);
                turn += 1;
            }
        }
    }
}

/// WebGPU grants eight storage buffers to a shader.
#[test]
fn all_gradients_fit_eight_bindings() {
    let points = Points::random(Kind::Gaussian { full: true }, &[301], Types::F32);
    let points = points.with_upstream(Reduction::None);
    for gpu in gpus() {
        let outputs = points.kind.outputs();
        let plan = plan_of(gpu, &points, Reduction::None, outputs, Place::default());
        let most = plan.specs().map(|spec| spec.slots().len() - 1).max();
        let allowed = gpu.device().limits().max_storage_buffers_per_shader_stage as usize;
        assert!(most <= Some(allowed), "{most:?} of {allowed} on {}", gpu.name);
        let place = Place { in_place: true, ..Place::default() };
        check(gpu, &points, Reduction::None, outputs, place);
    }
}

#[test]
fn host_calls_go_in_pieces() {
    for (turn, (points, outputs)) in calls(Types::F32).into_iter().enumerate() {
        let gpu = &gpus()[turn % 3];
        let tiny = gpu.with_memory_budget(14 << 10);
        let reduction = REDUCTIONS[turn % 4];
        let points = points.with_upstream(reduction);
        let what =
            format!("{:?}, {:?}, {reduction:?} on {}", points.kind, points.input.shape, gpu.name);
        let truth = points.truth(reduction, outputs);
        let got = points.on(&tiny, reduction, outputs);
        points.check(&what, reduction, outputs, &got, &truth);
        assert_eq!(got.summary, truth.summary, "{what}");
        let mut sink = Recorder::default();
        let loss = points.kind.loss(reduction);
        let into = tiny.run_into(&*loss, &points.inputs(), outputs, &mut sink).unwrap();
        assert!(sink.reports.len() > 2, "{what}: {} pieces", sink.reports.len());
        assert_eq!(sink.reports.last().unwrap().rows, truth.summary.rows, "{what}");
        for (kind, wanted) in [
            (LargeOutput::Grad, &got.grad),
            (LargeOutput::TargetGrad, &got.target_grad),
            (LargeOutput::VarGrad, &got.var_grad),
        ] {
            assert_eq!(sink.floats(kind), wanted.clone().unwrap_or_default(), "{what}: {kind:?}");
        }
        if reduction == Reduction::None {
            assert_eq!(sink.floats(LargeOutput::RowLoss), got.loss, "{what}");
        } else {
            assert_eq!(into.loss, got.loss, "{what}");
        }
    }
}

/// Steps of the first axis from `start` to `end`, of the input and what goes with it.
fn batch(points: &Points, start: usize, end: usize) -> Points {
    let steps = points.input.shape[0];
    let cut = |operand: &support::points::Operand| {
        let mut operand = operand.clone();
        let whole = operand.shape.len() == points.input.shape.len() || operand.shape == [steps];
        if whole && operand.shape[0] == steps {
            let per_step = operand.data.borrow().len() / steps;
            operand.data = support::floats::OwnedFloats::new(
                operand.data.borrow().element_type(),
                &operand.data.wide()[start * per_step..end * per_step],
            );
            operand.shape[0] = end - start;
        }
        operand
    };
    Points {
        input: cut(&points.input),
        target: cut(&points.target),
        weight: points.weight.as_ref().map(cut),
        pos_weight: points.pos_weight.as_ref().map(cut),
        var: points.var.as_ref().map(cut),
        ..points.clone()
    }
}

#[test]
fn batches_are_one_tensor() {
    let outputs = Kind::Gaussian { full: false }.outputs();
    let gaussian =
        |shape: &[usize]| Points::random(Kind::Gaussian { full: false }, shape, Types::F32);
    let logits = |shape: &[usize]| Points::random(Kind::Logits, shape, Types::F32);
    let grad = Outputs::loss().with_grad();
    for (turn, (points, outputs)) in [
        (gaussian(&[90, 24]).var_in(&[90]), outputs),
        (gaussian(&[90, 5, 6]).var_in(&[90, 1, 6]), outputs),
        (logits(&[90, 5, 6]).weights(&[5, 1], &[90, 1, 1], ElementType::F32), grad),
    ]
    .into_iter()
    .enumerate()
    {
        let gpu = &gpus()[turn % 3];
        let loss = points.kind.loss(Reduction::Mean);
        let truth = points.truth(Reduction::Mean, outputs);
        let count = points.input.data.borrow().len() as f64;
        let mut stream: Stream<'_> = gpu.stream(&*loss, outputs).divisor(count);
        let mut sink = Recorder::default();
        // A batch of one step has its operands broadcast along other axes than the others.
        for (start, end) in [(0, 32), (32, 64), (64, 65), (65, 65), (65, 90)] {
            stream.push(&batch(&points, start, end).inputs(), &mut sink).unwrap();
        }
        let mut got = stream.finish().unwrap();
        got.grad = Some(sink.floats(LargeOutput::Grad));
        got.target_grad = outputs.target_grad.then(|| sink.floats(LargeOutput::TargetGrad));
        got.var_grad = outputs.var_grad.then(|| sink.floats(LargeOutput::VarGrad));
        let what = format!("{:?} {:?} on {}", points.kind, points.input.shape, gpu.name);
        points.check(&what, Reduction::Mean, outputs, &got, &truth);
        assert_eq!(got.summary, truth.summary, "{what}");
    }
}

/// Sums of a batch are still under way when the next one comes, whose operands may be broadcast along other axes: a bad
/// value keeps its place.
#[test]
fn bad_values_keep_their_place_when_the_next_batch_is_of_another_kind() {
    let batch = |steps: usize, bad: Option<usize>| {
        let mut targets = vec![0.5f32; steps * 5 * 6];
        bad.into_iter().for_each(|at| targets[at] = 2.0);
        targets
    };
    let (input, loss) = (vec![0.5f32; 64 * 5 * 6], Bce::new());
    let bad = 63 * 30 + 17;
    let first_of = |device: &dyn Device| {
        let mut stream = device.stream(&loss, Outputs::loss());
        for (steps, bad) in [(64, Some(bad)), (1, None)] {
            let shape = [steps, 5, 6];
            let (targets, weights) = (batch(steps, bad), vec![1.0f32; steps * 6]);
            let of_weights = [steps, 1, 6];
            let inputs = Inputs::new(Tensor::new(&input[..steps * 30], &shape));
            let inputs = inputs.target(Tensor::new(&targets, &shape));
            let inputs = inputs.element_weight(Tensor::new(&weights, &of_weights));
            stream.push(&inputs, &mut ()).unwrap();
        }
        match stream.finish() {
            Err(Error::BadValues { count: 1, first, .. }) => first,
            other => panic!("{other:?}"),
        }
    };
    for gpu in gpus() {
        assert_eq!(first_of(&gpu.with_memory_budget(14 << 10)), bad as u64, "{}", gpu.name);
    }
    assert_eq!(first_of(&Cpu), bad as u64);
}
