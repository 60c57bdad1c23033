//! A kernel's WGSL: its constants and bindings, then its file with all that this imports.

use super::spec::{Kernel, Spec, Target, is_half};
use super::template::{Assembly, assembled};
use crate::loss::Upstream;
use crate::tensor::Slot;

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
        self.assembled().text
    }

    /// The kernel's WGSL, with where its lines come from.
    pub fn assembled(&self) -> Assembly {
        let mut head = String::new();
        for (name, value) in self.constants() {
            head += &format!("const {name}: u32 = {value}u;\n");
        }
        for (slot, access) in self.slots() {
            head += &self.declaration(slot, access);
        }
        assembled(self.kernel.file(), &head, &self.names())
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
}
