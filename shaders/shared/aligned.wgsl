// Tensors with an element for each class, in loads of PACK elements: functions for each one that a kernel binds.
//
// If rows end inside a load of a written tensor, two lanes write parts of that load. Such a load is an array of words
// (SCALARS), each a memory location of its own. A component of a vector is not: WGSL allows a store to it to load the
// vector, insert the component and store the vector, as Metal's compiler does, which loses a store of the other lane
// in between.
//
// Loads are read from and written to a tensor's source: its binding, or the stage that it passes through.

import shared::{halves, vectors};

// Returns load `at`, as f32.
@for(t in READ) fn read_{t.name}(at: u32) -> Pack {
    @if(t.f32 && EIGHT && t.u64_loads) {
        let v = {t.buffer}[at];
        let low = vec4<u32>(v);
        let high = vec4<u32>(v >> vec4<u32>(32u));
        return Pack(Words(low.x, high.x, low.y, high.y), Words(low.z, high.z, low.w, high.w));
    }
    @elif(t.f32 && EIGHT) {
        let v = {t.source}[at];
        return Pack(v.a, v.b);
    }
    @elif(t.f32 && t.scalars) {
        let v = {t.buffer}[at];
        return Pack(Words(v[0], v[1], v[2], v[3]));
    }
    @elif(t.f32) return Pack({t.source}[at]);
    @elif(EIGHT) return unpacked_{t.name}(words_of_{t.name}({t.source}[at]));
    @elif(WIDE) {
        let w = {t.source}[at];
        return Pack(Words(widened_{t.type}(w[0]), widened_{t.type}(w[1])));
    }
    @else {
        @if(t.atomic) let word = atomicLoad(&{t.buffer}[at / 2u]);
        @else let word = {t.buffer}[at / 2u];
        return Pack(widened_{t.type}(word >> (16u * (at % 2u))).x);
    }
}

// Returns the words of a load of eight elements of two bytes.
@for(t in READ) @if(!t.f32 && EIGHT) {
@if(t.scalars) fn words_of_{t.name}(v: array<u32, 4>) -> vec4<u32> {
    return vec4<u32>(v[0], v[1], v[2], v[3]);
}
@elif(t.u64_loads) fn words_of_{t.name}(v: vec2<u64>) -> vec4<u32> {
    let low = vec2<u32>(v);
    let high = vec2<u32>(v >> vec2<u32>(32u));
    return vec4<u32>(low.x, high.x, low.y, high.y);
}
@else fn words_of_{t.name}(v: vec4<u32>) -> vec4<u32> { return v; }

fn unpacked_{t.name}(w: vec4<u32>) -> Pack {
    return Pack(Words(widened_{t.type}(w.x), widened_{t.type}(w.y)), Words(widened_{t.type}(w.z), widened_{t.type}(w.w)));
}
}

// Loads as they are in memory, where NaN and infinities are looked for in two halves at a time.
@for(t in READ) @if(FINITE_PATH && t.logits) {
@if(t.f32) {
alias Loaded_{t.name} = Pack;
fn load_{t.name}(at: u32) -> Pack { return read_{t.name}(at); }
fn widened_{t.name}(loaded: Pack) -> Pack { return loaded; }
}
@else {
alias Loaded_{t.name} = vec4<u32>;
fn load_{t.name}(at: u32) -> vec4<u32> { return words_of_{t.name}({t.source}[at]); }
fn widened_{t.name}(loaded: vec4<u32>) -> Pack { return unpacked_{t.name}(loaded); }
}

// Returns a word whose sign bits, masked by `{t.signs}`, show an infinity or a NaN: 1 added to the highest exponent carries
// into the sign. A carry out of the lower half can only make the upper half look like one too.
fn carries_{t.name}(loaded: Loaded_{t.name}) -> u32 {
    @if(t.f32) var carries = (loaded.a + Words({t.carry})) ^ loaded.a;
    @else let carries = (loaded + Words({t.carry})) ^ loaded;
    @if(t.f32 && EIGHT) carries |= (loaded.b + Words({t.carry})) ^ loaded.b;
    return (carries.x | carries.y) | (carries.z | carries.w);
}

fn is_finite_{t.name}(carries: u32) -> bool { return (carries & {t.signs}) == 0u; }
}

// Returns element `k` of load `at`, as f32.
@for(t in READ) fn word_of_{t.name}(at: u32, k: u32) -> u32 {
    @if(WIDE) let pack = read_{t.name}(at);
    @if(EIGHT) return select(pack.a, pack.b, k >= HALF)[k % HALF];
    @elif(WIDE) return pack.a[k];
    @else return read_{t.name}(at).a;
}

