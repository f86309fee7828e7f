//! When a broker acknowledges what a client sends: with what it writes anyway, unless something presses.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::UpItem;
use e_pigeon_core::{BrokerConfig, LinkId, Ready, Value};
use support::raw::{Raw, frame, message};
use support::uuid;

fn config() -> BrokerConfig {
    BrokerConfig::new(0).settle(Duration::ZERO).window_messages(8).window_bytes(1 << 16)
}

/// Gives the broker bytes, and returns which links then have something to write.
fn ready_after(raw: &mut Raw, link: LinkId, bytes: &[u8]) -> Vec<LinkId> {
    assert_eq!(raw.broker.handle_input(raw.now, link, bytes), Ok(bytes.len()));
    let mut links = Vec::new();
    while let Some(ready) = raw.broker.poll_ready() {
        if let Ready::Transmit(link) = ready {
            links.push(link);
        }
    }
    links
}

fn ack(items: u64) -> Vec<u8> {
    frame(|writer: &mut Writer<'_>| Control::Ack(items).write(writer))
}

/// The kinds of frames, all of them short.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        kinds.push(rest[0]);
        bytes = &rest[usize::from(length)..];
    }
    kinds
}

#[test]
fn messages_are_acknowledged_with_their_receipts() {
    let mut raw = Raw::new(config());
    let (from, to) = (raw.up(0, 1), raw.up(1, 1));
    let bytes = message(Some(&uuid(1).into()), 1, None, b"one");
    assert_eq!(ready_after(&mut raw, from, &bytes), [to], "the sender has nothing to wait for yet");
    assert_eq!(kinds(&raw.swallow(to)), [0x29]);
    assert_eq!(ready_after(&mut raw, to, &ack(1)), [from]);
    assert_eq!(kinds(&raw.swallow(from)), [0x06, 0x31]);
    assert_eq!(ready_after(&mut raw, from, &ack(1)), [], "nobody waits for anything");
}

#[test]
fn messages_that_wait_are_acknowledged_when_they_are_accepted() {
    let mut raw = Raw::new(config());
    let from = raw.up(0, 1);
    let bytes = message(Some(&uuid(1).into()), 1, None, b"one");
    assert_eq!(ready_after(&mut raw, from, &bytes), []);
    raw.now = raw.now + config().accept_delay;
    raw.broker.handle_timeout(raw.now);
    assert_eq!(raw.broker.poll_ready(), Some(Ready::Transmit(from)));
    assert_eq!(kinds(&raw.swallow(from)), [0x06, 0x30]);
}

#[test]
fn half_a_window_presses() {
    let mut raw = Raw::new(config());
    let (from, to) = (raw.up(0, 1), raw.up(1, 1));
    let mut bytes = message(Some(&uuid(1).into()), 1, None, b"one");
    bytes.extend((0..2).flat_map(|_| message(None, 1, None, b"more")));
    assert_eq!(ready_after(&mut raw, from, &bytes), [to]);
    assert!(ready_after(&mut raw, from, &message(None, 1, None, b"half")).contains(&from));
    assert_eq!(kinds(&raw.swallow(from)), [0x06]);
    assert!(!ready_after(&mut raw, from, &message(None, 1, None, b"small")).contains(&from));

    let large = |define: bool| {
        let to = uuid(1).into();
        message(define.then_some(&to), 1, None, &[0; 4_000])
    };
    let mut raw = Raw::new(config().window_messages(100));
    let (from, _) = (raw.up(0, 1), raw.up(1, 1));
    let bytes: Vec<u8> = (0..8).flat_map(|n| large(n == 0)).collect();
    assert!(!ready_after(&mut raw, from, &bytes).contains(&from));
    assert!(ready_after(&mut raw, from, &large(false)).contains(&from));
}

#[test]
fn what_has_no_receipt_is_acknowledged_at_once() {
    let mut raw = Raw::new(config());
    let from = raw.up(0, 1);
    let mut wanted = e_pigeon_core::Attributes::new();
    wanted.set("room", Value::Str("a")).unwrap();
    let unwatch = frame(|writer| UpItem::Unwatch(7).write(writer));
    assert_eq!(ready_after(&mut raw, from, &unwatch), [from]);
    assert_eq!(kinds(&raw.swallow(from)), [0x06]);
}

#[test]
fn what_waits_for_the_window_goes_on_with_an_acknowledgement() {
    let mut raw = Raw::new(config());
    let (from, to) = (raw.up(0, 1), raw.up(1, 1));
    let narrow = frame(|writer| {
        Control::Window(e_pigeon_core::wire::window::Window { messages: 1, bytes: 100 }).write(writer);
    });
    ready_after(&mut raw, to, &narrow);
    let mut bytes = message(Some(&uuid(1).into()), 1, None, b"one");
    bytes.extend(message(None, 1, None, b"two"));
    ready_after(&mut raw, from, &bytes);
    assert_eq!(kinds(&raw.swallow(to)), [0x29]);
    assert!(ready_after(&mut raw, to, &ack(1)).contains(&to), "the second has room now");
    assert_eq!(kinds(&raw.swallow(to)), [0x28]);
}
