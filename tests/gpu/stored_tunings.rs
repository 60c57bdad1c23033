//! Tunings in files: stored, found again, and ignored if they belong to another driver, are damaged
//! or absurd. One test, since the environment of a process names the folder.

use std::fs;
use std::path::{Path, PathBuf};

use support::alone::is_alone;
use wgpu_loss::gpu::TuningChoice;
use wgpu_loss::kernels::VectorWidth;
use wgpu_loss::plan::{Lanes, Tuning};
use wgpu_loss::wgpu::AdapterInfo;
use wgpu_loss::{CrossEntropy, Error, Gpu, GpuOptions, Inputs, Outputs, Tensor};

/// Names the folder.
const CACHE: &str = "WGPU_LOSS_CACHE";

#[test]
fn the_folder_of_stored_tunings() {
    let folder = tempfile::tempdir().unwrap();
    // In a folder that is not there yet.
    let path = folder.path().join("deep").join("down");
    if !is_alone(module_path!(), "the_folder_of_stored_tunings", &[(CACHE, path.as_os_str())]) {
        return;
    }
    let path = PathBuf::from(std::env::var_os(CACHE).unwrap());

    let info = Gpu::adapters().into_iter().next().expect("a GPU adapter");
    let table = Tuning::of(info.device_type);
    let odd = odd(&info);
    assert_eq!(Tuning::stored(&info), None);
    assert_eq!(Tuning::forget(&info), Ok(false));
    assert_eq!(opened(&GpuOptions::new()), table);

    let file = odd.store(&info).unwrap();
    assert!(file.starts_with(&path) && file.is_file(), "{file:?}");
    assert_eq!(Tuning::stored(&info), Some(odd));
    who_uses_it(odd, table);
    keys(&info, &file);
    damaged(&info, &file);
    many_writers(&info, &path);
    no_folder(&info, &path);
}

/// Numbers that no table has, but that work.
fn odd(info: &AdapterInfo) -> Tuning {
    let mut tuning = Tuning::of(info.device_type);
    tuning.workgroup = 16;
    tuning.lanes = Lanes::Keeping { fewest: 2, most: 16 };
    tuning.load = VectorWidth::One;
    tuning.groups = 7;
    tuning
}

/// The numbers of a device opened like this; it has to work.
#[track_caller]
fn opened(options: &GpuOptions) -> Tuning {
    let gpu = Gpu::with_options(options).unwrap();
    let inputs = Inputs::new(Tensor::new(&[0.0; 6], &[2, 3])).labels(&[0u8, 2], &[2]);
    let output = gpu.run(&CrossEntropy::new(), &inputs, Outputs::loss()).unwrap();
    assert!((output.loss[0] - 3f32.ln()).abs() < 1e-6, "{:?}", output.loss);
    assert_eq!(gpu.fresh().kernels().profile().tuning, gpu.kernels().profile().tuning);
    gpu.kernels().profile().tuning
}

fn who_uses_it(odd: Tuning, table: Tuning) {
    let all = GpuOptions::new();
    assert_eq!(opened(&all), odd);
    assert_eq!(opened(&all.clone().tuning(TuningChoice::Table)), table);
    // Measured with all that the adapter offers: it means nothing for less.
    assert_eq!(opened(&all.clone().without_subgroups()), table);
    assert_eq!(opened(&all.clone().default_limits()), table);
    let mut given = table;
    given.groups = 5;
    assert_eq!(opened(&all.clone().tuning(TuningChoice::Given(given))), given);

    given.part_loads = 0;
    let wrong = all.tuning(TuningChoice::Given(given));
    let error = Gpu::with_options(&wrong).unwrap_err();
    assert!(matches!(error, Error::Option { option: "part_loads", .. }), "{error}");
    assert!(given.store(&Gpu::adapters()[0]).is_err());
}

/// Other adapters have other files; a file of another driver or version is ignored.
fn keys(info: &AdapterInfo, file: &Path) {
    let mut other = info.clone();
    other.device += 1;
    assert_eq!(Tuning::stored(&other), None);
    let mut other = info.clone();
    // A name that makes the same file name.
    other.name += "?";
    assert_eq!(Tuning::stored(&other), None);
    let mut other = info.clone();
    other.driver_info += ".1";
    assert_eq!(Tuning::stored(&other), None);
    assert!(Tuning::stored(info).is_some());

    let text = fs::read_to_string(file).unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let old = text.replace(&version, "\"version\": \"0.0.1\"");
    assert_ne!(old, text);
    // Of another version whose numbers are others: ignored, whatever they are.
    let old = old.replace("\"workgroup\"", "\"lanes_of_a_group\"");
    fs::write(file, old).unwrap();
    assert_eq!(Tuning::stored(info), None);
    fs::write(file, text).unwrap();
    assert!(Tuning::stored(info).is_some());
}

