//! A broker with several endpoints: one that gave no session is passed over without a back-off.
#![allow(missing_docs)]

use std::time::Duration;

use e_pigeon_core::{Broker, Client, ClientConfig, Close, Instant, Secret, Uuid};

fn client() -> Client<Vec<u8>> {
    let config = ClientConfig::new(Uuid::from_u128(1), Secret([7; 16]), 1, 1);
    let memory = vec![0; config.memory_needed()];
    Client::new(config, memory).expect("a config that works")
}

/// The delay until the client wants its next connection.
fn delay(client: &Client<Vec<u8>>, now: Instant) -> Duration {
    client.poll_timeout().expect("it tries again").saturating_duration_since(now)
}

fn refuse(client: &mut Client<Vec<u8>>, now: Instant) {
    client.handle_connected(now);
    client.handle_input(now, Broker::FULL);
    assert!(client.wants_disconnect(), "the broker is full");
    client.handle_disconnected(now);
    assert!(!client.wants_connection(), "it waits");
}

#[test]
fn field_f3_an_endpoint_without_a_session_is_passed_over_without_a_back_off() {
    let (mut client, now) = (client(), Instant::from_micros(1_000_000));
    client.handle_timeout(now);
    for _ in 0..20 {
        refuse(&mut client, now);
        assert!(client.try_elsewhere(now));
        assert!(client.wants_connection(), "there is another endpoint");
    }
    refuse(&mut client, now);
    assert!(delay(&client, now) <= Duration::from_millis(50), "the whole round is one attempt");
    assert!(client.try_elsewhere(now) && !client.try_elsewhere(now), "once for each link");
}

#[test]
fn field_f3_a_failed_attempt_is_followed_by_a_back_off() {
    let (mut client, now) = (client(), Instant::from_micros(1_000_000));
    client.handle_timeout(now);
    assert!(!client.try_elsewhere(now), "nothing was tried");
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        refuse(&mut client, now);
        assert!(client.try_elsewhere(now));
        client.handle_disconnected(now);
        assert!(!client.try_elsewhere(now) && !client.wants_connection(), "the last endpoint did not answer");
        longest = longest.max(delay(&client, now));
        let due = client.poll_timeout().expect("it tries again");
        client.handle_timeout(due);
    }
    assert!(longest >= Duration::from_millis(2500), "the back-off grows with each round, to {longest:?}");
}

#[test]
fn field_f3_a_client_that_has_ended_does_not_try_elsewhere() {
    let (mut client, now) = (client(), Instant::from_micros(1_000_000));
    client.handle_timeout(now);
    refuse(&mut client, now);
    client.close(now, Close::EndSession);
    assert!(client.is_closed() && !client.try_elsewhere(now) && !client.wants_connection());
}
