//! One loss over many shards: the report is that of one run, for any division among processes and after any interruption.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Folder, facts, kill};

const CLASSES: usize = 300;
/// The rows of each shard.
const ROWS: [usize; 7] = [40, 1, 25, 60, 0, 33, 17];

fn logits(rows: usize, seed: usize) -> Vec<f32> {
    (0..rows * CLASSES).map(|i| ((i + seed) * 7919 % 10_007) as f32 / 1000.0).collect()
}

fn labels(rows: usize, seed: usize) -> Vec<i64> {
    (0..rows)
        .map(|row| if row % 9 == 4 { -100 } else { ((row + seed) * 31 % CLASSES) as i64 })
        .collect()
}

/// A folder `data` with shards and their list.
fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("data")).unwrap();
    let mut list = "# a comment\ninput\ttarget\trow-weights\n".to_owned();
    for (number, rows) in ROWS.into_iter().enumerate() {
        folder.save(&format!("data/x{number}.npy"), &[rows, CLASSES], &logits(rows, 7 * number));
        folder.save(&format!("data/t{number}.npy"), &[rows], &labels(rows, number));
        let weights: Vec<f32> = (0..rows).map(|row| (row % 4) as f32 / 2.0).collect();
        folder.save(&format!("data/w{number}.npy"), &[rows], &weights);
        list += &format!("x{number}.npy\tt{number}.npy\tw{number}.npy\n");
    }
    folder.write("data/weighted.tsv", &list);
    let plain: String = list
        .lines()
        .map(|line| line.rsplit_once('\t').map_or(line, |(a, _)| a).to_owned() + "\n")
        .collect();
    folder.write("data/list.tsv", plain);
    folder
}

const SUMS: &str = "cross-entropy --accuracy --top-k 3 --per-class --z-loss 1e-3";

#[test]
fn shares_merge_into_the_report_of_one_run() {
    for (list, reduction) in
        [("list", "mean"), ("weighted", "mean"), ("list", "sum"), ("weighted", "batchmean")]
    {
        let folder = folder();
        let command = format!("{SUMS} --list data/{list}.tsv --reduction {reduction}");
        let whole = folder.json(&format!("{command} --save-partial whole.json"));
        for share in 0..3 {
            folder.cpu(&format!("{command} --shard {share}/3 --save-partial p{share}.json")).good();
        }
        let merged = folder
            .run("merge p2.json p0.json p1.json --json --save-partial all.json")
            .good()
            .json();
        assert_eq!(facts(merged), facts(whole.clone()));
        let again = folder.run("merge all.json --json").good().json();
        assert_eq!(facts(again), facts(whole.clone()));
        assert_eq!(whole["shards"].as_array().unwrap().len(), ROWS.len());
        let [a, b] = ["merge whole.json", "merge p0.json p1.json p2.json"].map(|words| {
            let text = folder.run(words).good().stdout;
            text.lines().filter(|line| !line.starts_with("time")).collect::<Vec<_>>().join("\n")
        });
        assert_eq!(a, b);
    }
}

