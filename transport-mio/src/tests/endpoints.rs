//! Attempts to connect that are never answered, and names that take their time while others go on.

use std::io;
use std::time::{Duration, Instant};

use e_pigeon_core::{BrokerConfig, Close, Uuid};

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
    assert_eq!(error.to_string(), "no answer to the attempt to connect");
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
    world.clients[alice].client().close(now, Close::End);
    world.clients[alice].flush();
    world.until_told(alice, "ended: closed");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
