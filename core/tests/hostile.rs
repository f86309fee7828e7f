//! Peers that break the rules or bend them: what they cost the broker, and what the others notice.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::control::{Control, Known};
use e_pigeon_core::{
    Attributes, AttributesRef, BrokerConfig, Close, Destination, Filter, Instant, LinkId, Message, Past,
    SendError, Value,
};
use support::counting::{Counting, live};
use support::raw::{Raw, WIDE, frame, hello, message, message_for};
use support::{MAX, World, uuid};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A client that reads but never acknowledges its receipts, and does not care that its window was shut.
#[test]
fn receipts_that_are_never_acknowledged_do_not_pile_up() {
    let config = BrokerConfig::new(0).receipt_backlog(16).window_messages(64);
    let mut raw = Raw::new(config);
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(9)).only_connected();
    let mut first = true;
    let before = live();
    for _ in 0..200_000 {
        // Every other id, so that no receipt joins the one before.
        let bytes = message(first.then_some(&to), 2, None, b"");
        first = false;
        if raw.broker.handle_input(raw.now, link, &bytes).is_err() {
            return;
        }
        raw.swallow(link);
    }
    let grown = live() - before;
    assert!(
        raw.broker.stats().connected == 0 || grown < 100_000,
        "{grown} bytes more; {:?}",
        raw.broker.stats()
    );
}

/// The same over links: retries of what is in flight are answered each time, and the answers are kept.
#[test]
fn answers_to_retries_do_not_pile_up_over_links() {
    let config = BrokerConfig::new(0).receipt_backlog(16).window_messages(64);
    let mut raw = Raw::new(config);
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(9));
    for k in 0..64 {
        raw.put(link, &message((k == 0).then_some(&to), 2, None, b""));
    }
    raw.broker.handle_disconnected(raw.now, link);
    let measure = |raw: &mut Raw, from: u64| {
        for n in from..from + 200 {
            let link = raw.up(0, n);
            for k in 0..64 {
                raw.put(link, &message((k == 0).then_some(&to), 2, Some(Past::Sent), b""));
            }
            raw.swallow(link);
            raw.broker.handle_disconnected(raw.now, link);
        }
        live()
    };
    let a = measure(&mut raw, 2);
    let b = measure(&mut raw, 202);
    assert!(b - a < 10_000, "{} bytes more", b - a);
}

/// The same, each link resumed: one more window of new messages on each.
#[test]
fn a_shut_window_stays_shut_over_resumed_links() {
    let config = BrokerConfig::new(0).receipt_backlog(16).window_messages(64);
    let mut raw = Raw::new(config);
    let mut link = raw.up(0, 1);
    let to = Destination::from(uuid(9)).only_connected();
    let mut id = 0;
    let mut measure = |raw: &mut Raw, from: u64| {
        for n in from..from + 200 {
            for k in 0..64 {
                id += 2;
                let step = if k == 0 { id } else { 2 };
                raw.put(link, &message((k == 0).then_some(&to), step, None, b""));
            }
            raw.swallow(link);
            raw.broker.handle_disconnected(raw.now, link);
            let known =
                Known { epoch: 1_u64.to_le_bytes(), session: 1, received: 0, acknowledged: 0, window: WIDE };
            link = raw.link();
            raw.put(link, &hello(0, n, Some(known), AttributesRef::EMPTY));
            raw.swallow(link);
        }
        live()
    };
    let a = measure(&mut raw, 2);
    let b = measure(&mut raw, 202);
    assert!(b - a < 10_000, "{} bytes more, {:?}", b - a, raw.broker.stats());
}

/// A message that is refused at once (too large) makes a receipt too, but nobody looks at the backlog.
#[test]
fn receipts_of_refused_messages_shut_the_window_too() {
    let config = BrokerConfig::new(0).receipt_backlog(16).window_messages(64).max_payload(64);
    let mut raw = Raw::new(config);
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(9));
    let before = live();
    for k in 0..100_000 {
        raw.put(link, &message((k == 0).then_some(&to), 2, None, &[0; 65]));
        raw.swallow(link);
    }
    let grown = live() - before;
    let connected = raw.broker.stats().connected;
    assert!(grown < 100_000, "{grown} bytes more, connected {connected}");
}

