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
    // The kernels' own: wgpu does not bound their loops.
    let own = ShaderRuntimeChecks { force_loop_bounding: false, ..checked };
    let bounds = ShaderRuntimeChecks { bounds_checks: false, ..own };
    let edited = |what, edit| Variation { trusts: false, ..trusted(what, own, edit) };
    let mut all = vec![
        right(trusted("wgpu's run-time checks", none, as_it_is)),
        right(trusted("bounds checks", bounds, as_it_is)),
        right(trusted("nothing, and loops bounded", checked, as_it_is)),
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
        .replace(LABEL_OF_ROW, "    return r.class_index;")
        .replace(LABELS_OF_COLUMNS, "fn gathered_label_logits(r: Row, offsets: Offsets,");
    match text.contains("fn gathered_label_logits(") {
        true => {
            text + "fn label_logits(r: Row, offsets: Offsets, stride: u32, first: u32) -> RowWords {
                    return r.class_index;
                }
"
        }
        false => text,
    }
}

// Parts of kernels that edits replace. A build fails if a kernel no longer has them.
const LABEL_OF_ROW: &str = "    return logit_word(offsets, r.class_index);";
const LABELS_OF_COLUMNS: &str = "fn label_logits(r: Row, offsets: Offsets,";
const LARGEST_SIGNED: &str = "    f.signed = max(f.signed, bitcast<Ints>(words));\n";
const LARGEST_UNSIGNED: &str = "    f.unsigned = max(f.unsigned, words);\n";

const _: () = {
    assert!(has(include_str!("../../shaders/rows/label.wgsl"), LABEL_OF_ROW));
    assert!(has(include_str!("../../shaders/columns/streaming.wgsl"), LABELS_OF_COLUMNS));
    assert!(has(include_str!("../../shaders/shared/fold.wgsl"), LARGEST_SIGNED));
    assert!(has(include_str!("../../shaders/shared/fold.wgsl"), LARGEST_UNSIGNED));
};

/// Returns true if a text has a part.
const fn has(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let mut start = 0;
    while start + part.len() <= text.len() {
        let mut same = 0;
        while same < part.len() && text[start + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return true;
        }
        start += 1;
    }
    false
}

/// Removes the test of every load for NaN and infinity.
fn no_look(text: String) -> String {
    text.replace(LARGEST_SIGNED, "").replace(LARGEST_UNSIGNED, "")
}

fn nothing_but_moves(text: String) -> String {
    no_look(no_gather(no_exp(text)))
}
