//! Attempts to connect that are never answered.

#[path = "../../transport-mio/src/tests/full.rs"]
mod full;
mod support;

use std::io;
use std::time::{Duration, Instant};

use e_pigeon_core::BrokerConfig;
use e_pigeon_smol::{Endpoint, client};
use full::Full;
use support::{Running, any_port, config, established, until};

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
    assert_eq!(error.to_string(), "no answer to the attempt to connect");
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
