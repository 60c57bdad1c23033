//! Every WGSL text that a plan can ask for: valid in naga, translated to SPIR-V, MSL and HLSL without what hurts
//! there, translated to GLSL, and accepted by Tint where its command is on the PATH.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexSet;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::BoundsCheckPolicies;
use naga::valid::ModuleInfo;
use rayon::prelude::*;
use support::contractions::contractions;
use support::hostile::COMPILERS;
use support::hurts::{component_stores, component_stores_in_msl, constants_in_sums};
use support::loops::endless;
use support::specs::{every_spec, losses_of_elements, with_extras};
use support::subgroups::used_by_some_lanes;
use support::texts::{parsed, parsed_kernel, workgroup_bytes};
use wgpu_loss::Profile;
use wgpu_loss::kernels::Spec;

use crate::grid::{Text, sampled};

/// A kernel in the three languages that wgpu hands to drivers.
struct Translated {
    spirv: Vec<u32>,
    /// Not of kernels with 64-bit loads: those are for software drivers, which are Vulkan's.
    others: Option<(String, String)>,
}

fn translated(u64_loads: bool, module: &naga::Module, info: &ModuleInfo) -> Translated {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let spirv = spv::write_vec(module, info, &options, None);
    let spirv = spirv.unwrap_or_else(|error| panic!("SPIR-V: {error}"));
    if u64_loads {
        return Translated { spirv, others: None };
    }
    let options = msl::Options { lang_version: (2, 4), ..Default::default() };
    let metal = msl::write_string(module, info, &options, &msl::PipelineOptions::default());
    let (metal, _) = metal.unwrap_or_else(|error| panic!("MSL: {error}"));
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        fake_missing_bindings: true,
        ..Default::default()
    };
    let mut direct = String::new();
    let pipeline = hlsl::PipelineOptions::default();
    let written = hlsl::Writer::new(&mut direct, &options, &pipeline).write(module, info, None);
    assert!(written.is_ok(), "HLSL: {written:?}");
    Translated { spirv, others: Some((metal, direct)) }
}

/// Returns the kernel in GLSL ES 3.10, the oldest that has buffers and workgroups, with the checks that wgpu asks for: none.
fn glsl_of(module: &naga::Module, info: &ModuleInfo) -> String {
    let mut text = String::new();
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: module.entry_points[0].name.clone(),
        multiview: None,
    };
    let checks = BoundsCheckPolicies::default();
    let writer = glsl::Writer::new(&mut text, module, info, &options, &pipeline, checks);
    let written = writer.and_then(|mut writer| writer.write());
    written.unwrap_or_else(|error| panic!("GLSL: {error}"));
    text
}

/// Returns the number of storage buffers that a kernel uses: GLSL leaves out others.
fn used_buffers(module: &naga::Module, info: &ModuleInfo) -> usize {
    let of_kernel = info.get_entry_point(0);
    let buffers = module.global_variables.iter().filter(|(handle, variable)| {
        let is_buffer = matches!(variable.space, naga::AddressSpace::Storage { .. });
        is_buffer && !of_kernel[*handle].is_empty()
    });
    buffers.count()
}

/// Returns true if a device of wgpu's OpenGL may ask for a kernel: it has no features that kernels use.
fn runs_on_opengl(spec: &Spec) -> bool {
    spec.layout.geometry.cluster == 1 && !spec.layout.u64_loads
}

/// Lanes write parts of one load: a compiler may store the whole vector where a component is stored. Buffers of HLSL
/// are bytes, in which there are no vectors.
fn assert_harmless(spec: &Spec, text: &Translated) {
    let none: [&str; 0] = [];
    assert!(component_stores(&text.spirv).is_empty(), "SPIR-V: {spec:?}");
    let Some((metal, direct)) = &text.others else { return };
    assert!(metal.contains("kernel void main_"), "MSL: {spec:?}");
    assert_eq!(component_stores_in_msl(metal), none, "MSL: {spec:?}");
    let buffers = direct.matches("ByteAddressBuffer").count();
    assert!(buffers as u64 >= spec.slots().len() as u64 - 1, "HLSL: {spec:?}");
}

