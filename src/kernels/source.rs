//! WGSL assembled from the files in `shaders/`: constants, bindings, fragments, kernel.

use super::record::stores;
use super::spec::{Form, Kernel, Part, Spec, Target, is_half};
use super::tensor::halves;
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
    ElementWeight,
    PosWeight,
    Variance,
    TargetGrad,
    VarianceGrad,
    Workspace,
    Result,
    RowWeights,
    Record,
    Classes,
}

impl Slot {
    /// How many there are.
    pub(crate) const COUNT: u64 = Slot::Classes as u64 + 1;

    /// Whether it is a tensor that callers get.
    pub(crate) fn is_output(self) -> bool {
        use Slot::{Classes, Elements, Grad, Record, Result, RowLoss, TargetGrad, VarianceGrad};
        let of_rows = matches!(self, RowLoss | Record | Classes | Result);
        of_rows || matches!(self, Grad | Elements | TargetGrad | VarianceGrad)
    }
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
        use Access::{Uniform, Write};
        let clear = self.kernel == Kernel::Clear;
        let finish = self.kernel == Kernel::Finish;
        let grads = self.pointwise.filter(|_| self.kernel == Kernel::Pointwise);
        let target_grad = grads.is_some_and(|p| p.target_grad.is_some());
        let operands: Vec<Slot> = self.operands().map(|operand| operand.slot).collect();
        let extras = self.extras;
        let read = if self.arena { Write } else { Access::Read };
        let logits = if self.in_place { Write } else { read };
        [
            (true, Slot::Params, Uniform),
            (self.reads_logits(), Slot::Logits, logits),
            (self.has_target() || operands.contains(&Slot::Target), Slot::Target, read),
            (self.weight.is_some() && !finish, Slot::Weight, read),
            (self.has_upstream(), Slot::Upstream, read),
            (self.row_loss, Slot::RowLoss, Write),
            (self.grad && !self.in_place, Slot::Grad, Write),
            (self.elements.is_some(), Slot::Elements, Write),
            (operands.contains(&Slot::ElementWeight), Slot::ElementWeight, read),
            (operands.contains(&Slot::PosWeight), Slot::PosWeight, read),
            (operands.contains(&Slot::Variance), Slot::Variance, read),
            (target_grad, Slot::TargetGrad, Write),
            (self.writes_variance_grad(), Slot::VarianceGrad, Write),
            (!clear, Slot::Workspace, Write),
            (finish && !self.divisor_only, Slot::Result, Write),
            (extras.row_weights && !finish, Slot::RowWeights, read),
            (self.writes_records(), Slot::Record, Write),
            (extras.class_losses, Slot::Classes, Write),
        ]
        .into_iter()
        .filter_map(|(on, slot, access)| on.then_some((slot, access)))
        .collect()
    }

    fn has_target(&self) -> bool {
        matches!(self.target, Target::Labels(_) | Target::Probabilities(_))
    }

    fn has_upstream(&self) -> bool {
        let one_or_rows = matches!(self.upstream, Upstream::Scalar | Upstream::PerRow);
        one_or_rows || self.has_wide_upstream()
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
            let chosen = repeat_fields(&select_lines(part, &symbols), &self.state_fields());
            text += &repeat_lines(&chosen, self.kept());
        }
        text = text.replace("{record}", &stores(self));
        for (part, name) in self.type_names() {
            text = text.replace(part, name);
        }
        for element_type in self.half_types() {
            text += &halves(element_type, self);
        }
        for tensor in self.tensors() {
            text += &tensor.wgsl(self);
        }
        for operand in self.operands() {
            text += &operand.wgsl(self.load);
        }
        text
    }

    /// The line that declares a binding.
    fn declaration(&self, slot: Slot, access: Access) -> String {
        let (name, element) = match slot {
            Slot::Params => ("params", "Params"),
            _ if self.is_pointwise() && self.element_declaration(slot).is_some() => {
                self.element_declaration(slot).unwrap_or_default()
            }
            Slot::Target if self.label_type().is_some() => ("labels", self.label_element()),
            Slot::Weight => ("weight", self.weight_element()),
            Slot::Upstream if !self.has_wide_upstream() => ("upstream", "f32"),
            Slot::RowLoss => ("row_loss", "u32"),
            Slot::Grad if !self.is_softmax() => ("grad", "u32"),
            Slot::Workspace => ("workspace", "u32"),
            Slot::Result => ("result", "u32"),
            Slot::RowWeights => ("row_weights", "u32"),
            Slot::Record if self.record_packs => ("record", "vec4<u32>"),
            Slot::Record => ("record", "u32"),
            Slot::Classes if self.kernel == Kernel::Clear => ("classes", "u32"),
            Slot::Classes => ("classes", "atomic<u32>"),
            _ => {
                // A kernel that binds such a slot has its tensor.
                let tensor = self.tensors().find(|tensor| tensor.slot == slot);
                tensor.map_or(("", ""), |tensor| (tensor.buffer, tensor.element(self)))
            }
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

    /// Name and type of a tensor of single elements.
    fn element_declaration(&self, slot: Slot) -> Option<(&'static str, &'static str)> {
        let tensor = self.tensors().find(|tensor| tensor.slot == slot);
        let single = || self.operands().find(|operand| operand.slot == slot);
        let loads = tensor.map(|tensor| (tensor.buffer, tensor.element(self)));
        loads.or_else(|| single().map(|operand| (operand.name, "u32")))
    }

    /// What one load of the labels brings.
    fn label_element(&self) -> &'static str {
        match self.target {
            Target::Labels(label) if self.label_packs => match label.bytes() {
                4 | 8 => "vec4<u32>",
                2 => "vec2<u32>",
                _ => "u32",
            },
            _ => "u32",
        }
    }

    /// What one load of the class weights brings.
    fn weight_element(&self) -> &'static str {
        match (self.weight.is_some_and(is_half), self.weight_packs) {
            (false, false) => "f32",
            (false, true) => "vec4<f32>",
            (true, false) => "u32",
            (true, true) => "vec2<u32>",
        }
    }

    /// How often lines between `#each` and `#end` stand in the text.
    fn kept(&self) -> u32 {
        match self.form {
            Form::Kept { loads, .. } => loads,
            _ => 0,
        }
    }

    /// The files this kernel is made of.
    fn parts(&self) -> Vec<&'static str> {
        macro_rules! prelude {
            ($name:literal) => {
                include_str!(concat!("../../shaders/prelude/", $name, ".wgsl"))
            };
        }
        macro_rules! kernel {
            ($name:literal) => {
                include_str!(concat!("../../shaders/", $name, ".wgsl"))
            };
        }
        let kept = self.form.is_kept();
        let softmax = self.is_softmax();
        let clear = self.kernel == Kernel::Clear;
        let of_rows = !clear && self.kernel != Kernel::Finish && !self.is_pointwise();
        [
            (true, prelude!("params")),
            (true, prelude!("words")),
            (true, prelude!("numbers")),
            (!clear, prelude!("totals")),
            (matches!(self.target, Target::Labels(_)), prelude!("labels")),
            (self.evaluates(), prelude!("formulas")),
            (self.evaluates(), prelude!("elements")),
            (of_rows, prelude!("softcap")),
            (of_rows, prelude!("state")),
            (of_rows, prelude!("row")),
            (self.maps_logits(), prelude!("logits")),
            (self.writes_records(), prelude!("record")),
            (self.extras.class_losses && self.kernel != Kernel::Clear, prelude!("classes")),
            (softmax, prelude!("places")),
            (softmax && kept, prelude!("kept")),
            (self.writes(), prelude!("writer")),
            (self.kernel == Kernel::Rows, prelude!("lanes")),
            (self.kernel == Kernel::Rows && !kept, prelude!("states")),
            (self.kernel == Kernel::Rows && kept, prelude!("sums")),
            (self.kernel == Kernel::Rows, prelude!("merge")),
            (self.kernel == Kernel::Rows, kernel!("rows")),
            (self.kernel == Kernel::Rows && kept, kernel!("rows_kept")),
            (
                self.kernel == Kernel::Rows && !kept && self.part != Part::Merge,
                kernel!("rows_streamed"),
            ),
            (
                self.by_class && !kept && self.part != Part::Merge && self.part != Part::Write,
                kernel!("rows_by_class"),
            ),
            (self.pairs, kernel!("rows_pairs")),
            (self.kernel == Kernel::Columns, kernel!("columns")),
            (self.kernel == Kernel::Columns && kept, kernel!("columns_kept")),
            (self.kernel == Kernel::Columns && kept && !self.short, kernel!("kept_across")),
            (self.kernel == Kernel::Columns && kept && self.short, kernel!("kept_short")),
            (self.kernel == Kernel::Columns && !kept, kernel!("columns_streamed")),
            (self.kernel == Kernel::Gather, kernel!("gather")),
            (self.kernel == Kernel::GatherGrad, kernel!("gather_grad")),
            (self.kernel == Kernel::Weigh, kernel!("weigh")),
            (self.kernel == Kernel::Pointwise, kernel!("pointwise")),
            (self.kernel == Kernel::SumVariance, kernel!("sum_variance")),
            (self.kernel == Kernel::Mark, kernel!("mark")),
            (self.kernel == Kernel::Finish, kernel!("finish")),
            (self.kernel == Kernel::Clear, kernel!("clear")),
        ]
        .into_iter()
        .filter_map(|(on, text)| on.then_some(text))
        .collect()
    }
}

