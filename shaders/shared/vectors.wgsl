// What a load brings, and what a lane has of its rows.
//
// One load is one element where nothing is known of alignment; four (16 bytes of f32, a GPU's widest)
// or eight (16 bytes of f16 or bf16; of f32 for software drivers, whose loads cost by the
// component) where every tensor allows it. Arithmetic is f32 and runs on `Words` and its kin; of
// eight elements it takes half at a time.

@if(WIDE) {
alias Words = vec4<u32>;
alias Ints = vec4<i32>;
alias Reals = vec4<f32>;
alias Bools = vec4<bool>;
const HALF: u32 = 4u;
}
@else {
alias Words = u32;
alias Ints = i32;
alias Reals = f32;
alias Bools = bool;
const HALF: u32 = 1u;
}

// Elements of one load, as the arithmetic takes them.
struct Pack {
    @for(h in HALVES) {h}: Words,
}

struct PackReals {
    @for(h in HALVES) {h}: Reals,
}

fn pack_of(a: Words, b: Words) -> Pack {
    var pack: Pack;
    pack.a = a;
    @if(EIGHT) pack.b = b;
    return pack;
}

@if(EIGHT) const PACK: u32 = 8u;
@else const PACK: u32 = HALF;

// Eight words as a GPU loads them.
@if(EIGHT) struct Eight {
    a: vec4<u32>,
    b: vec4<u32>,
}

// A lane has one row, or as many as a load has neighbouring rows (PACKED_ROWS). What it knows of
// them has one component for each.
@if(PACKED_ROWS) {
alias RowWords = Words;
alias RowInts = Ints;
alias RowReals = Reals;
alias RowBools = Bools;
}
@else {
alias RowWords = u32;
alias RowInts = i32;
alias RowReals = f32;
alias RowBools = bool;
}

@if(ROW_VECTORS) {
// The numbers of four neighbouring rows.
fn numbered(row: u32) -> RowWords { return row + RowWords(0u, 1u, 2u, 3u); }
fn total(v: RowReals) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn total_words(v: RowWords) -> u32 { return (v.x + v.y) + (v.z + v.w); }
fn all_bits(v: RowWords) -> u32 { return (v.x | v.y) | (v.z | v.w); }
fn lowest(v: RowWords) -> u32 { return min(min(v.x, v.y), min(v.z, v.w)); }
}
@else {
fn numbered(row: u32) -> RowWords { return row; }
fn total(v: RowReals) -> f32 { return v; }
fn total_words(v: RowWords) -> u32 { return v; }
fn all_bits(v: RowWords) -> u32 { return v; }
fn lowest(v: RowWords) -> u32 { return v; }
}
