//! Every test starts ranks of itself by `mpirun`, and each rank compares its results with one rank's: the f64 reference
//! over all classes and all rows, or PyTorch's numbers.
//!
//! The ranks' device is the GPU at hand, or a software driver. With `WGPU_LOSS_MPI_CPU` it is the reference.

mod support;

use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use support::{
    Logits, Shard, assert_close, check, collect, f32s, f64s, fixtures, is_rank, on_ranks,
};
use wgpu_loss::stream::Device;
use wgpu_loss::{
    ClassLosses, CrossEntropy, EmptyMean, Error as LossError, Inputs, LargeOutput, Outputs,
    Partial, Reduction, Sink, Tensor, reference,
};
use wgpu_loss_mpi::{Error, Grid};

/// PyTorch's cases, with the classes split over ranks.
#[test]
fn fixtures_hold_for_any_number_of_ranks() {
    on_ranks("fixtures_hold_for_any_number_of_ranks", &[1, 2, 3, 4], &|world, device| {
        let grid = Grid::new(world, world.size()).expect("a grid");
        for case in fixtures() {
            let shard = Shard::of(&case.shape, case.axis(), world.rank(), world.size());
            let input = shard.cut(&f32s(&case.input));
            let probabilities = case.probabilities.as_ref().map(|all| shard.cut(&f32s(all)));
            let (weight, upstream) =
                (case.weight.as_deref().map(f32s), case.upstream.as_deref().map(f32s));
            let (rows, unreduced) = (case.row_shape(), case.reduction == "none");
            let mut inputs = Inputs::new(Tensor::new(&input, &shard.shape));
            if let Some(labels) = &case.labels {
                inputs = inputs.labels(labels, &rows);
            }
            if let Some(probabilities) = &probabilities {
                inputs = inputs.probabilities(Tensor::new(probabilities, &shard.shape));
            }
            if let Some(weight) = &weight {
                inputs = inputs.weight(weight);
            }
            if let Some(upstream) = &upstream {
                inputs =
                    inputs.upstream(Tensor::new(upstream, if unreduced { &rows } else { &[] }));
            }
            let outputs = Outputs::loss().with_grad();
            let (got, kept) = collect(&grid, device, &case.loss(), &inputs, outputs);
            let losses = if unreduced { kept.floats(LargeOutput::RowLoss) } else { got.loss };
            assert_close(&case.name, &losses, &f64s(&case.loss), 2e-6, 0.0);
            if let Some(grad) = &case.grad {
                let wanted = shard.cut(&f64s(grad));
                assert_close(&case.name, &kept.floats(LargeOutput::Grad), &wanted, 1e-5, 1e-8);
            }
        }
    });
}

/// A real vocabulary, with shards of very different sizes and one of none.
#[test]
fn a_vocabulary_of_151936() {
    on_ranks("a_vocabulary_of_151936", &[1, 2, 3, 4], &|world, device| {
        let grid = Grid::new(world, world.size()).expect("a grid").chunk_bytes(1 << 20);
        let (rows, classes) = (7, 151_936);
        let mut logits = Logits::new(rows, classes);
        // Rows that are certain: losses of about 1e-12 and 1e-20.
        for (row, gap) in [(1, 27.6), (4, 46.0)] {
            let label = logits.labels[row] as usize;
            let row = &mut logits.values[row * classes..(row + 1) * classes];
            row.iter_mut().for_each(|x| *x = -12.0 - 0.001 * (x.abs() % 1.0));
            row[label] = gap;
        }
        let edges: &[usize] = match world.size() {
            1 => &[0, classes],
            2 => &[0, 3, classes],
            3 => &[0, 70_001, 70_001, classes],
            _ => &[0, 70_001, 70_001, 71_000, classes],
        };
        let grads = Outputs::loss().with_grad();
        for reduction in [Reduction::Mean, Reduction::None] {
            check(&grid, device, &CrossEntropy::new().reduction(reduction), &logits, edges, grads);
        }
        check(&grid, device, &CrossEntropy::new().label_smoothing(0.1), &logits, edges, grads);
        let each = logits.inputs(|inputs| {
            let loss = CrossEntropy::new().reduction(Reduction::None);
            reference::run(&loss, inputs, Outputs::loss())
        });
        let least = each.expect("the whole").loss.into_iter().fold(1.0, f64::min);
        assert!(least > 0.0 && least < 1e-12, "{least}");
    });
}