/// The device opens by the table, whatever bytes are in the file.
fn damaged(info: &AdapterInfo, file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "no {from} in {text}");
        text.replace(from, to).into_bytes()
    };
    let group = "\"workgroup\": 16";
    let mut contents: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\xff\xfe garbage \0".to_vec(),
        b"[]".to_vec(),
        b"{\"key\": {}, \"tuning\": {}}".to_vec(),
        "[".repeat(60_000).into_bytes(),
        format!("{text}{}", " ".repeat(100_000)).into_bytes(),
        with(group, "\"workgroup\": \"16\""),
        with(group, "\"workgroup\": 16.5"),
        with(group, "\"workgroup\": -16"),
        with(group, "\"workgroup\": 99999999999999999999"),
        with(group, "\"workgroup\": 4294967295"),
        with(group, "\"workgroup\": 24"),
        with(group, "\"workgroup\": 0"),
        with(group, "\"worgkroup\": 16"),
        with(group, "\"workgroup\": 16, \"more\": 1"),
        with("\"groups\": 7", "\"groups\": 0"),
        with("\"groups\": 7", "\"groups\": 65536"),
        with("\"fewest\": 2", "\"fewest\": 3"),
        with("\"fewest\": 2", "\"fewest\": 32"),
        with("\"most\": 16", "\"most\": 1048576"),
        with("\"one\"", "\"sixteen\""),
    ];
    for field in [
        "fill",
        "resident_row",
        "resident_read",
        "resident_lanes",
        "resident_columns",
        "resident_short",
        "part_loads",
    ] {
        for number in ["0", "4294967295"] {
            contents
                .push(with(&format!("\"{field}\": "), &format!("\"{field}\": {number}, \"x\": ")));
            let now = text.split(&format!("\"{field}\": ")).nth(1).unwrap();
            let now: String = now.chars().take_while(char::is_ascii_digit).collect();
            contents.push(with(&format!("\"{field}\": {now}"), &format!("\"{field}\": {number}")));
        }
    }
    for end in 0..text.len() {
        contents.push(text.as_bytes()[..end].to_vec());
    }
    for content in contents {
        fs::write(file, &content).unwrap();
        assert_eq!(Tuning::stored(info), None, "{}", String::from_utf8_lossy(&content));
    }
    assert_eq!(opened(&GpuOptions::new()), Tuning::of(info.device_type));

    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    assert_eq!(Tuning::stored(info), None);
    let blocked = odd(info).store(info).unwrap_err();
    assert!(matches!(blocked, Error::Store { .. }), "{blocked}");
    assert!(matches!(Tuning::forget(info), Err(Error::Store { .. })));
    fs::remove_dir(file).unwrap();
    pipes(info, file);
}

/// Nothing writes into this pipe: opening it to read would block forever.
#[cfg(unix)]
fn pipes(info: &AdapterInfo, file: &Path) {
    if std::process::Command::new("mkfifo").arg(file).status().is_ok_and(|s| s.success()) {
        assert_eq!(Tuning::stored(info), None);
        fs::remove_file(file).unwrap();
    }
}

#[cfg(not(unix))]
fn pipes(_: &AdapterInfo, _: &Path) {}

/// A reader never sees half a file.
fn many_writers(info: &AdapterInfo, folder: &Path) {
    odd(info).store(info).unwrap();
    std::thread::scope(|scope| {
        for groups in 1..=4 {
            let mut tuning = odd(info);
            tuning.groups = groups;
            scope.spawn(move || (0..20).for_each(|_| drop(tuning.store(info).unwrap())));
        }
        for _ in 0..200 {
            assert!(Tuning::stored(info).is_some_and(|tuning| tuning.groups <= 7));
        }
    });
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(Tuning::forget(info), Ok(true));
    assert_eq!(Tuning::stored(info), None);
}

/// A file is where the folder should be.
fn no_folder(info: &AdapterInfo, folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
    fs::write(folder, "").unwrap();
    assert_eq!(Tuning::stored(info), None);
    assert_eq!(opened(&GpuOptions::new()), Tuning::of(info.device_type));
    let error = odd(info).store(info).unwrap_err();
    assert!(error.to_string().contains("down"), "{error}");
}
