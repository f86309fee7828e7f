//! Attempts to connect that are never answered.

#[path = "../../transport-mio/src/tests/full.rs"]
mod full;
mod support;

use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use e_pigeon_core::{Broker as Core, BrokerConfig};
use e_pigeon_smol::{Endpoint, Event, client};
use full::Full;
use support::{Running, any_port, config, established, outgoing, soon, to, until};

#[test]
fn program_8_an_attempt_that_is_never_answered_has_an_end() {
    let full = Full::new();
    let (alice, mut driver) = client(config(1), full.address).expect("a config that works");
    driver.set_connect_timeout(Duration::from_millis(300));
    let begun = Instant::now();
    let task = smol::spawn(driver.run());
    smol::block_on(until("the attempt is over", || alice.last_error().is_some()));
    let error = alice.last_error().expect("a time-out");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    assert_eq!(error.to_string(), "the attempt to connect timed out");
    let took = begun.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
    drop(task);
}

#[test]
fn program_8_an_attempt_has_ten_seconds_but_others_are_tried_meanwhile() {
    let full = Full::new();
    let broker = Running::start(BrokerConfig::new(0), 1, any_port());
    let endpoints: Vec<Endpoint> = vec![full.address.into(), broker.endpoint.clone()];
    let begun = Instant::now();
    let (alice, driver) = client(config(1), endpoints).expect("a config that works");
    let task = smol::spawn(driver.run());
    smol::block_on(established(&alice));
    assert_eq!(alice.connected_to(), Some(broker.endpoint.clone()));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(task);
    smol::block_on(broker.stop());
}

/// The first broker is full, says so, and never closes. What is left of that connection ends a second later.
#[test]
fn program_21_the_deadline_of_an_old_connection_ends_no_other() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let full = listener.local_addr().expect("its address");
    let broker = Running::start(BrokerConfig::new(0), 1, any_port());
    let endpoints: Vec<Endpoint> = vec![full.into(), broker.endpoint.clone()];
    let (alice, driver) = client(config(1), endpoints).expect("a config that works");
    let task = smol::spawn(driver.run());
    let (mut old, _) = listener.accept().expect("the first is tried");
    old.write_all(Core::FULL).expect("written");
    smol::block_on(async {
        established(&alice).await;
        let begun = Instant::now();
        until("the old connection is dropped", || old.write(b"x").is_err()).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let sent = alice.send(&outgoing(&to(1), b"still here")).expect("room");
        let event = soon("a message", alice.next_event()).await;
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
        drop((sent, task));
        broker.stop().await;
    });
}
