// What a load brings, and what a lane has of its rows.
//
// One load is one element where nothing is known of alignment, four (16 bytes, a GPU's widest) where
// every tensor allows it, or eight (EIGHT: as 64-bit numbers, for software drivers, whose loads
// cost by the component). Arithmetic runs on `Words` and its kin; of eight it takes half at a time.

#if WIDE
alias Words = vec4<u32>;
alias Ints = vec4<i32>;
alias Reals = vec4<f32>;
alias Bools = vec4<bool>;
const HALF: u32 = 4u;
#else
alias Words = u32;
alias Ints = i32;
alias Reals = f32;
alias Bools = bool;
const HALF: u32 = 1u;
#endif

// Elements of one load, as the arithmetic takes them.
struct Pack {
    a: Words,
#if EIGHT
    b: Words,
#endif
}

struct PackReals {
    a: Reals,
#if EIGHT
    b: Reals,
#endif
}

fn pack_of(a: Words, b: Words) -> Pack {
    var pack: Pack;
    pack.a = a;
#if EIGHT
    pack.b = b;
#endif
    return pack;
}

#if EIGHT
const PACK: u32 = 8u;
alias Stored = vec4<u64>;

fn unpacked(v: Stored) -> Pack {
    let low = vec4<u32>(v);
    let high = vec4<u32>(v >> vec4<u32>(32u));
    return Pack(Words(low.x, high.x, low.y, high.y), Words(low.z, high.z, low.w, high.w));
}

fn packed(p: Pack) -> Stored {
    let low = vec4<u64>(Words(p.a.x, p.a.z, p.b.x, p.b.z));
    let high = vec4<u64>(Words(p.a.y, p.a.w, p.b.y, p.b.w));
    return low | (high << vec4<u32>(32u));
}

// Element `k` of a load.
fn word_in(v: Stored, k: u32) -> u32 { return u32(v[k / 2u] >> (32u * (k % 2u))); }
#else
const PACK: u32 = HALF;
alias Stored = Words;

fn unpacked(v: Stored) -> Pack { return Pack(v); }

fn packed(p: Pack) -> Stored { return p.a; }

#if WIDE
fn word_in(v: Stored, k: u32) -> u32 { return v[k]; }
#else
fn word_in(v: Stored, k: u32) -> u32 { return v; }
#endif
#endif

// A lane has one row, or as many as a load has neighbouring rows (PACKED_ROWS). What it knows of
// them has one component for each.
#if PACKED_ROWS
alias RowWords = Words;
alias RowInts = Ints;
alias RowReals = Reals;
alias RowBools = Bools;
#else
alias RowWords = u32;
alias RowInts = i32;
alias RowReals = f32;
alias RowBools = bool;
#endif

#if ROW_VECTORS
// The numbers of four neighbouring rows.
fn numbered(row: u32) -> RowWords { return row + RowWords(0u, 1u, 2u, 3u); }
fn total(v: RowReals) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn total_words(v: RowWords) -> u32 { return (v.x + v.y) + (v.z + v.w); }
fn all_bits(v: RowWords) -> u32 { return (v.x | v.y) | (v.z | v.w); }
fn lowest(v: RowWords) -> u32 { return min(min(v.x, v.y), min(v.z, v.w)); }
#else
fn numbered(row: u32) -> RowWords { return row; }
fn total(v: RowReals) -> f32 { return v; }
fn total_words(v: RowWords) -> u32 { return v; }
fn all_bits(v: RowWords) -> u32 { return v; }
fn lowest(v: RowWords) -> u32 { return v; }
#endif
