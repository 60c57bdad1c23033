// The operands of losses of single elements, for load `at` of the piece. The next class of an element is `inner`
// elements away, and the next step of the outer axis `span` elements.

import shared::{halves, params, tensor, vectors};

@for(o in OPERANDS) @if(!o.loads) fn single_{o.name}(at: u32) -> u32 {
    let index = params.{o.name}_origin + at;
    @if(o.f32) return {o.name}[index];
    @else return widened_{o.type}({o.name}[index / 2u] >> (16u * (index % 2u))).x;
}

// Returns the index in the operand for an element of the piece.
@for(o in OPERANDS) @if(o.indexed) fn index_of_{o.name}(element: u32) -> u32 {
    @if(o.outer) return element / params.span;
    @elif(o.outer_classes) return element / params.inner;
    @elif(o.classes) return element / params.inner % params.classes;
    @elif(o.classes_inner) return element % params.span;
    @elif(o.inner) return element % params.inner;
    @else return element / params.span * params.inner + element % params.inner;
}

@for(o in OPERANDS) fn fetch_{o.name}(at: u32) -> Pack {
    @if(o.whole) return read_{o.name}(params.{o.name}_origin + at);
    @elif(o.once) {
        let word = Words(single_{o.name}(0u));
        return pack_of(word, word);
    }
    @elif(o.shared) {
        let word = Words(single_{o.name}(index_of_{o.name}(at * PACK)));
        return pack_of(word, word);
    }
    @elif(o.along) return read_{o.name}(params.{o.name}_origin + index_of_{o.name}(at * PACK) / PACK);
    @else return pack_of(gather_{o.name}(at * PACK), gather_{o.name}(at * PACK + HALF));
}

@for(o in OPERANDS) @if(o.each) fn gather_{o.name}(element: u32) -> Words {
    @if(WIDE) return Words(
        single_{o.name}(index_of_{o.name}(element)),
        single_{o.name}(index_of_{o.name}(element + 1u)),
        single_{o.name}(index_of_{o.name}(element + 2u)),
        single_{o.name}(index_of_{o.name}(element + 3u)));
    @else return single_{o.name}(index_of_{o.name}(element));
}
