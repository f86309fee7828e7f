//! `handle_input` never takes what it cannot keep: what an end says that it has received is what it has, whatever a
//! peer throws at it beyond the windows that it was told.

use crate::conversation::Limits;
use crate::machine::{ClientMachine, Machine};
use crate::quiet;
use crate::support::raw::{Raw, WIDE, frame, hello, message};
use crate::support::uuid;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Control, Hello, Known, Welcome};
use e_pigeon_core::wire::frame::extent;
use e_pigeon_core::wire::item::{Deliver, DownItem, Origin};
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, BrokerConfig, Event, Framing, Instant};
use proptest::prelude::*;

const NOW: Instant = Instant::from_micros(1_000_000);

/// The first frame of some bytes, which is one of the link.
fn first(bytes: &[u8]) -> Control<'_> {
    let extent = extent(bytes, 1 << 20).unwrap().unwrap();
    let mut reader = Reader::new(&bytes[extent.header..extent.total()]);
    let kind = reader.u8().unwrap();
    Control::read(kind, &mut reader).unwrap()
}

fn connect(machine: &mut ClientMachine) -> Hello {
    machine.client.handle_connected(NOW);
    let mut out = [0; 4_096];
    let written = machine.client.poll_transmit(NOW, &mut out).unwrap();
    match first(&out[..written]) {
        Control::Hello(hello, _) => hello,
        other => panic!("{other:?}"),
    }
}

/// Takes all messages; each says which one it is.
fn poll(machine: &mut ClientMachine, had: &mut Vec<u8>, most: usize) {
    for _ in 0..most {
        match machine.client.poll_event() {
            Some(Event::Message(message)) => had.push(message.payload[0]),
            Some(_) => {}
            None => return,
        }
    }
}

/// A hostile broker delivers, and cares for no window. Returns what the application had in the end, and what the
/// client says that it has received.
fn overrun_a_client(limits: &Limits, deliveries: &[(usize, usize)], piece: usize) -> (Vec<u8>, u64) {
    let limits = Limits { framing: Framing::Length, ..limits.clone() };
    let mut machine = ClientMachine::new(&limits.client(0));
    assert_eq!(connect(&mut machine).known, None);
    let welcome = Welcome {
        epoch: [1; 8],
        session: 1,
        resumed: None,
        window: WIDE,
        max_payload: 64,
        slots: 2,
        keep_alive_ms: 10_000,
        session_ttl_ms: 60_000,
    };
    machine.client.handle_input(NOW, &frame(|w| Control::Welcome(welcome).write(w)));
    let mut had = Vec::new();
    for (n, &(length, polls)) in deliveries.iter().enumerate() {
        let payload = vec![n as u8; length];
        let define = (n == 0).then_some(Origin { uuid: *uuid(1).as_bytes(), boot: 1 });
        let (retry, late, direct) = (None, false, true);
        let deliver = Deliver { alias: 0, define, id_step: 1, retry, late, direct, payload: &payload };
        for bytes in frame(|w| DownItem::Deliver(deliver).write(w)).chunks(piece) {
            machine.client.handle_input(NOW, bytes);
        }
        poll(&mut machine, &mut had, polls);
    }
    machine.client.handle_disconnected(NOW);
    poll(&mut machine, &mut had, usize::MAX);
    let due = machine.deadline().unwrap();
    machine.client.handle_timeout(due);
    (had, connect(&mut machine).known.unwrap().received)
}

/// A hostile client sends, and cares for no window. Returns how many messages the broker has taken, and how many items
/// it says that it has received.
fn overrun_a_broker(config: BrokerConfig, lengths: &[usize], acknowledges_at: usize) -> (u64, u64) {
    let mut raw = Raw::new(config);
    let link = raw.up(0, 1);
    let to = uuid(9).into();
    for (n, &length) in lengths.iter().enumerate() {
        let bytes = message((n == 0).then_some(&to), 1, None, &vec![7; length]);
        raw.put_all(link, &bytes);
        if n == acknowledges_at {
            raw.swallow(link);
        }
    }
    raw.broker.handle_disconnected(raw.now, link);
    let link = raw.link();
    let window = Window { messages: 1, bytes: 1 };
    let known = Known { epoch: 1_u64.to_le_bytes(), session: 1, received: 0, acknowledged: 0, window };
    raw.put(link, &hello(0, 2, Some(known), AttributesRef::EMPTY));
    match first(&raw.swallow(link)) {
        Control::Welcome(welcome) => (raw.broker.stats().taken, welcome.resumed.unwrap().received),
        other => panic!("{other:?}, kind {:02x}", kind::WELCOME),
    }
}

proptest! {
    #![proptest_config(quiet(400))]

    #[test]
    fn a_client_has_all_that_it_says_it_has_received(
        limits in crate::conversation::limits(),
        deliveries in prop::collection::vec((1_usize..=64, 0_usize..4), 1..80),
        piece in 1_usize..80,
    ) {
        let (had, received) = overrun_a_client(&limits, &deliveries, piece);
        let expected: Vec<u8> = (0..received as u8).collect();
        prop_assert_eq!(had, expected);
        prop_assert!(received > 0);
    }

    #[test]
    fn a_broker_has_all_that_it_says_it_has_received(
        limits in crate::conversation::limits(),
        lengths in prop::collection::vec(0_usize..=64, 1..20),
        acknowledges_at in 0_usize..20,
    ) {
        let config = limits.broker().settle(core::time::Duration::ZERO);
        let (taken, received) = overrun_a_broker(config, &lengths, acknowledges_at);
        prop_assert_eq!(taken, received);
        prop_assert!(received > 0);
    }
}

#[test]
fn what_overruns_a_window_is_not_received() {
    let limits = Limits { framing: Framing::Length, small_broker: true, small_clients: true, manual: false };
    let (had, received) = overrun_a_client(&limits, &[(40, 0); 10], 7);
    assert_eq!((had.as_slice(), received), (&[0, 1][..], 2), "an inbox of two messages");
    let config = limits.broker().settle(core::time::Duration::ZERO);
    assert_eq!(overrun_a_broker(config, &[40; 10], 99), (3, 3), "a window of three messages");
}
