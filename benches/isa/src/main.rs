//! Statistics of the code that a GPU's compiler makes of the kernels: registers, waves, instructions. See README.md.

mod code;
mod gpus;
mod plans;
mod spirv;
mod vulkan;

use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use ash::vk;
use clap::Parser;
use wgpu_loss::Plan;
use wgpu_loss::kernels::{Access, Kernel, Phase, Residency, Spec};

use crate::code::{Counts, Loop};
use crate::gpus::GPUS;
use crate::plans::{Call, Table};
use crate::spirv::Checks;
use crate::vulkan::{Compiled, Compiler};

/// Compiles the kernels of plans as wgpu would, and counts instructions.
#[derive(Parser)]
struct Options {
    /// Shapes; classes are the second number.
    #[arg(long, num_args = 1.., default_values = ["4096x1000", "65536x1000", "8192x32000", "4x151936",
        "1048576x2", "1048576x10", "1048576x16", "4096x50257", "16x21x1024x1024", "64x1000x7x7"])]
    shape: Vec<String>,
    /// Element types: f32, f16, bf16.
    #[arg(long, num_args = 1.., default_values = ["f32", "bf16", "f16"])]
    dtype: Vec<String>,
    /// Losses: ce, nll, bce, bce-with-logits, kl.
    #[arg(long, num_args = 1.., default_values = ["ce"])]
    loss: Vec<String>,
    /// Passes: fwd, fwd+bwd.
    #[arg(long, num_args = 1.., default_values = ["fwd", "fwd+bwd"])]
    pass: Vec<String>,
    /// The table of geometries.
    #[arg(long, value_enum, default_value_t = Table::Discrete)]
    table: Table,
    /// The size of subgroups that plans count on and code is made for.
    #[arg(long, default_value_t = 32)]
    subgroup: u32,
    /// Leave rounding to f16 to the driver, as if a probe had found it exact.
    #[arg(long)]
    rounds_f16: bool,
    /// wgpu's runtime checks.
    #[arg(long, value_enum, default_value_t = Checks::Loops)]
    checks: Checks,
    /// Also what a lane does that meets a NaN, an infinity or the label's load, and what a group does that has no rows for
    /// some lanes, where kernels have a path without these.
    #[arg(long)]
    rare: bool,
    /// Every kernel of a plan, not only those that read the logits.
    #[arg(long)]
    all: bool,
    /// The driver's statistics of each kernel, by its own names, and no loops: for drivers other than Mesa's for AMD.
    #[arg(long)]
    statistics: bool,
    /// A folder for each kernel's texts: WGSL, and the driver's representations.
    #[arg(long)]
    dump: Option<PathBuf>,
}

/// The columns. Counts of instructions are for each element of the loop; the last four are the time of its
/// arithmetic on a GPU as a part of the memory's.
const HEADER: [&str; 27] = [
    "loss",
    "shape",
    "dtype",
    "pass",
    "kernel",
    "VGPRs",
    "waves",
    "spills",
    "scratch",
    "LDS",
    "code",
    "loop",
    "elements",
    "loads",
    "stores",
    "under way",
    "vector",
    "fma",
    "alu",
    "special",
    "moves",
    "scalar",
    "bytes",
    "H100",
    "RTX 4090",
    "RX 7900 XTX",
    "M2",
];

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let compiler = Compiler::open()?;
    println!(
        "{}, subgroups of {} ({:?}), {:?}",
        compiler.name, options.subgroup, options.table, options.checks
    );
    match options.statistics {
        true => println!("{}\tstatistics", HEADER[..5].join("\t")),
        false => println!("{}", HEADER.join("\t")),
    }
    let mut seen = HashSet::new();
    for call in Call::all(&options.loss, &options.shape, &options.dtype, &options.pass)? {
        let plan = call.plan(options.table, options.subgroup, options.rounds_f16)?;
        for (number, spec) in plan.specs().enumerate() {
            let reads = is_large(&spec) || options.all;
            if reads && seen.insert(spec) {
                let rows = measure(&compiler, &options, &call, &plan, number, &spec)?;
                for row in rows {
                    println!("{}", row.join("\t"));
                }
            }
        }
    }
    Ok(())
}

/// Returns true for kernels that read the logits, or write tensors as large.
fn is_large(spec: &Spec) -> bool {
    use Kernel::{Columns, NllBackward, Pointwise, Rows};
    matches!(spec.kernel, Rows | Columns | Pointwise | NllBackward) && spec.phase != Phase::Merge
}

/// Returns the elements of one turn of a loop.
fn elements_of(spec: &Spec, counts: &Counts) -> f64 {
    let pack = spec.layout.load.elements() as f64;
    match spec.layout.residency {
        Residency::Resident { loads, .. } => pack * f64::from(loads),
        _ if spec.kernel == Kernel::Pointwise => pack,
        // A lane writes a store in each turn: a word at least.
        _ if spec.kernel == Kernel::NllBackward => pack.max(4.0 / f64::from(spec.output.bytes())),
        _ => pack * counts.loads,
    }
}

