// The loads of a row: their offsets, the order in which lanes read them, and their contents.

import shared::{arithmetic, offsets, params, row, tensor, vectors};
@if(SCALED && !MERGE) import shared::logits;

// A lane's loads are so far apart.
const STEP: u32 = LANES;

// Loads of a row, or of a lane's part of it.
struct Range {
    start: u32,
    end: u32,
    @if(PAIRS) left_out: u32,   // the number of a load that is written separately
}

@if(WIDE) fn class_weights(c: Words) -> Reals {
    @if(WEIGHT_PACKS) return weight_pack((params.weight_origin + c.x) / 4u);
    @else return Reals(class_weight(c.x), class_weight(c.y), class_weight(c.z), class_weight(c.w));
}
@else fn class_weights(c: Words) -> Reals { return class_weight(c); }

// Lanes read a row's loads in the order of memory. If rows begin and end inside a load (RAGGED), the first load comes
// last: all turns but the last two then belong to the row alone. `turn` is a load's number in this order. `load_of`
// returns its number in memory, `whole_load_of` that of a turn before `whole_end`.
@if(RAGGED) {
fn load_of(offsets: Offsets, turn: u32) -> u32 { return select(turn + 1u, 0u, turn + 1u == offsets.loads); }
fn whole_load_of(turn: u32) -> u32 { return turn + 1u; }
fn turn_of(offsets: Offsets, p: u32) -> u32 { return select(p, offsets.loads, p == 0u) - 1u; }
fn whole_end(offsets: Offsets) -> u32 { return max(offsets.loads, 2u) - 2u; }
}
@else {
fn load_of(offsets: Offsets, turn: u32) -> u32 { return turn; }
fn whole_load_of(turn: u32) -> u32 { return turn; }
fn turn_of(offsets: Offsets, p: u32) -> u32 { return p; }
@if(PARTIAL) fn whole_end(offsets: Offsets) -> u32 { return params.classes / PACK; }
@else fn whole_end(offsets: Offsets) -> u32 { return 0xffffffffu; }
}

// Returns the classes of load `p` of the row.
fn classes_of(offsets: Offsets, p: u32) -> Pack {
    var c: Pack;
    @if(WIDE) c.a = PACK * p + Words(0u, 1u, 2u, 3u);
    @else c.a = p;
    @if(RAGGED) c.a -= Words(offsets.lead);   // below class 0 it wraps around, to no class
    @if(EIGHT) c.b = c.a + Words(4u);
    return c;
}

// Returns the offset of load `p` of the row from its first load.
fn offset_of(p: u32) -> u32 {
    @if(STRIDED) return p * params.inner;
    @elif(LOOSE) return p * PACK;   // in elements
    @else return p;
}

// Returns the number of the load that holds the label, which no load has if the piece does not have it.
@if(PLAIN_GRAD) fn label_load_of(class_index: u32, offsets: Offsets) -> u32 {
    @if(RAGGED) return (class_index + offsets.lead) / PACK;
    @else return class_index / PACK;
}

// Returns load `p`, all of which belongs to the row.
@if(!MERGE) fn read_whole(offsets: Offsets, p: u32) -> Pack { return read_logits(offsets.logits + offset_of(p)); }

// Returns any load of the row.
@if(!MERGE) fn read_pack(offsets: Offsets, p: u32) -> Pack {
    var pack = read_whole(offsets, p);
    @if(PARTIAL) {
        // Elements of the rows before and after count as -inf, which changes nothing.
        let c = classes_of(offsets, p);
        @for(h in HALVES) pack.{h} = select(Words(NEG_INF), pack.{h}, c.{h} < Words(params.classes));
    }
    return pack;
}

@if(!MERGE) fn weights_of(offsets: Offsets, p: u32) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) {
        let c = classes_of(offsets, p);
        var w: PackReals;
        @for(h in HALVES) w.{h} = class_weights(c.{h});
        v = shares_of(offsets, offset_of(p), w);
    }
    @if(DENSE_TARGET && PARTIAL) @for(h in HALVES) v.{h} = select(Reals(0.0), v.{h}, c.{h} < Words(params.classes));
    return v;
}

// Returns the row's element `c`, as a word.
@if(!MERGE) fn logit_word(offsets: Offsets, c: u32) -> u32 {
    @if(RAGGED) {
        let at = c + offsets.lead;
        return word_of_logits(offsets.logits + at / PACK, at % PACK);
    }
    @else return word_of_logits(offsets.logits + offset_of(c / PACK), c % PACK);
}

// Returns the turns of a row, or of its part number `part`.
fn range_of(offsets: Offsets, part: u32) -> Range {
    @if(RAGGED) let loads = offsets.loads;
    @else let loads = (params.classes + PACK - 1u) / PACK;
    return part_of(loads, part);
}

// Returns the range that is folded of a row, or of its part number `part`: turns, or (BY_CLASS) numbers of packs.
fn folded_range_of(offsets: Offsets, part: u32) -> Range {
    @if(BY_CLASS) return part_of((params.classes + PACK - 1u) / PACK, part);
    @else return range_of(offsets, part);
}

// Returns part number `part` of `loads` loads.
fn part_of(loads: u32, part: u32) -> Range {
    var range: Range;
    @if(PARTS) {
        let start = part * params.part_loads;
        range.start = min(loads, start);
        range.end = min(loads, start + params.part_loads);
    }
    @else range.end = loads;
    @if(PAIRS) range.left_out = 0xffffffffu;
    return range;
}

// Returns the offset of the row's first element, in loads (ANYWHERE: in elements).
fn first_of(row: u32) -> u32 {
    @if(STRIDED) return row / params.inner * params.classes * params.inner + row % params.inner;
    @elif(ANYWHERE) return row * params.classes;
    @else return row * (params.classes / PACK);
}
