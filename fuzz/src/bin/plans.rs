#![no_main]
#![doc = "See `wgpu_loss_fuzz::plans`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wgpu_loss_fuzz::plans::run(data));
