//! Faults of a client that were found once, each as the scenario that showed it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use core::cell::Cell;
use core::time::Duration;
use e_pigeon_core::wire::control::{Abort, Control, Welcome};
use e_pigeon_core::wire::item::{DownItem, Reply};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, Client, Close, Destination, Framing, Instant, Message, RefusalReason, SendError,
};
use std::rc::Rc;
use support::raw::frame;
use support::{MAX, World, client_config, make, uuid};

fn welcome(session: u64) -> Vec<u8> {
    let welcome = Welcome {
        epoch: [9; 8],
        session,
        resumed: None,
        window: Window { messages: 10, bytes: 10_000 },
        max_payload: 1_000,
        slots: 4,
        keep_alive_ms: 10_000,
        session_ttl_ms: 600_000,
    };
    frame(|w| Control::Welcome(welcome).write(w))
}

fn abort(code: AbortCode) -> Vec<u8> {
    frame(|w| Control::Abort(Abort { code, detail: 0 }).write(w))
}

/// A broker that welcomes a client and ends the link so much later; returns how long the client waits then.
fn visit(client: &mut Client<Vec<u8>>, now: &mut Instant, session: u64, lasts: Duration) -> Duration {
    client.handle_timeout(*now);
    assert!(client.wants_connection());
    client.handle_connected(*now);
    while client.poll_transmit(*now, &mut [0; 512]).unwrap() > 0 {}
    client.handle_input(*now, &welcome(session));
    assert!(client.is_established());
    *now = *now + lasts;
    client.handle_input(*now, &abort(AbortCode::ShuttingDown));
    client.handle_disconnected(*now);
    while client.poll_event().is_some() {}
    let retry_at = client.poll_timeout().unwrap();
    let delay = retry_at.saturating_duration_since(*now);
    *now = retry_at;
    delay
}

#[test]
fn attack_r15_a_broker_that_welcomes_and_aborts_in_a_loop_is_asked_ever_more_rarely() {
    let mut client = make(client_config(0));
    let mut now = Instant::from_micros(1);
    let delays: Vec<_> = (1..=20).map(|n| visit(&mut client, &mut now, n, Duration::ZERO)).collect();
    let max = client_config(0).reconnect_max;
    assert!(delays[0] <= Duration::from_millis(50), "{delays:?}");
    assert!(delays[8..].iter().all(|&delay| delay >= max / 2 && delay <= max), "{delays:?}");
    // A link that has lasted for an interval works.
    let short = visit(&mut client, &mut now, 21, Duration::from_millis(9_999));
    assert!(short >= max / 2, "{short:?}");
    let lasting = visit(&mut client, &mut now, 22, Duration::from_secs(10));
    assert!(lasting <= Duration::from_millis(50), "{lasting:?}");
}

#[test]
fn a_network_that_cuts_links_which_carry_something_is_come_back_to_at_once() {
    let mut client = make(client_config(0));
    let mut now = Instant::from_micros(1);
    for session in 1..=30 {
        client.handle_timeout(now);
        client.handle_connected(now);
        while client.poll_transmit(now, &mut [0; 512]).unwrap() > 0 {}
        client.handle_input(now, &welcome(session));
        let refusal = DownItem::Reply(Reply::AttributesRefused(RefusalReason::NotAllowed));
        client.handle_input(now, &frame(|w| refusal.write(w)));
        while client.poll_event().is_some() {}
        while client.poll_transmit(now, &mut [0; 512]).unwrap() > 0 {}
        client.handle_disconnected(now);
        while client.poll_event().is_some() {}
        let retry_at = client.poll_timeout().unwrap();
        assert!(retry_at.saturating_duration_since(now) <= Duration::from_millis(50), "session {session}");
        now = retry_at;
    }
}

#[test]
fn core_p12_a_client_that_never_gets_a_connection_never_panics() {
    for (min, max) in [
        (Duration::from_nanos(1), Duration::MAX),
        (Duration::from_millis(100), Duration::MAX),
        (Duration::from_micros(3), Duration::from_secs(u64::MAX / 1_000_000 - 1)),
    ] {
        let mut config = client_config(0);
        (config.reconnect_min, config.reconnect_max) = (min, max);
        let mut client = make(config);
        for n in 0..300 {
            client.handle_connected(Instant::from_micros(n));
            client.handle_disconnected(Instant::from_micros(n));
        }
        assert!(client.poll_timeout().is_none_or(|at| at > Instant::from_micros(300)));
    }
}

