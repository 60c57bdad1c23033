//! Losses over tensors in one arena, judged by the application's own arithmetic.

use external_host::{Arena, Host, close, noise, on_every_host, truth};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{
    Bce, Bound, Buffers, CLASS_BYTES, CrossEntropy, Decoded, ElementType, Error, GaussianNll,
    LabelType, LargeOutput, Outputs, Plan, RESULT_BYTES, Reduction, TargetType, class_losses,
};

const VALUES: TargetType = TargetType::Values(ElementType::F32);

/// Records the work, submits it, and reads the result in the application's usual way.
fn run(host: &Host, bound: &Bound) -> Decoded {
    let mut encoder = host.encoder();
    bound.encode(&mut encoder);
    host.queue.submit([encoder.finish()]);
    bound.decode(&host.read(bound.result())).expect("a result")
}

#[test]
fn cross_entropy_and_what_comes_with_it() {
    const ROWS: usize = 67;
    const CLASSES: usize = 33;
    let logits = noise(ROWS * CLASSES, 1);
    let labels: Vec<u8> = (0..ROWS).map(|n| if n % 7 == 3 { 255 } else { n as u8 % 33 }).collect();
    let weights: Vec<f32> = noise(CLASSES, 2).iter().map(|x| x + 3.5).collect();
    let truth = truth::cross_entropy(&logits, &labels, &weights);
    on_every_host(|host| {
        let shapes = Shapes::new(&[ROWS, CLASSES])
            .target(TargetType::Labels(LabelType::U8), &[ROWS])
            .weight(CLASSES);
        let outputs = Outputs::loss().with_grad().with_lse().with_argmax().with_rank();
        let outputs = outputs.with_accuracy().with_class_losses();
        let loss = CrossEntropy::new().ignore_index(255);
        let plan = Plan::new(&loss, &shapes, outputs, host.kernels.profile()).unwrap();
        let record = plan.problem().record();
        assert_eq!(record, [LargeOutput::Lse, LargeOutput::Argmax, LargeOutput::Rank]);

        let mut arena = Arena::new(host, 1 << 16);
        let input = arena.put(&logits);
        let target = arena.put(&labels);
        let weight = arena.put(&weights);
        let grad = arena.room(4 * logits.len());
        let records = arena.room(4 * record.len() * ROWS);
        let classes = arena.room(CLASS_BYTES as usize * CLASSES);
        let result = arena.room(RESULT_BYTES as usize);
        let buffers = Buffers::new(arena.at(&input))
            .target(arena.at(&target))
            .weight(arena.at(&weight))
            .grad(arena.at(&grad))
            .records(arena.at(&records))
            .classes(arena.at(&classes))
            .result(arena.at(&result));
        let bound = Bound::new(&host.kernels, plan, &buffers).unwrap();

        let Decoded { loss, summary, .. } = run(host, &bound);
        close("loss", &[loss], &[truth.loss], 1e-6);
        close("gradient", &arena.read::<f32>(&grad), &truth.grad, 4e-6);
        close("weight", &[summary.weight as f32], &[truth.weight], 1e-6);
        assert_eq!((summary.rows, summary.live, summary.ignored()), (67, 57, 10));
        assert_eq!(summary.check(bound.plan().problem()), Ok(()));

        let words = arena.read::<[u32; 3]>(&records);
        let lse: Vec<f32> = words.iter().map(|words| f32::from_bits(words[0])).collect();
        close("lse", &lse, &truth.lse, 1e-6);
        let predicted: Vec<u32> = words.iter().map(|words| words[1]).collect();
        assert_eq!(predicted, truth.predicted);
        let right = |row: usize| truth.predicted[row] == u32::from(labels[row]);
        assert!((0..ROWS).all(|row| (words[row][2] == 0) == right(row)));
        assert_eq!(summary.correct, (0..ROWS).filter(|&row| right(row)).count() as u64);

        let sums = class_losses(&arena.read::<u8>(&classes)).unwrap();
        for class in 0..CLASSES {
            let rows = || (0..ROWS).filter(|&row| usize::from(labels[row]) == class);
            let sum: f64 = rows().map(|row| truth.rows[row]).sum();
            close("losses of a class", &[sums.loss[class] as f32], &[sum], 1e-6);
            assert_eq!(sums.rows[class], rows().count() as u64);
            assert_eq!(sums.correct[class], rows().filter(|&row| right(row)).count() as u64);
        }
        arena.check();
    });
}

#[test]
fn bce_with_weights_for_each_column() {
    const SHAPE: [usize; 2] = [40, 17];
    let part = |x: &f32| (x + 3.1) / 6.2;
    let input: Vec<f32> = noise(680, 3).iter().map(part).collect();
    let target: Vec<f32> = noise(680, 4).iter().map(part).collect();
    let weights: Vec<f32> = noise(17, 5).iter().map(|x| x.abs() + 0.1).collect();
    let truth =
        |n: usize| truth::bce(input[n].into(), target[n].into(), weights[n % weights.len()].into());
    let sum: f64 = (0..680).map(|n| truth(n).0).sum();
    let grads: Vec<f64> = (0..680).map(|n| truth(n).1).collect();
    on_every_host(|host| {
        let shapes =
            Shapes::new(&SHAPE).target(VALUES, &SHAPE).element_weight(ElementType::F32, &[17]);
        let loss = Bce::new().reduction(Reduction::Sum);
        let outputs = Outputs::loss().with_grad();
        let plan = Plan::new(&loss, &shapes, outputs, host.kernels.profile()).unwrap();
        let mut arena = Arena::new(host, 1 << 14);
        let (x, t, w) = (arena.put(&input), arena.put(&target), arena.put(&weights));
        let grad = arena.room(4 * input.len());
        let buffers = Buffers::new(arena.at(&x))
            .target(arena.at(&t))
            .element_weight(arena.at(&w))
            .grad(arena.at(&grad));
        let bound = Bound::new(&host.kernels, plan, &buffers).unwrap();
        close("loss", &[run(host, &bound).loss], &[sum], 1e-6);
        // The difference of two such numbers has lost half a digit where they are close.
        close("gradient", &arena.read::<f32>(&grad), &grads, 1e-5);
        arena.check();
    });
}

