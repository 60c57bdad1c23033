// The vectors that arithmetic runs on, for the elements of a load and for the rows of a lane.
//
// A load has one element if alignments are not known, else four (16 bytes of f32, a GPU's widest load) or eight (16
// bytes of f16 or bf16; eight f32 on software drivers, whose loads cost by the component). Arithmetic is f32, in
// `Words` and the like; a load of eight elements is processed in two halves.

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

// The elements of one load.
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

// Eight words, in the two vectors that a GPU loads.
@if(EIGHT) struct Eight {
    a: vec4<u32>,
    b: vec4<u32>,
}

// A lane has one row, or one for each component (PACKED_ROWS): a load then has neighbouring rows.
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
// Returns the numbers of four neighbouring rows.
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
