// Packs: what one load of the logits brings. Four neighbours where rows start on 16 bytes, one
// element otherwise. All arithmetic on them is written once, in these aliases.
#if WIDE
alias Words = vec4<u32>;
alias Ints = vec4<i32>;
alias Reals = vec4<f32>;
const PACK: u32 = 4u;
fn classes_of(pack: u32) -> Words { return Words(4u * pack) + Words(0u, 1u, 2u, 3u); }
#else
alias Words = u32;
alias Ints = i32;
alias Reals = f32;
const PACK: u32 = 1u;
fn classes_of(pack: u32) -> Words { return pack; }
#endif
