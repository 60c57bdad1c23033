//! A description of the machine, as far as the system gives one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Args;
use crate::pack::Pack;
use crate::process;

/// The fields requested from NVIDIA's tool.
const NVIDIA: &str = "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,\
                      pcie.link.gen.max,pcie.link.width.max";

/// Describes the adapter that is measured, and the machine.
pub fn describe(pack: &Pack, args: &Args, logs: &Path) -> Result<Value, String> {
    let adapters = adapters(pack, args, logs)?;
    let wanted = args.adapter.as_deref().unwrap_or_default().to_lowercase();
    let matches = |adapter: &&Value| {
        let texts = ["name", "driver", "backend"].map(|key| adapter[key].as_str());
        texts.iter().flatten().any(|text| text.to_lowercase().contains(&wanted))
    };
    let all = adapters.as_array().map(Vec::as_slice).unwrap_or_default();
    let adapter = all.iter().find(matches).ok_or_else(|| {
        let names: Vec<_> = all.iter().filter_map(|adapter| adapter["name"].as_str()).collect();
        format!("no adapter matches {wanted:?}; there are: {}", names.join(", "))
    })?;
    // The tests use the best one, whichever is measured.
    let first = all.first().cloned().unwrap_or_default();
    Ok(json!({
        "adapter": adapter,
        "tested": first,
        "gpu": is_gpu(adapter) && is_gpu(&first),
        "nvidia_smi": nvidia_smi(),
        "processor": processor(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": memory_gib(),
        "system": system(),
        "date": said_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
    }))
}

fn is_gpu(adapter: &Value) -> bool {
    adapter["type"] != "software"
}

fn adapters(pack: &Pack, args: &Args, logs: &Path) -> Result<Value, String> {
    let mut command = pack.program("wgpu-loss", args, logs);
    command.args(["adapters", "--json"]);
    let listed = process::run(command, &logs.join("adapters.log"), Duration::from_secs(120))?;
    if !listed.succeeded() {
        return Err(format!("no GPU can be measured: {}", listed.complaint()));
    }
    Ok(listed.json()?["adapters"].take())
}

fn nvidia_smi() -> Option<String> {
    let query = format!("--query-gpu={NVIDIA}");
    let said = said_by("nvidia-smi", &[&query, "--format=csv,noheader"])?;
    Some(format!("{NVIDIA}: {said}"))
}

/// Returns the output of a system command; `None` if there is no such command, or it fails.
fn said_by(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    output.status.success().then_some(text)
}

/// Returns the value of the first line of a file that begins with a word.
fn value(file: &str, word: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    Some(line.trim_start_matches([' ', '\t', ':', '=']).trim_matches('"').to_string())
}

fn processor() -> String {
    value("/proc/cpuinfo", "model name").unwrap_or(std::env::consts::ARCH.into())
}

fn memory_gib() -> Option<u64> {
    let kib = value("/proc/meminfo", "MemTotal")?;
    let kib: u64 = kib.split_whitespace().next()?.parse().ok()?;
    Some(kib.div_ceil(1 << 20))
}

fn system() -> String {
    let name = value("/etc/os-release", "PRETTY_NAME").unwrap_or(std::env::consts::OS.into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{name}, kernel {}", kernel.trim())
}

/// Returns a name that a file can have.
pub fn file_name(adapter: &Value) -> String {
    let name = adapter["name"].as_str().unwrap_or_default();
    let mut file = String::new();
    for letter in name.chars() {
        match letter {
            _ if letter.is_ascii_alphanumeric() => file.push(letter),
            '.' if !file.is_empty() => file.push('.'),
            _ if file.is_empty() || file.ends_with('-') => {}
            _ => file.push('-'),
        }
    }
    match file.trim_end_matches(['-', '.']) {
        "" => "gpu".into(),
        file => file.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let name = |name: &str| file_name(&json!({ "name": name }));
        assert_eq!(name("NVIDIA H100 80GB HBM3"), "NVIDIA-H100-80GB-HBM3");
        assert_eq!(name("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe-LLVM-15.0.6-256-bits");
        assert_eq!(name("../../etc"), "etc");
        assert_eq!(name(""), "gpu");
    }
}
