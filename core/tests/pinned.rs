//! Nothing that has ended, and nobody who does not read, holds what belongs to others.
#![allow(clippy::unwrap_used)]

mod support;

use e_pigeon_core::wire::control::{Control, Welcome};
use e_pigeon_core::wire::item::{Deliver, DownItem, Origin, UpItem};
use e_pigeon_core::{Client, Event, Instant};
use support::raw::{WIDE, frame};
use support::{client_config, make};

/// A client that was welcomed, and what it has to say.
fn welcomed() -> (Client<Vec<u8>>, Instant) {
    let (mut client, now) = (make(client_config(1)), Instant::from_micros(1));
    client.handle_connected(now);
    said(&mut client, now);
    let welcome = Welcome {
        epoch: [1; 8],
        session: 1,
        resumed: None,
        window: WIDE,
        max_payload: 1 << 16,
        slots: 4,
        keep_alive_ms: 10_000,
        session_ttl_ms: 10_000,
    };
    client.handle_input(now, &frame(|w| Control::Welcome(welcome).write(w)));
    (client, now)
}

fn said(client: &mut Client<Vec<u8>>, now: Instant) -> Vec<u8> {
    let (mut all, mut out) = (Vec::new(), [0; 4096]);
    while let written @ 1.. = client.poll_transmit(now, &mut out) {
        all.extend_from_slice(&out[..written]);
    }
    all
}

fn delivery(id_step: i64) -> Vec<u8> {
    let define = Some(Origin { uuid: [9; 16], boot: 1 });
    let deliver =
        Deliver { alias: 0, define, id_step, retry: None, late: false, direct: true, payload: b"coo" };
    frame(|w| DownItem::Deliver(deliver).write(w))
}

#[test]
fn core_p1_a_client_takes_void_for_as_many_items() {
    let (mut client, now) = welcomed();
    let input = [
        delivery(1),
        frame(|w| DownItem::Void(1_000).write(w)),
        delivery(2),
        frame(|w| DownItem::Void(u32::MAX).write(w)),
    ];
    client.handle_input(now, &input.concat());
    assert!(client.is_established());
    // The first message waits for the application, and so does the acknowledgement of what came after it.
    assert_eq!(said(&mut client, now), []);
    let mut messages = 0;
    while messages < 2 {
        messages += u32::from(matches!(client.poll_event().unwrap(), Event::Message(_)));
    }
    // That the second is asked for takes the first.
    assert_eq!(said(&mut client, now), frame(|w| Control::Ack(1_001).write(w)));
    assert_eq!(client.poll_event(), None, "no event for what is void");
    let rest = 1 + u64::from(u32::MAX);
    assert_eq!(said(&mut client, now), frame(|w| Control::Ack(rest).write(w)));
}

#[test]
fn core_p1_a_broker_refuses_void_from_a_client() {
    let void = frame(|w| DownItem::Void(1).write(w));
    assert!(UpItem::read(void[1], &mut e_pigeon_core::codec::Reader::new(&void[2..])).is_err());
}