/// The mean, its error, and counts are those of all rows in one file.
#[test]
fn shards_are_the_rows_of_one_file() {
    let folder = folder();
    let shards = || ROWS.into_iter().enumerate();
    let all: usize = ROWS.iter().sum();
    folder.save(
        "x.npy",
        &[all, CLASSES],
        &shards().flat_map(|(n, rows)| logits(rows, 7 * n)).collect::<Vec<_>>(),
    );
    folder.save(
        "t.npy",
        &[all],
        &shards().flat_map(|(n, rows)| labels(rows, n)).collect::<Vec<_>>(),
    );
    let one = folder.json(&format!("{SUMS} x.npy t.npy"));
    let many = folder.json(&format!("{SUMS} --list data/list.tsv"));
    let pairs: String = shards().map(|(n, _)| format!("data/x{n}.npy data/t{n}.npy ")).collect();
    assert_eq!(facts(folder.json(&format!("{SUMS} {pairs}"))), facts(many.clone()));
    for name in ["loss", "z_loss"] {
        let [a, b] = [&one, &many].map(|report| report[name].as_f64().unwrap());
        assert!((a - b).abs() <= 2e-7 * a.abs(), "{name}: {a} and {b}");
    }
    for name in ["rows", "ignored", "weight", "correct", "top_k"] {
        assert_eq!(one[name], many[name], "{name}");
    }
    assert_eq!(one["classes"].as_array().unwrap().len(), many["classes"].as_array().unwrap().len());
    // From the losses of the rows themselves.
    folder.cpu("cross-entropy x.npy t.npy --reduction none --save-loss l.npy").good();
    let (_, losses) = folder.load("l.npy");
    let labels: Vec<i64> = shards().flat_map(|(n, rows)| labels(rows, n)).collect();
    let live: Vec<f64> = losses
        .iter()
        .zip(&labels)
        .filter(|(_, label)| **label >= 0)
        .map(|(x, _)| f64::from(*x))
        .collect();
    let n = live.len() as f64;
    let mean = live.iter().sum::<f64>() / n;
    let error = (live.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
    let given = many["standard_error"].as_f64().unwrap();
    assert!((given - error).abs() <= 1e-6 * error, "{given} is not {error}");
    let perplexity = many["tokens"]["perplexity"].as_f64().unwrap();
    assert!((perplexity / mean.exp() - 1.0).abs() < 1e-6);
    // Rows with weights of their own have no such error.
    assert_eq!(
        folder.json(&format!("{SUMS} --list data/weighted.tsv"))["standard_error"],
        Value::Null
    );
}

/// 18 MB, which are more than one run of rows.
#[test]
fn one_file_is_cut_in_runs_of_rows() {
    let folder = Folder::new();
    let rows = 15_000;
    folder.save("x.npy", &[rows, CLASSES], &logits(rows, 3));
    let mut labels = labels(rows, 3);
    folder.save("t.npy", &[rows], &labels);
    let runs = folder.json("cross-entropy x.npy t.npy --shard 0/1");
    assert_eq!(runs["shards"].as_array().unwrap().len(), 2);
    assert_eq!(runs["shards"][1]["name"], "x.npy 13981..15000");
    for share in 0..3 {
        folder
            .cpu(&format!(
                "cross-entropy x.npy t.npy --shard {share}/3 --save-partial p{share}.json"
            ))
            .good();
    }
    assert_eq!(
        facts(folder.run("merge p0.json p1.json p2.json --json").good().json()),
        facts(runs.clone())
    );
    let whole = folder.json("cross-entropy x.npy t.npy");
    let [a, b] = [&whole, &runs].map(|report| report["loss"].as_f64().unwrap());
    assert!((a - b).abs() <= 2e-7 * a, "{a} and {b}");
    // Positions are those in the file.
    labels[14_321] = 300;
    folder.save("t.npy", &[rows], &labels);
    let run = folder.cpu("cross-entropy x.npy t.npy --shard 1/2");
    assert!(run.stderr.contains("the first is 300 at [14321]"), "{}", run.stderr);
    assert_eq!((run.code, &*run.stdout), (Some(1), ""));
}

#[test]
fn operands_of_elements_are_cut_with_them() {
    let folder = Folder::new();
    let shape = [1 << 17, 40];
    let count = shape.iter().product::<usize>();
    let numbers = |seed: usize| -> Vec<f32> {
        (0..count).map(|i| ((i + seed) * 31 % 997) as f32 / 997.0).collect()
    };
    folder.save("x.npy", &shape, &numbers(1));
    folder.save("y.npy", &shape, &numbers(2));
    folder.save("y1.npy", &shape[1..], &numbers(2)[..40]);
    folder.save(
        "v0.npy",
        &shape[..1],
        &numbers(3)[..1 << 17].iter().map(|x| x + 0.1).collect::<Vec<_>>(),
    );
    folder.save("v.npy", &shape, &numbers(4));
    for command in [
        "gaussian-nll x.npy y.npy --var v0.npy",
        "gaussian-nll x.npy y1.npy --var v.npy",
        "gaussian-nll x.npy y.npy --var 0.5",
        "bce x.npy y.npy --weight y1.npy",
        "bce-with-logits x.npy y.npy --pos-weight y1.npy --weight v.npy",
        "poisson-nll x.npy y1.npy --reduction batchmean",
    ] {
        let whole = folder.json(command);
        let runs = folder.json(&format!("{command} --shard 0/1"));
        assert!(runs["shards"].as_array().unwrap().len() > 1);
        let [a, b] = [&whole, &runs].map(|report| report["loss"].as_f64().unwrap());
        assert!((a - b).abs() <= 3e-7 * a.abs(), "{command}: {a} and {b}");
    }
}

#[test]
fn every_loss_has_shards() {
    let folder = folder();
    let mut list = "input\ttarget\tvar\tpos-weight\tweight\n".to_owned();
    for number in 0..3 {
        let numbers: Vec<f32> = (1..13).map(|i| ((i * 7 + number) % 13) as f32 / 13.0).collect();
        for name in ["p", "q"] {
            folder.save(&format!("data/{name}{number}.npy"), &[3, 4], &numbers);
        }
        list += &format!("p{number}.npy\tq{number}.npy\t0.5\t\t\n");
    }
    folder.write("data/points.tsv", &list);
    let columns = |names: &[usize]| -> String {
        let kept = |line: &str| {
            let cells: Vec<&str> = line.split('\t').collect();
            names.iter().map(|&at| cells[at]).collect::<Vec<_>>().join("\t") + "\n"
        };
        list.lines().map(kept).collect()
    };
    folder.write("data/pairs.tsv", columns(&[0, 1]));
    folder.write("data/var.tsv", columns(&[0, 1, 2]));
    folder.write("data/weights.tsv", columns(&[0, 1, 3, 4]));
    folder.write("data/inputs.tsv", columns(&[0]));
    for command in [
        "nll --list data/list.tsv",
        "entropy --list data/inputs.tsv",
        "entropy data/p0.npy data/p1.npy data/p2.npy",
        "bce --list data/pairs.tsv",
        "bce-with-logits --list data/weights.tsv",
        "kl-div --list data/pairs.tsv --reduction batchmean",
        "gaussian-nll --list data/var.tsv",
        "gaussian-nll --list data/pairs.tsv --var 0.5",
        "poisson-nll --list data/pairs.tsv",
    ] {
        let report = folder.json(command);
        let parts = report["shards"].as_array().unwrap();
        assert!(parts.len() >= 3, "{command}: {report}");
        let rows: u64 = parts.iter().map(|part| part["rows"].as_u64().unwrap()).sum();
        assert_eq!(rows as f64, report["weight"].as_f64().unwrap(), "{command}");
    }
    let [a, b] = ["data/var.tsv", "data/pairs.tsv --var 0.5"]
        .map(|list| folder.json(&format!("gaussian-nll --list {list}"))["loss"].clone());
    assert_eq!(a, b);
}

#[test]
fn a_shard_that_cannot_be_read_is_named_and_a_rerun_does_the_rest() {
    let folder = folder();
    let command = "cross-entropy --list data/list.tsv --resume done --save-partial all.json";
    let wanted = folder.json("cross-entropy --list data/list.tsv");
    let kept = std::fs::read(folder.path("data/x3.npy")).unwrap();
    std::fs::remove_file(folder.path("data/x3.npy")).unwrap();
    folder.write("data/t5.npy", std::fs::read(folder.path("data/t0.npy")).unwrap());
    let run = folder.cpu(command);
    assert_eq!(run.code, Some(1));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stderr);
    assert!(lines[0].contains("x3.npy: no such file"), "{}", run.stderr);
    assert!(lines[1].contains("t5.npy: labels of shape [40]"), "{}", run.stderr);
    assert!(lines[2] == "wgpu-loss: 2 of 7 shards failed", "{}", run.stderr);
    assert!(run.line("computed").starts_with("cross-entropy of 5 shards"), "{}", run.stdout);
    assert!(!folder.names().contains(&"all.json".to_owned()));
    let files = || std::fs::read_dir(folder.path("done")).unwrap().count();
    assert_eq!(files(), 5);
    folder.write("data/x3.npy", kept);
    folder.save("data/t5.npy", &[ROWS[5]], &labels(ROWS[5], 5));
    // What is stored is not computed again: a file of the same size and time is not read.
    let at = |name: &str| std::fs::metadata(folder.path(name)).unwrap().modified().unwrap();
    let (before, name) = (at("data/x0.npy"), "data/x0.npy");
    folder.save(name, &[ROWS[0], CLASSES], &vec![0f32; ROWS[0] * CLASSES]);
    let times = std::fs::FileTimes::new().set_modified(before);
    std::fs::File::options().write(true).open(folder.path(name)).unwrap().set_times(times).unwrap();
    assert_eq!(facts(folder.json(command)), facts(wanted.clone()));
    assert_eq!(files(), 7);
    assert_eq!(facts(folder.run("merge all.json --json").good().json()), facts(wanted.clone()));
    // Other options, and files that have changed, are other shards.
    folder.json(&format!("{command} --label-smoothing 0.1"));
    assert_eq!(files(), 14);
    let now = std::fs::FileTimes::new().set_modified(before + Duration::from_secs(1));
    std::fs::File::options().write(true).open(folder.path(name)).unwrap().set_times(now).unwrap();
    assert_ne!(folder.json(command)["loss"], wanted["loss"]);
    assert_eq!(files(), 15);
    // A damaged file is computed again.
    for entry in std::fs::read_dir(folder.path("done")).unwrap() {
        std::fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert_ne!(folder.json(command)["loss"], wanted["loss"]);
    assert_eq!(files(), 15);
}

/// Nothing is lost and nothing counted twice, whenever the program is killed.
#[test]
fn killed_at_random_and_resumed_twenty_times() {
    let folder = Folder::new();
    let (shards, rows, classes) = (60usize, 900usize, 1000usize);
    let mut list = "input\ttarget\n".to_owned();
    for number in 0..shards {
        let logits: Vec<f32> =
            (0..rows * classes).map(|i| ((i + number) * 7919 % 10_007) as f32 / 1000.0).collect();
        folder.save(&format!("x{number}.npy"), &[rows, classes], &logits);
        folder.save(&format!("t{number}.npy"), &[rows], &labels(rows, number));
        list += &format!("x{number}.npy\tt{number}.npy\n");
    }
    folder.write("list.tsv", list);
    let wanted = folder.json("cross-entropy --list list.tsv");
    let command = "cross-entropy --list list.tsv --resume done --device cpu --json";
    let done = || {
        std::fs::read_dir(folder.path("done")).map_or(0, |files| {
            files
                .filter(|file| {
                    file.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "json")
                })
                .count()
        })
    };
    // Ctrl-C says that there is something to resume.
    let child = folder.command(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap();
    while done() == 0 {
        std::thread::sleep(Duration::from_micros(200));
    }
    kill("-INT", &child);
    let output = child.wait_with_output().unwrap();
    let said = "wgpu-loss: interrupted; --resume finds the shards that are done\n";
    assert_eq!(
        (output.status.code(), &*String::from_utf8_lossy(&output.stderr)),
        (Some(130), said)
    );
    let (mut kills, mut seed, start) = (0, 1u64, Instant::now());
    while kills < 20 {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{} shards after {kills} kills",
            done()
        );
        let mut child =
            folder.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Until there is one more, and a little longer: in the middle of something.
        let before = done();
        while done() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_micros(seed >> 51));
        if child.try_wait().unwrap().is_none() {
            kill("-KILL", &child);
            kills += 1;
        }
        child.wait().unwrap();
        if done() == shards {
            // Done too soon: some have to be computed again.
            let files = std::fs::read_dir(folder.path("done")).unwrap();
            files
                .take(shards / 2)
                .for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
        }
    }
    let report = folder.run(command).good().json();
    assert_eq!(facts(report), facts(wanted.clone()));
    assert_eq!(done(), shards);
    let files = std::fs::read_dir(folder.path("done")).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "json"));
    let merged = folder.command("merge --json").args(files).output().unwrap();
    let merged: Value = serde_json::from_slice(&merged.stdout).unwrap();
    assert_eq!(facts(merged), facts(wanted));
}

