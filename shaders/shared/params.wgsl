// The parameters of a dispatch over its piece. `src/kernels/params.rs` explains each field.
struct Params {
    @for(p in PARAMS) {p.name}: {p.type},
}