#[test]
fn every_specialisation_translates_without_harm() {
    // All of them take ten minutes.
    let texts = sampled(16);
    let in_glsl = AtomicUsize::new(0);
    texts.par_iter().for_each(|Text { spec, .. }| {
        let (module, info) = parsed_kernel(spec);
        // Formulas of single elements add terms of one size, in any order.
        if spec.pointwise.is_none() {
            let sums = constants_in_sums(&module, &info);
            assert!(sums.is_empty(), "{sums:?} of {spec:?}");
        }
        assert_eq!(used_by_some_lanes(&module), [""; 0], "{spec:?}");
        assert_harmless(spec, &translated(spec.layout.u64_loads, &module, &info));
        if runs_on_opengl(spec) {
            let buffers = glsl_of(&module, &info).matches("layout(std430").count();
            assert_eq!(buffers, used_buffers(&module, &info), "GLSL: {spec:?}");
            in_glsl.fetch_add(1, Ordering::Relaxed);
        }
    });
    let in_glsl = in_glsl.into_inner();
    assert!(in_glsl > texts.len() / 4, "{in_glsl} of {} in GLSL", texts.len());
    println!("{} of them translated, {in_glsl} to GLSL too", texts.len());
}

/// Which products of a row a compiler fuses with a sum is written out in `fma`: rows have the same bits in all kernels.
/// The sums over rows have no such promise, nor have losses of single elements.
#[test]
fn no_sum_of_a_row_has_a_product_in_it() {
    let of_all_rows = ["add: ", "group_totals: ", "sum_word: "];
    let texts = sampled(92);
    texts.par_iter().filter(|text| text.spec.pointwise.is_none()).for_each(
        |Text { spec, .. }| {
            let (module, info) = parsed_kernel(spec);
            let mut found = contractions(&spec.wgsl(), &module, &info);
            found.retain(|line| !of_all_rows.iter().any(|function| line.starts_with(function)));
            assert!(found.is_empty(), "{found:#?} of {spec:?}");
        },
    );
}

/// All loops of all texts: of each function with a loop, in each of its forms, a kernel that has it.
#[test]
fn every_loop_is_seen_to_end() {
    let mut seen = HashSet::new();
    let mut kernels = 0;
    for spec in every_spec() {
        let text = spec.wgsl();
        let functions = text.split("\nfn ").filter(|function| function.contains("for ("));
        let anew = functions.fold(false, |anew, function| {
            let hash = xxhash_rust::xxh3::xxh3_64(function.as_bytes());
            seen.insert(hash) || anew
        });
        assert!(!text.contains("while") && !text.contains("loop {"), "another loop in {spec:?}");
        if anew {
            assert_eq!(endless(&parsed(&text).0), [""; 0], "{spec:?}");
            kernels += 1;
        }
    }
    println!("{} functions with loops in {kernels} kernels", seen.len());
    assert!(seen.len() > 100, "{} functions with loops", seen.len());
}

