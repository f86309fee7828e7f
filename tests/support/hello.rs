//! Frames in the core's own encoding, for peers that write by hand.

use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::{Control, Hello};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, Uuid};

/// A frame with the body that `write` writes.
pub(crate) fn frame(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(&mut counter);
    let mut out = vec![0; counter.total() + 8];
    let mut writer = Writer::new(&mut out, 0);
    writer.u64(counter.total() as u64);
    write(&mut writer);
    let length = writer.written();
    out.truncate(length);
    out
}

/// The HELLO of a client that knows no session, for a link of this number.
pub(crate) fn hello(number: u128, link: u64, attributes: AttributesRef<'_>) -> Vec<u8> {
    let hello = Hello {
        uuid: *Uuid::from_u128(number).as_bytes(),
        secret: [7; 16],
        boot: 5_u64.to_le_bytes(),
        link,
        known: None,
        window: Window { messages: 0, bytes: 0 },
        max_payload: 0,
        aliases: 64,
        receives: true,
        presence: 64,
    };
    frame(|w| Control::Hello(hello, attributes).write(w))
}
