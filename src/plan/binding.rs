//! The alignment of the offsets of bindings.

/// Returns the number that offsets of bindings are multiples of: the device's alignment, or the widest load's.
pub(crate) fn offset_alignment(limits: &wgpu::Limits) -> u64 {
    u64::from(limits.min_storage_buffer_offset_alignment).max(32)
}
