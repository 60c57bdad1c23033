//! How often the loops of one invocation turn, for drivers that count.
//!
//! llvmpipe ends the loops of an invocation, without a word, once they have turned 65,535 times in
//! all. Results would be wrong and look right, so plans for software drivers stay below that: more
//! groups with less work each, more lanes for a long row.

use super::{Profile, blocks};
use crate::Error;
use crate::kernels::{CHUNK, Kernel, Spec};
use crate::tensor::ClassView;

/// Loop turns of an invocation at most; the rest is for the loops of the final tree.
const MOST: usize = 60_000;

/// Groups that `rows` rows need at least.
pub(super) fn fewest_groups(
    profile: &Profile,
    spec: &Spec,
    rows: usize,
    view: ClassView,
) -> Result<u32, Error> {
    if !profile.is_software() {
        return Ok(1);
    }
    // Buffers that do not start on 16 bytes will run the narrow variant, which turns more often.
    let narrow = Spec { wide: false, ..*spec };
    let turns = turns_of_block(&narrow, view.classes);
    if turns > MOST {
        return Err(Error::Limit {
            what: "one row",
            limit: "number of loop turns (this is a software driver)",
            needed: turns as u64,
            allowed: MOST as u64,
        });
    }
    Ok(blocks(&narrow, rows, view).div_ceil((MOST / turns) as u32))
}

/// Turns of the loops for one block of work: an upper bound.
pub(super) fn turns_of_block(spec: &Spec, classes: usize) -> usize {
    let lanes = spec.geometry.lanes as usize;
    let packs = match spec.kernel {
        Kernel::Rows => classes.div_ceil(lanes),
        Kernel::Columns => classes,
        Kernel::Gather | Kernel::GatherGrad | Kernel::Weigh | Kernel::Finish => return 2,
    };
    // Loads of four with up to three single ones, a turn that ends each loop, once per chunk.
    let chunks = packs.div_ceil(CHUNK as usize);
    let pass = if packs < 8 { packs + 1 } else { packs / 4 + 6 * chunks };
    let writes = spec.grad || spec.elements.is_some();
    let merges = 2 * (lanes.ilog2() as usize + 1);
    1 + pass * if writes { 2 } else { 1 } + merges
}
