//! The wire format against `docs/vectors` and against postcard.
//!
//! Each vector is read and compared with the value that stands here under its name, and written and compared with its
//! bytes; each that is invalid is refused. No vector is without a check, and no check without a vector.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod example;
mod files;
mod mirror;
mod values;

use e_pigeon_core::codec::{Malformed, Reader, Writer};
use e_pigeon_core::wire::cobs::{Unstuffing, headroom, stuff, stuffed_len};
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::frame::{Extent, Step, extent, header_len, step};
use e_pigeon_core::wire::item::{Accepted, Deliver, DownItem, Final, MessageItem, UpItem};
use e_pigeon_core::wire::state::{Prefix, tag};
use e_pigeon_core::{
    AbortCode, AttributesRef, Broker, BrokerConfig, Client, ClientConfig, Close, Filter, FilterRef, Instant,
    LinkId, Message, Outcome, Secret, Uuid, Value,
};
use files::*;
use mirror::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use values::*;

type Values = fn() -> Table;

const VALID_FILES: [(&str, Values); 3] =
    [("control.txt", control_values), ("up.txt", up_values), ("down.txt", down_values)];

#[test]
fn every_file_has_a_test() {
    let mut files: Vec<String> = std::fs::read_dir(docs("vectors"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["control.txt", "conversation.txt", "down.txt", "framing.txt", "invalid.txt", "lossy.txt", "up.txt"]
    );
}

#[test]
fn every_valid_vector_is_read_and_written() {
    for (file, values) in VALID_FILES {
        let mut values = values();
        for vector in vectors(file) {
            let name = &vector.name;
            let value = values.remove(name).unwrap_or_else(|| panic!("{file}: {name} has no check"));
            for &up in directions(&vector) {
                assert_eq!(decode(up, &vector.bytes), Ok(value), "{file}: {name}");
            }
            match vector.verdict.as_str() {
                "valid" => assert_eq!(to_hex(&encode(&value)), to_hex(&vector.bytes), "{file}: {name}"),
                "decode-only" => assert!(vector.bytes.starts_with(&encode(&value)), "{file}: {name}"),
                other => panic!("{file}: {name}: {other}"),
            }
        }
        assert!(values.is_empty(), "{file}: no vectors for {:?}", values.keys());
    }
}

#[test]
fn every_kind_and_every_flag_has_a_vector() {
    let mut firsts: Vec<u8> = Vec::new();
    for (file, _) in VALID_FILES {
        firsts.extend(vectors(file).iter().map(|vector| vector.bytes[0]));
    }
    firsts.sort_unstable();
    firsts.dedup();
    let expected = (0x01..=0x0b).chain(0x10..=0x1b).chain(0x20..=0x32).chain([0x34]).chain(0x38..=0x3a);
    let expected: Vec<u8> = expected.collect();
    assert_eq!(firsts, expected);
    for first in 0..=u8::MAX {
        let known = expected.contains(&first);
        // A kind that nobody knows is refused whatever follows, and both ends refuse an item of their own.
        let may_be = |up| {
            [0, 1, 24, 32].iter().any(|&length| {
                let body: Vec<u8> = std::iter::once(first).chain(std::iter::repeat_n(1, length)).collect();
                decode(up, &body).is_ok()
            })
        };
        assert!(known || !(may_be(true) || may_be(false)), "{first:02x}");
        match first {
            0x00..0x10 => {}
            0x10..0x20 => assert!(!may_be(false), "{first:02x}"),
            0x20.. => assert!(!may_be(true), "{first:02x}"),
        }
    }
}

#[test]
fn every_invalid_vector_is_refused() {
    let all = vectors("invalid.txt");
    assert!(all.len() > 100);
    for vector in all {
        assert_eq!(vector.verdict, "malformed", "{}", vector.name);
        for &up in directions(&vector) {
            assert_eq!(decode(up, &vector.bytes), Err(Malformed), "{}", vector.name);
        }
    }
}

#[test]
fn there_is_no_second_encoding_of_anything() {
    for file in ["control.txt", "up.txt", "down.txt", "invalid.txt"] {
        for vector in vectors(file) {
            for &up in directions(&vector) {
                let canonical = |bytes: &[u8]| match decode(up, bytes) {
                    // Of another version nothing is known.
                    Ok(Frame::Control(Control::HelloOfVersion(_))) | Err(Malformed) => true,
                    Ok(frame) => encode(&frame) == bytes && mirror(&frame) == bytes,
                };
                for length in 0..=vector.bytes.len() {
                    assert!(canonical(&vector.bytes[..length]), "{} cut at {length}", vector.name);
                }
                let mut bytes = vector.bytes.clone();
                for at in 0..bytes.len() {
                    let right = bytes[at];
                    for wrong in 0..=u8::MAX {
                        bytes[at] = wrong;
                        assert!(canonical(&bytes), "{}: {wrong:02x} at {at}", vector.name);
                    }
                    bytes[at] = right;
                }
            }
        }
    }
}

#[test]
fn items_written_by_hand_are_postcard() {
    for (file, values) in VALID_FILES {
        for (name, frame) in values() {
            assert_eq!(to_hex(&encode(&frame)), to_hex(&mirror(&frame)), "{file}: {name}");
        }
    }
}

#[test]
fn filters_of_watches_are_destinations_without_options() {
    let filter = Filter::everyone();
    let read = FilterRef::read(&mut Reader::new(filter.as_ref().as_bytes()));
    assert_eq!(read, Ok(filter.as_ref()));
}

#[test]
fn every_framing_vector_is_as_it_says() {
    for vector in vectors("framing.txt") {
        let (name, bytes) = (&vector.name, vector.bytes.as_slice());
        let limit: usize = vector.direction.parse().unwrap();
        let expected = match vector.verdict.as_str() {
            "incomplete" => Ok(None),
            "malformed" => Err(AbortCode::Malformed),
            "frame-too-large" => Err(AbortCode::FrameTooLarge),
            sizes => {
                let (header, body) = sizes.split_once('+').unwrap();
                Ok(Some(Extent { header: header.parse().unwrap(), body: body.parse().unwrap() }))
            }
        };
        assert_eq!(extent(bytes, limit), expected, "{name}");
        if let Ok(Some(extent)) = expected {
            assert_eq!(header_len(extent.body), extent.header, "{name}");
        }
        assert_eq!(byte_by_byte(bytes, limit), expected.map(|_| ()), "{name}, byte by byte");
    }
}

/// Feeds a stream byte by byte; what is wrong with it is found no later than with its last byte.
/// The prefix and the body of each vector of lossy framed transports.
fn lossy_values() -> BTreeMap<&'static str, (u64, Vec<u8>)> {
    let state = encode(&Frame::Control(Control::State(FIRST_STATE)));
    let hello = encode(&Frame::Control(Control::Hello(hello(), AttributesRef::EMPTY)));
    let to = to_b();
    let message = MessageItem { slot: 0, define: Some(to.as_ref()), id_step: 300, payload: COO, ..message() };
    let everyone = everyone();
    let long = MessageItem {
        define: Some(everyone.as_ref()),
        id_step: 1,
        time_to_live_ms: 0,
        payload: &[7; 600],
        ..message
    };
    let message = encode(&Frame::Up(UpItem::Message(message)));
    let long = encode(&Frame::Up(UpItem::Message(long)));
    let pairs = [("hello", 0, hello), ("state", 0, state), ("message", 200, message), ("long", 1, long)];
    pairs.into_iter().map(|(name, number, body)| (name, (number, body))).collect()
}

