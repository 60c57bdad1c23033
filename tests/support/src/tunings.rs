//! Unusual tunings that plans have to work with.

use wgpu_loss::kernels::VectorWidth;
use wgpu_loss::plan::{Lanes, Tuning};

use super::random::Random;

impl Random {
    /// Returns any valid tuning.
    pub fn tuning(&mut self) -> Tuning {
        let mut tuning = Tuning::DISCRETE;
        tuning.workgroup = 1 << self.below(11);
        tuning.groups = self.up_to(4096);
        tuning.fill = self.up_to(4096);
        tuning.together = self.below(2) == 0;
        let (fewest, more) = (self.below(11), self.below(11));
        tuning.lanes = match self.below(4) {
            0 => Lanes::Subgroup,
            _ => Lanes::Keeping { fewest: 1 << fewest, most: 1 << (fewest + more).min(10) },
        };
        tuning.resident_row = self.up_to(512);
        tuning.resident_read = self.up_to(512);
        tuning.resident_lanes = 1 << self.below(11);
        tuning.resident_columns = self.up_to(512);
        tuning.resident_short = self.up_to(512);
        tuning.staged_short = self.below(2) as u32 * self.up_to(1 << 16);
        tuning.lone_lanes = 1 << self.below(11);
        tuning.part_loads = self.up_to(1 << 20);
        tuning.branches = self.below(2) == 0;
        tuning.rounds_f16 = self.below(2) == 0;
        tuning.load = [VectorWidth::One, VectorWidth::Four, VectorWidth::Eight][self.below(3)];
        tuning
    }

    /// Returns a number from 1 to `most`, of any size.
    fn up_to(&mut self, most: u32) -> u32 {
        let sized = self.below(most as usize) >> self.below(most.ilog2() as usize + 1);
        sized as u32 + 1
    }
}
