//! The bounds of the numbers of a [`Tuning`], whatever their source.

use super::{Lanes, Tuning};
use crate::Error;

/// The most lanes of a workgroup, even if the device allows more.
const MOST_LANES: u32 = 1024;
/// The most groups, of a dispatch and to keep a device busy: one group sums the partials of all of them, and the number
/// of parts of a row must be bounded.
const MOST_GROUPS: u32 = 4096;
/// The most words that a lane keeps: more would compile slowly.
const MOST_RESIDENT_WORDS: u32 = 512;
/// The most bytes of workgroup memory for short rows: no device has more.
const MOST_STAGED_BYTES: u32 = 1 << 16;
/// The most loads that a part of a row may be required to have.
const MOST_PART_LOADS: u32 = 1 << 20;

impl Tuning {
    /// Returns an error for numbers that no plan can be laid out with. Every [`Plan`](super::Plan) checks them.
    ///
    /// # Errors
    /// [`Error::Option`], with the number's name.
    pub fn check(&self) -> Result<(), Error> {
        // All fields are named, so that the compiler reports a new one that is missing here.
        let Self {
            workgroup,
            groups,
            fill,
            together: _,
            lanes,
            resident_row,
            resident_read,
            resident_lanes,
            resident_columns,
            resident_short,
            staged_short,
            lone_lanes,
            part_loads,
            load: _,
            branches: _,
            rounds_f16: _,
        } = *self;
        power_of_two("workgroup", workgroup)?;
        power_of_two("resident_lanes", resident_lanes)?;
        power_of_two("lone_lanes", lone_lanes)?;
        within("groups", groups, MOST_GROUPS, "it must be from 1 to 4096")?;
        within("fill", fill, MOST_GROUPS, "it must be from 1 to 4096")?;
        for (name, words) in [
            ("resident_row", resident_row),
            ("resident_read", resident_read),
            ("resident_columns", resident_columns),
            ("resident_short", resident_short),
        ] {
            within(name, words, MOST_RESIDENT_WORDS, "it must be from 1 to 512")?;
        }
        if staged_short > MOST_STAGED_BYTES {
            return refuse("staged_short", staged_short, "it must be up to 65536");
        }
        within("part_loads", part_loads, MOST_PART_LOADS, "it must be from 1 to 1048576")?;
        lanes.check()
    }
}

impl Lanes {
    fn check(self) -> Result<(), Error> {
        let Self::Keeping { fewest, most } = self else { return Ok(()) };
        power_of_two("lanes.fewest", fewest)?;
        power_of_two("lanes.most", most)?;
        match fewest <= most {
            true => Ok(()),
            false => refuse("lanes.fewest", fewest, "it must not be above lanes.most"),
        }
    }
}

fn power_of_two(name: &'static str, given: u32) -> Result<(), Error> {
    match given.is_power_of_two() && given <= MOST_LANES {
        true => Ok(()),
        false => refuse(name, given, "it must be a power of two up to 1024"),
    }
}

fn within(name: &'static str, given: u32, most: u32, wanted: &'static str) -> Result<(), Error> {
    match (1..=most).contains(&given) {
        true => Ok(()),
        false => refuse(name, given, wanted),
    }
}

fn refuse(option: &'static str, given: u32, wanted: &'static str) -> Result<(), Error> {
    Err(Error::Option { option, given: given.to_string(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_within_bounds() {
        for tuning in [Tuning::DISCRETE, Tuning::INTEGRATED, Tuning::SOFTWARE] {
            assert_eq!(tuning.check(), Ok(()));
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_named() {
        let table = Tuning::DISCRETE;
        let lanes = |fewest, most| Tuning { lanes: Lanes::Keeping { fewest, most }, ..table };
        for (tuning, name) in [
            (Tuning { workgroup: 0, ..table }, "workgroup"),
            (Tuning { workgroup: 48, ..table }, "workgroup"),
            (Tuning { workgroup: 2048, ..table }, "workgroup"),
            (Tuning { groups: 0, ..table }, "groups"),
            (Tuning { fill: u32::MAX, ..table }, "fill"),
            (Tuning { resident_row: 0, ..table }, "resident_row"),
            (Tuning { resident_read: 0, ..table }, "resident_read"),
            (Tuning { resident_lanes: 96, ..table }, "resident_lanes"),
            (Tuning { resident_columns: 513, ..table }, "resident_columns"),
            (Tuning { resident_short: 0, ..table }, "resident_short"),
            (Tuning { staged_short: 65_537, ..table }, "staged_short"),
            (Tuning { lone_lanes: 0, ..table }, "lone_lanes"),
            (Tuning { part_loads: 0, ..table }, "part_loads"),
            (lanes(3, 8), "lanes.fewest"),
            (lanes(0, 0), "lanes.fewest"),
            (lanes(8, 0), "lanes.most"),
            (lanes(16, 8), "lanes.fewest"),
        ] {
            let error = tuning.check().unwrap_err();
            assert!(matches!(error, Error::Option { option, .. } if option == name), "{error}");
        }
    }
}
