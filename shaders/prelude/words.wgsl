// Packs: what one load of the logits brings. Four neighbours where everything starts on 16 bytes,
// one element otherwise. The neighbours are classes of one row where classes are contiguous, and
// rows at one class where rows are. Arithmetic on them is written once, in these aliases.
#if WIDE
alias Words = vec4<u32>;
alias Ints = vec4<i32>;
alias Reals = vec4<f32>;
alias Bools = vec4<bool>;
const PACK: u32 = 4u;
#else
alias Words = u32;
alias Ints = i32;
alias Reals = f32;
alias Bools = bool;
const PACK: u32 = 1u;
#endif
