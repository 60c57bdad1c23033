//! Stages: workgroup memory that the rows of a group pass through on their way from and to memory.

use super::spec::Spec;
use super::template::Value;

/// The memory for tensors of one type of loads. A lane has `classes` loads of each tensor in it, and tensors follow each
/// other through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Its variable.
    pub name: &'static str,
    /// The type of one load.
    element: &'static str,
    /// Words of one load.
    words: u32,
}

impl Stage {
    /// Returns the stage for loads of a type.
    pub fn of(element: &'static str) -> Self {
        let (name, words) = match element {
            "vec2<u32>" => ("stage_of_2", 2),
            "vec4<u32>" => ("stage_of_4", 4),
            "Eight" => ("stage_of_8", 8),
            other => unreachable!("no stage has loads of {other}"),
        };
        Self { name, element, words }
    }
}

impl Spec {
    /// Returns the stages that it has.
    fn stages(&self) -> Vec<Stage> {
        let mut stages = Vec::new();
        if self.layout.staged {
            for stage in self.tensors().map(|tensor| Stage::of(tensor.element(self))) {
                if !stages.contains(&stage) {
                    stages.push(stage);
                }
            }
        }
        stages
    }

    /// Returns the stages, as the shaders see them.
    pub(super) fn stage_records(&self) -> Value {
        let record = |stage: Stage| {
            Value::Record(vec![
                ("name", Value::text(stage.name)),
                ("element", Value::text(stage.element)),
            ])
        };
        Value::List(self.stages().into_iter().map(record).collect())
    }

    /// Returns the number of loads after each of which a stage has a gap of one: a power of two, past all of its loads if it
    /// has no gaps.
    ///
    /// Lanes read their loads at the same time, `registers` apart. Memory serves eight loads of 16 bytes at once if their
    /// places differ modulo eight. Those of eight lanes do if they are an odd number apart, as they are with a gap after
    /// each `run` if that is the largest power of two in `registers`; and as it divides the number of lanes too, all places
    /// of a lane are a constant apart, so that no instruction computes them. For a run of two, lanes that store would get
    /// in each other's way as much as lanes that read do without.
    pub(super) fn stage_run(&self) -> u32 {
        let (loads, lanes) = (self.registers(), self.layout.geometry.workgroup);
        match 1 << loads.trailing_zeros() {
            1 | 2 => (lanes * loads).next_power_of_two(),
            run => run,
        }
    }

    /// Returns the distance between the first loads of neighbouring lanes in a stage.
    pub(super) fn stage_stride(&self) -> u32 {
        let loads = self.registers();
        loads + loads / self.stage_run()
    }

    /// Returns the bytes of its stages.
    pub(crate) fn stage_bytes(&self) -> u64 {
        let bytes = |stage: Stage| {
            let loads = self.layout.geometry.workgroup * self.stage_stride();
            (u64::from(loads) * 4 * u64::from(stage.words)).next_multiple_of(16)
        };
        self.stages().into_iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Geometry, Kernel, Layout, Residency, VectorWidth};

    fn staged(classes: u32, workgroup: u32) -> Spec {
        let geometry = Geometry { workgroup, lanes: 1, cluster: 1, whole_subgroups: false };
        let residency = Residency::Resident { loads: classes, full: classes };
        let (load, plain) = (VectorWidth::Four, Layout::plain(geometry));
        let layout = Layout { load, residency, short: true, staged: true, ..plain };
        Spec { layout, ..Spec::new(Kernel::Columns, geometry) }
    }

    /// As `place_of` in `staged.wgsl`.
    fn place_of(spec: &Spec, load: u32) -> u32 {
        load + load / spec.stage_run()
    }

    /// A lane finds its rows where other lanes have put them, and no two loads are in one place.
    #[test]
    fn loads_have_one_place_each() {
        for (classes, lanes) in (1..=32).flat_map(|classes| [32, 64, 256].map(|l| (classes, l))) {
            let spec = staged(classes, lanes);
            let own =
                |load: u32| load / classes * spec.stage_stride() + place_of(&spec, load % classes);
            let moved =
                |load: u32| place_of(&spec, load % lanes) + place_of(&spec, load / lanes * lanes);
            let places: Vec<u32> = (0..lanes * classes).map(own).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "{classes} classes, {lanes} lanes");
            assert!(places.last() < Some(&(lanes * spec.stage_stride())), "{classes}, {lanes}");
            for load in 0..lanes * classes {
                assert_eq!(
                    own(load),
                    moved(load),
                    "load {load} of {classes} classes, {lanes} lanes"
                );
            }
        }
    }

    /// Of eight lanes no more than two access a part of the memory at once, neither with their own loads nor with those
    /// that they move. Without gaps it would be eight.
    #[test]
    fn lanes_seldom_wait_for_each_other() {
        let mut plain = 0;
        for classes in 1..=32 {
            let spec = staged(classes, 64);
            let most_in_one = |place: &dyn Fn(u32) -> u32| {
                let mut seen = [0; 8];
                (0..8).for_each(|lane| seen[place(lane) as usize % 8] += 1);
                seen.into_iter().max().unwrap()
            };
            assert!(most_in_one(&|lane| lane * spec.stage_stride()) <= 2, "{classes} classes");
            for turn in 0..classes {
                let moved = |lane| place_of(&spec, lane) + place_of(&spec, turn * 64);
                assert!(most_in_one(&moved) <= 2, "{classes} classes, {turn}");
            }
            plain = plain.max(most_in_one(&|lane| lane * classes));
        }
        assert_eq!(plain, 8);
    }
}
