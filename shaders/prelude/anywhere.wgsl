// {name} from any element on: what a load of PACK elements brings, made of single words. LOOSE: all that is
// read and written of the tensor, whose places are then elements.

#if READ
fn word_at_{name}(at: u32) -> u32 { return {word}; }

// The elements from `element` on, as f32. Some may be behind the last row.
fn read_{name}_from(element: u32) -> Pack {
#if F32
    let a = Words(word_at_{name}(element), word_at_{name}(element + 1u), word_at_{name}(element + 2u),
        word_at_{name}(element + 3u));
#if EIGHT
    return Pack(a, Words(word_at_{name}(element + 4u), word_at_{name}(element + 5u),
        word_at_{name}(element + 6u), word_at_{name}(element + 7u)));
#else
    return Pack(a);
#endif
#else
    let at = element / 2u;
#if EIGHT
    var w = vec4<u32>(word_at_{name}(at), word_at_{name}(at + 1u), word_at_{name}(at + 2u),
        word_at_{name}(at + 3u));
    if (element % 2u == 1u) {
        w = (w >> vec4<u32>(16u)) | (vec4<u32>(w.yzw, word_at_{name}(at + 4u)) << vec4<u32>(16u));
    }
    return Pack(Words(widened_{type}(w.x), widened_{type}(w.y)),
        Words(widened_{type}(w.z), widened_{type}(w.w)));
#else
    var w = vec2<u32>(word_at_{name}(at), word_at_{name}(at + 1u));
    if (element % 2u == 1u) {
        w = (w >> vec2<u32>(16u)) | (vec2<u32>(w.y, word_at_{name}(at + 2u)) << vec2<u32>(16u));
    }
    return Pack(Words(widened_{type}(w.x), widened_{type}(w.y)));
#endif
#endif
}

#if LOOSE
fn read_{name}(element: u32) -> Pack { return read_{name}_from(element); }

fn word_of_{name}(element: u32, k: u32) -> u32 {
#if F32
    return word_at_{name}(element + k);
#else
    let at = element + k;
    return widened_{type}(word_at_{name}(at / 2u) >> (16u * (at % 2u))).x;
#endif
}
#endif
#endif

#if LOOSE
#if WRITTEN
#if F32
fn write_{name}(element: u32, out: Pack) {
    {buffer}[element] = out.a.x;
    {buffer}[element + 1u] = out.a.y;
    {buffer}[element + 2u] = out.a.z;
    {buffer}[element + 3u] = out.a.w;
#if EIGHT
    {buffer}[element + 4u] = out.b.x;
    {buffer}[element + 5u] = out.b.y;
    {buffer}[element + 6u] = out.b.z;
    {buffer}[element + 7u] = out.b.w;
#endif
}

// Elements `start` to `end` of the load from `element` on.
fn put_{name}(element: u32, out: Pack, start: u32, end: u32) {
    for (var k = start; k < end; k += 1u) {
#if EIGHT
        {buffer}[element + k] = select(out.a[k % HALF], out.b[k % HALF], k >= HALF);
#else
        {buffer}[element + k] = out.a[k];
#endif
    }
}
#else
// Words of which others may be writing the other half.
fn put_{name}(element: u32, out: Pack, start: u32, end: u32) {
    let a = narrowed_{type}(out.a);
#if EIGHT
    let b = narrowed_{type}(out.b);
#endif
    for (var k = start; k < end; k += 1u) {
#if EIGHT
        let half = select(a[k % HALF], b[k % HALF], k >= HALF);
#else
        let half = a[k];
#endif
        let at = (element + k) / 2u;
        let shift = 16u * ((element + k) % 2u);
        atomicAnd(&{buffer}[at], ~(0xffffu << shift));
        atomicOr(&{buffer}[at], half << shift);
    }
}

fn write_{name}(element: u32, out: Pack) {
    if (element % 2u == 1u) {
        put_{name}(element, out, 0u, PACK);
        return;
    }
    let at = element / 2u;
    let a = narrowed_{type}(out.a);
    atomicStore(&{buffer}[at], a.x | (a.y << 16u));
    atomicStore(&{buffer}[at + 1u], a.z | (a.w << 16u));
#if EIGHT
    let b = narrowed_{type}(out.b);
    atomicStore(&{buffer}[at + 2u], b.x | (b.y << 16u));
    atomicStore(&{buffer}[at + 3u], b.z | (b.w << 16u));
#endif
}
#endif
#endif
#endif
