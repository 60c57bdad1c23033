//! The same kernels with a part left out.

use wgpu_loss::Kernels;
use wgpu_loss::wgpu::ShaderRuntimeChecks;

/// Kernels with a part left out.
pub struct Variation {
    /// The part that is left out.
    pub what: &'static str,
    pub kernels: Kernels,
    /// The edit of a kernel's text.
    pub edit: fn(String) -> String,
    /// True if it omits some of wgpu's checks.
    pub trusts: bool,
    /// True if the loss is right nevertheless.
    pub is_right: bool,
}

/// Returns all variations.
pub fn variations(kernels: &Kernels) -> Vec<Variation> {
    let checked = ShaderRuntimeChecks::checked();
    let none = ShaderRuntimeChecks::unchecked();
    let trusted = |what, checks, edit: fn(String) -> String| {
        // SAFETY: the texts are the crate's own. They stay inside the bindings that plans give them (the tests run them
        // with the checks on, and compare every element), and their loops end. Edits take loads out and put none in.
        let kernels = unsafe { kernels.edited(edit).trusted(checks) };
        Variation { what, kernels, edit, trusts: true, is_right: false }
    };
    let right = |variation| Variation { is_right: true, ..variation };
    let edited = |what, edit: fn(String) -> String| {
        let kernels = kernels.edited(edit);
        Variation { what, kernels, edit, trusts: false, is_right: false }
    };
    let bounds = ShaderRuntimeChecks { bounds_checks: false, ..checked };
    let loops = ShaderRuntimeChecks { force_loop_bounding: false, ..checked };
    let mut all = vec![
        right(trusted("wgpu's run-time checks", none, as_it_is)),
        right(trusted("bounds checks", bounds, as_it_is)),
        right(trusted("loop bounding", loops, as_it_is)),
        edited("exp", no_exp),
        edited("the labels' gather", no_gather),
        edited("the look for NaN and infinities", no_look),
        trusted("all of that", none, nothing_but_moves),
    ];
    if kernels.profile().subgroup_size.is_some() {
        let kernels = kernels.without_subgroups();
        let edit: fn(String) -> String = as_it_is;
        all.push(Variation { what: "subgroups", kernels, edit, trusts: false, is_right: true });
    }
    all
}

fn as_it_is(text: String) -> String {
    text
}

/// Replaces `exp` by `abs`, which takes the same arguments and costs a GPU nothing.
fn no_exp(text: String) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("exp(") {
        let inside_a_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        whole += before;
        whole += if inside_a_name { "exp(" } else { "abs(" };
        rest = after;
    }
    whole + rest
}

/// Replaces the label's logit by the number of the label's class, which needs no load.
fn no_gather(text: String) -> String {
    let text = text
        .replace("    return logit_word(places, r.class_index);", "    return r.class_index;")
        .replace("fn hits(r: Row, places: Places,", "fn gathered_hits(r: Row, places: Places,");
    match text.contains("fn gathered_hits(") {
        true => {
            text + "fn hits(r: Row, places: Places, stride: u32, first: u32) -> RowWords {
                    return r.class_index;
                }
"
        }
        false => text,
    }
}

/// Removes the test of every load for NaN and infinity.
fn no_look(text: String) -> String {
    text.replace("    f.signed = max(f.signed, bitcast<Ints>(words));\n", "")
        .replace("    f.unsigned = max(f.unsigned, words);\n", "")
}

fn nothing_but_moves(text: String) -> String {
    no_look(no_gather(no_exp(text)))
}
