//! A folder of small arrays, and the program run in it.

pub mod bools;
pub mod damaged;
pub mod fixtures;
pub mod pages;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The logits that the tests share, (4, 4).
pub const LOGITS: [f32; 16] = [
    3.5, -3.45, 0.23, 1.25, //
    -2.14, 0.54, 2.67, -5.23, //
    -1.34, 5.01, -1.54, -1.17, //
    -2.98, -1.37, 1.54, 5.23,
];
/// Their labels.
pub const LABELS: [i64; 4] = [0, 2, 1, 3];
/// The losses of their rows.
pub const LOSSES: [f64; 4] = [0.13484927, 0.11987498, 0.00523357, 0.02625655];

/// A type that `.npy` files hold.
pub trait Element: Copy {
    /// Its name in NumPy.
    const DESCR: &'static str;
    /// Its bytes in a file.
    fn bytes(self) -> Vec<u8>;
}

macro_rules! elements {
    ($($type:ty: $descr:literal),* $(,)?) => {$(
        impl Element for $type {
            const DESCR: &'static str = $descr;
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        }
    )*};
}
elements!(
    u8: "|u1", i8: "|i1", u16: "<u2", i16: "<i2", u32: "<u4", i32: "<i4", u64: "<u8", i64: "<i8",
    half::f16: "<f2", f32: "<f4", f64: "<f8",
);

impl Element for bool {
    const DESCR: &'static str = "|b1";
    fn bytes(self) -> Vec<u8> {
        vec![u8::from(self)]
    }
}

/// A shape as Python writes it.
pub fn tuple(shape: &[usize]) -> String {
    shape.iter().map(|n| format!("{n}, ")).collect::<String>().trim_end().to_string()
}

/// A `.npy` file from its parts, whether they fit or not.
pub fn npy(descr: &str, fortran: bool, shape: &str, body: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut text =
        format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': ({shape}), }}");
    text.push_str(&" ".repeat((10 + text.len() + 1).next_multiple_of(64) - 11 - text.len()));
    text.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    file.extend(text.bytes());
    file.extend(body);
    file
}

/// The bytes of elements.
pub fn bytes<T: Element>(elements: &[T]) -> Vec<u8> {
    elements.iter().flat_map(|&x| x.bytes()).collect()
}

/// A file in a `.npz`, whose header may be true or not.
#[derive(Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Bit 0 means encrypted.
    pub flags: u16,
    /// 0 stored, 8 deflated.
    pub method: u16,
    /// Its bytes in the archive.
    pub data: Vec<u8>,
    /// Its length, inflated.
    pub size: u32,
    /// Its checksum.
    pub crc: u32,
}

impl Member {
    /// A true one.
    pub fn new(name: &str, contents: &[u8], deflate: bool) -> Self {
        let (mut data, mut method) = (contents.to_vec(), 0);
        if deflate {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(contents).unwrap();
            (data, method) = (encoder.finish().unwrap(), 8);
        }
        let mut crc = flate2::Crc::new();
        crc.update(contents);
        let (size, crc) = (contents.len() as u32, crc.sum());
        Self { name: format!("{name}.npy"), flags: 0, method, data, size, crc }
    }
}

/// An archive as NumPy writes it: local headers in the long form, the directory in the short one.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for Member { name, flags, method, data, size, crc } in members {
        let [flags, method, name_size] = [*flags, *method, name.len() as u16].map(u16::to_le_bytes);
        let fixed = [&[20, 0][..], &flags, &method, &[0, 0, 0x21, 0], &crc.to_le_bytes()].concat();
        let length = (data.len() as u32).to_le_bytes();
        directory.extend([&b"PK\x01\x02\x14\0"[..], &fixed, &length].concat());
        directory.extend([&size.to_le_bytes()[..], &name_size, &[0; 12]].concat());
        directory.extend((archive.len() as u32).to_le_bytes());
        directory.extend(name.bytes());
        archive.extend([&b"PK\x03\x04"[..], &fixed, &[0xff; 8], &name_size, &[20, 0]].concat());
        archive.extend(name.bytes());
        let sizes = [u64::from(*size), data.len() as u64].map(u64::to_le_bytes).concat();
        archive.extend([&[1, 0, 16, 0][..], &sizes, data].concat());
    }
    let (start, count) = (archive.len() as u32, (members.len() as u16).to_le_bytes());
    archive.extend(&directory);
    archive.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count].concat());
    archive.extend([directory.len() as u32, start].map(u32::to_le_bytes).concat());
    archive.extend([0, 0]);
    archive
}

