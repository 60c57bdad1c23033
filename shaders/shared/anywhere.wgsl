// Loads of PACK elements from any element on, assembled from single words. LOOSE: all reads and writes are of this
// kind, and offsets count elements.

import shared::{halves, vectors};

@for(t in READ) fn word_at_{t.name}(at: u32) -> u32 { return {t.word}; }

// Returns the elements from `element` on, as f32. Some may come after the last row.
@for(t in READ) fn read_{t.name}_from(element: u32) -> Pack {
    @if(t.f32) {
        let a = Words(word_at_{t.name}(element), word_at_{t.name}(element + 1u),
            word_at_{t.name}(element + 2u), word_at_{t.name}(element + 3u));
        @if(EIGHT) return Pack(a, Words(word_at_{t.name}(element + 4u), word_at_{t.name}(element + 5u),
            word_at_{t.name}(element + 6u), word_at_{t.name}(element + 7u)));
        @else return Pack(a);
    }
    @elif(EIGHT) {
        let at = element / 2u;
        var w = vec4<u32>(word_at_{t.name}(at), word_at_{t.name}(at + 1u), word_at_{t.name}(at + 2u),
            word_at_{t.name}(at + 3u));
        if (element % 2u == 1u) {
            w = (w >> vec4<u32>(16u)) | (vec4<u32>(w.yzw, word_at_{t.name}(at + 4u)) << vec4<u32>(16u));
        }
        return Pack(Words(widened_{t.type}(w.x), widened_{t.type}(w.y)),
            Words(widened_{t.type}(w.z), widened_{t.type}(w.w)));
    }
    @else {
        let at = element / 2u;
        var w = vec2<u32>(word_at_{t.name}(at), word_at_{t.name}(at + 1u));
        if (element % 2u == 1u) {
            w = (w >> vec2<u32>(16u)) | (vec2<u32>(w.y, word_at_{t.name}(at + 2u)) << vec2<u32>(16u));
        }
        return Pack(Words(widened_{t.type}(w.x), widened_{t.type}(w.y)));
    }
}

@for(t in READ) @if(LOOSE) fn read_{t.name}(element: u32) -> Pack { return read_{t.name}_from(element); }

@for(t in READ) @if(LOOSE) fn word_of_{t.name}(element: u32, k: u32) -> u32 {
    @if(t.f32) return word_at_{t.name}(element + k);
    @else {
        let at = element + k;
        return widened_{t.type}(word_at_{t.name}(at / 2u) >> (16u * (at % 2u))).x;
    }
}

@for(t in WRITTEN) @if(LOOSE && t.f32) fn write_{t.name}(element: u32, out: Pack) {
    {t.buffer}[element] = out.a.x;
    {t.buffer}[element + 1u] = out.a.y;
    {t.buffer}[element + 2u] = out.a.z;
    {t.buffer}[element + 3u] = out.a.w;
    @if(EIGHT) {
        {t.buffer}[element + 4u] = out.b.x;
        {t.buffer}[element + 5u] = out.b.y;
        {t.buffer}[element + 6u] = out.b.z;
        {t.buffer}[element + 7u] = out.b.w;
    }
}

// Writes elements `start` to `end` of the load from `element` on.
@for(t in WRITTEN) @if(LOOSE && t.f32) fn put_{t.name}(element: u32, out: Pack, start: u32, end: u32) {
    for (var k = start; k < end; k += 1u) {
        @if(EIGHT) {t.buffer}[element + k] = select(out.a[k % HALF], out.b[k % HALF], k >= HALF);
        @else {t.buffer}[element + k] = out.a[k];
    }
}

// Writes elements `start` to `end`. Other lanes may write the other half of a word at the same time.
@for(t in WRITTEN) @if(LOOSE && !t.f32) fn put_{t.name}(element: u32, out: Pack, start: u32, end: u32) {
    @for(h in HALVES) let {h} = narrowed_{t.type}(out.{h});
    for (var k = start; k < end; k += 1u) {
        @if(EIGHT) let half = select(a[k % HALF], b[k % HALF], k >= HALF);
        @else let half = a[k];
        let at = (element + k) / 2u;
        let shift = 16u * ((element + k) % 2u);
        atomicAnd(&{t.buffer}[at], ~(0xffffu << shift));
        atomicOr(&{t.buffer}[at], half << shift);
    }
}

@for(t in WRITTEN) @if(LOOSE && !t.f32) fn write_{t.name}(element: u32, out: Pack) {
    if (element % 2u == 1u) {
        put_{t.name}(element, out, 0u, PACK);
        return;
    }
    let at = element / 2u;
    let a = narrowed_{t.type}(out.a);
    atomicStore(&{t.buffer}[at], a.x | (a.y << 16u));
    atomicStore(&{t.buffer}[at + 1u], a.z | (a.w << 16u));
    @if(EIGHT) {
        let b = narrowed_{t.type}(out.b);
        atomicStore(&{t.buffer}[at + 2u], b.x | (b.y << 16u));
        atomicStore(&{t.buffer}[at + 3u], b.z | (b.w << 16u));
    }
}