#[test]
fn wrong_lists_are_named() {
    let folder = folder();
    for (list, said) in [
        ("", "has no column \"input\""),
        ("input\ttarget\n", "has no shards below its header"),
        ("input\tlabels\nx0.npy\tt0.npy\n", "has a column \"labels\""),
        ("input\tinput\nx0.npy\tt0.npy\n", "has two columns \"input\""),
        ("target\tinput\nt0.npy\tx0.npy\n", "has another first column"),
        ("input\nx0.npy\n", "has no column \"target\""),
        ("input\ttarget\nx0.npy\n", "line 2 has 1 columns, and the first line has 2"),
        ("input\ttarget\nx0.npy\t\n", "line 2 has no target"),
        ("input\ttarget\nx0.npy\tt0.npy\nx0.npy\tt0.npy\n", "x0.npy is there twice"),
    ] {
        folder.write("data/wrong.tsv", list);
        let run = folder.cpu("cross-entropy --list data/wrong.tsv");
        assert!(matches!(run.code, Some(1 | 2)), "{list:?}");
        let code = run.code.unwrap();
        run.bad(code, &[said]);
    }
    folder.cpu("cross-entropy --list data/none.tsv").bad(1, &["data/none.tsv: no such file"]);
    folder.write("data/bytes.tsv", b"input\ttarget\nx\xff0.npy\tt0.npy\n");
    folder.cpu("cross-entropy --list data/bytes.tsv").bad(1, &["data/bytes.tsv", "UTF-8"]);
    let list = "cross-entropy --list data/list.tsv";
    for (more, said) in [
        ("data/x0.npy data/t0.npy", "cannot be used with"),
        ("--save-grad g.npy", "saving gradient"),
        ("--check", "--check is for one set of files"),
        ("--histogram", "--histogram is for one set of files"),
        ("--reduction none", "--reduction none is for one set of files"),
        ("--shard 2/2", "from 0 to N - 1"),
        ("--save-partial p.npy", "partials are saved as .json files"),
    ] {
        folder.cpu(&format!("{list} {more}")).bad(2, &[said]);
    }
    folder
        .cpu("cross-entropy --list data/weighted.tsv --row-weights data/w0.npy")
        .bad(2, &["row weights"]);
    folder
        .cpu("cross-entropy data/x0.npy data/t0.npy data/x1.npy")
        .bad(2, &["x1.npy has no target"]);
    let turned = folder.cpu("entropy data/x0.npy --class-axis 0 --shard 0/2");
    turned.bad(2, &["along its first axis, which has no rows here"]);
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let folder = folder();
    let list = "cross-entropy --list data/list.tsv";
    folder.cpu(&format!("{list} --shard 0/2 --save-partial a.json")).good();
    folder.cpu(&format!("{list} --shard 1/2 --save-partial b.json")).good();
    folder
        .cpu(&format!("{list} --shard 1/2 --save-partial smoothed.json --label-smoothing 0.1"))
        .good();
    folder.cpu(&format!("{list} --shard 1/2 --save-partial sum.json --reduction sum")).good();
    folder.cpu("nll data/x1.npy data/t1.npy --save-partial nll.json").good();
    folder.run("merge a.json b.json").good();
    for (files, said) in [
        ("a.json a.json", "a.json: has the shard x0.npy, which a.json has too"),
        (
            "a.json smoothed.json",
            "smoothed.json: is of cross-entropy, reduction mean, of 7 shards with the fingerprint",
        ),
        ("a.json sum.json", "sum.json: is of cross-entropy, reduction sum"),
        ("a.json nll.json", "nll.json: is of nll"),
        ("data/list.tsv", "data/list.tsv: is no file of --save-partial"),
        ("data/x0.npy", "data/x0.npy: is no file of --save-partial"),
        ("none.json", "none.json: no such file"),
    ] {
        folder.run(&format!("merge {files}")).bad(1, &[said]);
    }
    folder.run("merge").bad(2, &["FILES"]);
    // What is missing is said, and what is there reported.
    let run = folder.run("merge b.json");
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stderr, "wgpu-loss: 4 of 7 shards are missing, the first is number 0\n");
    assert!(run.line("computed").starts_with("cross-entropy of 3 shards"));
    // A share may have no shard.
    let empty = folder.cpu(&format!("{list} --shard 9/12 --save-partial none-of-them.json")).good();
    assert_eq!(empty.stdout, "computed  cross-entropy of 0 shards\n");
    assert_eq!(folder.json(&format!("{list} --shard 9/12"))["shards"], serde_json::json!([]));
    folder.run("merge a.json b.json").good();
    // Forged numbers are refused, or merged without a panic.
    let text = std::fs::read_to_string(folder.path("a.json")).unwrap();
    for (from, to, said) in [
        (r#""version":1,"command""#, r#""version":2,"command""#, "has version 2"),
        (r#""live":36"#, r#""live":99"#, "counts of rows contradict"),
        (r#""classes":300"#, r#""classes":-1"#, "is no file"),
        (r#""loss_sum":["#, r#""loss_sum":["x","#, "is no number"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        folder.write("forged.json", text.replacen(from, to, 1));
        folder.run("merge forged.json").bad(1, &["forged.json", said]);
    }
    folder.write("forged.json", text.replacen(r#""classes":300"#, r#""classes":301"#, 1));
    folder.run("merge forged.json b.json").bad(1, &["number of classes"]);
    folder.write("forged.json", text.replace(r#""shards":7"#, r#""shards":18446744073709551615"#));
    let run = folder.run("merge forged.json");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}

/// The scripts of docs/clusters.md, with a shell in place of the scheduler.
#[test]
#[cfg(unix)]
fn the_recipes_give_the_report_of_one_run() {
    let folder = folder();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let program = std::path::PathBuf::from(crate::support::program());
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let shell = |script: &str, words: &[&str], env: &[(&str, String)]| {
        let mut command = std::process::Command::new("bash");
        command.arg(root.join("examples/clusters").join(script)).args(words);
        // On the CPU: the shells' part is tested here.
        command.current_dir(folder.path("")).env("PATH", &path).env("VK_DRIVER_FILES", "/none");
        command.envs(env.iter().map(|(name, value)| (*name, value)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let wanted = folder.json("cross-entropy --list data/list.tsv");
    let merged = |folder_name: &str, tasks: usize| {
        let files: String =
            (0..tasks).map(|task| format!("{folder_name}/part-{task}.json ")).collect();
        facts(folder.run(&format!("merge {files} --json")).good().json())
    };
    // An array of three tasks, one of which is started again.
    for task in [0, 1, 2, 1] {
        let env = [("SLURM_ARRAY_TASK_ID", task.to_string()), ("SLURM_JOB_GPUS", "3,4".into())];
        shell("perplexity.sbatch", &["data/list.tsv", "array", "3"], &env);
    }
    assert_eq!(merged("array", 3), facts(wanted.clone()));
    shell("perplexity.sbatch", &["data/list.tsv", "alone"], &[]);
    assert_eq!(merged("alone", 1), facts(wanted.clone()));
    if std::process::Command::new("parallel").arg("--version").output().is_err() {
        eprintln!("NOT RUN: parallel.sh, since GNU parallel is not there");
        return;
    }
    let report = shell("parallel.sh", &["data/list.tsv", "sever al", "4"], &[]);
    assert!(report.starts_with("computed  cross-entropy of 7 shards"), "{report}");
    std::fs::rename(folder.path("sever al"), folder.path("several")).unwrap();
    assert_eq!(merged("several", 4), facts(wanted));
}

/// A folder of results serves other reductions and longer lists; a shard is itself in any state of its file.
#[test]
fn stored_shards_are_used_for_what_they_are() {
    let folder = folder();
    let losses = |reduction: &str, more: &str| {
        let command = format!("cross-entropy --list data/list.tsv --reduction {reduction} {more}");
        folder.json(&command)["loss"].as_f64().unwrap()
    };
    for reduction in ["mean", "sum", "batchmean", "mean"] {
        assert_eq!(losses(reduction, "--resume done"), losses(reduction, ""), "{reduction}");
    }
    // In a shorter list, the same shards have other numbers.
    let list = std::fs::read_to_string(folder.path("data/list.tsv")).unwrap();
    let shorter: String = list
        .lines()
        .filter(|line| !line.starts_with("x0"))
        .map(|line| format!("{line}\n"))
        .collect();
    folder.write("data/shorter.tsv", shorter);
    folder.json("cross-entropy --list data/shorter.tsv --resume done");
    folder.json("cross-entropy --list data/list.tsv --resume done");
    let files = std::fs::read_dir(folder.path("done")).unwrap().map(|file| file.unwrap().path());
    let merged = folder.command("merge --json").args(files).output().unwrap();
    assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
    // One that was computed again after a change of its file is not counted twice.
    folder.cpu("cross-entropy --list data/list.tsv --shard 0/7 --save-partial old.json").good();
    folder.write("data/x0.npy", std::fs::read(folder.path("data/x0.npy")).unwrap());
    folder.cpu("cross-entropy --list data/list.tsv --save-partial new.json").good();
    folder
        .run("merge old.json new.json")
        .bad(1, &["new.json: has the shard x0.npy, which old.json has too"]);
    // Nor is one with two names.
    folder.write("data/twice.tsv", "input\ttarget\nx0.npy\tt0.npy\n./x0.npy\tt0.npy\n");
    folder.cpu("cross-entropy --list data/twice.tsv").bad(2, &["is there twice, under two names"]);
}

#[test]
fn bad_variances_are_named_by_their_own_places() {
    let folder = Folder::new();
    let shape = [1 << 17, 40];
    let count = shape.iter().product::<usize>();
    folder.save("x.npy", &shape, &vec![0.5f32; count]);
    let mut variances = vec![1f32; shape[0]];
    variances[110_000] = -1.0;
    folder.save("v.npy", &shape[..1], &variances);
    for shard in ["0/1", "1/2"] {
        let run = folder.cpu(&format!("gaussian-nll x.npy x.npy --var v.npy --shard {shard}"));
        assert!(run.stderr.contains("var -1 at [110000]"), "{}", run.stderr);
    }
}

/// A file without rows has a report as well.
#[test]
fn no_rows_are_a_shard() {
    let folder = Folder::new();
    folder.save::<f32>("x.npy", &[0, 3], &[]);
    folder.save::<u8>("t.npy", &[0], &[]);
    let report = folder.json("cross-entropy x.npy t.npy --shard 0/2 --empty-mean zero");
    assert_eq!((report["rows"].as_u64(), report["loss"].as_f64()), (Some(0), Some(0.0)));
}

#[test]
fn a_row_of_nan_is_named_by_its_number_in_all_shards() {
    let folder = folder();
    let mut logits = logits(ROWS[1], 7);
    logits[5] = f32::NAN;
    folder.save("data/x1.npy", &[ROWS[1], CLASSES], &logits);
    let run = folder.cpu("cross-entropy --list data/list.tsv").good();
    assert_eq!(run.line("NaN"), format!("1 rows, the first at [{}]", ROWS[0]));
}
