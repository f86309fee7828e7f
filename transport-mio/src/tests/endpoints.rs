//! Attempts to connect that are never answered, and names that take their time while others go on.

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use e_pigeon_core::{Broker, BrokerConfig, Close, Uuid};

use super::full::Full;
use super::world::{World, any_port};
use crate::{Endpoint, Resolver};

#[test]
fn program_8_an_attempt_that_is_never_answered_has_an_end() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let full = Full::new();
    let begun = Instant::now();
    let alice = world.add_client(Endpoint::from(full.address));
    // From the next attempt on.
    world.clients[alice].set_connect_timeout(Duration::from_millis(300));
    world.clients[alice].reconnect();
    world.until("the attempt is over", |world| world.clients[alice].last_error().is_some());
    let error = world.clients[alice].last_error().expect("a time-out");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    assert_eq!(error.to_string(), "the attempt to connect timed out");
    let took = begun.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn program_8_an_attempt_has_ten_seconds_but_others_are_tried_meanwhile() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let full = Full::new();
    let begun = Instant::now();
    let alice = world.add_client(vec![full.address.into(), world.endpoint.clone()]);
    world.until_told(alice, "established");
    assert_eq!(world.clients[alice].connected_to(), Some(&world.endpoint));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(world.told[alice], ["established"], "that was one attempt");
}

/// The first broker is full, says so, and never closes. What is left of that connection ends a second later.
#[test]
fn program_21_the_deadline_of_an_old_connection_ends_no_other() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let full = listener.local_addr().expect("its address");
    let alice = world.add_client(vec![full.into(), world.endpoint.clone()]);
    let each = Duration::from_millis(1);
    let mut old = None;
    world.until_looking_each(each, "the first is tried", |_| {
        old = listener.accept().ok();
        old.is_some()
    });
    let (mut old, _) = old.expect("a connection");
    old.write_all(Broker::FULL).expect("written");
    world.until_told(alice, "established");
    let before = world.told[alice].len();
    let begun = Instant::now();
    world.until_looking_each(each, "the old connection is dropped", |_| old.write(b"x").is_err());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    world.send(alice, &Uuid::from_u128(1).into(), b"still here");
    world.until_told(alice, "still here");
    assert_eq!(world.told[alice][before], "still here", "{:?}", world.told);
}

/// The other drivers in the loop, its deadlines and commands go on.
#[test]
fn program_1_a_name_server_that_does_not_answer_does_not_hold_the_loop_up() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let bob = world.join();
    world.until_told(bob, "established");
    let begun = Instant::now();
    let alice = world.add_client(Resolver::new(|| {
        std::thread::sleep(Duration::from_secs(8));
        Ok(Vec::<Endpoint>::new())
    }));
    for number in 0..20 {
        world.send(bob, &Uuid::from_u128(1).into(), b"to himself");
        world.until_told(bob, &format!("{}: 1 of 1", number + 1));
    }
    let now = world.clients[alice].now();
    world.clients[alice].client().close(now, Close::EndSession);
    world.clients[alice].flush();
    world.until_told(alice, "ended: closed");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
