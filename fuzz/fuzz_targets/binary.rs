#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zocket_fuzz::binary::run(bytes));
