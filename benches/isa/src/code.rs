//! Counts in AMD's disassembly of a kernel: blocks, loops, kinds of instructions.

/// Instructions by the unit that they use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// f32 additions, products, fused ones.
    pub fma: f64,
    /// Maxima, comparisons, selections, integers, logic, shifts, conversions.
    pub alu: f64,
    /// exp, log, reciprocals, roots.
    pub special: f64,
    /// Moves.
    pub moves: f64,
    /// Exchanges between lanes.
    pub across: f64,
    /// The scalar unit's, one for all lanes.
    pub scalar: f64,
    /// Reads of memory, and their bytes for each lane.
    pub loads: f64,
    pub load_bytes: f64,
    /// Writes to memory.
    pub stores: f64,
    pub store_bytes: f64,
    /// The group's own memory.
    pub shared: f64,
    /// The largest number of reads in flight before the first wait for one of them.
    pub under_way: f64,
    /// The width of the widest read and write, in bytes.
    pub widest_load: f64,
    pub widest_store: f64,
    /// The sum of the kinds above if no instruction takes three maxima at once.
    pub alu_of_two: f64,
}

impl Counts {
    /// Returns the number of instructions that the vector unit issues.
    pub fn vector(&self) -> f64 {
        self.fma + self.alu + self.special + self.moves + self.across
    }

    fn take(&mut self, instruction: &str) {
        let name = instruction.split_whitespace().next().unwrap_or("");
        let starts = |any: &[&str]| any.iter().any(|start| name.starts_with(start));
        let bytes = match name {
            _ if name.ends_with("dwordx4") || name.ends_with("b128") => 16.0,
            _ if name.ends_with("dwordx3") || name.ends_with("b96") => 12.0,
            _ if name.ends_with("dwordx2") || name.ends_with("b64") => 8.0,
            _ => 4.0,
        };
        if starts(&["buffer_load", "global_load", "flat_load", "scratch_load"]) {
            self.loads += 1.0;
            self.load_bytes += bytes;
            self.widest_load = self.widest_load.max(bytes);
        } else if starts(&["buffer_", "global_", "flat_", "scratch_"]) {
            self.stores += 1.0;
            self.store_bytes += bytes;
            self.widest_store = self.widest_store.max(bytes);
        } else if starts(&["ds_swizzle", "ds_bpermute", "ds_permute"]) {
            self.across += 1.0;
        } else if starts(&["ds_"]) {
            self.shared += 1.0;
        } else if starts(&["s_"]) {
            let waits =
                starts(&["s_waitcnt", "s_clause", "s_nop", "s_inst_prefetch", "s_delay_alu"]);
            self.scalar += if waits { 0.0 } else { 1.0 };
        } else if starts(&["v_"]) {
            self.take_vector(name);
        }
    }

    fn take_vector(&mut self, name: &str) {
        let has = |any: &[&str]| any.iter().any(|part| name.contains(part));
        if has(&["_dpp", "permlane", "readlane", "readfirstlane", "writelane", "mbcnt"]) {
            self.across += 1.0;
        } else if has(&["v_exp", "v_log", "v_rcp", "v_rsq", "v_sqrt", "v_ldexp"]) {
            self.special += 1.0;
        } else if has(&["v_mov", "v_swap", "v_lshrrev_b64", "v_accvgpr"]) {
            self.moves += 1.0;
        } else if has(&["v_cmp", "v_cndmask", "v_max", "v_min", "v_med3", "v_cvt"])
            || !has(&["_f32"])
        {
            let both = if has(&["v_dual_"]) { 2.0 } else { 1.0 };
            self.alu += both;
            self.alu_of_two += if has(&["v_max3", "v_min3", "v_med3"]) { 2.0 } else { both };
        } else {
            self.fma += if has(&["v_dual_"]) { 2.0 } else { 1.0 };
        }
    }
}

/// A loop: its instructions without those of loops inside it.
#[derive(Clone, Debug)]
pub struct Loop {
    pub counts: Counts,
    /// True if loops inside it read memory and take powers.
    pub outer: bool,
}

struct Block<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
}

/// The loops of a kernel that read or write memory, in the order of the text.
pub fn loops(assembly: &str) -> Vec<Loop> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in assembly.lines() {
        let line = line.split(';').next().unwrap_or("").trim();
        if let Some(name) = line.strip_suffix(':') {
            blocks.push(Block { name, lines: Vec::new() });
        } else if let (false, Some(block)) = (line.is_empty(), blocks.last_mut()) {
            block.lines.push(line);
        }
    }
    // A branch backwards closes a loop. Several of them to one place are one loop, to the last of them.
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (last, block) in blocks.iter().enumerate() {
        for target in block.lines.iter().filter_map(|line| branch_target(line)) {
            let Some(first) = blocks.iter().position(|b| b.name == target) else { continue };
            if first <= last {
                match ranges.iter_mut().find(|range| range.0 == first) {
                    Some(range) => range.1 = range.1.max(last),
                    None => ranges.push((first, last)),
                }
            }
        }
    }
    ranges.sort_unstable();
    let inside = |outer: &(usize, usize), inner: &(usize, usize)| {
        outer != inner && outer.0 <= inner.0 && inner.1 <= outer.1
    };
    ranges
        .iter()
        .map(|range| {
            let nested: Vec<_> = ranges.iter().filter(|r| inside(range, r)).collect();
            let own = (range.0..=range.1)
                .filter(|number| !nested.iter().any(|n| (n.0..=n.1).contains(number)));
            let lines: Vec<_> = own.flat_map(|n| blocks[n].lines.iter().copied()).collect();
            let folds = |n: &&&(usize, usize)| {
                let lines: Vec<_> =
                    (n.0..=n.1).flat_map(|n| blocks[n].lines.iter().copied()).collect();
                let counts = counts_of(&lines);
                counts.loads > 0.0 && counts.special > 0.0
            };
            Loop { counts: counts_of(&lines), outer: nested.iter().any(|n| folds(&n)) }
        })
        .filter(|l| l.counts.loads + l.counts.stores > 0.0)
        .collect()
}

fn branch_target(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("s_branch").or_else(|| line.strip_prefix("s_cbranch"))?;
    rest.split_whitespace().last()
}

fn counts_of(lines: &[&str]) -> Counts {
    let mut counts = Counts::default();
    let mut under_way: f64 = 0.0;
    for line in lines {
        let before = counts.loads;
        counts.take(line);
        under_way += counts.loads - before;
        counts.under_way = counts.under_way.max(under_way);
        if let Some((_, rest)) = line.split_once("vmcnt(") {
            let left = rest.split(')').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
            under_way = under_way.min(left);
        }
    }
    counts
}
