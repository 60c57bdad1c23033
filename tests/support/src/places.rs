//! Paths at run time. Cargo gives them in the environment, as scripts/gpu-acceptance does for programs that were built
//! on another machine; a program that is started by hand uses the paths of its build.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

/// The folder of the library: `tests/fixtures` and `examples/data` are in it.
pub fn root() -> PathBuf {
    let said = std::env::var_os("CARGO_MANIFEST_DIR");
    said.map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../..").into(), PathBuf::from)
}

/// Runs an example with these arguments: cargo builds it if it does not exist or is not up to date.
pub fn run_example(name: &str, args: &[&str]) -> Output {
    let mut command = match example(name) {
        Some(program) => Command::new(program),
        None => {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut cargo = Command::new(cargo);
            cargo.current_dir(root()).args(["run", "--quiet"]);
            cargo.args(["--profile", &profile(), "--example", name, "--"]);
            cargo
        }
    };
    command.args(args).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Returns the profile that this program was built with.
fn profile() -> String {
    // TARGET/PROFILE/deps/gpu-HASH; the profile `dev` has another name there.
    let program = std::env::current_exe().unwrap_or_default();
    match program.ancestors().nth(2).and_then(Path::file_name).and_then(OsStr::to_str) {
        Some("debug") | None => "dev".into(),
        Some(folder) => folder.into(),
    }
}

/// Returns an example that is built already: in the folder that `WGPU_LOSS_EXAMPLES` names, or where cargo builds
/// examples along with the tests, if it is newer than all its sources.
fn example(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    if let Some(folder) = std::env::var_os("WGPU_LOSS_EXAMPLES") {
        return Some(PathBuf::from(folder).join(file));
    }
    // TARGET/PROFILE/deps/gpu-HASH -> TARGET/PROFILE/examples/NAME
    let built = std::env::current_exe().ok()?.parent()?.with_file_name("examples").join(file);
    let sources = ["src", "shaders", "examples", "cli/src", "tests/support/src", "Cargo.lock"];
    let newest = sources.iter().filter_map(|source| newest(&root().join(source))).max()?;
    (built.metadata().ok()?.modified().ok()? >= newest).then_some(built)
}

/// Returns the time of the last change of a file, or of the newest file below a folder.
fn newest(path: &Path) -> Option<SystemTime> {
    match path.read_dir() {
        Ok(entries) => entries.filter_map(|entry| newest(&entry.ok()?.path())).max(),
        Err(_) => path.metadata().ok()?.modified().ok(),
    }
}

/// Returns the name of a test of a module, [`module_path!`], on the command line of its test program.
pub fn test_name(module: &str, test: &str) -> String {
    match module.split_once("::") {
        Some((_, inner)) => format!("{inner}::{test}"),
        None => test.into(),
    }
}