#[test]
fn every_option_and_output_holds() {
    on_ranks("every_option_and_output_holds", &[2, 3], &|world, device| {
        let grid = Grid::new(world, world.size()).expect("a grid").chunk_bytes(16 << 10);
        let (rows, classes) = (37, 500);
        let mut logits = Logits::new(rows, classes);
        (logits.labels[5], logits.labels[30]) = (-100, -100);
        let edges = if world.size() == 2 { vec![0, 123, 500] } else { vec![0, 0, 321, 500] };
        let grads = Outputs::loss().with_grad();
        let plain = CrossEntropy::new;
        for (loss, outputs) in [
            (plain(), grads.with_log_probs()),
            (plain().label_smoothing(0.2).reduction(Reduction::Sum), grads),
            (plain().logit_scale(0.5).softcap(4.0), grads),
            (plain().z_loss(1e-3).reduction(Reduction::BatchMean), grads),
            (plain().z_loss(1e-3).reduction(Reduction::None), grads.with_lse().with_argmax()),
            (plain(), grads.with_entropy().with_variance().with_accuracy().with_row_weights()),
        ] {
            check(&grid, device, &loss, &logits, &edges, outputs);
            for weighted in [logits.with_row_weights(), logits.with_class_weights()] {
                check(&grid, device, &loss, &weighted, &edges, outputs);
            }
            // An image: the classes are not the last axis.
            check(&grid, device, &loss, &logits.as_image(), &edges, outputs);
        }
        let any_label = Logits::new(rows, classes);
        check(&grid, device, &plain().ignore_index(any_label.labels[3]), &any_label, &edges, grads);
        let ignored = Logits { labels: vec![-100; rows], ..logits.clone() };
        let zero = plain().empty_mean(EmptyMean::Zero);
        check(&grid, device, &zero, &ignored, &edges, grads);
        check(&grid, device, &zero, &logits.rows(0..0), &edges, grads);
        check(&grid, device, &plain(), &logits.rows(0..1), &edges, grads);
    });
}

/// Returns the first row of each group, and the end: groups differ in their rows, and one of three has none.
fn rows_of_groups(groups: i32) -> &'static [usize] {
    match groups {
        1 => &[0, 41],
        2 => &[0, 17, 41],
        3 => &[0, 29, 41, 41],
        _ => &[0, 1, 12, 30, 41],
    }
}

/// Ranks in a grid: the classes and the rows are split.
#[test]
fn grids_of_ranks_have_the_mean_of_all() {
    on_ranks("grids_of_ranks_have_the_mean_of_all", &[1, 2, 3, 4], &|world, device| {
        let all = Logits::new(41, 300);
        for of_classes in (1..=world.size()).filter(|of| world.size() % of == 0) {
            let grid = Grid::new(world, of_classes).expect("a grid").chunk_bytes(8 << 10);
            let (edges, group) =
                (rows_of_groups(world.size() / of_classes), world.rank() / of_classes);
            let range = edges[group as usize]..edges[group as usize + 1];
            let mine = all.rows(range.clone());
            let rank = world.rank() % of_classes;
            let shard = Shard::of(&[mine.labels.len(), 300], 1, rank, of_classes);
            for reduction in [Reduction::Mean, Reduction::BatchMean, Reduction::Sum] {
                let (loss, outputs) =
                    (CrossEntropy::new().reduction(reduction), Outputs::loss().with_grad());
                let (got, kept) =
                    mine.shard(&shard, |inputs| collect(&grid, device, &loss, inputs, outputs));
                let whole = all.inputs(|inputs| reference::run(&loss, inputs, outputs));
                let whole = whole.expect("the whole");
                assert_close("loss", &got.loss, &whole.loss, 2e-6, 0.0);
                let grad = &whole.grad.expect("a gradient")[300 * range.start..300 * range.end];
                let got = kept.floats(LargeOutput::Grad);
                assert_close("gradient", &got, &shard.cut(grad), 1e-5, 1e-9);
            }
        }
        evaluates(world, device, &all);
    });
}

