//! The numbers that are tuned, and the candidates for each.

use crate::kernels::VectorWidth;
use crate::plan::{Lanes, Profile, Tuning};

/// One of the numbers of a [`Tuning`]: see [`TuneOptions`](super::TuneOptions).
///
/// ```
/// use wgpu_loss::gpu::{Field, TuneOptions};
/// use wgpu_loss::plan::Tuning;
///
/// assert_eq!((Field::Groups.name(), Field::Groups.value(&Tuning::DISCRETE)), ("groups", "1024".into()));
/// // All but the number of lanes of a workgroup.
/// let others: Vec<Field> = Field::ALL.into_iter().filter(|field| *field != Field::Workgroup).collect();
/// let options = TuneOptions::new().fields(others);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// Lanes of a workgroup.
    Workgroup,
    /// The widest load.
    Load,
    /// Lanes that share a row.
    Lanes,
    /// Resident words of a lane, of a row that lanes share.
    ResidentRow,
    /// Resident words of a lane, of a row that is only read.
    ResidentRead,
    /// The most lanes that keep a row which would be read twice otherwise.
    ResidentLanes,
    /// Resident words of a lane, of neighbouring rows.
    ResidentColumns,
    /// Resident words of a lane, of short rows.
    ResidentShort,
    /// Bytes of workgroup memory for short rows.
    StagedShort,
    /// The most lanes of a group that works alone.
    LoneLanes,
    /// The most groups of a dispatch.
    Groups,
    /// Groups that keep the device busy.
    Fill,
    /// The fewest loads of a lane in a part of a shared row.
    PartLoads,
    /// True if groups that run together work on neighbouring blocks.
    Together,
    /// True if a branch that no lane of a subgroup takes costs nothing.
    Branches,
}

impl Field {
    /// All numbers, in the order in which they are tuned: each comes after those that its effect depends on.
    pub const ALL: [Self; 15] = [
        Self::Workgroup,
        Self::Load,
        Self::Lanes,
        Self::ResidentRow,
        Self::ResidentRead,
        Self::ResidentLanes,
        Self::ResidentColumns,
        Self::ResidentShort,
        Self::StagedShort,
        Self::LoneLanes,
        Self::Groups,
        Self::Fill,
        Self::PartLoads,
        Self::Together,
        Self::Branches,
    ];

