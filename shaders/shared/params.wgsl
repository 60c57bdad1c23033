// What a dispatch is told about its piece: `src/kernels/params.rs` says what each field is.
struct Params {
    @for(p in PARAMS) {p.name}: {p.type},
}
