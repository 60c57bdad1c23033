// Rows that do not start on loads, folded by class (BY_CLASS): pack k has the classes PACK k, PACK k + 1, ... in its
// components, at any offset in memory. So the lane, the component and the order in which a class is folded depend on
// the class alone. A pack is assembled from single words, which are in at most two of the tensor's loads.

import rows::loads;
import shared::{arithmetic, fold, offsets, params, state, tensor, vectors};
@if(SCALED) import shared::logits;

fn classes_of_pack(k: u32) -> Pack {
    var c: Pack;
    c.a = PACK * k + Words(0u, 1u, 2u, 3u);
    @if(EIGHT) c.b = c.a + Words(4u);
    return c;
}

// Returns the row's first element in a tensor whose rows begin at `offset`.
fn first_element(offset: u32, offsets: Offsets) -> u32 {
    @if(RAGGED) return offset * PACK + offsets.lead;
    @else return offset;
}

fn read_whole_pack(offsets: Offsets, k: u32) -> Pack {
    return read_logits_from(first_element(offsets.logits, offsets) + PACK * k);
}

// Returns any pack of the row; elements after the row are -inf.
fn read_any_pack(offsets: Offsets, k: u32) -> Pack {
    let c = classes_of_pack(k);
    var pack = read_whole_pack(offsets, k);
    @for(h in HALVES) pack.{h} = select(Words(NEG_INF), pack.{h}, c.{h} < Words(params.classes));
    return pack;
}

fn weights_of_pack(offsets: Offsets, k: u32) -> PackReals {
    var v: PackReals;
    @if(DENSE_TARGET) {
        let c = classes_of_pack(k);
        var q: Pack;
        @if(PROBABILITIES) q = read_probabilities_from(first_element(offsets.probabilities, offsets) + PACK * k);
        v.a = share(bitcast<Reals>(q.a), class_weights(c.a));
        v.a = select(Reals(0.0), v.a, c.a < Words(params.classes));
        @if(EIGHT) {
            v.b = share(bitcast<Reals>(q.b), class_weights(c.b));
            v.b = select(Reals(0.0), v.b, c.b < Words(params.classes));
        }
    }
    return v;
}

fn fold_row(offsets: Offsets, range: Range, lane: u32, label_keys: LabelKeys) -> Folds {
    let start = range.start + lane;
    @if(CHUNKS) {
        var whole = empty_folds(label_keys);
        for (var chunk = start; chunk < range.end; chunk += CHUNK * LANES) {
            whole = merge_folds(whole, fold_packs(offsets, chunk, min(range.end, chunk + CHUNK * LANES), label_keys));
        }
        return whole;
    }
    @else return fold_packs(offsets, start, range.end, label_keys);
}

fn fold_packs(offsets: Offsets, start: u32, end: u32, label_keys: LabelKeys) -> Folds {
    var f = empty_folds(label_keys);
    var k = start;
    @if(FOURS) let whole = min(end, params.classes / PACK);
    @if(FOURS) for (; k + 3u * LANES < whole; k += 4u * LANES) {
        let a = read_whole_pack(offsets, k);
        let b = read_whole_pack(offsets, k + LANES);
        let c = read_whole_pack(offsets, k + 2u * LANES);
        let d = read_whole_pack(offsets, k + 3u * LANES);
        f = accumulate(f, a, weights_of_pack(offsets, k), classes_of_pack(k));
        f = accumulate(f, b, weights_of_pack(offsets, k + LANES), classes_of_pack(k + LANES));
        f = accumulate(f, c, weights_of_pack(offsets, k + 2u * LANES), classes_of_pack(k + 2u * LANES));
        f = accumulate(f, d, weights_of_pack(offsets, k + 3u * LANES), classes_of_pack(k + 3u * LANES));
    }
    for (; k < end; k += LANES) {
        f = accumulate(f, read_any_pack(offsets, k), weights_of_pack(offsets, k), classes_of_pack(k));
    }
    return f;
}