/// Any loss, over rows that are split.
fn evaluates(world: &SimpleCommunicator, device: &(dyn Device + Sync), all: &Logits) {
    let grid = Grid::new(world, 1).expect("a grid");
    let (edges, rank) = (rows_of_groups(world.size()), world.rank() as usize);
    let mine = all.rows(edges[rank]..edges[rank + 1]);
    let outputs = Outputs::loss().with_accuracy().with_class_losses();
    let partial = mine.inputs(|inputs| {
        let loss = CrossEntropy::new().reduction(Reduction::None);
        grid.evaluate(device, &loss, inputs, outputs, &mut ())
    });
    let partial = partial.expect("a partial").reduced(Reduction::Mean);
    assert!(partial.standard_error().is_some_and(|error| error > 0.0));
    let output = partial.finish().expect("an output");
    let whole = all.inputs(|inputs| reference::run(&CrossEntropy::new(), inputs, outputs));
    let whole = whole.expect("the whole");
    assert_close("evaluation", &output.loss, &whole.loss, 2e-6, 0.0);
    assert_eq!(output.summary, whole.summary);
    let rows = |classes: Option<ClassLosses>| classes.map(|all| all.rows);
    assert_eq!(rows(output.classes), rows(whole.classes));
}

#[test]
fn all_ranks_have_the_same_bits_twice() {
    on_ranks("all_ranks_have_the_same_bits_twice", &[3], &|world, device| {
        let grid = Grid::new(world, 3).expect("a grid").chunk_bytes(64 << 10);
        let logits = Logits::new(100, 777).with_row_weights();
        let shard = Shard::of(&[100, 777], 1, world.rank(), 3);
        let run = || {
            let mut kept = support::Kept::default();
            let outputs = Outputs::loss().with_grad();
            let computed = logits.shard(&shard, |inputs| {
                grid.cross_entropy(device, &CrossEntropy::new(), inputs, outputs, &mut kept)
            });
            let computed = computed.expect("a loss");
            // 16 bytes a row, and a word for each chunk.
            assert!((1600..1700).contains(&computed.times.sent), "{:?}", computed.times);
            (computed.partial.to_bytes(), kept.words(LargeOutput::Grad))
        };
        let (first, second) = (run(), run());
        assert_eq!(first, second);
        let mut all = vec![0u8; 3 * first.0.len()];
        world.all_gather_into(&first.0[..], &mut all[..]);
        assert!(all.chunks(first.0.len()).all(|other| other == first.0));
    });
}

/// A sink that has room for some bytes.
struct Full(usize);

impl Sink for Full {
    fn write(&mut self, what: LargeOutput, _: u64, bytes: &[u8]) -> Result<(), LossError> {
        let full = || LossError::Sink { what: what.name(), reason: "the disk is full".into() };
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(full)?;
        Ok(())
    }
}

#[track_caller]
fn rank_and_message(result: Result<Partial, Error>) -> (i32, String) {
    match result {
        Err(Error::Rank { rank, message }) => (rank, message),
        other => panic!("{other:?}"),
    }
}

