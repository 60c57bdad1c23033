//! The program on a GPU with files that are larger than what a device or its budget holds, and with
//! files that have to be converted on the way.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::process::Command;

use crate::support::{Folder, Run, assert_judged, bytes, npy};

/// Runs a command and returns its output and the largest number of bytes of its own that it held: neither of a file,
/// nor mapped by a driver.
#[cfg(target_os = "linux")]
fn run_and_look(command: &mut Command) -> (std::process::Output, u64) {
    use std::{process::Stdio, time::Duration};
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    // Its output must be read meanwhile.
    let output = std::thread::spawn(|| child.wait_with_output().unwrap());
    let mut most = 0;
    while !output.is_finished() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(1024 * kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    (output.join().unwrap(), most)
}

/// 4 GiB of logits under a budget of 512 MiB, in a program that never holds half of them. Where a driver's buffers
/// are in the program's address space, that holds the file once and not twice; a GPU's driver may reserve more than
/// any machine has. The file is sparse: zeros, with a number in every megabyte.
#[test]
#[cfg(target_os = "linux")]
fn four_gigabytes() {
    let (rows, classes) = (1usize << 20, 1usize << 10);
    let folder = Folder::new();
    folder.write("x.npy", npy("'<f4'", false, &format!("{rows}, {classes}"), &[]));
    let mut file = File::options().write(true).open(folder.path("x.npy")).unwrap();
    let start = file.metadata().unwrap().len();
    file.set_len(start + 4 * (rows * classes) as u64).unwrap();
    for step in 0..4096u64 {
        file.seek(SeekFrom::Start(start + (step << 20) + 4 * (step * 37 % 1024))).unwrap();
        file.write_all(&((step % 37) as f32 / 3.0).to_le_bytes()).unwrap();
    }
    let labels: Vec<i32> = (0..rows).map(|row| (row * 7 % classes) as i32).collect();
    folder.save("t.npy", &[rows], &labels);
    let program = crate::support::program();
    let adapters = folder.run("adapters --json").good().json();
    let software = adapters["adapters"][0]["type"] == "software";
    let limit = if software { "ulimit -v 8000000;" } else { "" };
    let run = |words: &str| {
        let words = format!("{words} --device gpu --memory-budget 512MiB --json");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{limit} exec '{program}' {words}"));
        shell.current_dir(folder.path("")).env("WGPU_LOSS_CACHE", folder.path("cache"));
        let (output, most) = run_and_look(&mut shell);
        let run = Run::new(&words, output).good();
        assert!((1 << 20..2 << 30).contains(&most), "{most} bytes: {words}");
        println!("{} MiB of its own: {words}", most >> 20);
        run.json()
    };
    let json = run("cross-entropy x.npy t.npy --check");
    assert_judged(&json);
    assert_eq!(json["rows"], rows);
    let loss = json["loss"].as_f64().unwrap();
    assert!((loss - (classes as f64).ln()).abs() < 0.01, "{loss}");
    // Showing losses needs no more memory, nor do the outputs in addition to the loss.
    let words = "cross-entropy x.npy t.npy --histogram --accuracy --per-class --save-lse lse.npy";
    let looked = run(words);
    assert!((looked["loss"].as_f64().unwrap() / loss - 1.0).abs() < 1e-6, "{looked}");
    assert_eq!(looked["histogram"]["rows"], rows);
    assert_eq!(looked["classes"].as_array().unwrap().len(), classes);
    // A gigabyte of losses, one for each element, and as many targets that are one number.
    let elements = rows * classes / 4;
    let file = npy("'<f4'", false, &format!("{}, {classes}", rows / 4), &[]);
    folder.write("y.npy", &file);
    let sparse = File::options().write(true).open(folder.path("y.npy")).unwrap();
    sparse.set_len((file.len() + 4 * elements) as u64).unwrap();
    folder.save("zero.npy", &[1], &[0.0f32]);
    let json = run("poisson-nll y.npy zero.npy --histogram");
    // exp(0), of each: WGSL grants it an error of 3 units in the last place.
    assert!((json["loss"].as_f64().unwrap() - 1.0).abs() < 4e-7, "{json}");
    assert_eq!(json["histogram"]["rows"], elements);
}

/// Numbers that differ, up to 8.
fn logits(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1013) as f32 / 126.0).collect()
}

