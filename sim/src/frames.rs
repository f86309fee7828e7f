//! Frames for a byte stream that are written by hand: for programs that attack, and for tests of adapters.

use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::frame::write_header;
use e_pigeon_core::{Client, ClientConfig, ConfigError, Instant};

/// The bytes that `write` writes.
pub(crate) fn written(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(&mut counter);
    let mut bytes = vec![0; counter.total()];
    write(&mut Writer::new(&mut bytes, 0));
    bytes
}

/// A frame with the body that `write` writes.
pub fn frame(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let body = written(write);
    [written(|writer| write_header(writer, body.len())), body].concat()
}

/// The first frame of a client with this config: its HELLO.
///
/// # Errors
///
/// A limit makes no sense.
pub fn hello(config: ClientConfig) -> Result<Vec<u8>, ConfigError> {
    let now = Instant::from_micros(1);
    let memory = vec![0; config.memory_needed()];
    let mut client = Client::new(config, memory)?;
    client.handle_connected(now);
    let mut said = vec![0; 1024];
    let count = client.poll_transmit(now, &mut said).unwrap_or(0);
    said.truncate(count);
    Ok(said)
}
