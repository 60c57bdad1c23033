//! The layout of the lanes of a workgroup over rows.

/// The layout of one dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Lanes of a workgroup, a power of two.
    pub workgroup: u32,
    /// Lanes that share a row, a power of two up to `workgroup`.
    pub lanes: u32,
    /// Lanes that merge by subgroup shuffles; 1 if there are none.
    pub cluster: u32,
    /// A cluster is a whole subgroup, on any device.
    pub whole_subgroups: bool,
}

impl Geometry {
    /// Returns the rows under way in one group.
    pub fn rows_per_group(&self) -> u32 {
        self.workgroup / self.lanes
    }
}
