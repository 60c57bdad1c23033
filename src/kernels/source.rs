//! A kernel's WGSL: its constants and bindings, then its file with all imports.

use super::layout::RowLoads;
use super::spec::{Kernel, Outcome, Spec, StatePlace, is_half};
use super::template::{Assembly, assembled};
use crate::loss::Upstream;
use crate::tensor::{Role, TensorSlot};

/// The access by which a slot is bound.
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
    /// Returns the slots that this specialisation binds, with their access.
    pub fn slots(&self) -> Vec<(TensorSlot, Access)> {
        let loaded: Vec<TensorSlot> = self.tensors().map(|tensor| tensor.slot).collect();
        let bound = |slot: &TensorSlot| loaded.contains(slot) || self.binds_singly(*slot);
        TensorSlot::ALL.into_iter().filter(bound).map(|slot| (slot, self.access(slot))).collect()
    }

    /// Returns true if a slot is bound, but not in loads.
    fn binds_singly(&self, slot: TensorSlot) -> bool {
        let reduces = self.kernel == Kernel::ReducePartials;
        match slot {
            TensorSlot::Params => true,
            TensorSlot::Target if self.label_type().is_some() => true,
            TensorSlot::Weight => self.weight.is_some() && !reduces,
            TensorSlot::Upstream => matches!(self.upstream, Upstream::Scalar | Upstream::PerRow),
            TensorSlot::RowLoss => self.row_loss,
            TensorSlot::Grad => self.grad && !self.in_place,
            TensorSlot::Workspace => self.uses_workspace(),
            TensorSlot::Result => self.outcome == Outcome::Result,
            TensorSlot::RowWeights => self.row_features.row_weights && !reduces,
            TensorSlot::Record => self.writes_records(),
            TensorSlot::Classes => self.row_features.class_losses,
            TensorSlot::GivenStates | TensorSlot::States => self.binds_states(slot),
            TensorSlot::Target
            | TensorSlot::ElementWeight
            | TensorSlot::PosWeight
            | TensorSlot::Variance => self.operands().any(|operand| operand.slot == slot),
            TensorSlot::Logits
            | TensorSlot::Distribution
            | TensorSlot::TargetGrad
            | TensorSlot::VarianceGrad => false,
        }
    }

    /// Returns true if a tensor of states is bound.
    pub(super) fn binds_states(&self, slot: TensorSlot) -> bool {
        match slot {
            TensorSlot::GivenStates => self.states_from == StatePlace::Tensor,
            TensorSlot::States => self.states_to == StatePlace::Tensor,
            _ => false,
        }
    }

    /// Returns the access of a slot.
    fn access(&self, slot: TensorSlot) -> Access {
        let overwritten = self.in_place && slot == TensorSlot::Logits;
        match slot.role() {
            _ if slot == TensorSlot::Params => Access::Uniform,
            Role::Input if !self.all_read_write && !overwritten => Access::Read,
            _ => Access::Write,
        }
    }

    /// Returns the bytes that an origin of 1 stands for, for a tensor whose elements have `element_bytes`: those of a
    /// load if its rows start on loads; otherwise those of an element, or of a word if an element has several.
    pub(crate) fn origin_unit(&self, slot: TensorSlot, element_bytes: u64) -> u64 {
        match slot {
            _ if self.in_loads(slot) && !self.layout.row_loads.start_anywhere() => {
                element_bytes * self.layout.load.elements() as u64
            }
            TensorSlot::Target if self.layout.label_packs => pack_bytes(element_bytes),
            TensorSlot::Record if self.layout.record_packs => pack_bytes(element_bytes),
            // Labels of two words may start at any word, and so may records.
            _ => element_bytes.min(4),
        }
    }

    /// Returns the kernel's WGSL.
    pub fn wgsl(&self) -> String {
        self.assembled().text
    }

    /// Returns the kernel's WGSL, with the origins of its lines.
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

    /// Returns the line that declares a binding.
    fn declaration(&self, slot: TensorSlot, access: Access) -> String {
        let (name, element) = (self.variable(slot), self.element(slot));
        let (space, kind) = match access {
            Access::Uniform => ("uniform", element.to_owned()),
            Access::Read => ("storage, read", format!("array<{element}>")),
            Access::Write => ("storage, read_write", format!("array<{element}>")),
        };
        format!("@group(0) @binding({}) var<{space}> {name}: {kind};\n", slot as u32)
    }

    /// Returns the variable that a slot is bound as.
    pub(super) fn variable(&self, slot: TensorSlot) -> &'static str {
        let in_loads = self.tensors().find(|tensor| tensor.slot == slot);
        let operand = self.operands().find(|operand| operand.slot == slot);
        let name = in_loads.map(|tensor| tensor.buffer).or(operand.map(|operand| operand.name));
        name.unwrap_or(slot.variable())
    }

    /// Returns the element type of a slot's array.
    fn element(&self, slot: TensorSlot) -> &'static str {
        if let Some(tensor) = self.tensors().find(|tensor| tensor.slot == slot) {
            return tensor.element(self);
        }
        match slot {
            TensorSlot::Params => "Params",
            TensorSlot::Target if self.layout.label_packs => self.label_pack(),
            TensorSlot::Weight => self.weight_element(),
            TensorSlot::Upstream => "f32",
            TensorSlot::Record if self.layout.record_packs => "vec4<u32>",
            TensorSlot::Grad if self.kernel == Kernel::NllBackward => self.nll_store(),
            TensorSlot::Classes if self.kernel != Kernel::ZeroFill => "atomic<u32>",
            _ => "u32",
        }
    }

    /// Returns the type of one store of nll's gradient. Lanes that write parts of a store write words of an array: see
    /// `tensor.wgsl`.
    fn nll_store(&self) -> &'static str {
        match (self.layout.is_wide(), self.layout.row_loads) {
            (false, _) => "u32",
            (true, RowLoads::Ragged) => "array<u32, 4>",
            (true, _) => "vec4<u32>",
        }
    }

    /// Returns the type of one load of the labels of four rows.
    fn label_pack(&self) -> &'static str {
        match self.label_type().map(|label| pack_bytes(label.bytes().into())) {
            Some(16) => "vec4<u32>",
            Some(8) => "vec2<u32>",
            _ => "u32",
        }
    }

    /// Returns the type of one load of the class weights.
    fn weight_element(&self) -> &'static str {
        match (self.weight.is_some_and(is_half), self.layout.weight_packs) {
            (false, false) => "f32",
            (false, true) => "vec4<f32>",
            (true, false) => "u32",
            (true, true) => "vec2<u32>",
        }
    }
}

/// Returns the bytes of a load that brings four labels, weights of classes or records, or a part of them if they are
/// large.
pub(crate) fn pack_bytes(element_bytes: u64) -> u64 {
    (4 * element_bytes).min(16)
}