/// Matching looks at many sessions and finds none: that is work too.
#[test]
fn looking_for_recipients_is_work_also_where_there_are_none() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    for n in 1..20_001 {
        raw.away(n, AttributesRef::EMPTY);
    }
    let link = raw.up(0, 1);
    let to = Destination::from(Filter::everyone()).only_connected().exclude_self();
    let mut bytes = vec![];
    for k in 0..4_000 {
        bytes.extend(message((k == 0).then_some(&to), 1, None, b""));
    }
    let start = std::time::Instant::now();
    let taken = raw.broker.handle_input(raw.now, link, &bytes).unwrap();
    let took = start.elapsed();
    assert!(
        taken < bytes.len(),
        "all {} bytes in one call of {took:?}, {} sessions looked at each",
        bytes.len(),
        20_000
    );
}

/// The same with two common pairs that nobody has both of.
#[test]
fn looking_for_recipients_by_two_common_pairs_is_work() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let mut a = Attributes::new();
    a.set("a", Value::Int(1)).unwrap();
    let mut b = Attributes::new();
    b.set("b", Value::Int(1)).unwrap();
    for n in 1..20_001 {
        raw.away(n, if n % 2 == 0 { a.as_ref() } else { b.as_ref() });
    }
    let link = raw.up(0, 1);
    let to: Destination = Filter::all_of(&[("a", Value::Int(1)), ("b", Value::Int(1))]).unwrap().into();
    let mut bytes = vec![];
    for k in 0..4_000 {
        bytes.extend(message((k == 0).then_some(&to), 1, None, b""));
    }
    let start = std::time::Instant::now();
    let taken = raw.broker.handle_input(raw.now, link, &bytes).unwrap();
    let took = start.elapsed();
    assert!(taken < bytes.len(), "all in one call of {took:?}");
}

/// All places belong to messages that have ended and have a number: each further message searches all queues.
#[test]
fn a_broker_full_of_ended_messages_does_not_search_all_queues_for_each_message() {
    let count = 16_000_u32;
    let config = BrokerConfig::new(0).max_messages(4 * count).window_messages(100_000);
    let mut raw = Raw::new(config);
    let links: Vec<LinkId> = (1..=4).map(|n| raw.up(n, 1)).collect();
    let from = raw.up(0, 1);
    for n in 1..=4 {
        let to = Destination::from(uuid(n));
        let mut bytes = vec![];
        for k in 0..count {
            bytes.extend(message_for((k == 0).then_some(&to), 1, None, 100, b""));
        }
        raw.put_all(from, &bytes);
        raw.swallow(from);
    }
    for &link in &links {
        raw.swallow(link);
    }
    raw.now = raw.now + Duration::from_secs(1);
    while raw.broker.poll_timeout().is_some_and(|at| at <= raw.now) {
        raw.broker.handle_timeout(raw.now);
    }
    raw.drain();
    raw.swallow(from);
    assert_eq!(raw.broker.stats().open, 0);
    let one = |raw: &mut Raw, n: u32| {
        let mut bytes = vec![];
        for _ in 0..n {
            bytes.extend(message_for(None, 1, None, 100, b""));
        }
        let start = std::time::Instant::now();
        raw.put_all(from, &bytes);
        start.elapsed()
    };
    let took = one(&mut raw, 2_000);
    assert!(
        took < Duration::from_millis(100),
        "2,000 small messages took {took:?}; {:?}",
        raw.broker.stats()
    );
}

/// Ids of retries that go into the middle of what is in flight.
#[test]
fn a_retry_in_the_middle_of_what_is_in_flight_costs_little() {
    let mut raw = Raw::new(BrokerConfig::new(0).window_messages(200_000));
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(9));
    let fill = |raw: &mut Raw, link, first: u64, n: u64, to: &Destination, past| {
        let mut bytes = vec![];
        for k in 0..n {
            bytes.extend(message((k == 0).then_some(to), if k == 0 { first } else { 1 }, past, b""));
        }
        let start = std::time::Instant::now();
        raw.put_all(link, &bytes);
        start.elapsed()
    };
    fill(&mut raw, link, 1, 50_000, &to, None);
    let easy = fill(&mut raw, link, 10_000_000, 50_000, &to, None);
    raw.swallow(link);
    let link = raw.up(0, 2);
    let nobody = Destination::from(uuid(9)).only_connected();
    let hard = fill(&mut raw, link, 1_000_000, 20_000, &nobody, Some(Past::Sent));
    assert!(hard < easy * 20, "20,000 took {hard:?}, the 50,000 before {easy:?}");
}