#[test]
fn every_lossy_vector_is_as_it_says() {
    for vector in vectors("lossy.txt") {
        let (name, is_line) = (&vector.name, vector.direction == "cobs");
        let mut content = vec![0; 1_000];
        let frame = if is_line {
            let (_, frame) = Unstuffing::default().take(&vector.bytes, &mut content);
            frame.and_then(Result::ok).map(|length| &content[..length])
        } else {
            Some(vector.bytes.as_slice())
        };
        let parts = frame.and_then(|frame| {
            let mut reader = Reader::new(frame);
            let prefix = Prefix::read(&mut reader).ok()?;
            Some((prefix, reader.rest())).filter(|(_, body)| !body.is_empty())
        });
        if vector.verdict == "dropped" {
            assert_eq!(parts, None, "{name}");
            continue;
        }
        let (number, body) = lossy_values().remove(name.split('-').next().unwrap()).unwrap();
        let prefix = Prefix { tag: tag(BOOT_A, 1), number };
        assert_eq!(parts, Some((prefix, body.as_slice())), "{name}");
        let length = frame.unwrap().len();
        let mut buffer = vec![0; stuffed_len(length)];
        let at = if is_line { headroom(length) } else { 0 };
        let mut writer = Writer::new(&mut buffer[at..], 0);
        prefix.write(&mut writer);
        writer.raw(&body);
        let length = if is_line { stuff(&mut buffer, length) } else { length };
        assert_eq!(to_hex(&buffer[..length]), to_hex(&vector.bytes), "{name}");
    }
}

