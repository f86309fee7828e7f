#![no_main]

use std::sync::LazyLock;

/// What the first byte is to be, so that all inputs are streams, or all are stuffed lines. By default it is the fuzzer's.
static FRAMING: LazyLock<Option<u8>> = LazyLock::new(|| match std::env::var("E_PIGEON_FRAMING").as_deref() {
    Ok("stream") => Some(0),
    Ok("line") => Some(1),
    _ => None,
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| match (*FRAMING, data) {
    (Some(framing), [_, rest @ ..]) => e_pigeon_sim::bodies::frame(&[&[framing], rest].concat()),
    _ => e_pigeon_sim::bodies::frame(data),
});