/// If one rank fails, all return the same error, and go on to the next call.
#[test]
fn failures_of_one_rank_are_errors_of_all() {
    on_ranks("failures_of_one_rank_are_errors_of_all", &[2, 4], &|world, device| {
        let (last, is_last) = (world.size() - 1, world.rank() == world.size() - 1);
        let grid = Grid::new(world, world.size()).expect("a grid").chunk_bytes(2 << 10);
        let logits = Logits::new(20, 100);
        let call = |logits: &Logits, loss: CrossEntropy, sink: &mut dyn Sink| {
            let shape = [logits.labels.len(), 100];
            let shard = Shard::of(&shape, 1, world.rank(), world.size());
            let outputs = Outputs::loss().with_grad();
            let computed = logits
                .shard(&shard, |inputs| grid.cross_entropy(device, &loss, inputs, outputs, sink));
            computed.map(|computed| computed.partial)
        };
        let plain = CrossEntropy::new;
        // Labels that are no class: the library's own error, on all.
        let mut bad = logits.clone();
        (bad.labels[3], bad.labels[17]) = (100, -5);
        let partial = call(&bad, plain(), &mut ()).expect("a partial");
        let wanted = LossError::BadTargets {
            count: 2,
            rows: 20,
            first: 3,
            value: 100,
            classes: 100,
            ignore_index: -100,
        };
        assert_eq!(partial.finish().expect_err("bad labels"), wanted);
        // A sink that fails, at the first chunk or in the middle.
        let shard = Shard::of(&[20, 100], 1, world.rank(), world.size());
        for room in [0, 4 * 11 * shard.shape[1]] {
            let (mut full, mut none) = (Full(room), ());
            let sink: &mut dyn Sink = if is_last { &mut full } else { &mut none };
            let (rank, message) = rank_and_message(call(&logits, plain(), sink));
            assert_eq!((rank, message.contains("the disk is full")), (last, true), "{message}");
        }
        // Labels, rows and options that are not those of the first rank, and one that is wrong.
        let mut other = logits.clone();
        other.labels[19] ^= i64::from(is_last);
        let fewer = logits.rows(0..20 - usize::from(is_last));
        let smooth = plain().label_smoothing(if is_last { 0.1 } else { 0.0 });
        let capped = plain().softcap(if is_last { -1.0 } else { 30.0 });
        for (logits, loss, said) in [
            (
                &other,
                plain(),
                "it was given other labels, weights or upstream gradients than the first rank of its group",
            ),
            (&fewer, plain(), "it was given other options than the first rank of its group"),
            (&logits, smooth, "it was given other options than the first rank of its group"),
            (&logits, capped, "softcap is -1"),
        ] {
            let (rank, message) = rank_and_message(call(logits, loss, &mut ()));
            assert_eq!((rank, message.starts_with(said)), (last, true), "{message}");
        }
        let (rank, message) =
            rank_and_message(call(&logits, plain().label_smoothing(2.0), &mut ()));
        assert_eq!((rank, message.contains("label_smoothing is 2")), (0, true), "{message}");
        // After all of this, a call that is right.
        let partial = call(&logits, plain(), &mut ()).expect("a partial");
        let whole = logits.inputs(|inputs| reference::run(&plain(), inputs, Outputs::loss()));
        let loss = partial.finish().expect("a loss").loss;
        assert_close("after", &loss, &whole.expect("the whole").loss, 2e-6, 0.0);
    });
}

