//! Bounded work: what one call does has a limit, and what comes out comes to an end.

use crate::conversation::{Limits, limits, record, steps};
use crate::machine::{Call, Machine, Style};
use crate::quiet;
use crate::support::raw::{Raw, message};
use crate::support::uuid;
use core::time::Duration;
use e_pigeon_core::{AttributesRef, BrokerConfig, Destination, Filter, Instant, Ready};
use proptest::prelude::*;

/// After so many deliveries, and sessions looked at in vain, one call of `handle_input` stops; it ends the message that it is at.
const DELIVERIES_PER_CALL: u64 = 32_768;

#[test]
fn one_call_takes_256_messages_at_the_most_and_loses_none() {
    const MESSAGES: u64 = 1_000;
    let mut raw = Raw::new(BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::default() });
    let link = raw.up(0, 1);
    let myself = Destination::from(uuid(0));
    let bytes: Vec<u8> =
        (0..MESSAGES).flat_map(|n| message((n == 0).then_some(&myself), 1, None, b"coo")).collect();
    let mut rest = bytes.as_slice();
    for left in [744, 488, 232, 0] {
        let taken = raw.broker.handle_input(raw.now, link, rest).unwrap();
        rest = &rest[taken..];
        assert_eq!(raw.broker.stats().taken, MESSAGES - left);
        assert_eq!(rest.is_empty(), left == 0);
        let mut ready = core::iter::from_fn(|| raw.broker.poll_ready());
        assert_eq!(ready.any(|ready| ready == Ready::Resume(link)), left > 0, "{left} are left");
    }
}

#[test]
fn one_call_makes_a_bounded_number_of_deliveries_and_loses_nothing() {
    const SESSIONS: u64 = 300;
    const MESSAGES: u64 = 200;
    let config = BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::default() };
    let mut raw = Raw::new(config);
    for n in 1..SESSIONS {
        raw.away(n as usize, AttributesRef::EMPTY);
    }
    let link = raw.up(0, 1);
    let everyone = Filter::everyone().into();
    let bytes: Vec<u8> =
        (0..MESSAGES).flat_map(|n| message((n == 0).then_some(&everyone), 1, None, b"coo")).collect();
    let (mut rest, mut calls) = (bytes.as_slice(), 0);
    while !rest.is_empty() {
        let before = raw.broker.stats().routed;
        let taken = raw.broker.handle_input(raw.now, link, rest).unwrap();
        let made = raw.broker.stats().routed - before;
        rest = &rest[taken..];
        assert!(taken > 0 && made < DELIVERIES_PER_CALL + SESSIONS, "{made} deliveries");
        assert!(made >= DELIVERIES_PER_CALL || rest.is_empty(), "{made} deliveries, and it stopped");
        calls += 1;
        let mut ready = core::iter::from_fn(|| raw.broker.poll_ready());
        let resumes = ready.any(|ready| ready == Ready::Resume(link));
        assert_eq!(resumes, !rest.is_empty(), "who stopped is called to go on, and nobody else");
    }
    assert!(calls > 1, "it has stopped");
    let stats = raw.broker.stats();
    assert_eq!((stats.taken, stats.routed), (MESSAGES, MESSAGES * SESSIONS));
}

/// The most bytes that a machine of these limits may have to write without being told anything new.
fn most_bytes(limits: &Limits) -> usize {
    let client = limits.client(0);
    // Messages of an outbox or a queue, each with its head; receipts; a snapshot of presence of everybody; a hello.
    let messages = 2 * client.outbox_messages as usize * 3;
    messages * (64 + 80 + 100) + 8 * 2_000 + 2_000
}

proptest! {
    #![proptest_config(quiet(96))]

    #[test]
    fn what_comes_out_comes_to_an_end(limits in limits(), steps in steps(150)) {
        let mut conversation = record(&limits, &steps);
        // Long after everything that was.
        let now = Instant::from_micros(3_600_000_000);
        let most = most_bytes(&limits);
        let mut style = Style::whole();
        for peer in &mut conversation.peers {
            let client = &mut peer.recorded.machine;
            let written = client.call(now, &Call::Transmit(0, most), &mut style).written.concat().len();
            prop_assert!(written < most, "{} bytes, {} are the most", written, most);
            let config = limits.client(0);
            let events = 2 * config.outbox_messages + config.inbox_messages + u32::from(config.presence_items) + 8;
            let told = client.call(now, &Call::Events(events as usize + 1), &mut style).told.len();
            prop_assert!(told <= events as usize, "{} events, {} are the most", told, events);
        }
        let broker = &mut conversation.broker.machine;
        for link in 0..broker.links.len() {
            let written = broker.call(now, &Call::Transmit(link, most), &mut style).written.concat().len();
            prop_assert!(written < most, "{} bytes, {} are the most", written, most);
        }
        let ready = core::iter::from_fn(|| broker.broker.poll_ready()).take(3 * broker.links.len() + 1).count();
        prop_assert!(ready <= 3 * broker.links.len(), "each link is named at most once for each thing it wants");
    }
}