#[test]
fn loops_that_may_not_end_are_found() {
    let loops = |text: &str| {
        let text = format!(
            "struct Params {{ end: u32, step: u32 }}
            @group(0) @binding(0) var<uniform> params: Params;
            @group(0) @binding(1) var<storage, read_write> words: array<u32>;
            fn move_on(k: ptr<function, u32>) {{ *k += 1u; }}
            fn some(k: u32) -> u32 {{ return words[k]; }}
            @compute @workgroup_size(64)
            fn main(@builtin(local_invocation_index) lane: u32) {{
                var end = params.end;
                {text}
            }}"
        );
        endless(&parsed(&text).0).len()
    };
    for counted in [
        "for (var k = lane; k < params.end; k += 64u) { words[k] = 0u; }",
        "for (var k = lane; k < end; k += params.step) { words[k] = 0u; }",
        "for (var k = lane; k + 3u * 64u < min(end, 9u); k += 4u * 64u) { words[k] = 0u; }",
        "for (var k = 32u; k > 0u; k /= 2u) { words[k] = 0u; }",
        "for (var k = 1u; k < 32u; k *= 2u) { words[k] = 0u; }",
        "for (var k = lane; k < params.end && words[k] < 7u; k += 1u) { words[k] = 0u; }",
        "let last = some(lane); for (var k = lane; k < last; k += 1u) { words[k] = 0u; }",
        "for (var k = lane; k < end; k += 1u) { for (var l = 0u; l < k; l += 1u) { words[l] = k; } }",
    ] {
        assert_eq!(loops(counted), 0, "{counted}");
    }
    for endless in [
        "loop { words[lane] = 0u; }",
        "loop { if (words[lane] == 7u) { break; } }",
        "while (words[lane] < end) { words[lane] += 1u; }",
        "for (var k = lane; k < params.end; k += 0u) { words[k] = 0u; }",
        "for (var k = lane; k > 0u; k += 1u) { words[k] = 0u; }",
        "for (var k = lane; k < params.end; k -= 1u) { words[k] = 0u; }",
        "for (var k = lane; k != params.end; k += 64u) { words[k] = 0u; }",
        "for (var k = lane; k < params.end; k += 1u) { k = words[k]; }",
        "for (var k = lane; k < params.end; k += 1u) { move_on(&k); }",
        "for (var k = lane; k < end; k += 1u) { end += 1u; }",
        "for (var k = lane; k < k + 1u; k += 1u) { words[k] = 0u; }",
        "for (var k = lane; k < 2u * k; k += 1u) { words[k] = 0u; }",
        "for (var k = lane; k < 32u; k *= 2u) { words[k] = 0u; }",
        "for (var k = 0u; k < 32u; k *= 2u) { words[k] = 0u; }",
        "for (var k = lane; k < some(k); k += 1u) { words[k] = 0u; }",
        "for (var k = lane; k < end; k += some(k)) { words[k] = 0u; }",
        "for (var k = lane; k < end; move_on(&k)) { words[k] = 0u; }",
        "loop { if (lane >= end) { break; } continuing { end += 1u; } }",
        "for (var k = lane; k < words[0]; k += 1u) { words[0] = k + 2u; }",
        "for (var k = lane; k < params.end; k += words[0]) { words[k] = 0u; }",
        "for (var k = lane; k < params.end || lane == 0u; k += 1u) { words[k] = 0u; }",
        "for (var k = lane; k <= end; k += 1u) { while (words[k] > 0u) { words[k] -= 1u; } }",
    ] {
        assert_eq!(loops(endless), 1, "{endless}");
    }
}

/// Finds results of a subgroup operation that one lane alone uses, directly or through a function.
#[test]
fn results_for_one_lane_are_found() {
    let text = "
        @group(0) @binding(0) var<storage, read_write> words: array<u32>;
        fn together(x: u32) -> u32 { return subgroupOr(x); }
        fn kernel(lane: u32, word: u32) -> u32 {
            var all = word;
            all = TOGETHER(word);
            if (lane == 0u) { words[0] = all; }
            let used = USED;
            all = words[1];
            return used + all;
        }
        @compute @workgroup_size(64)
        fn main(@builtin(subgroup_invocation_id) lane: u32) { words[lane] = kernel(lane, words[lane]); }";
    for together in ["together", "subgroupOr"] {
        for (used, found) in [("word", true), ("all", false), ("max(word, all)", false)] {
            let text = text.replace("TOGETHER", together).replace("USED", used);
            let kernel = used_by_some_lanes(&parsed(&text).0);
            assert_eq!(!kernel.is_empty(), found, "{text}");
        }
    }
}

