// A tensor with an element for each class: {name}, in loads of PACK elements. This text stands once for
// each such tensor that a kernel binds.

#if READ
// Load `at`, as f32.
fn read_{name}(at: u32) -> Pack {
#if F32
#if !EIGHT
    return Pack({buffer}[at]);
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
    return Pack(Words(widened_{type}(w.x), widened_{type}(w.y)));
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
}

#if RAGGED
// Writes elements `start` to `end` of load `at`: the rest of it is another row's, and another lane's.
fn put_{name}(at: u32, out: Pack, start: u32, end: u32) {
    for (var k = start; k < end; k += 1u) {
#if EIGHT
        if (k < HALF) { {buffer}[at].a[k] = out.a[k]; } else { {buffer}[at].b[k - HALF] = out.b[k - HALF]; }
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
#if LONGS
    let w = joined_{name}(out);
    {buffer}[at] = vec2<u64>(w.xz) | (vec2<u64>(w.yw) << vec2<u32>(32u));
#else
    {buffer}[at] = joined_{name}(out);
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