/// Repeats the lines between `#fields` and `#end` for each field of the state beyond those that every state
/// has, with its name for `@`: WGSL has nothing that goes over the members of a structure.
fn repeat_fields(text: &str, fields: &[&str]) -> String {
    repeat(text, "#fields\n", |body| fields.iter().map(|field| body.replace('@', field)).collect())
}

/// Repeats the lines between `#each` and `#end` (lines of their own) `times` times, with the number
/// of the repetition for `$`. Loops over registers are written out like this: whether a driver would
/// unroll them is its secret, and an array with a variable index is memory.
fn repeat_lines(text: &str, times: u32) -> String {
    repeat(text, "#each\n", |body| {
        (0..times).map(|number| body.replace('$', &format!("{number}u"))).collect()
    })
}

/// What `written` makes of the lines between each `opening` and the next `#end`, in their place.
fn repeat(text: &str, opening: &str, written: impl Fn(&str) -> String) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(opening) {
        let (body, behind) = after.split_once("#end\n").expect("a repetition without #end");
        whole += before;
        whole += &written(body);
        rest = behind;
    }
    whole + rest
}

/// Keeps the lines whose conditions hold. Conditions stand on lines of their own, nest, and are
/// `#if NAME`, `#if !NAME`, `#else` and `#endif`.
///
/// # Panics
/// On unbalanced conditions: the texts are this crate's own, and a test assembles them all.
pub(super) fn select_lines(text: &str, symbols: &[&str]) -> String {
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
    use super::{repeat_fields, repeat_lines, select_lines};

    #[test]
    fn conditions_nest_and_negate() {
        let text = "a\n#if X\nb\n#if !Y\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf\n";
        assert_eq!(select_lines(text, &["X"]), "a\nb\nc\nf\n");
        assert_eq!(select_lines(text, &["X", "Y"]), "a\nb\nd\nf\n");
        assert_eq!(select_lines(text, &["Y"]), "a\ne\nf\n");
    }

    #[test]
    fn repetitions_are_numbered() {
        let text = "a\n#each\nx[$] = $;\n#end\nb\n";
        assert_eq!(repeat_lines(text, 2), "a\nx[0u] = 0u;\nx[1u] = 1u;\nb\n");
        assert_eq!(repeat_lines(text, 0), "a\nb\n");
    }

    #[test]
    fn fields_are_named() {
        let text = "a\n#fields\ns.@ = f.@;\n#end\nb\n";
        assert_eq!(repeat_fields(text, &["x", "y"]), "a\ns.x = f.x;\ns.y = f.y;\nb\n");
        assert_eq!(repeat_fields(text, &[]), "a\nb\n");
    }
}