/// Products that come to a sum through whatever a compiler sees through.
#[test]
fn products_in_sums_are_found() {
    let text = "
        struct Two { a: f32, b: f32 }
        @group(0) @binding(0) var<storage, read_write> reals: array<f32>;
        fn product(x: f32, y: f32) -> f32 { return x * y; }
        fn both(x: f32, y: f32) -> Two { var t: Two; t.a = x; t.b = x / y; return t; }
        fn sum(x: f32, y: f32) -> f32 { return x + y; }
        fn same(x: f32) -> f32 { return x; }
        @compute @workgroup_size(1)
        fn main(@builtin(local_invocation_index) k: u32) {
            let x = reals[k];
            let y = reals[k + 1u];
            var t: Two;
            t.a = x;
            t.b = x / y;
            reals[k] = SUM;
        }";
    let with = [
        "x + x * y",
        "x / y - 1.0",
        "x + select(x * y, x, y > 0.0)",
        "x - t.b",
        "x + product(x, y)",
        "x + both(x, y).b",
        "sum(x, x * y)",
        "x + 2.0 * (x * y)",
    ];
    let without = [
        "fma(x, y, x)",
        "x + max(x * y, 0.0)",
        "x - t.a",
        "x + both(x, y).a",
        "x + 2.0 * y",
        "x + 0.5 * same(y)",
        "x * y",
    ];
    let found = |sum: &str| {
        let text = text.replace("SUM", sum);
        let (module, info) = parsed(&text);
        !contractions(&text, &module, &info).is_empty()
    };
    with.into_iter().for_each(|sum| assert!(found(sum), "{sum}"));
    without.into_iter().for_each(|sum| assert!(!found(sum), "{sum}"));
}

/// Text that the look at translations finds where it is there.
#[test]
fn what_hurts_is_found() {
    let text = "
        struct Two { a: vec4<u32>, b: vec4<u32> }
        @group(0) @binding(0) var<storage, read_write> fours: array<vec4<u32>>;
        @group(0) @binding(1) var<storage, read_write> eights: array<Two>;
        @group(0) @binding(2) var<storage, read_write> words: array<array<u32, 4>>;
        @group(0) @binding(3) var<storage, read_write> reals: array<f32>;
        @compute @workgroup_size(1)
        fn main(@builtin(local_invocation_index) k: u32) {
            words[k][k + 1u] = k;
            fours[k] = vec4<u32>(k);
            STORE
            let x = reals[k];
            let y = reals[k + 1u];
            reals[k + 2u] = SUM;
        }";
    let stores = ["fours[k].y = k;", "fours[k][k] = k;", "eights[k].b[k] = k;", ""];
    let sums = ["x + (y - 1.0)", "(x - 1.0) + y", "x * y - 1.0", "x + max(y - 1.0, 0.0)"];
    for (number, store) in stores.into_iter().enumerate() {
        for (other, sum) in sums.into_iter().enumerate() {
            let text = text.replace("STORE", store).replace("SUM", sum);
            let (module, info) = parsed(&text);
            let Translated { spirv, others } = translated(false, &module, &info);
            let (metal, _) = others.expect("MSL and HLSL");
            let stored = usize::from(number < 3);
            assert_eq!(component_stores(&spirv).len(), stored, "{store}");
            assert_eq!(
                component_stores_in_msl(&metal).len(),
                usize::from(number < 2),
                "{store} {metal}"
            );
            assert_eq!(constants_in_sums(&module, &info).is_empty(), other >= 2, "{sum}");
        }
    }
}

/// The hostile compilers take texts of every kind, and write WGSL.
#[test]
fn hostile_compilers_take_texts_of_every_kind() {
    sampled(97).par_iter().enumerate().for_each(|(number, text)| {
        parsed(&COMPILERS[number % COMPILERS.len()].compile(&text.spec.wgsl()));
    });
}