    /// Returns its name, as in [`Tuning`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Workgroup => "workgroup",
            Self::Load => "load",
            Self::Lanes => "lanes",
            Self::ResidentRow => "resident_row",
            Self::ResidentRead => "resident_read",
            Self::ResidentLanes => "resident_lanes",
            Self::ResidentColumns => "resident_columns",
            Self::ResidentShort => "resident_short",
            Self::StagedShort => "staged_short",
            Self::LoneLanes => "lone_lanes",
            Self::Groups => "groups",
            Self::Fill => "fill",
            Self::PartLoads => "part_loads",
            Self::Together => "together",
            Self::Branches => "branches",
        }
    }

    /// Returns its value in `tuning`, in words.
    pub fn value(self, tuning: &Tuning) -> String {
        match self {
            Self::Workgroup => tuning.workgroup.to_string(),
            Self::Load => tuning.load.elements().to_string(),
            Self::Lanes => match tuning.lanes {
                Lanes::Keeping { fewest, most } => format!("{fewest} to {most}"),
                Lanes::Subgroup => "subgroup".into(),
            },
            Self::ResidentRow => tuning.resident_row.to_string(),
            Self::ResidentRead => tuning.resident_read.to_string(),
            Self::ResidentLanes => tuning.resident_lanes.to_string(),
            Self::ResidentColumns => tuning.resident_columns.to_string(),
            Self::ResidentShort => tuning.resident_short.to_string(),
            Self::StagedShort => tuning.staged_short.to_string(),
            Self::LoneLanes => tuning.lone_lanes.to_string(),
            Self::Groups => tuning.groups.to_string(),
            Self::Fill => tuning.fill.to_string(),
            Self::PartLoads => tuning.part_loads.to_string(),
            Self::Together => tuning.together.to_string(),
            Self::Branches => tuning.branches.to_string(),
        }
    }

    /// Returns the candidates in place of its value in `present`, on a device of `profile`: the range in which adapters
    /// of a kind differ.
    pub(super) fn candidates(self, present: &Tuning, profile: &Profile) -> Vec<Tuning> {
        let software = profile.is_software();
        let numbers = |on_gpu: &[u32], on_cpu: &[u32], set: fn(&mut Tuning, u32)| {
            let numbers = if software { on_cpu } else { on_gpu };
            let with = |&number: &u32| {
                let mut tuning = *present;
                set(&mut tuning, number);
                tuning
            };
            numbers.iter().map(with).collect()
        };
        let mut all: Vec<Tuning> = match self {
            Self::Workgroup => numbers(&[32, 64, 128, 256, 512], &[4, 8, 16, 32, 64], |t, n| {
                t.workgroup = n;
            }),
            Self::Load => loads(present, profile),
            Self::Lanes => lanes(present, software),
            Self::ResidentRow => {
                numbers(&[8, 16, 32, 64, 128], &[32, 64, 128, 256], |t, n| t.resident_row = n)
            }
            Self::ResidentRead => {
                numbers(&[8, 16, 32], &[16, 32, 64, 128], |t, n| t.resident_read = n)
            }
            Self::ResidentLanes => {
                numbers(&[128, 256, 512, 1024], &[8, 16, 64], |t, n| t.resident_lanes = n)
            }
            Self::ResidentColumns => {
                numbers(&[16, 32, 64, 128], &[64, 128, 256, 512], |t, n| t.resident_columns = n)
            }
            Self::ResidentShort => {
                numbers(&[16, 32, 64, 128], &[64, 128, 256, 512], |t, n| t.resident_short = n)
            }
            Self::StagedShort => {
                numbers(&[0, 5 << 10, 9 << 10, 18 << 10, 36 << 10], &[], |t, n| t.staged_short = n)
            }
            Self::LoneLanes => {
                numbers(&[64, 128, 256, 512, 1024], &[8, 16, 64], |t, n| t.lone_lanes = n)
            }
            Self::Groups => {
                let on_gpu = [64, 128, 256, 512, 1024, 2048, 4096];
                numbers(&on_gpu, &[16, 32, 64, 128, 256], |t, n| t.groups = n)
            }
            Self::Fill => {
                numbers(&[16, 64, 256, 512, 1024, 2048], &[2, 4, 8, 16, 32], |t, n| t.fill = n)
            }
            Self::PartLoads => {
                let on_cpu = [64, 128, 256, 512, 1024];
                numbers(&[1, 2, 4, 8, 16, 32], &on_cpu, |t, n| t.part_loads = n)
            }
            // Groups of a GPU run at the same time; a contiguous range for each was never faster.
            Self::Together if !software => Vec::new(),
            Self::Together => [true, false].map(|together| Tuning { together, ..*present }).into(),
            Self::Branches => [true, false].map(|branches| Tuning { branches, ..*present }).into(),
        };
        all.retain(|tuning| tuning != present);
        all
    }
}

fn loads(present: &Tuning, profile: &Profile) -> Vec<Tuning> {
    let eight = profile.is_software() && profile.int64;
    let loads = [VectorWidth::One, VectorWidth::Four, VectorWidth::Eight].into_iter();
    loads
        .filter(|&load| load < VectorWidth::Eight || eight)
        .map(|load| Tuning { load, ..*present })
        .collect()
}

/// Returns a subgroup, or the present range with one bound moved.
fn lanes(present: &Tuning, software: bool) -> Vec<Tuning> {
    let (fewest, most) = match present.lanes {
        Lanes::Keeping { fewest, most } => (fewest, most),
        Lanes::Subgroup => (1, present.workgroup),
    };
    let (lowest, highest): (&[u32], &[u32]) = match software {
        true => (&[1, 4, 8], &[8, 16, 64]),
        false => (&[1, 4, 8, 16, 32], &[32, 64, 128, 256, 512]),
    };
    let below = lowest.iter().map(|&fewest| (fewest, most.max(fewest)));
    let above = highest.iter().map(|&most| (fewest.min(most), most));
    let mut lanes = vec![Lanes::Subgroup];
    lanes.extend(below.chain(above).map(|(fewest, most)| Lanes::Keeping { fewest, most }));
    lanes.into_iter().map(|lanes| Tuning { lanes, ..*present }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any winner can be stored and planned with.
    #[test]
    fn candidates_are_within_bounds() {
        for kind in [
            wgpu::DeviceType::DiscreteGpu,
            wgpu::DeviceType::IntegratedGpu,
            wgpu::DeviceType::VirtualGpu,
            wgpu::DeviceType::Cpu,
            wgpu::DeviceType::Other,
        ] {
            let profile = Profile { int64: true, ..Profile::portable().with_device_type(kind) };
            for field in Field::ALL {
                for tuning in field.candidates(&profile.tuning, &profile) {
                    assert_eq!(tuning.check(), Ok(()), "{kind:?} {tuning:?}");
                    assert_ne!(field.value(&tuning), field.value(&profile.tuning));
                    let others = Field::ALL.into_iter().filter(|&other| other != field);
                    for other in others {
                        assert_eq!(other.value(&tuning), other.value(&profile.tuning));
                    }
                }
            }
        }
    }
}