/// The same for ranks with rows of their own.
#[test]
fn failures_of_rows_are_errors_of_all() {
    on_ranks("failures_of_rows_are_errors_of_all", &[1, 3], &|world, device| {
        let (last, is_last) = (world.size() - 1, world.rank() == world.size() - 1);
        let grid = Grid::new(world, 1).expect("a grid");
        let mut logits = Logits::new(20, 100);
        if is_last {
            (logits.labels[3], logits.labels[17]) = (100, -5);
        }
        let evaluate = |loss: CrossEntropy, outputs: Outputs| {
            logits.inputs(|inputs| grid.evaluate(device, &loss, inputs, outputs, &mut ()))
        };
        // Positions are those in all rows.
        let partial = evaluate(CrossEntropy::new(), Outputs::loss()).expect("a partial");
        let error = partial.finish().expect_err("bad labels");
        let LossError::BadTargets { count: 2, rows, first, value: 100, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((rows, first), (20 * world.size() as u64, 20 * last as u64 + 3));
        // The gradient of a mean has no divisor here.
        let refused = evaluate(CrossEntropy::new(), Outputs::loss().with_grad());
        let (rank, message) = rank_and_message(refused);
        assert_eq!((rank, message.starts_with("divisor is unknown")), (0, true), "{message}");
        if world.size() > 1 {
            let loss = CrossEntropy::new().z_loss(if is_last { 0.1 } else { 0.0 });
            let merged = evaluate(loss, Outputs::loss());
            assert!(matches!(merged, Err(Error::Loss(LossError::Merge { .. }))), "{merged:?}");
        }
        for classes in [0, -1, 2, 7] {
            let refused = Grid::new(world, classes).err();
            assert_eq!(refused, Some(Error::Grid { ranks: world.size(), classes }));
        }
    });
}

/// A sink that panics.
struct Panics;

impl Sink for Panics {
    fn write(&mut self, _: LargeOutput, _: u64, _: &[u8]) -> Result<(), LossError> {
        panic!("a sink that panics");
    }
}

/// Groups that have not failed stop with the one that has.
#[test]
fn failures_of_a_group_are_errors_of_all_groups() {
    on_ranks("failures_of_a_group_are_errors_of_all_groups", &[4], &|world, device| {
        let is_last = world.rank() == 3;
        let logits = Logits::new(20, 100);
        let shard = Shard::of(&[20, 100], 1, world.rank() % 2, 2);
        let call = |grid: &Grid, logits: &Logits, loss: CrossEntropy, sink: &mut dyn Sink| {
            let outputs = Outputs::loss().with_grad();
            let computed = logits
                .shard(&shard, |inputs| grid.cross_entropy(device, &loss, inputs, outputs, sink));
            computed.map(|computed| computed.partial)
        };
        // Chunks of other sizes are those of the least.
        let bytes = 1 << (10 + world.rank());
        let grid = Grid::new(world, 2).expect("a grid").chunk_bytes(bytes);
        let plain = CrossEntropy::new;
        let mut other = logits.clone();
        other.labels[19] ^= i64::from(is_last);
        let capped = plain().softcap(if is_last { -1.0 } else { 30.0 });
        let (mut full, mut panics, mut none) = (Full(44), Panics, ());
        for (logits, loss, sink, said) in [
            (&other, plain(), 0, "it was given other labels"),
            (&logits, capped, 0, "softcap is -1"),
            (&logits, plain(), 1, "gradient could not be written: the disk is full"),
            (&logits, plain(), 2, "a part of the call panicked"),
        ] {
            let sink: &mut dyn Sink = match (is_last, sink) {
                (true, 1) => &mut full,
                (true, 2) => &mut panics,
                _ => &mut none,
            };
            let (rank, message) = rank_and_message(call(&grid, logits, loss, sink));
            assert_eq!((rank, message.starts_with(said)), (3, true), "{message}");
        }
        // Fewer labels than their shape has.
        let values = shard.cut(&logits.values);
        let labels = &logits.labels[..20 - usize::from(is_last)];
        let inputs = Inputs::new(Tensor::new(&values, &shard.shape)).labels(labels, &[20]);
        let outputs = Outputs::loss();
        let computed = grid.cross_entropy(device, &plain(), &inputs, outputs, &mut ());
        let (rank, message) = rank_and_message(computed.map(|computed| computed.partial));
        assert_eq!((rank, message.starts_with("labels has 19 elements")), (3, true), "{message}");
        // Grids of different sizes.
        let refused = Grid::new(world, if is_last { 4 } else { 2 }).err();
        assert_eq!(refused, Some(Error::Grid { ranks: 4, classes: 4 }));
        // After all of this, a call that is right: both groups have the same rows.
        let partial = call(&grid, &logits, plain(), &mut ()).expect("a partial");
        let whole = logits.inputs(|inputs| reference::run(&plain(), inputs, Outputs::loss()));
        let output = partial.finish().expect("a loss");
        assert_eq!(output.summary.rows, 40);
        assert_close("after", &output.loss, &whole.expect("the whole").loss, 2e-6, 0.0);
    });
}

/// A rank that is killed ends the job with MPI's own error.
#[test]
fn a_rank_that_is_killed_ends_the_job() {
    if is_rank() {
        return support::rank(&|world, device| {
            let grid = Grid::new(world, world.size()).expect("a grid").chunk_bytes(1 << 10);
            let logits = Logits::new(50, 100);
            let shard = Shard::of(&[50, 100], 1, world.rank(), world.size());
            for call in 0.. {
                if call == 3 && world.rank() == 1 {
                    support::kill_this_process();
                }
                let (loss, outputs) = (CrossEntropy::new(), Outputs::loss());
                logits.shard(&shard, |inputs| collect(&grid, device, &loss, inputs, outputs));
            }
        });
    }
    let (status, output) = support::start("a_rank_that_is_killed_ends_the_job", 2);
    assert!(!status.success(), "{output}");
    assert!(output.contains("signal 9"), "{output}");
}
