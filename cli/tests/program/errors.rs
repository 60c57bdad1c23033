//! Every kind of error: one line that names the file, an exit status, and no files left.

use std::fs::File;
use std::process::Stdio;

use crate::support::{Folder, LABELS, LOGITS, bytes, npy};

#[test]
fn wrong_usage() {
    let folder = Folder::with_logits();
    folder.run("").bad(2, &["subcommand", "cross-entropy", "--help"]);
    folder.run("cross-entropi x.npy t.npy").bad(2, &["cross-entropi"]);
    folder.run("cross-entropy x.npy").bad(2, &["<TARGET>"]);
    folder.run("cross-entropy x.npy t.npy --wieght w.npy").bad(2, &["--wieght", "--weight"]);
    folder.run("softmax x.npy --reduction sum").bad(2, &["--reduction"]);
    folder.run("nll x.npy t.npy --label-smoothing 0.1").bad(2, &["--label-smoothing"]);
    let run = |words: &str| folder.run(&format!("cross-entropy x.npy t.npy {words}"));
    for number in ["nan", "NaN", "-0.1", "1.5", "inf", "1e99", "x"] {
        run(&format!("--label-smoothing {number}"))
            .bad(2, &["--label-smoothing", number, "from 0 to 1"]);
    }
    run("--ignore-index 1.5").bad(2, &["--ignore-index"]);
    run("--ignore-index 9223372036854775808").bad(2, &["--ignore-index"]);
    run("--class-axis one").bad(2, &["--class-axis"]);
    run("--class-axis 2 --device cpu").bad(2, &["x.npy", "class axis 2", "[4, 4]"]);
    run("--class-axis -3 --device cpu").bad(2, &["class axis -3"]);
    run("--reduction average").bad(2, &["average", "batchmean"]);
    run("--device tpu").bad(2, &["tpu", "auto, gpu, cpu"]);
    run("--device cpu --adapter x").bad(2, &["--adapter", "cpu"]);
    run("--dtype f32").bad(2, &["--dtype", "f16, bf16"]);
    run("--dtype bf16 --device cpu").bad(2, &["x.npy", "float32", "--dtype is bf16"]);
    run("--out-dtype f64").bad(2, &["--out-dtype", "same, f32"]);
    for size in ["0", "many", "-5MiB", "12QQ"] {
        run(&format!("--memory-budget={size}")).bad(2, &["--memory-budget", "512MiB"]);
    }
    run("--upstream x.npy").bad(2, &["--save-grad"]);
    run("--save-grad g.txt").bad(2, &["g.txt", ".npy"]);
    run("--save-grad g.npy --save-loss ./g.npy").bad(2, &["g.npy", "two results"]);
    folder.save("q.npy", &[4, 4], &LOGITS);
    folder
        .cpu("cross-entropy x.npy q.npy --ignore-index 1")
        .bad(2, &["--ignore-index", "class probabilities"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = Folder::new();
    assert!(folder.run("--help").good().stdout.contains("cross-entropy"));
    assert!(folder.run("cross-entropy --help").good().stdout.contains("--label-smoothing"));
    assert!(folder.run("--version").good().stdout.starts_with("wgpu-loss "));
}

#[test]
fn files_that_are_no_arrays() {
    let folder = Folder::with_logits();
    let bad = |name: &str, said: &[&str]| {
        folder.cpu(&format!("cross-entropy {name} t.npy")).bad(1, &[&[name][..], said].concat());
    };
    bad("missing.npy", &["no such file"]);
    bad("no/folder/x.npy", &["no such file"]);
    bad("x.npz", &["no such file"]);
    bad("x.csv", &["unknown file ending"]);
    bad("x", &["unknown file ending"]);
    std::fs::create_dir(folder.path("folder.npy")).unwrap();
    bad("folder.npy", &["folder"]);
    folder.write("empty.npy", []);
    bad("empty.npy", &["not an .npy file"]);
    folder.write("text.npy", "1.0, 2.0, 3.0, 4.0\n");
    bad("text.npy", &["not an .npy file"]);
    folder.write("magic.npy", b"\x93NUMPY");
    bad("magic.npy", &["not an .npy file"]);
    folder.write("version.npy", b"\x93NUMPY\x07\x00\x00\x00");
    bad("version.npy", &["version 7"]);
    folder.write("size.npy", b"\x93NUMPY\x01\x00");
    bad("size.npy", &["cut short"]);
    // A header of 4 GiB in 12 bytes must not be allocated.
    folder.write("header.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff");
    bad("header.npy", &["cut short"]);
    folder.write("nonsense.npy", npy("'<f4'", false, "4, 4, ))", &[]));
    bad("nonsense.npy", &["cannot be parsed"]);
    folder.write("negative.npy", npy("'<f4'", false, "-4, 4", &[]));
    bad("negative.npy", &["cannot be parsed"]);
}

#[test]
fn arrays_of_the_wrong_length() {
    let folder = Folder::with_logits();
    let bad = |name: &str, said: &[&str]| {
        folder.cpu(&format!("softmax {name}")).bad(1, &[&[name][..], said].concat());
    };
    let body = bytes(&LOGITS);
    folder.write("short.npy", npy("'<f4'", false, "4, 4", &body[..63]));
    bad("short.npy", &["cut short", "float32 of shape [4, 4]", "63 bytes"]);
    folder.write("long.npy", npy("'<f4'", false, "3, 5", &body));
    bad("long.npy", &["4 extra bytes"]);
    // Absurd shapes must be refused before anything of their size is allocated.
    for shape in [
        "1000000000000, 1000",
        "4294967296, 4294967296",
        "18446744073709551615, 18446744073709551615",
        "99999999999999999999999999999, 2",
    ] {
        folder.write("huge.npy", npy("'<f4'", false, shape, &body));
        bad("huge.npy", &[]);
    }
    let axes = "1, ".repeat(65);
    folder.write("axes.npy", npy("'<f4'", false, &axes, &body[..4]));
    bad("axes.npy", &["65 axes"]);
}

#[test]
fn arrays_of_types_that_are_not_read() {
    let folder = Folder::with_logits();
    let bad = |descr: &str, size: usize, said: &[&str]| {
        folder.write("bad.npy", npy(descr, false, "2,", &vec![0; 2 * size]));
        folder.cpu("softmax bad.npy").bad(1, &[&["bad.npy"][..], said].concat());
    };
    bad("'|O'", 8, &["objects"]);
    bad("'<c8'", 8, &["complex"]);
    bad("'<f16'", 16, &["extended"]);
    bad("'|S5'", 5, &["byte strings"]);
    bad("'<U5'", 20, &["strings"]);
    bad("'<M8[ns]'", 8, &["dates"]);
    bad("'|V3'", 3, &["raw bytes"]);
    bad("'|V2'", 2, &["raw 16-bit words", "--dtype bf16"]);
    bad("'<u2'", 2, &["uint16", "--dtype bf16"]);
    bad("[('a', '<f4'), ('b', '<i8')]", 12, &["structured"]);
    bad("'what'", 4, &["'what'"]);
    // Integers where floats are wanted, and the other way round.
    folder.cpu("softmax t.npy").bad(1, &["t.npy", "int64", "floats"]);
    folder.cpu("cross-entropy x.npy t.npy --weight t.npy").bad(1, &["t.npy", "weight", "floats"]);
    folder.cpu("nll x.npy x.npy").bad(1, &["x.npy", "labels", "class probabilities"]);
}

#[test]
fn shapes_that_do_not_fit() {
    let folder = Folder::with_logits();
    folder.save("t3.npy", &[3], &[0u8, 1, 2]);
    folder.cpu("cross-entropy x.npy t3.npy").bad(1, &["t3.npy", "x.npy", "[3]", "[4]"]);
    folder.cpu("nll x.npy t3.npy").bad(1, &["t3.npy", "x.npy", "[3]", "[4]"]);
    folder.save("tf.npy", &[4], &[0.0f32, 2.0, 1.0, 3.0]);
    let said = ["tf.npy", "class probabilities", "[4]", "[4, 4]", "labels are integers"];
    folder.cpu("cross-entropy x.npy tf.npy").bad(1, &said);
    folder.save("w3.npy", &[3], &[1.0f32; 3]);
    let said = ["w3.npy", "weight", "[3]", "[4]"];
    folder.cpu("cross-entropy x.npy t.npy --weight w3.npy").bad(1, &said);
    folder.save("w22.npy", &[2, 2], &[1.0f32; 4]);
    let said = ["w22.npy", "weight", "[2, 2]", "[4]"];
    folder.cpu("nll x.npy t.npy --weight w22.npy").bad(1, &said);
    let said = ["w3.npy", "upstream", "[3]", "[]"];
    folder.cpu("nll x.npy t.npy --save-grad g.npy --upstream w3.npy").bad(1, &said);
    let said = ["w3.npy", "upstream", "[3]", "[4]"];
    let words = "nll x.npy t.npy --save-grad g.npy --upstream w3.npy --reduction none";
    folder.cpu(words).bad(1, &said);
    folder.save("scalar.npy", &[], &[1.0f32]);
    folder.cpu("cross-entropy scalar.npy t.npy").bad(1, &["scalar.npy", "class axis"]);
}

#[test]
fn labels_out_of_range() {
    let folder = Folder::new();
    folder.save("x.npy", &[2, 3, 5, 7], &[0.5f32; 210]);
    let mut labels = [1i64; 70];
    labels[35 + 7 * 4 + 2] = 3;
    labels[69] = -1;
    folder.save("t.npy", &[2, 5, 7], &labels);
    let said = ["t.npy", "2 of 70 labels", "3 at [1, 4, 2]", "0 to 2", "-100"];
    folder.cpu("cross-entropy x.npy t.npy --save-loss l.npy --save-grad g.npy").bad(1, &said);
    assert_eq!(folder.names(), ["t.npy", "x.npy"]);
    let said = ["t.npy", "1 of 70 labels", "-1 at [1, 4, 6]", "ignore_index is 3"];
    folder.cpu("nll x.npy t.npy --ignore-index 3").bad(1, &said);
    folder.save("u.npy", &[2, 5, 7], &[u64::MAX; 70]);
    let said = ["u.npy", "70 of 70 labels", "18446744073709551615 at [0, 0, 0]"];
    folder.cpu("cross-entropy x.npy u.npy").bad(1, &said);
    folder.save("one.npy", &[3], &[0.5f32; 3]);
    folder.save("label.npy", &[], &[3u8]);
    folder.cpu("cross-entropy one.npy label.npy").bad(1, &["label.npy", "3 at []"]);
    folder.save::<f32>("no.npy", &[1, 0], &[]);
    folder.save("label.npy", &[1], &[0u8]);
    folder.cpu("cross-entropy no.npy label.npy").bad(1, &["label.npy", "there are no classes"]);
}

#[test]
fn safetensors_that_are_none() {
    let folder = Folder::with_logits();
    let bad = |name: &str, said: &[&str]| {
        let file = name.split(':').next().unwrap();
        folder.cpu(&format!("softmax {name}")).bad(1, &[&[file][..], said].concat());
    };
    bad("missing.safetensors:x", &["no such file"]);
    folder.write("empty.safetensors", []);
    bad("empty.safetensors:x", &["not a .safetensors file"]);
    folder.write("huge.safetensors", u64::MAX.to_le_bytes());
    bad("huge.safetensors:x", &["cut short"]);
    folder.write("text.safetensors", "this is no such file at all");
    bad("text.safetensors:x", &["cut short or not"]);
    folder.write("json.safetensors", b"\x02\0\0\0\0\0\0\0[}");
    bad("json.safetensors:x", &["cannot be parsed"]);
    let mut deep = 100_000u64.to_le_bytes().to_vec();
    deep.extend([b'['; 100_000]);
    folder.write("deep.safetensors", deep);
    bad("deep.safetensors:x", &["cannot be parsed"]);
    let tensors: &[(&str, &str, &[usize], Vec<u8>)] = &[
        ("logits", "F32", &[4, 4], bytes(&LOGITS)),
        ("complex", "C64", &[2], vec![0; 16]),
        ("labels", "I64", &[4], bytes(&LABELS)),
    ];
    folder.save_tensors("m.safetensors", tensors);
    bad("m.safetensors:logit", &["\"logit\"", "logits", "complex", "labels"]);
    bad("m.safetensors", &["which tensor", "logits"]);
    bad("m.safetensors:", &["no tensor \"\"", "logits"]);
    bad("m.safetensors:complex", &["C64"]);
    bad("m.safetensors:labels", &["int64", "floats"]);
    let whole = std::fs::read(folder.path("m.safetensors")).unwrap();
    folder.write("short.safetensors", &whole[..whole.len() - 1]);
    bad("short.safetensors:logits", &["cut short"]);
    folder.write("long.safetensors", [&whole[..], &[0]].concat());
    bad("long.safetensors:logits", &["1 extra bytes"]);
    // Too large to be true, in a header that agrees with itself as far as it can.
    let header = r#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    folder.write("lie.safetensors", file);
    bad("lie.safetensors:x", &["cannot be parsed"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::with_logits();
    std::fs::create_dir(folder.path("folder.npy")).unwrap();
    folder.write("old.npy", "old");
    let mut permissions = std::fs::metadata(folder.path("old.npy")).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(folder.path("old.npy"), permissions).unwrap();
    let before = folder.names();
    for (name, said) in [
        ("no/such/g.npy", "no such folder"),
        ("folder.npy", "folder"),
        ("old.npy", "read-only"),
        ("x.npy/g.npy", "cannot be written"),
    ] {
        let words = format!("cross-entropy x.npy t.npy --save-loss l.npy --save-grad {name}");
        folder.cpu(&words).bad(1, &[name, said]);
        // The other result could be saved, but is not.
        assert_eq!(folder.names(), before);
    }
    assert_eq!(std::fs::read(folder.path("old.npy")).unwrap(), b"old");
}

#[test]
#[cfg(unix)]
fn devices_are_neither_read_nor_replaced() {
    let folder = Folder::with_logits();
    std::os::unix::fs::symlink("/dev/zero", folder.path("zero.npy")).unwrap();
    folder.cpu("softmax zero.npy").bad(1, &["zero.npy", "not a regular file"]);
    let words = "softmax x.npy --save-output zero.npy";
    folder.cpu(words).bad(1, &["zero.npy", "not a regular file"]);
}

/// If the disk is full while results are written, no result is left. A limit on the size of files
/// stands in for the disk.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_nothing() {
    use crate::support::Run;
    let folder = Folder::new();
    folder.save("x.npy", &[100, 1000], &vec![0.5f32; 100_000]);
    folder.save("t.npy", &[100], &[1u8; 100]);
    folder.write("g.npy", "old");
    let program = crate::support::program();
    let words = "cross-entropy x.npy t.npy --device cpu --save-loss l.npy --save-grad g.npy";
    let script = format!("ulimit -f 100; trap '' XFSZ; exec {program} {words}");
    let mut shell = std::process::Command::new("sh");
    let output = shell.arg("-c").arg(script).current_dir(folder.path("")).output().unwrap();
    Run::new(words, output).bad(1, &["g.npy", "cannot be written"]);
    assert_eq!(folder.names(), ["g.npy", "t.npy", "x.npy"]);
    assert_eq!(std::fs::read(folder.path("g.npy")).unwrap(), b"old");
}

/// A reader that closes the pipe early, and one that was closed from the start.
#[test]
fn closed_pipes_are_no_panic() {
    let folder = Folder::with_logits();
    for words in [
        "cross-entropy x.npy t.npy --device cpu --reduction none --json",
        "cross-entropy x.npy t.npy --device cpu --save-grad g.npy",
        "--help",
    ] {
        let mut command = folder.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{words}");
    }
    assert!(folder.path("g.npy").exists());
    let closed = File::open(folder.path("x.npy")).unwrap();
    let status = folder.command("softmax missing.npy").stderr(closed).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

/// Names with blanks and newlines stay on one line.
#[test]
#[cfg(unix)]
fn odd_names_stay_on_one_line() {
    use crate::support::Run;
    let folder = Folder::new();
    let mut command = folder.command("softmax");
    let output = command.arg("two\nlines and a blank.npy").output().unwrap();
    Run::new("odd name", output).bad(1, &["lines and a blank.npy", "no such file"]);
}