// Writes load `at`.
@for(t in WRITTEN) @if(t.f32) fn write_{t.name}(at: u32, out: Pack) {
    @if(t.scalars && EIGHT) {t.buffer}[at] = array<u32, 8>(
        out.a.x, out.a.y, out.a.z, out.a.w, out.b.x, out.b.y, out.b.z, out.b.w);
    @elif(t.scalars) {t.buffer}[at] = array<u32, 4>(out.a.x, out.a.y, out.a.z, out.a.w);
    @elif(t.u64_loads) {
        let low = vec4<u64>(Words(out.a.x, out.a.z, out.b.x, out.b.z));
        let high = vec4<u64>(Words(out.a.y, out.a.w, out.b.y, out.b.w));
        {t.buffer}[at] = low | (high << vec4<u32>(32u));
    }
    @elif(EIGHT) {t.source}[at] = Eight(out.a, out.b);
    @else {t.source}[at] = out.a;
}

// Writes elements `start` to `end` of load `at`: another lane writes the rest, which belongs to another row.
@for(t in WRITTEN) @if(t.f32 && RAGGED) fn put_{t.name}(at: u32, out: Pack, start: u32, end: u32) {
    for (var k = start; k < end; k += 1u) {
        @if(EIGHT) {t.buffer}[at][k] = select(out.a, out.b, k >= HALF)[k % HALF];
        @else {t.buffer}[at][k] = out.a[k];
    }
}

// Returns the words of a load.
@for(t in WRITTEN) @if(!t.f32 && WIDE && EIGHT) fn joined_{t.name}(out: Pack) -> vec4<u32> {
    return joined_halves(narrowed_{t.type}(out.a), narrowed_{t.type}(out.b));
}
@for(t in WRITTEN) @if(!t.f32 && WIDE && !EIGHT) fn joined_{t.name}(out: Pack) -> vec2<u32> {
    let a = narrowed_{t.type}(out.a);
    return a.xz | (a.yw << vec2<u32>(16u));
}

// Writes load `at`.
@for(t in WRITTEN) @if(!t.f32 && WIDE) fn write_{t.name}(at: u32, out: Pack) {
    @if(EIGHT) write_words_{t.name}(at, joined_{t.name}(out));
    @else {t.source}[at] = joined_{t.name}(out);
}

@for(t in WRITTEN) @if(!t.f32 && EIGHT) fn write_words_{t.name}(at: u32, w: vec4<u32>) {
    @if(t.scalars) {t.buffer}[at] = array<u32, 4>(w.x, w.y, w.z, w.w);
    @elif(t.u64_loads) {t.buffer}[at] = vec2<u64>(w.xz) | (vec2<u64>(w.yw) << vec2<u32>(32u));
    @else {t.source}[at] = w;
}

// Writes load `at`, in which no element is NaN.
@for(t in WRITTEN) @if(FINITE_PATH) fn write_finite_{t.name}(at: u32, out: Pack) {
    @if(t.f32) write_{t.name}(at, out);
    @else write_words_{t.name}(at, joined_halves(nearest_{t.type}(out.a), nearest_{t.type}(out.b)));
}

// Writes elements `start` to `end` of load `at`: another lane writes the rest, which belongs to another row. In a
// word that two pieces share, each dispatch preserves the other's half; their dispatches do not overlap in time.
@for(t in WRITTEN) @if(!t.f32 && WIDE && RAGGED) fn put_{t.name}(at: u32, out: Pack, start: u32, end: u32) {
    let words = joined_{t.name}(out);
    for (var k = start / 2u; k < (end + 1u) / 2u; k += 1u) {
        let low = select(0u, 0xffffu, 2u * k >= start);
        let high = select(0u, 0xffff0000u, 2u * k + 1u < end);
        var word = words[k];
        if ((low & (high >> 16u)) == 0u) {
            word = (word & (low | high)) | ({t.buffer}[at][k] & ~(low | high));
        }
        {t.buffer}[at][k] = word;
    }
}

// Writes element `at`: half of a word whose other half another lane may be writing.
@for(t in WRITTEN) @if(!t.f32 && !WIDE) fn write_{t.name}(at: u32, out: Pack) {
    let shift = 16u * (at % 2u);
    atomicAnd(&{t.buffer}[at / 2u], ~(0xffffu << shift));
    atomicOr(&{t.buffer}[at / 2u], narrowed_{t.type}(out.a) << shift);
}