#[test]
fn specification_f3_a_time_to_live_of_zero_is_refused_and_says_so() {
    let mut client = make(client_config(0));
    let to = uuid(1).into();
    let send = |client: &mut Client<Vec<u8>>, time_to_live| {
        client.send(Instant::default(), &Message::new(&to, b"x").time_to_live(time_to_live))
    };
    let refused = send(&mut client, Duration::ZERO).unwrap_err();
    assert_eq!(refused, SendError::NoTime);
    assert!(refused.to_string().contains("at least 1 ms"), "{refused}");
    assert_eq!(send(&mut client, Duration::from_nanos(999)), Err(SendError::NoTime));
    assert_eq!(client.unanswered().count(), 0);
    assert!(send(&mut client, Duration::from_micros(1)).is_ok(), "rounded up to a millisecond");
}

/// The broker has noted a goodbye whose farewell is lost, and a message is parked. The client that comes back to say
/// goodbye again does not take it away from the next one that matches.
#[test]
fn specification_f2_who_leaves_twice_takes_no_parked_message_along() {
    let mut world = World::new(2);
    world.close(1, Close::EndSession);
    world.up(1, MAX);
    world.broker.handle_timeout(world.now);
    // The farewell is lost.
    world.cut(1);
    world.peers[1].reachable = false;
    let to_group = world.send(0, &support::group("a").exclude_self(), "group");
    let to_uuid = world.send_for(0, &uuid(1).into(), "direct", Duration::from_secs(30));
    world.settle();
    assert_eq!(world.broker.stats().waiting, 2, "both are parked");
    world.peers[1].reachable = true;
    world.settle();
    assert!(world.peers[1].client.is_closed());
    assert_eq!(world.broker.stats().waiting, 2, "and stay so");
    let third = world.join(client_config(2), "a");
    world.pass(Duration::from_secs(31));
    assert_eq!(world.messages(third), ["group"]);
    assert_eq!(world.outcome(0, to_group), Some((1, 1)));
    assert_eq!(world.outcome(0, to_uuid).map(|outcome| outcome.0), Some(0));
}

/// A client that leaves with messages to send again still says who it is: rights may hang on that.
#[test]
fn who_leaves_with_something_to_say_has_its_attributes() {
    let mut world = World::new(2);
    world.cut(0);
    let to: Destination = uuid(1).into();
    world.send(0, &to, "last");
    world.close(0, Close::EndSession);
    world.settle();
    assert!(world.peers[0].client.is_closed());
    assert_eq!(world.messages(1), ["last"]);
}

#[test]
fn core_p13_a_datagram_that_does_not_fit_waits_for_room() {
    let mut config = client_config(0);
    config.framing = Framing::Datagram;
    let most = config.max_datagram();
    let mut client = make(config);
    let now = Instant::from_micros(1);
    client.handle_connected(now);
    let error = client.poll_transmit(now, &mut [0; 40]).unwrap_err();
    assert!(client.wants_transmit(), "a hello is larger, and is not cut in two");
    let mut out = vec![0; most];
    let hello = client.poll_transmit(now, &mut out).unwrap();
    assert!(hello > 40 && hello == error.needed, "{hello}: {error}");
    assert_eq!(client.poll_transmit(now, &mut out).unwrap(), 0);
}

/// A block of memory that gets lost.
struct Shrinks(Vec<u8>, Rc<Cell<bool>>);

impl AsRef<[u8]> for Shrinks {
    fn as_ref(&self) -> &[u8] {
        if self.1.get() { &[] } else { &self.0 }
    }
}

impl AsMut<[u8]> for Shrinks {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.1.get() { &mut [] } else { &mut self.0 }
    }
}

#[test]
#[cfg_attr(any(debug_assertions, feature = "strict"), should_panic = "please report it")]
fn a_client_in_which_a_bug_is_found_is_broken() {
    let config = client_config(0);
    let is_gone = Rc::new(Cell::new(false));
    let memory = Shrinks(vec![0; config.memory_needed()], is_gone.clone());
    let mut client = Client::new(config, memory).unwrap();
    client.handle_connected(Instant::default());
    assert!(!client.is_broken());
    is_gone.set(true);
    client.handle_input(Instant::default(), &[1]);
    assert!(client.is_broken());
}
