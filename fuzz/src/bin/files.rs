#![no_main]
#![doc = "See `wgpu_loss_fuzz::files`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wgpu_loss_fuzz::files::run(data));
