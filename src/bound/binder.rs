//! Bind groups and parameters of a plan's dispatches, and the variants of its kernels that buffers allow.

use super::bound_dispatch::BoundDispatch;
use super::buffers::Buffers;
use super::result::RESULT_BYTES;
use super::scratch::{NOTHING_STRIDE, Scratch};
use crate::Error;
use crate::device::Kernels;
use crate::kernels::{Access, Kernel, Spec, VectorWidth, pack_bytes};
use crate::loss::CallTensor;
use crate::plan::{Alignment, Dispatch, Params, Plan, offset_alignment, ragged_load};
use crate::tensor::{Axes, TensorSlot};

/// Bytes of the largest load, eight elements of f32: the size of a stand-in for an empty tensor.
const LARGEST_LOAD: u64 = 32;

pub(super) struct Binder<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) plan: &'a Plan,
    pub(super) buffers: &'a Buffers<'a>,
    pub(super) scratch: &'a Scratch,
    pub(super) label: &'a str,
}

/// A bound range, and the offset in bytes of the piece from its start.
struct Place<'a> {
    range: wgpu::BufferBinding<'a>,
    lead: u64,
}

impl Binder<'_> {
    fn device(&self) -> &wgpu::Device {
        self.kernels.device()
    }

    fn tensor(&self, slot: TensorSlot) -> Option<CallTensor> {
        self.plan.problem().tensor(slot)
    }

    /// Returns the call's tensors that a kernel binds.
    fn tensors_of(&self, spec: &Spec) -> impl Iterator<Item = CallTensor> {
        spec.slots().into_iter().filter_map(|(slot, _)| self.tensor(slot))
    }

    /// Returns the bytes of a slot that a dispatch binds. Offsets are rounded down to the device's alignment.
    fn place<'s>(&'s self, (slot, access): (TensorSlot, Access), dispatch: &Dispatch) -> Place<'s> {
        let nothing = Place {
            range: wgpu::BufferBinding {
                buffer: &self.scratch.shared.nothing[usize::from(access == Access::Write)],
                offset: slot as u64 * NOTHING_STRIDE,
                size: wgpu::BufferSize::new(LARGEST_LOAD),
            },
            lead: 0,
        };
        let whole =
            |buffer: &'s wgpu::Buffer| Place { range: buffer.as_entire_buffer_binding(), lead: 0 };
        let (given, tensor) = match slot {
            TensorSlot::Workspace => return whole(&self.scratch.shared.workspace),
            TensorSlot::Result => return self.place_of_result(),
            _ => match (self.buffers.get(slot), self.tensor(slot)) {
                (Some(given), Some(tensor)) => (given, tensor),
                _ => return nothing,
            },
        };
        let mut bytes = match (dispatch.piece, slot) {
            // A buffer that is cleared, and one that is counted in, are bound whole.
            (None, _) | (_, TensorSlot::Classes) => 0..tensor.bytes(),
            (Some(piece), _) => self.plan.pieces()[piece].bytes_of(&tensor),
        };
        if bytes.is_empty() {
            return nothing;
        }
        if self.buffers.piecewise && tensor.has_classes() {
            bytes = 0..bytes.end - bytes.start;
        }
        let alignment = offset_alignment(&self.device().limits());
        let (start, end) = (given.offset + bytes.start, given.offset + bytes.end);
        let offset = start / alignment * alignment;
        // A load that has a row's last element may reach past it; those bytes are read and never written.
        let whole =
            |bytes| Some(end.next_multiple_of(bytes)).filter(|&end| end <= given.buffer.size());
        let end = whole(32).or(whole(16)).unwrap_or(end.next_multiple_of(4));
        let size = wgpu::BufferSize::new(end - offset);
        Place {
            range: wgpu::BufferBinding { buffer: given.buffer, offset, size },
            lead: start - offset,
        }
    }

    fn place_of_result(&self) -> Place<'_> {
        let (buffer, start) = &self.scratch.result;
        let lead = start % offset_alignment(&self.device().limits());
        let size = wgpu::BufferSize::new(lead + RESULT_BYTES);
        Place { range: wgpu::BufferBinding { buffer, offset: start - lead, size }, lead }
    }

    /// Returns the variant of a dispatch's kernel that these buffers allow.
    fn variant(&self, dispatch: &Dispatch) -> Spec {
        let spec = self.aligned(dispatch);
        Spec { all_read_write: self.shares_a_buffer(&spec), ..spec }
    }

    /// Returns true if a kernel both reads and writes one of the host's buffers.
    fn shares_a_buffer(&self, spec: &Spec) -> bool {
        let slots = spec.slots();
        let bound = |wanted| {
            let slots = slots.iter().filter(move |(_, access)| *access == wanted);
            slots.filter_map(|&(slot, _)| Some(self.buffers.get(slot)?.buffer))
        };
        bound(Access::Write).any(|written| bound(Access::Read).any(|read| read == written))
    }

    /// Returns the variant that the tensors' offsets in their bindings allow.
    fn aligned(&self, dispatch: &Dispatch) -> Spec {
        let mut spec = dispatch.spec;
        if spec.kernel == Kernel::NllBackward {
            return self.plan.variant(dispatch, self.alignment_of_stores(dispatch));
        }
        if !spec.is_softmax() && spec.kernel != Kernel::Pointwise {
            return spec;
        }
        spec.in_place = self.buffers.in_place && spec.grad;
        let dispatch = Dispatch { spec, ..dispatch.clone() };
        let alignment = match spec.kernel {
            Kernel::Pointwise => self.alignment_of_elements(&dispatch),
            _ => self.alignment(&dispatch),
        };
        self.plan.variant(&dispatch, alignment)
    }

    /// Returns the alignment of the tensors of single elements: of those in the input's shape, and of those that are
    /// broadcast (`weights`).
    fn alignment_of_elements(&self, dispatch: &Dispatch) -> Alignment {
        let lies = |whole: bool, load: VectorWidth| {
            let tensors = self.tensors_of(&dispatch.spec);
            tensors.filter(|tensor| (tensor.axes == Axes::Elements) == whole).all(|tensor| {
                let bytes = tensor.element_bytes * load.elements() as u64;
                let place = self.place((tensor.slot, Access::Read), dispatch);
                // A shader cannot access a part of a load.
                let size = place.range.size.map_or(0, |size| size.get());
                place.lead.is_multiple_of(bytes) && (whole || size.is_multiple_of(bytes))
            })
        };
        let loads = [VectorWidth::Eight, VectorWidth::Four];
        let load = loads.into_iter().find(|&load| lies(true, load)).unwrap_or(VectorWidth::One);
        let weights = lies(false, load);
        Alignment { load, alike: false, labels: false, weights, records: false }
    }

    /// Returns the alignment of a gradient that is written in stores of 16 bytes, whatever is read.
    fn alignment_of_stores(&self, dispatch: &Dispatch) -> Alignment {
        let place = self.place((TensorSlot::Grad, Access::Write), dispatch);
        let size = place.range.size.map_or(0, |size| size.get());
        let load = match place.lead % 16 {
            0 => VectorWidth::Eight,
            _ => VectorWidth::One,
        };
        // A shader cannot access a part of a store.
        Alignment { load, alike: size.is_multiple_of(16), ..Alignment::WORST }
    }

    /// Returns the alignment in their bindings of the tensors that a dispatch reads and writes in loads.
    fn alignment(&self, dispatch: &Dispatch) -> Alignment {
        let problem = self.plan.problem();
        // The number of elements before each tensor in its binding.
        let mut leads = Vec::new();
        let ragged = ragged_load(problem.input_type).elements() as u64;
        let mut whole = true;
        for tensor in self.tensors_of(&dispatch.spec).filter(|t| dispatch.spec.in_loads(t.slot)) {
            let place = self.place((tensor.slot, Access::Read), dispatch);
            leads.push(place.lead / tensor.element_bytes);
            // A shader cannot access a part of a load.
            let load = tensor.element_bytes * ragged;
            whole &= place.range.size.is_some_and(|size| size.get().is_multiple_of(load));
        }
        let all = |load: VectorWidth| leads.iter().all(|lead| lead % load.elements() as u64 == 0);
        Alignment {
            load: match () {
                () if all(VectorWidth::Eight) => VectorWidth::Eight,
                () if all(VectorWidth::Four) => VectorWidth::Four,
                () => VectorWidth::One,
            },
            alike: whole && leads.iter().all(|lead| lead % ragged == leads[0] % ragged),
            labels: self.starts_on_packs(TensorSlot::Target, dispatch),
            records: self.starts_on_packs(TensorSlot::Record, dispatch),
            weights: self.starts_on_packs(TensorSlot::Weight, dispatch),
        }
    }

    /// Returns true if a tensor starts on a load of four of its elements, and its binding holds the last load whole.
    fn starts_on_packs(&self, slot: TensorSlot, dispatch: &Dispatch) -> bool {
        self.tensor(slot).is_some_and(|tensor| {
            let load = pack_bytes(tensor.element_bytes);
            let place = self.place((slot, Access::Read), dispatch);
            let size = place.range.size.map_or(0, |size| size.get());
            place.lead.is_multiple_of(load) && size.is_multiple_of(load)
        })
    }

    /// Returns a dispatch with its bindings, and its parameters. Must be called inside an error scope.
    pub(super) fn bind(
        &self,
        dispatch: &Dispatch,
        index: u64,
    ) -> Result<(BoundDispatch, Params), Error> {
        let spec = self.variant(dispatch);
        let pipeline = self.kernels.get(&spec)?;
        let mut params = self.plan.params(dispatch, &spec);
        let mut entries = Vec::new();
        let mut taken = Vec::new();
        for (slot, access) in spec.slots() {
            let range = if slot == TensorSlot::Params {
                wgpu::BufferBinding {
                    buffer: &self.scratch.params,
                    offset: index * self.scratch.stride,
                    size: wgpu::BufferSize::new(size_of::<Params>() as u64),
                }
            } else {
                let place = self.place((slot, access), dispatch);
                self.check_size(slot, &place)?;
                if cfg!(target_arch = "wasm32") {
                    self.check_aliases((slot, access), &place, &mut taken)?;
                }
                // Buffers that are no tensor of the call have words as elements. The sums of no classes have no bytes.
                let element_bytes =
                    self.tensor(slot).map_or(4, |tensor| tensor.element_bytes.max(1));
                let origin = place.lead / spec.origin_unit(slot, element_bytes);
                params.origins[slot as usize] = origin as u32;
                place.range
            };
            let resource = wgpu::BindingResource::Buffer(range);
            entries.push(wgpu::BindGroupEntry { binding: slot as u32, resource });
        }
        if spec.shard {
            // The weights of all classes are bound; kernels count the piece's.
            let weight = &mut params.origins[TensorSlot::Weight as usize];
            *weight = weight.wrapping_add(params.class_base_low);
        }
        if spec.in_place {
            params.origins[TensorSlot::Grad as usize] = params.origins[TensorSlot::Logits as usize];
        }
        let bind_group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok((BoundDispatch { pipeline, bind_group, groups: dispatch.groups }, params))
    }

    /// Returns an error for a binding that the device does not allow: the plan was made for another one.
    fn check_size(&self, slot: TensorSlot, place: &Place<'_>) -> Result<(), Error> {
        let needed = bytes_of(&place.range).1 - place.range.offset;
        let allowed = self.device().limits().max_storage_buffer_binding_size;
        let (what, limit) = (slot.name(), "max_storage_buffer_binding_size");
        match needed > allowed {
            true => Err(Error::Limit { what, limit, needed, allowed }),
            false => Ok(()),
        }
    }

    /// Returns an error for a binding that shares bytes with another one of its dispatch, if either is written:
    /// browsers do not allow it, and bindings start earlier than the tensors in them.
    fn check_aliases<'s>(
        &self,
        (slot, access): (TensorSlot, Access),
        place: &Place<'s>,
        taken: &mut Vec<(TensorSlot, Access, wgpu::BufferBinding<'s>)>,
    ) -> Result<(), Error> {
        let (start, end) = bytes_of(&place.range);
        let shares = |(_, other, range): &&(TensorSlot, Access, wgpu::BufferBinding<'_>)| {
            let (other_start, other_end) = bytes_of(range);
            (access == Access::Write || *other == Access::Write)
                && range.buffer == place.range.buffer
                && (start < other_end && other_start < end)
        };
        if let Some((other, ..)) = taken.iter().find(shares) {
            let alignment = offset_alignment(&self.device().limits());
            let problem = format!(
                "shares bytes with {} as they are bound, which browsers refuse: tensors that are in one buffer \
                 start at multiples of {alignment} bytes there",
                other.name()
            );
            let (what, size) = (slot.name(), place.range.buffer.size());
            return Err(Error::Range { what, offset: start + place.lead, end, size, problem });
        }
        taken.push((slot, access, place.range.clone()));
        Ok(())
    }
}

/// Returns the first byte of a range, and the first one after it.
fn bytes_of(range: &wgpu::BufferBinding<'_>) -> (u64, u64) {
    let size = range.size.map_or(range.buffer.size() - range.offset, |size| size.get());
    (range.offset, range.offset + size)
}