#[test]
fn gaussian_with_a_variance_for_each_row() {
    const SHAPE: [usize; 2] = [30, 8];
    let (input, target) = (noise(240, 6), noise(240, 7));
    let var: Vec<f32> = noise(30, 8).iter().map(|x| x.abs() + 0.2).collect();
    let truth =
        |n: usize| truth::gaussian(input[n].into(), target[n].into(), var[n / SHAPE[1]].into());
    let all: Vec<_> = (0..240).map(truth).collect();
    on_every_host(|host| {
        let shapes = Shapes::new(&SHAPE).target(VALUES, &SHAPE).var(ElementType::F32, &[30, 1]);
        let loss = GaussianNll::new().reduction(Reduction::None);
        let outputs = Outputs::loss().with_grad().with_target_grad().with_var_grad();
        let plan = Plan::new(&loss, &shapes, outputs, host.kernels.profile()).unwrap();
        let mut arena = Arena::new(host, 1 << 14);
        let (x, t, v) = (arena.put(&input), arena.put(&target), arena.put(&var));
        let [losses, grad, target_grad] = [(); 3].map(|()| arena.room(4 * input.len()));
        let var_grad = arena.room(4 * var.len());
        let buffers = Buffers::new(arena.at(&x))
            .target(arena.at(&t))
            .var(arena.at(&v))
            .loss(arena.at(&losses))
            .grad(arena.at(&grad))
            .target_grad(arena.at(&target_grad))
            .var_grad(arena.at(&var_grad));
        let bound = Bound::new(&host.kernels, plan, &buffers).unwrap();
        run(host, &bound);
        // Terms of both signs, up to 90 in a loss and 450 in a variance's gradient: what is off is a part of
        // the terms, not of their sum.
        let near = |what: &str, got: Vec<f32>, wanted: Vec<f64>, off: f64| {
            assert_eq!(got.len(), wanted.len());
            let far = got.iter().zip(&wanted).find(|(g, w)| (f64::from(**g) - **w).abs() > off);
            assert_eq!(far, None, "{what}");
        };
        near("losses", arena.read(&losses), all.iter().map(|a| a.0).collect(), 2e-5);
        near("gradient", arena.read(&grad), all.iter().map(|a| a.1).collect(), 1e-5);
        near("target's", arena.read(&target_grad), all.iter().map(|a| -a.1).collect(), 1e-5);
        let of_row = |row: &[(f64, f64, f64)]| row.iter().map(|a| a.2).sum();
        let sums = all.chunks(SHAPE[1]).map(of_row).collect();
        near("variance's", arena.read(&var_grad), sums, 1e-3);
        arena.check();
    });
}

#[test]
fn what_does_not_fit_is_an_error_that_the_application_alone_sees() {
    on_every_host(|host| {
        let shapes = Shapes::new(&[2, 3]).target(TargetType::Labels(LabelType::U32), &[2]);
        let plan = |outputs| {
            Plan::new(&CrossEntropy::new(), &shapes, outputs, host.kernels.profile()).unwrap()
        };
        let mut arena = Arena::new(host, 1 << 10);
        let input = arena.put(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let target = arena.put(&[0u32, 7]);
        let buffers = || Buffers::new(arena.at(&input)).target(arena.at(&target));
        let bind = |outputs, buffers| Bound::new(&host.kernels, plan(outputs), &buffers);

        let grad = Outputs::loss().with_grad();
        let missing = bind(grad, buffers()).unwrap_err();
        assert_eq!(missing, Error::Binding { what: "gradient", needed: true });
        let short = bind(grad, buffers().grad(arena.at(&target))).unwrap_err();
        assert!(matches!(short, Error::Range { .. }), "{short}");
        let twice = bind(grad, buffers().grad(arena.at(&input))).unwrap_err();
        assert!(matches!(twice, Error::Overlap { .. }), "{twice}");

        // An error that only the device can find.
        let bound = bind(Outputs::loss(), buffers()).unwrap();
        let summary = run(host, &bound).summary;
        let bad = summary.check(bound.plan().problem()).unwrap_err();
        assert!(matches!(bad, Error::BadTargets { count: 1, first: 1, value: 7, .. }), "{bad}");
        arena.check();
    });
}

/// The error scopes that the other tests use do receive errors.
#[test]
#[should_panic(expected = "a scope of bare: Some")]
fn the_application_hears_of_its_own_mistakes() {
    on_every_host(|host| {
        let mut encoder = host.encoder();
        encoder.copy_buffer_to_buffer(&host.buffer(16), 0, &host.buffer(4), 0, 16);
        encoder.finish();
    });
}