fn measure(
    compiler: &Compiler,
    options: &Options,
    call: &Call,
    plan: &Plan,
    number: usize,
    spec: &Spec,
) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let slots = spec.slots();
    let bindings: Vec<u32> = slots.iter().map(|(slot, _)| *slot as u32).collect();
    let kinds: Vec<_> = slots
        .iter()
        .map(|(_, access)| match access {
            Access::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
            _ => vk::DescriptorType::STORAGE_BUFFER,
        })
        .collect();
    let text = if options.rare { spec.wgsl() } else { usual_path(&spec.wgsl()) };
    let words = spirv::words(&text, &bindings, options.checks, compiler.robust)?;
    let compiled = compiler.compile(&words, &kinds, Some(options.subgroup))?;
    if let Some(folder) = &options.dump {
        dump(folder, &format!("{call}-{number}"), &text, plan, &compiled)?;
    }
    let mut named =
        vec![call.loss.clone(), call.shape_name(), call.dtype.clone(), call.pass.clone()];
    named.push(format!("{spec}").replace(", ", " "));
    if options.statistics {
        let all = compiled.statistics.iter().map(|(name, value)| format!("{name} {value}"));
        named.push(all.collect::<Vec<_>>().join("; "));
        return Ok(vec![named]);
    }
    let assembly = compiled.texts.iter().find(|(name, _)| name == "Assembly");
    let loops = assembly.map(|(_, text)| code::loops(text)).unwrap_or_default();
    let of_kernel = statistics(&compiled);
    let hot: Vec<Loop> = loops.into_iter().filter(|l| is_hot(spec, l)).collect();
    let mut rows = Vec::new();
    for l in &hot {
        let mut row = named.clone();
        row.extend(of_kernel.iter().cloned());
        row.extend(of_loop(spec, l));
        rows.push(row);
    }
    Ok(rows)
}

/// Returns true for loops that fold or write elements.
fn is_hot(spec: &Spec, l: &Loop) -> bool {
    let whole = matches!(spec.kernel, Kernel::Pointwise | Kernel::NllBackward);
    if spec.layout.residency.is_resident() || whole {
        return true;
    }
    let most = if matches!(spec.layout.residency, Residency::Few) { 1.0 } else { 4.0 };
    l.counts.special > 0.0 && !l.outer && l.counts.loads >= most
}

fn statistics(compiled: &Compiled) -> Vec<String> {
    let of = |names: &[&str]| -> String {
        let found: Vec<f64> = names.iter().filter_map(|name| compiled.statistic(name)).collect();
        if found.is_empty() { "-".into() } else { format!("{}", found.iter().sum::<f64>()) }
    };
    vec![
        of(&["VGPRs"]),
        of(&["Subgroups per SIMD"]),
        of(&["Spilled VGPRs", "Spilled SGPRs"]),
        of(&["Scratch size"]),
        of(&["LDS size"]),
        of(&["Code size"]),
    ]
}

fn of_loop(spec: &Spec, l: &Loop) -> Vec<String> {
    let c = &l.counts;
    let elements = elements_of(spec, c);
    let per = |count: f64| format!("{:.1}", count / elements);
    let what = match (c.stores > 0.0, spec.layout.residency.is_resident()) {
        (true, true) => "block",
        (true, false) => "write",
        (false, true) => "block",
        (false, false) => "fold",
    };
    [
        what.to_owned(),
        format!("{elements}"),
        format!("{}x{}", c.loads, c.widest_load),
        format!("{}x{}", c.stores, c.widest_store),
        format!("{}", c.under_way),
        per(c.vector()),
        per(c.fma),
        per(c.alu),
        per(c.special),
        per(c.moves),
        per(c.scalar),
        per(c.load_bytes + c.store_bytes),
    ]
    .into_iter()
    .chain(GPUS.iter().map(|gpu| format!("{:.2}", gpu.share(c))))
    .collect()
}

fn dump(
    folder: &Path,
    name: &str,
    text: &str,
    plan: &Plan,
    compiled: &Compiled,
) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let write = |end: &str, text: &str| std::fs::write(folder.join(format!("{name}.{end}")), text);
    write("wgsl", text)?;
    let statistics: String =
        compiled.statistics.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    write("txt", &format!("{plan}\n{statistics}"))?;
    for (kind, text) in &compiled.texts {
        write(&kind.to_lowercase().replace([' ', '(', ')'], ""), text)?;
    }
    Ok(())
}

/// Returns a text in which the other side of the branches around the usual path does nothing, so that a loop's
/// instructions are those of this path.
fn usual_path(text: &str) -> String {
    let edits = [
        ("k < 4u;", "k < 0u;"),
        ("if (!finite) {", "if (false) {"),
        ("} else {\n        s = sums_of_lane(", "} else {\n        // ("),
        ("    if (w.plain) {", "    if (true) {"),
        ("if (offsets.whole) {", "if (true) {"),
    ];
    edits.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
