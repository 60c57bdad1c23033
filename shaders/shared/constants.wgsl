// The constants that host and kernels share: all of `src/words.rs`.

@for(c in CONSTANTS) const {c.name}: u32 = {c.value}u;

const RAISE: f32 = 0x1p-{RAISED_BY}f;