/// Plans lay out workgroups by what [`Spec`] says of their memory.
#[test]
fn workgroup_memory_is_what_the_texts_declare() {
    let mut specs = IndexSet::new();
    with_extras(&mut specs);
    losses_of_elements(&Profile::portable(), &mut specs);
    let mut seen = HashSet::new();
    // Nothing else changes what is declared.
    let kind = |spec: &Spec| {
        let fields =
            (spec.dense_target, spec.row_features, spec.phase, spec.layout.residency.is_resident());
        let staged =
            spec.layout.staged.then_some((spec.layout.load, spec.input, spec.output, spec.target));
        (spec.kernel, spec.layout.geometry, fields, staged)
    };
    let specs: Vec<Spec> = specs.into_iter().filter(|spec| seen.insert(kind(spec))).collect();
    specs.par_iter().for_each(|spec| {
        let (module, info) = parsed_kernel(spec);
        assert_eq!(workgroup_bytes(&module, &info), spec.workgroup_bytes(), "{spec:?}");
    });
    println!("{} kernels", specs.len());
}

/// Returns true if two of a kernel's properties have not been seen together before, which holds for one in seven of all
/// structures; with `SOAK` in the environment, if all of them have not. Numbers and label types do not change what Tint
/// looks at.
fn seen_anew(spec: &Spec, seen: &mut HashSet<String>) -> bool {
    let (layout, g) = (spec.layout, spec.layout.geometry);
    let residency = std::mem::discriminant(&layout.residency);
    let packs = layout.label_packs || layout.weight_packs;
    let properties = [
        format!("{:?} {:?}", spec.kernel, spec.phase),
        format!("{:?} {}", spec.outcome, spec.own_divisor),
        format!("{:?}", spec.dense_target),
        format!("{:?} {:?}", spec.grad, spec.in_place),
        format!("{:?}", spec.distribution),
        format!("{:?} {:?} {}", spec.input, spec.output, spec.rounds_f16),
        format!("{:?}", spec.row_features),
        format!("{residency:?} {:?} {:?}", layout.load, layout.row_loads),
        format!("{:?} {:?} {:?} {packs}", layout.short, layout.pairs, spec.cut),
        format!("{:?} {:?}", layout.staged, spec.target),
        format!("{} {} {}", layout.finite_path, layout.neighbours, spec.group_classes > 0),
        format!("{:?} {:?}", g.cluster > 1, g.lanes > g.cluster),
    ];
    if std::env::var_os("SOAK").is_some() {
        return seen.insert(properties.join(", "));
    }
    let mut anew = false;
    for (i, one) in properties.iter().enumerate() {
        for (j, other) in properties.iter().enumerate().skip(i + 1) {
            anew |= seen.insert(format!("{i} {one}, {j} {other}"));
        }
    }
    anew
}

/// Tint is the compiler of Chromium and Dawn; it checks what naga does not, uniform control flow
/// above all. Where the command is missing the test says so: it cannot be installed everywhere.
#[test]
fn tint_accepts_a_text_of_every_kind() {
    if Command::new("tint").arg("--version").output().is_err() {
        eprintln!("NOT RUN: no `tint` on the PATH");
        return;
    }
    let folder = std::env::temp_dir().join(format!("wgpu-loss-tint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the texts");
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for spec in every_spec() {
        if !spec.layout.u64_loads && seen_anew(&spec, &mut seen) {
            let path = folder.join(format!("{}.wgsl", files.len()));
            let enable = if spec.layout.geometry.cluster > 1 { "enable subgroups;\n" } else { "" };
            std::fs::write(&path, format!("{enable}{}", spec.wgsl())).expect("a written text");
            files.push((path, spec));
        }
    }
    files.par_iter().for_each(|(path, spec)| {
        let output = Command::new("tint").arg("--format").arg("wgsl").arg(path).output();
        let output = output.expect("tint ran");
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{spec:?}\n{report}");
    });
    println!("{} texts", files.len());
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}