/// Returns the program's path. For tests that were built on another machine, the environment gives it.
pub fn program() -> String {
    let said = std::env::var("CARGO_BIN_EXE_wgpu-loss");
    said.unwrap_or_else(|_| env!("CARGO_BIN_EXE_wgpu-loss").into())
}

/// A temporary folder in which the program runs.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// One with the shared logits `x.npy` and labels `t.npy`.
    pub fn with_logits() -> Self {
        let folder = Self::new();
        folder.save("x.npy", &[4, 4], &LOGITS);
        folder.save("t.npy", &[4], &LABELS);
        folder
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes any file.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    /// Saves an array.
    pub fn save<T: Element>(&self, name: &str, shape: &[usize], elements: &[T]) {
        assert_eq!(shape.iter().product::<usize>(), elements.len());
        let descr = format!("'{}'", T::DESCR);
        self.write(name, npy(&descr, false, &tuple(shape), &bytes(elements)));
    }

    /// Saves a `.safetensors` file of tensors given as name, type, shape and bytes.
    pub fn save_tensors(&self, name: &str, tensors: &[(&str, &str, &[usize], Vec<u8>)]) {
        let (mut entries, mut body) = (serde_json::Map::new(), Vec::<u8>::new());
        for (name, dtype, shape, bytes) in tensors {
            let offsets = [body.len(), body.len() + bytes.len()];
            let entry =
                serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
            entries.insert(name.to_string(), entry);
            body.extend_from_slice(bytes);
        }
        let header = Value::Object(entries).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes());
        file.extend(body);
        self.write(name, file);
    }

    /// Saves an `.npz` file of `.npy` files given as name and contents.
    pub fn save_npz(&self, name: &str, members: &[(&str, Vec<u8>)], deflate: bool) {
        let members: Vec<Member> =
            members.iter().map(|(name, contents)| Member::new(name, contents, deflate)).collect();
        self.write(name, zip(&members));
    }

    /// Reads an array of f32 that the program saved: its shape and elements.
    pub fn load(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (descr, shape, body) = self.load_bytes(name);
        assert_eq!(descr, "<f4");
        let elements: Vec<f32> =
            body.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(shape.iter().product::<usize>(), elements.len());
        (shape, elements)
    }

    /// Reads an array that the program saved: its type, shape and bytes.
    pub fn load_bytes(&self, name: &str) -> (String, Vec<usize>, Vec<u8>) {
        let file = std::fs::read(self.path(name)).unwrap();
        assert_eq!(&file[..8], b"\x93NUMPY\x01\x00");
        let size = usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert_eq!((10 + size) % 64, 0);
        let header = std::str::from_utf8(&file[10..10 + size]).unwrap();
        let (descr, rest) = header.strip_prefix("{'descr': '").unwrap().split_once('\'').unwrap();
        let rest = rest.strip_prefix(", 'fortran_order': False, 'shape': (");
        let (shape, end) = rest.unwrap().split_once(')').unwrap();
        assert_eq!(end.trim_end(), ", }");
        let shape: Vec<usize> = shape
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
            .map(|n| n.parse().unwrap())
            .collect();
        (descr.to_string(), shape, file[10 + size..].to_vec())
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns a command of the program in the folder, with words separated by blanks.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.0.path()).args(words.split_whitespace());
        // Tunings stored on this machine are not tested.
        command.env("WGPU_LOSS_CACHE", self.path("cache"));
        command
    }

    /// Runs the program.
    pub fn run(&self, words: &str) -> Run {
        Run::new(words, self.command(words).output().unwrap())
    }

    /// Runs the program on the CPU with words that need not be text.
    #[cfg(unix)]
    pub fn cpu_bytes(&self, words: &[&[u8]]) -> Run {
        use std::os::unix::ffi::OsStrExt;
        let all = words.iter().map(|word| std::ffi::OsStr::from_bytes(word));
        let output = self.command("").args(all).args(["--device", "cpu"]).output().unwrap();
        Run::new(&String::from_utf8_lossy(&words.join(&b' ')), output)
    }

    /// Runs the program on the CPU.
    pub fn cpu(&self, words: &str) -> Run {
        self.run(&format!("{words} --device cpu"))
    }

    /// Runs the program on the CPU and reads its JSON, which must be there.
    pub fn json(&self, words: &str) -> Value {
        self.cpu(&format!("{words} --json")).good().json()
    }
}

/// Work that is stopped half-way, over logits of zeros that take no room on the disk: 256 Mi of them,
/// seconds of work.
pub struct Interrupted(pub Folder);

