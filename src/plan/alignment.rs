//! The alignment of tensors in their bindings.

use crate::kernels::VectorWidth;

/// The alignment in their bindings of the tensors that are read and written in loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// The widest load that they all start on.
    pub load: VectorWidth,
    /// All have the same number of elements before them, modulo the loads of ragged rows.
    pub alike: bool,
    /// The labels of four rows come in one load, or two.
    pub labels: bool,
    /// The weights of four classes come in one load.
    pub weights: bool,
    /// The records of four rows go in whole loads.
    pub records: bool,
}

impl Alignment {
    /// The alignment of tensors that start where their buffers do.
    pub const BEST: Self =
        Self { load: VectorWidth::Eight, alike: true, labels: true, weights: true, records: true };
    /// The alignment of tensors that start anywhere.
    pub const WORST: Self = Self {
        load: VectorWidth::One,
        alike: false,
        labels: false,
        weights: false,
        records: false,
    };

    /// Returns every alignment.
    pub fn all() -> impl Iterator<Item = Self> {
        [VectorWidth::One, VectorWidth::Four, VectorWidth::Eight].into_iter().flat_map(|load| {
            let flags = [(false, false), (false, true), (true, false), (true, true)];
            // Labels and records in loads matter to `columns`, weights in loads to `rows`.
            flags.map(|(alike, packs)| Self {
                load,
                alike,
                labels: packs,
                weights: packs,
                records: packs,
            })
        })
    }
}
