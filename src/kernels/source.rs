//! WGSL assembled from the files in `shaders/`: constants, bindings, fragments, kernel.

use super::spec::{Kernel, Spec, Target};
use crate::loss::Upstream;

/// A buffer a kernel binds. The order is the binding number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Slot {
    Params,
    Logits,
    Target,
    Weight,
    Upstream,
    RowLoss,
    Grad,
    Elements,
    Workspace,
    Result,
}

impl Slot {
    /// How many there are.
    pub(crate) const COUNT: u64 = Slot::Result as u64 + 1;
}

/// How a slot is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A uniform block.
    Uniform,
    /// Storage that is read.
    Read,
    /// Storage that is written.
    Write,
}

impl Spec {
    /// The slots this specialisation binds, with their access.
    pub fn slots(&self) -> Vec<(Slot, Access)> {
        use Access::{Read, Uniform, Write};
        let softmax = matches!(self.kernel, Kernel::Rows | Kernel::Columns);
        let reads_logits = softmax || self.kernel == Kernel::Gather;
        let finish = self.kernel == Kernel::Finish;
        let logits = if self.in_place { Write } else { Read };
        [
            (true, Slot::Params, Uniform),
            (reads_logits, Slot::Logits, logits),
            (self.target != Target::None, Slot::Target, Read),
            (self.weight && !finish, Slot::Weight, Read),
            (self.upstream != Upstream::Ones, Slot::Upstream, Read),
            (self.row_loss, Slot::RowLoss, Write),
            (self.grad && !self.in_place, Slot::Grad, Write),
            (self.elements.is_some(), Slot::Elements, Write),
            (true, Slot::Workspace, Write),
            (finish && !self.divisor_only, Slot::Result, Write),
        ]
        .into_iter()
        .filter_map(|(on, slot, access)| on.then_some((slot, access)))
        .collect()
    }

    /// The kernel's WGSL.
    pub fn wgsl(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.constants() {
            text += &format!("const {name}: u32 = {value}u;\n");
        }
        for (slot, access) in self.slots() {
            text += &self.declaration(slot, access);
        }
        let symbols = self.symbols();
        for part in self.parts() {
            text += "\n";
            text += &select_lines(part, &symbols);
        }
        text
    }

    /// The line that declares a binding.
    fn declaration(&self, slot: Slot, access: Access) -> String {
        let (name, element) = match slot {
            Slot::Params => ("params", "Params"),
            Slot::Logits => ("logits", "Words"),
            Slot::Target if self.target == Target::Probabilities => ("probabilities", "Words"),
            Slot::Target => ("labels", "u32"),
            Slot::Weight => ("weight", "f32"),
            Slot::Upstream => ("upstream", "f32"),
            Slot::RowLoss => ("row_loss", "u32"),
            Slot::Grad => ("grad", "Words"),
            Slot::Elements => ("elements", "Words"),
            Slot::Workspace => ("workspace", "u32"),
            Slot::Result => ("result", "u32"),
        };
        let binding = slot as u32;
        match access {
            Access::Uniform => {
                format!("@group(0) @binding({binding}) var<uniform> {name}: {element};\n")
            }
            Access::Read => format!(
                "@group(0) @binding({binding}) var<storage, read> {name}: array<{element}>;\n"
            ),
            Access::Write => format!(
                "@group(0) @binding({binding}) var<storage, read_write> {name}: array<{element}>;\n"
            ),
        }
    }

    /// The files this kernel is made of.
    fn parts(&self) -> Vec<&'static str> {
        const PARAMS: &str = include_str!("../../shaders/prelude/params.wgsl");
        const NUMBERS: &str = include_str!("../../shaders/prelude/numbers.wgsl");
        const WORDS: &str = include_str!("../../shaders/prelude/words.wgsl");
        const STATE: &str = include_str!("../../shaders/prelude/state.wgsl");
        const LABELS: &str = include_str!("../../shaders/prelude/labels.wgsl");
        const TOTALS: &str = include_str!("../../shaders/prelude/totals.wgsl");
        const LANES: &str = include_str!("../../shaders/prelude/lanes.wgsl");
        const ROW: &str = include_str!("../../shaders/prelude/row.wgsl");
        const WRITER: &str = include_str!("../../shaders/prelude/writer.wgsl");
        let mut parts = vec![PARAMS, NUMBERS, TOTALS];
        if self.kernel != Kernel::Finish {
            parts.extend([WORDS, STATE, ROW]);
        }
        if matches!(self.target, Target::Labels(_)) {
            parts.push(LABELS);
        }
        if self.writes() {
            parts.push(WRITER);
        }
        match self.kernel {
            Kernel::Rows => parts.extend([LANES, include_str!("../../shaders/rows.wgsl")]),
            Kernel::Columns => parts.push(include_str!("../../shaders/columns.wgsl")),
            Kernel::Gather => parts.push(include_str!("../../shaders/gather.wgsl")),
            Kernel::GatherGrad => parts.push(include_str!("../../shaders/gather_grad.wgsl")),
            Kernel::Weigh => parts.push(include_str!("../../shaders/weigh.wgsl")),
            Kernel::Finish => parts.push(include_str!("../../shaders/finish.wgsl")),
        }
        parts
    }
}

/// Keeps the lines whose conditions hold. Conditions stand on lines of their own, nest, and are
/// `#if NAME`, `#if !NAME`, `#else` and `#endif`.
///
/// # Panics
/// On unbalanced conditions: the texts are this crate's own, and a test assembles them all.
fn select_lines(text: &str, symbols: &[&str]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut open: Vec<bool> = Vec::new();
    for line in text.lines() {
        if let Some(condition) = line.strip_prefix("#if ") {
            let (wanted, name) = match condition.strip_prefix('!') {
                Some(name) => (false, name),
                None => (true, condition),
            };
            open.push(symbols.contains(&name) == wanted);
        } else if line == "#else" {
            let last = open.last_mut().expect("#else without #if");
            *last = !*last;
        } else if line == "#endif" {
            open.pop().expect("#endif without #if");
        } else if open.iter().all(|&holds| holds) {
            kept += line;
            kept += "\n";
        }
    }
    assert!(open.is_empty(), "#if without #endif");
    kept
}

#[cfg(test)]
mod tests {
    use super::select_lines;

    #[test]
    fn conditions_nest_and_negate() {
        let text = "a\n#if X\nb\n#if !Y\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf\n";
        assert_eq!(select_lines(text, &["X"]), "a\nb\nc\nf\n");
        assert_eq!(select_lines(text, &["X", "Y"]), "a\nb\nd\nf\n");
        assert_eq!(select_lines(text, &["Y"]), "a\ne\nf\n");
    }
}