/// In an archive elements lie at odd addresses: they are converted batch by batch, and every element of
/// the gradient is the same as of the plain file.
#[test]
fn batches_of_an_archive_are_the_whole() {
    let (rows, classes) = (7001, 1501);
    let folder = Folder::new();
    let x = logits(rows * classes);
    let labels: Vec<i64> =
        (0..rows as i64).map(|row| if row % 9 == 0 { -100 } else { row * 11 % 1501 }).collect();
    let weight: Vec<f32> = (0..classes).map(|class| 0.5 + (class % 5) as f32).collect();
    folder.save("x.npy", &[rows, classes], &x);
    folder.save("t.npy", &[rows], &labels);
    folder.save("w.npy", &[classes], &weight);
    let array = npy("'<f4'", false, &format!("{rows}, {classes}"), &bytes(&x));
    folder.save_npz("x.npz", &[("x", array)], false);
    for reduction in ["mean", "sum", "batchmean", "none"] {
        let words = format!("t.npy --weight w.npy --reduction {reduction} --device gpu --json");
        let run = |file: &str, grad: &str| {
            let words = format!("cross-entropy {file} {words} --save-grad {grad} --check");
            let json = folder.run(&words).good().json();
            assert_judged(&json);
            json
        };
        let (plain, packed) = (run("x.npy", "g.npy"), run("x.npz", "h.npy"));
        assert_eq!((&plain["rows"], &plain["weight"]), (&packed["rows"], &packed["weight"]));
        if reduction != "none" {
            let [a, b] = [&plain, &packed].map(|json| json["loss"].as_f64().unwrap());
            assert!((a - b).abs() <= 1e-6 * a.abs(), "{a} and {b}");
        }
        let (a, b) = (folder.load("g.npy").1, folder.load("h.npy").1);
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        // Batches of other sizes may have other kernels, and each is right to 8 units or so.
        assert!(worst <= 2e-6 * largest, "{worst} of {largest}");
    }
    // Bad labels are named by their place in the whole.
    let mut bad = labels.clone();
    (bad[6000], bad[6500]) = (1501, -1);
    folder.save("bad.npy", &[rows], &bad);
    let words = "cross-entropy x.npz bad.npy --device gpu --save-loss l.npy";
    folder.run(words).bad(1, &["bad.npy", "2 of 7001 labels", "1501 at [6000]"]);
}

/// A file that does not fit in memory has to be put in order before classes on the first axis can be read.
#[test]
fn fortran_order_with_the_classes_first() {
    let (classes, rows) = (70, 300_007);
    let folder = Folder::new();
    let x: Vec<f64> = logits(classes * rows).into_iter().map(f64::from).collect();
    // Row by row in the file: element (class, row) is at row * classes + class.
    let swapped: Vec<u8> = x.iter().flat_map(|x| x.to_be_bytes()).collect();
    folder.write("f.npy", npy("'>f8'", true, &format!("{classes}, {rows}"), &swapped));
    let x: Vec<f32> = x.into_iter().map(|x| x as f32).collect();
    folder.save("x.npy", &[rows, classes], &x);
    folder.save("t.npy", &[rows], &vec![3u8; rows]);
    let run = |file: &str, axis: &str| {
        let words = format!("cross-entropy {file} t.npy --class-axis {axis} --device gpu --check");
        folder.run(&format!("{words} --json")).good().json()["loss"].as_f64().unwrap()
    };
    let (a, b) = (run("f.npy", "0"), run("x.npy", "1"));
    assert!((a - b).abs() <= 1e-6 * a.abs(), "{a} and {b}");
}

/// More than 2^32 elements, and more than 2^33 bytes: one image of bf16 logits whose last positions are
/// past all of that, and rows of them. Both files are sparse.
///
/// It runs only on request: `cargo test --profile tests -p wgpu-loss-cli --test program any_size -- --ignored`.
#[test]
#[ignore = "8.6 GB of logits in a sparse file, twice: some seconds on a GPU, a minute in software"]
fn past_32_bits_of_elements() {
    const CLASSES: usize = 1000;
    const ROWS: usize = (1 << 32) / CLASSES + 6001;
    let bf16 = |x: f32| ((x.to_bits() >> 16) as u16).to_le_bytes();
    for images in [false, true] {
        let folder = Folder::new();
        let shape =
            if images { format!("1, {CLASSES}, {ROWS}") } else { format!("{ROWS}, {CLASSES}") };
        folder.write("x.npy", npy("'<u2'", false, &shape, &[]));
        let mut file = File::options().write(true).open(folder.path("x.npy")).unwrap();
        let start = file.metadata().unwrap().len();
        file.set_len(start + 2 * (ROWS * CLASSES) as u64).unwrap();
        // The label's class is 0; in some rows it has a logit of its own, in others another class has.
        let mut wanted = vec![(CLASSES as f64).ln(); ROWS];
        for step in 0..2000 {
            let row = (step * 7_654_321 + 5) % ROWS;
            let (class, x) = (step % 2 * 617, (step % 19) as f32 - 9.0);
            let element = if images { class * ROWS + row } else { row * CLASSES + class };
            file.seek(SeekFrom::Start(start + 2 * element as u64)).unwrap();
            file.write_all(&bf16(x)).unwrap();
            let whole = ((CLASSES - 1) as f64 + f64::from(x).exp()).ln();
            wanted[row] = if class == 0 { whole - f64::from(x) } else { whole };
        }
        let label_shape = if images { vec![1, ROWS] } else { vec![ROWS] };
        folder.save("t.npy", &label_shape, &vec![0u8; ROWS]);
        let words = "cross-entropy x.npy t.npy --dtype bf16 --device gpu --reduction none \
                     --save-loss loss.npy --json";
        folder.run(words).good();
        let (_, losses) = folder.load("loss.npy");
        assert_eq!(losses.len(), ROWS);
        for (row, (got, wanted)) in losses.iter().zip(&wanted).enumerate() {
            let off = (f64::from(*got) / wanted - 1.0).abs();
            // WGSL grants the exp of -18 an error of 39 units in the last place.
            assert!(off < 1e-5, "row {row}: {got} for {wanted}");
        }
    }
}
