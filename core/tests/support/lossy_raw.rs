//! Frames for lossy framed transports that no client or broker of ours would write.

use super::uuid;
use e_pigeon_core::Framing;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::cobs;
use e_pigeon_core::wire::control::{Control, Hello};
use e_pigeon_core::wire::state::{Prefix, StateFrame};
use e_pigeon_core::wire::window::Window;

/// A frame as it goes over a transport.
pub fn frame(framing: Framing, tag: u32, number: u64, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let whole = |writer: &mut Writer<'_>| {
        Prefix { tag, number }.write(writer);
        write(writer);
    };
    let mut counter = Writer::counting();
    whole(&mut counter);
    let mut content = vec![0; counter.total()];
    whole(&mut Writer::new(&mut content, 0));
    carried(framing, &content)
}

pub fn carried(framing: Framing, content: &[u8]) -> Vec<u8> {
    if framing == Framing::Datagram {
        return content.to_vec();
    }
    let mut buffer = vec![0; cobs::stuffed_len(content.len())];
    let at = cobs::headroom(content.len());
    buffer[at..at + content.len()].copy_from_slice(content);
    let length = cobs::stuff(&mut buffer, content.len());
    buffer.truncate(length);
    buffer
}

pub fn control(framing: Framing, tag: u32, control: Control<'_>) -> Vec<u8> {
    frame(framing, tag, 0, |writer| control.write(writer))
}

pub const WIDE: Window = Window { messages: 1_000, bytes: 1 << 20 };

pub fn hello_of(n: usize, boot: u64, link: u64) -> Hello {
    Hello {
        uuid: *uuid(n).as_bytes(),
        secret: [n as u8; 16],
        boot: boot.to_le_bytes(),
        link,
        known: None,
        window: WIDE,
        max_payload: 4_096,
        aliases: 1,
        receives: true,
        presence: 100,
    }
}

pub fn state(serial: u64, heard: u64, received: u64) -> StateFrame {
    StateFrame {
        serial,
        heard,
        wants_reply: false,
        received,
        acknowledged: received,
        window: WIDE,
        beyond: 0,
    }
}