fn byte_by_byte(bytes: &[u8], limit: usize) -> Result<(), AbortCode> {
    let mut kept = Vec::new();
    for byte in bytes {
        match step(&kept, &[*byte], limit)? {
            Step::Keep(1) => kept.push(*byte),
            Step::InPlace(_) | Step::Complete(1, _) => kept.clear(),
            other => panic!("{other:?} of one byte"),
        }
    }
    Ok(())
}

/// Bytes of a frame besides its payload.
fn cost(frame: &Frame<'_>, payload: usize) -> usize {
    let body = encode(frame).len();
    header_len(body) + body - payload
}

#[test]
fn a_message_and_an_acknowledgement_cost_what_the_document_says() {
    let payload = [7; 64];
    let up = MessageItem { payload: &payload, ..message() };
    assert_eq!(cost(&Frame::Up(UpItem::Message(up)), 64), 8);
    let longest_time = MessageItem { time_to_live_ms: u32::MAX, ..up };
    assert_eq!(cost(&Frame::Up(UpItem::Message(longest_time)), 64), 9);
    let shortest_time = MessageItem { time_to_live_ms: 1, ..up };
    assert_eq!(cost(&Frame::Up(UpItem::Message(shortest_time)), 64), 5);
    let any_slot = MessageItem { slot: 15, until_accepted: true, ..longest_time };
    assert_eq!(cost(&Frame::Up(UpItem::Message(any_slot)), 64), 9);
    let down = Deliver { payload: &payload, ..deliver() };
    assert_eq!(cost(&Frame::Down(DownItem::Deliver(down)), 64), 4);
    // Senders and destinations that take turns make larger steps.
    for (step, bytes) in [(63, 4), (-63, 4), (64, 5), (8_191, 5), (8_192, 6), (1_048_575, 6)] {
        let down = Deliver { alias: 63, direct: true, id_step: step, ..down };
        assert_eq!(cost(&Frame::Down(DownItem::Deliver(down)), 64), bytes, "{step}");
    }
    for (more, bytes) in [
        (1, 3),
        (127, 3),
        (128, 4),
        (4_096, 4),
        (16_383, 4),
        (16_384, 5),
        (2_097_151, 5),
        (2_097_152, 6),
        (1 << 24, 6),
        ((1 << 28) - 1, 6),
    ] {
        assert_eq!(cost(&Frame::Control(Control::Ack(more)), 0), bytes, "{more}");
    }
    for (first, bytes) in [
        (1, 6),
        (127, 6),
        (128, 7),
        (16_383, 7),
        (16_384, 8),
        (2_097_151, 8),
        (2_097_152, 9),
        (268_435_455, 9),
    ] {
        let run = Final { first, count: 100, outcome: Outcome::new(1, 1, None) };
        assert_eq!(cost(&Frame::Down(DownItem::Final(run)), 0), bytes, "{first}");
    }
    let run = Accepted { first: 1, count: 100, recipients: 1, epoch: EPOCH, session: 2 };
    assert_eq!(cost(&Frame::Down(DownItem::Accepted(run)), 0), 14);
    let ping = cost(&Frame::Control(Control::Ping), 0);
    assert_eq!(ping, 2);
    // The bounds that are promised.
    assert!(cost(&Frame::Up(UpItem::Message(longest_time)), 64) <= 12);
    assert!(cost(&Frame::Down(DownItem::Deliver(down)), 64) <= 12);
    assert!(cost(&Frame::Control(Control::Ack(1 << 24)), 0) <= 6);
}
