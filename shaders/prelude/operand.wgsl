// The elements of {name} that go with load `at` of the piece. This text stands once for each operand of a
// loss of single elements. An element of the piece is `inner` from the next class, and `span` from the next
// step of the outer axis.

#if !LOADS
fn single_{name}(at: u32) -> u32 {
    let place = params.{origin} + at;
#if F32
    return {buffer}[place];
#else
    return widened_{type}({buffer}[place / 2u] >> (16u * (place % 2u))).x;
#endif
}
#endif

#if INDEXED
// The number of the element that goes with an element of the piece.
fn index_of_{name}(element: u32) -> u32 {
#if OUTER
    return element / params.span;
#endif
#if OUTER_CLASSES
    return element / params.inner;
#endif
#if CLASSES
    return element / params.inner % params.classes;
#endif
#if CLASSES_INNER
    return element % params.span;
#endif
#if INNER
    return element % params.inner;
#endif
#if ROWS
    return element / params.span * params.inner + element % params.inner;
#endif
}
#endif

fn fetch_{name}(at: u32) -> Pack {
#if WHOLE
    return read_{name}(params.{origin} + at);
#endif
#if ONCE
    let word = Words(single_{name}(0u));
    return pack_of(word, word);
#endif
#if SHARED
    let word = Words(single_{name}(index_of_{name}(at * PACK)));
    return pack_of(word, word);
#endif
#if ALONG
    return read_{name}(params.{origin} + index_of_{name}(at * PACK) / PACK);
#endif
#if EACH
    return pack_of(gather_{name}(at * PACK), gather_{name}(at * PACK + HALF));
#endif
}

#if EACH
fn gather_{name}(element: u32) -> Words {
#if WIDE
    return Words(
        single_{name}(index_of_{name}(element)),
        single_{name}(index_of_{name}(element + 1u)),
        single_{name}(index_of_{name}(element + 2u)),
        single_{name}(index_of_{name}(element + 3u)));
#else
    return single_{name}(index_of_{name}(element));
#endif
}
#endif
