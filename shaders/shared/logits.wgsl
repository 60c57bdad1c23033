// The map of the logits before the softmax: z = scale cap tanh(x / cap), or scale x without a cap.
//
// Imported if there is a scale or a cap. Without a cap a read multiplies. With a cap a read returns x, which stays in
// registers, and every use computes z: the gradient needs the slope at x, which z does not determine once the cap is
// reached.

import shared::{arithmetic, params, tensor, vectors};

// Returns a logit as it is read.
fn mapped(words: Words) -> Words {
    @if(SOFTCAP) {
        // A cap maps infinities to finite numbers; -inf stands for no class.
        let low = select(words, Words(0xff7fffffu), words == Words(NEG_INF));
        return select(low, Words(0x7f7fffffu), words == Words(POS_INF));
    }
    @else {
        let odd = (words & Words(POS_INF)) == Words(POS_INF);
        return select(bitcast<Words>(bitcast<Reals>(words) * params.logit_scale), words, odd);
    }
}

fn read_logits(at: u32) -> Pack {
    var pack = read_raw_logits(at);
    @for(h in HALVES) pack.{h} = mapped(pack.{h});
    return pack;
}

@if(BY_CLASS) fn read_logits_from(element: u32) -> Pack {
    var pack = read_raw_logits_from(element);
    @for(h in HALVES) pack.{h} = mapped(pack.{h});
    return pack;
}

fn word_of_logits(at: u32, k: u32) -> u32 {
    @if(WIDE) return mapped(Words(word_of_raw_logits(at, k))).x;
    @else return mapped(word_of_raw_logits(at, k));
}
