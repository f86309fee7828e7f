//! The first frame of peers that write by hand.

use e_pigeon_core::wire::control::{Control, Hello};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, Uuid};
use e_pigeon_sim::frames::frame;

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