/// A goodbye that was read counts, also where the connection is lost before anything was polled.
#[test]
fn a_goodbye_counts_though_the_connection_is_lost_right_behind_it() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let link = raw.up(0, 1);
    raw.put(link, &frame(|w| Control::Goodbye(true).write(w)));
    raw.broker.handle_disconnected(raw.now, link);
    assert_eq!(raw.broker.stats().sessions, 0);
}

/// All messages have ended and were polled; there is no link, so their places stay taken.
#[test]
fn what_expired_without_a_session_gives_its_place_back() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let mut sent = 0;
    let now = world.now;
    let to = uuid(1).into();
    let outgoing = Message::new(&to, b"x").time_to_live(Duration::from_secs(60));
    // Written, so they have numbers, but nothing comes back.
    while world.peers[0].client.send(now, &outgoing).is_ok() {
        sent += 1;
    }
    let mut out = [0; 4096];
    while world.peers[0].client.poll_transmit(now, &mut out).unwrap() > 0 {}
    world.half_open(0);
    world.peers[0].reachable = false;
    world.now = world.now + world.config.session_ttl + Duration::from_secs(100);
    let now = world.now;
    let client = &mut world.peers[0].client;
    client.handle_timeout(now);
    client.handle_timeout(now);
    let mut ended = 0;
    let mut capacity = 0;
    while let Some(event) = client.poll_event() {
        match event {
            e_pigeon_core::Event::Receipt(_) => ended += 1,
            e_pigeon_core::Event::CapacityAvailable => capacity += 1,
            _ => {}
        }
    }
    assert_eq!((ended, client.unanswered().count()), (sent, 0));
    let again = client.send(now, &outgoing);
    assert!(
        again != Err(SendError::Full) && capacity == 1,
        "{again:?}, capacity {capacity}, nothing is unanswered"
    );
}

#[test]
fn what_the_broker_never_takes_is_answered_as_soon_as_that_is_known() {
    let config = BrokerConfig::new(0).max_payload(100).window_bytes(100);
    let mut world = World::with(2, config);
    let now = world.now;
    let to: Destination = uuid(1).into();
    let large = Message::new(&to, &[b'x'; 200]);
    assert_eq!(world.peers[0].client.send(now, &large), Err(SendError::TooLarge { max: 100 }));
    let n = world.join(support::client_config(2), "a");
    let id = world.peers[n].client.send(now, &large).unwrap();
    world.close(n, Close::KeepSession);
    world.settle();
    assert_eq!(world.outcome(n, id), Some((0, 0)));
    assert!(world.peers[n].client.is_closed(), "nothing is left to be said");
}

/// The session ends as its client said, whatever becomes of the link.
#[test]
fn a_goodbye_counts_though_rubbish_follows_it() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let link = raw.up(0, 1);
    let mut bytes = frame(|w| Control::Goodbye(true).write(w));
    bytes.extend_from_slice(&[1, 0xff]);
    raw.put(link, &bytes);
    assert_eq!(raw.broker.stats().sessions, 0);
}

/// "After GOODBYE it writes no more items."
#[test]
fn nothing_follows_a_goodbye() {
    let mut world = World::new(2);
    world.send(0, &uuid(1).into(), "hold");
    world.kill_broker();
    // The broker settles, so the window is shut.
    world.now = world.now + Duration::from_millis(100);
    let now = world.now;
    world.peers[0].client.handle_timeout(now);
    world.connect(0);
    world.up(0, MAX);
    let link = world.peers[0].link.unwrap();
    let mut out = [0; 4096];
    let n = world.broker.poll_transmit(now, link, &mut out).unwrap();
    let client = &mut world.peers[0].client;
    client.handle_input(now, &out[..n]);
    assert!(client.is_established());
    client.close(now, Close::KeepSession);
    let mut said = vec![];
    let n = client.poll_transmit(now, &mut out).unwrap();
    said.extend_from_slice(&out[..n]);
    assert_eq!(said, [2, 9, 0], "goodbye");
    // It opens before the broker reads that.
    client.handle_input(now, &frame(|w| Control::Window(WIDE).write(w)));
    let n = client.poll_transmit(now, &mut out).unwrap();
    assert_eq!(out[..n], [0; 0], "after the goodbye");
}

