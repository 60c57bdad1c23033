//! The alignment of the offsets of bindings.

/// What the offsets of bindings are multiples of: what the device asks for, and the widest load.
pub(crate) fn offset_alignment(limits: &wgpu::Limits) -> u64 {
    u64::from(limits.min_storage_buffer_offset_alignment).max(32)
}
