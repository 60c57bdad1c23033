// A tensor with an element for each class: {name}, in loads of PACK elements. This text stands once for
// each such tensor that a kernel binds.
//
// Where rows end inside a load and the tensor is written, two lanes write parts of one load. Such a load is an
// array of words (SCALARS), each of which is a memory location of its own. A component of a vector is not: WGSL
// allows a store to it to load the vector, insert the component and store the vector, as Metal's compiler
// does, and what the other lane writes in between is lost.

#if READ
// Load `at`, as f32.
fn read_{name}(at: u32) -> Pack {
#if F32
#if !EIGHT
#if SCALARS
    let v = {buffer}[at];
    return Pack(Words(v[0], v[1], v[2], v[3]));
#else
    return Pack({buffer}[at]);
#endif
#else
    let v = {buffer}[at];
#if LONGS
    let low = vec4<u32>(v);
    let high = vec4<u32>(v >> vec4<u32>(32u));
    return Pack(Words(low.x, high.x, low.y, high.y), Words(low.z, high.z, low.w, high.w));
#else
    return Pack(v.a, v.b);
#endif
#endif
#else
#if EIGHT
    let w = words_of_{name}({buffer}[at]);
    return Pack(Words(widened_{type}(w.x), widened_{type}(w.y)),
        Words(widened_{type}(w.z), widened_{type}(w.w)));
#else
#if WIDE
    let w = {buffer}[at];
    return Pack(Words(widened_{type}(w[0]), widened_{type}(w[1])));
#else
#if ATOMIC
    let word = atomicLoad(&{buffer}[at / 2u]);
#else
    let word = {buffer}[at / 2u];
#endif
    return Pack(widened_{type}(word >> (16u * (at % 2u))).x);
#endif
#endif
#endif
}

#if !F32
#if EIGHT
#if SCALARS
fn words_of_{name}(v: array<u32, 4>) -> vec4<u32> { return vec4<u32>(v[0], v[1], v[2], v[3]); }
#else
#if LONGS
fn words_of_{name}(v: vec2<u64>) -> vec4<u32> {
    let low = vec2<u32>(v);
    let high = vec2<u32>(v >> vec2<u32>(32u));
    return vec4<u32>(low.x, high.x, low.y, high.y);
}
#else
fn words_of_{name}(v: vec4<u32>) -> vec4<u32> { return v; }
#endif
#endif
#endif
#endif

// Element `k` of load `at`, as f32.
fn word_of_{name}(at: u32, k: u32) -> u32 {
#if WIDE
    let pack = read_{name}(at);
#if EIGHT
    return select(pack.a, pack.b, k >= HALF)[k % HALF];
#else
    return pack.a[k];
#endif
#else
    return read_{name}(at).a;
#endif
}
#endif

#if WRITTEN
#if F32
// Writes load `at`.
fn write_{name}(at: u32, out: Pack) {
#if SCALARS
#if EIGHT
    {buffer}[at] = array<u32, 8>(
        out.a.x, out.a.y, out.a.z, out.a.w, out.b.x, out.b.y, out.b.z, out.b.w);
#else
    {buffer}[at] = array<u32, 4>(out.a.x, out.a.y, out.a.z, out.a.w);
#endif
#else
#if EIGHT
#if LONGS
    let low = vec4<u64>(Words(out.a.x, out.a.z, out.b.x, out.b.z));
    let high = vec4<u64>(Words(out.a.y, out.a.w, out.b.y, out.b.w));
    {buffer}[at] = low | (high << vec4<u32>(32u));
#else
    {buffer}[at] = Eight(out.a, out.b);
#endif
#else
    {buffer}[at] = out.a;
#endif
#endif
}

#if RAGGED
// Writes elements `start` to `end` of load `at`: the rest of it is another row's, and another lane's.
fn put_{name}(at: u32, out: Pack, start: u32, end: u32) {
    for (var k = start; k < end; k += 1u) {
#if EIGHT
        {buffer}[at][k] = select(out.a, out.b, k >= HALF)[k % HALF];
#else
        {buffer}[at][k] = out.a[k];
#endif
    }
}
#endif
#else
#if WIDE
// The words of a load.
#if EIGHT
fn joined_{name}(out: Pack) -> vec4<u32> {
    let a = narrowed_{type}(out.a);
    let b = narrowed_{type}(out.b);
    return vec4<u32>(a.xz, b.xz) | (vec4<u32>(a.yw, b.yw) << vec4<u32>(16u));
}
#else
fn joined_{name}(out: Pack) -> vec2<u32> {
    let a = narrowed_{type}(out.a);
    return a.xz | (a.yw << vec2<u32>(16u));
}
#endif

// Writes load `at`.
fn write_{name}(at: u32, out: Pack) {
    let w = joined_{name}(out);
#if SCALARS
    {buffer}[at] = array<u32, 4>(w.x, w.y, w.z, w.w);
#else
#if LONGS
    {buffer}[at] = vec2<u64>(w.xz) | (vec2<u64>(w.yw) << vec2<u32>(32u));
#else
    {buffer}[at] = w;
#endif
#endif
}

#if RAGGED
// Writes elements `start` to `end` of load `at`: the rest of it is another row's, and another lane's.
// Of a word that two pieces share, each keeps the other's half: their dispatches follow each other.
fn put_{name}(at: u32, out: Pack, start: u32, end: u32) {
    let words = joined_{name}(out);
    for (var k = start / 2u; k < (end + 1u) / 2u; k += 1u) {
        let low = select(0u, 0xffffu, 2u * k >= start);
        let high = select(0u, 0xffff0000u, 2u * k + 1u < end);
        var word = words[k];
        if ((low & (high >> 16u)) == 0u) {
            word = (word & (low | high)) | ({buffer}[at][k] & ~(low | high));
        }
        {buffer}[at][k] = word;
    }
}
#endif
#else
// Writes element `at`: half of a word whose other half another lane may be writing.
fn write_{name}(at: u32, out: Pack) {
    let shift = 16u * (at % 2u);
    atomicAnd(&{buffer}[at / 2u], ~(0xffffu << shift));
    atomicOr(&{buffer}[at / 2u], narrowed_{type}(out.a) << shift);
}
#endif
#endif
#endif