/// "A connection that is idle holds no buffer."
#[test]
fn an_idle_link_holds_no_large_buffer() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let link = raw.up(0, 1);
    let to = Destination::from(uuid(9)).only_connected();
    let before = live();
    let bytes = message(Some(&to), 1, None, &[7; 60_000]);
    raw.put(link, &bytes[..50_000]);
    raw.put(link, &bytes[50_000..]);
    drop(bytes);
    raw.swallow(link);
    raw.now = raw.now + BrokerConfig::new(0).keep_alive;
    raw.broker.handle_timeout(raw.now);
    assert_eq!(raw.broker.stats().open, 0);
    let more = live() - before;
    // The pool may keep the one buffer of the payload.
    assert!(more < 65_536 + 10_000, "{more} bytes more");
}

/// Broker::close in every phase, with out buffers of one byte.
#[test]
fn close_in_every_phase_ends_all_links_by_one_byte_at_a_time() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let fresh = raw.link();
    let welcomed_not_written = raw.link();
    raw.put(welcomed_not_written, &hello(1, 1, None, AttributesRef::EMPTY));
    let half = raw.link();
    raw.put(half, &hello(2, 1, None, AttributesRef::EMPTY));
    assert_eq!(raw.broker.poll_transmit(raw.now, half, &mut [0; 3]), Ok(3));
    let up = raw.up(3, 1);
    let leaving = raw.up(4, 1);
    raw.put(leaving, &frame(|w| Control::Goodbye(false).write(w)));
    raw.broker.close(raw.now);
    raw.broker.close(raw.now);
    let mut closed = 0;
    for link in [fresh, welcomed_not_written, half, up, leaving] {
        let mut said = vec![];
        let mut out = [0];
        while let Ok(1) = raw.broker.poll_transmit(raw.now, link, &mut out) {
            said.push(out[0]);
        }
        assert!(said == [3, 3, 16, 0] || link == half && said.is_empty(), "{said:?}");
    }
    while let Some(ready) = raw.broker.poll_ready() {
        if let e_pigeon_core::Ready::Close(link) = ready {
            closed += 1;
            raw.broker.handle_disconnected(raw.now, link);
        }
    }
    assert_eq!((closed, raw.broker.stats().links, raw.broker.stats().connected), (5, 0, 0));
}

/// Connected twice, time that runs back, closed over several links.
#[test]
fn odd_orders_of_calls_harm_nobody() {
    let mut world = World::new(2);
    let id = world.send(0, &uuid(1).into(), "one");
    let now = world.now;
    let back = Instant::from_micros(0);
    let client = &mut world.peers[0].client;
    client.handle_connected(back);
    client.handle_connected(back);
    client.handle_timeout(back);
    client.handle_disconnected(back);
    client.handle_disconnected(now);
    world.peers[0].link = None;
    world.pass(Duration::from_secs(60));
    assert_eq!(world.outcome(0, id), Some((1, 1)));
    world.close(0, Close::EndSession);
    world.close(0, Close::KeepSession);
    for _ in 0..5 {
        world.up(0, 1);
        world.cut(0);
        world.now = world.now + Duration::from_secs(6);
        let now = world.now;
        world.peers[0].client.handle_timeout(now);
        world.connect(0);
    }
    world.pass(Duration::from_secs(60));
    assert!(world.peers[0].client.is_closed());
}

/// Forgetting a session: what was written is sent again with the mark, attributes are all in the hello, nothing twice.
#[test]
fn a_forgotten_session_loses_nothing() {
    let mut world = World::new(2);
    world.cut(1);
    world.peers[1].reachable = false;
    let written = world.send_for(0, &uuid(1).into(), "written", Duration::from_secs(100_000));
    world.settle();
    let now = world.now;
    world.half_open(0);
    world.peers[0].reachable = false;
    world.peers[0].client.set(now, "mood", Value::Int(1)).unwrap();
    let new = world.send_for(0, &uuid(1).into(), "new", Duration::from_secs(100_000));
    world.pass(world.config.session_ttl + Duration::from_secs(60));
    let now = world.now;
    world.peers[0].client.remove(now, "mood").unwrap();
    world.peers[0].client.set(now, "room", Value::Str("b")).unwrap();
    assert_eq!(world.peers[0].client.unanswered().count(), 2);
    world.peers[0].reachable = true;
    world.pass(Duration::from_secs(30));
    world.peers[1].reachable = true;
    world.pass(Duration::from_secs(30));
    assert_eq!(world.messages(1), ["written", "new"]);
    assert_eq!((world.outcome(0, written), world.outcome(0, new)), (Some((1, 1)), Some((1, 1))));
}
