#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| e_pigeon_sim::bodies::sim(data));
