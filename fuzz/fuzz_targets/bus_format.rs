#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zocket_fuzz::bus_format::run(bytes));