impl Interrupted {
    /// The logits, `x.npy`.
    pub fn new() -> Self {
        let folder = Folder::new();
        folder.write("x.npy", npy("'<f4'", false, "65536, 4096", &[]));
        let file = std::fs::File::options().write(true).open(folder.path("x.npy")).unwrap();
        file.set_len(file.metadata().unwrap().len() + (1 << 30)).unwrap();
        Self(folder)
    }

    /// Sends a signal when a part of the result is written; gives status and stderr.
    pub fn by(&self, signal: &str, device: &str) -> (Option<i32>, String) {
        let words = format!("log-softmax x.npy --device {device} --save-output p.npy");
        let mut command = self.0.command(&words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        let written = |name: &String| std::fs::metadata(self.0.path(name)).map_or(0, |m| m.len());
        while !self.0.names().iter().any(|name| name.ends_with(".tmp") && written(name) > 1 << 20) {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    /// Asserts that Ctrl-C and SIGTERM leave no file, and SIGKILL none under the name.
    pub fn leaves_nothing(&self, device: &str) {
        self.0.write("p.npy", "old");
        let names = self.0.names();
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let (status, stderr) = self.by(signal, device);
            assert_eq!(status, Some(code), "{stderr}");
            assert_eq!(stderr, "wgpu-loss: interrupted; nothing was saved\n");
            assert_eq!(self.0.names(), names);
        }
        let (status, _) = self.by("-KILL", device);
        assert_eq!(status, None);
        assert_eq!(std::fs::read(self.0.path("p.npy")).unwrap(), b"old");
    }
}

/// Sends a signal to a program that runs.
pub fn kill(signal: &str, child: &Child) {
    // The shell's own: not every machine has a program for it.
    let kill = format!("kill {signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// The output of a run.
pub struct Run {
    words: String,
    /// The exit status.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Collects the output of a finished process.
    pub fn new(words: &str, output: Output) -> Self {
        Self {
            words: words.into(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts success without output on stderr.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.words);
        self
    }

    /// Asserts failure with an exit status, one line on stderr that has all the words given, and
    /// nothing on stdout.
    #[track_caller]
    pub fn bad(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.words, self.stderr);
        assert_eq!(self.stdout, "", "{}", self.words);
        assert_eq!(self.stderr.lines().count(), 1, "{}\n{}", self.words, self.stderr);
        assert!(self.stderr.starts_with("wgpu-loss: "), "{}\n{}", self.words, self.stderr);
        for said in said {
            assert!(self.stderr.contains(said), "no {said:?} in: {}", self.stderr);
        }
        self
    }

    /// Standard output as one JSON object.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The line of a person's report that begins with a label, without it.
    #[track_caller]
    pub fn line(&self, label: &str) -> &str {
        let line = self.stdout.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label} in:\n{}", self.stdout)).trim_start()
    }
}

/// Returns all of a report that does not depend on the process: all but times and names of saved files.
pub fn facts(mut report: Value) -> Value {
    let object = report.as_object_mut().expect("an object");
    for name in ["seconds", "saved", "output_dtype"] {
        object.remove(name);
    }
    report
}

/// Returns the number of numbers that a check has compared, and of those that it could not judge. It must have passed.
#[track_caller]
pub fn judged(json: &Value) -> (u64, u64) {
    assert_eq!(json["check"]["passed"], true, "{json}");
    let outputs = json["check"].as_object().unwrap().values().filter(|value| value.is_object());
    let counts = outputs.map(|o| [&o["numbers"], &o["unjudged"]].map(|n| n.as_u64().unwrap()));
    counts.fold((0, 0), |(numbers, unjudged), [n, u]| (numbers + n, unjudged + u))
}

/// Asserts that a check passed and proves something: of 50 numbers, one may be a difference with few significant
/// digits.
#[track_caller]
pub fn assert_judged(json: &Value) {
    let (numbers, unjudged) = judged(json);
    assert!(numbers > 0 && unjudged * 50 <= numbers, "{unjudged} of {numbers}: {}", json["check"]);
}

/// Asserts that numbers are close.
#[track_caller]
pub fn close(given: &[f32], wanted: &[f64]) {
    assert_eq!(given.len(), wanted.len());
    for (i, (&a, &b)) in given.iter().zip(wanted).enumerate() {
        assert!((f64::from(a) - b).abs() <= 2e-7 * b.abs().max(0.1), "{i}: {a} for {b}");
    }
}

/// Softmax of rows of `classes`, in f64.
pub fn softmax(logits: &[f32], classes: usize) -> Vec<f64> {
    logits
        .chunks(classes)
        .flat_map(|row| {
            let exps: Vec<f64> = row.iter().map(|&x| f64::from(x).exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.into_iter().map(move |e| e / sum)
        })
        .collect()
}

/// Returns true if a path exists, as a file, a folder or a dangling link.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
