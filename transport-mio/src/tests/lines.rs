//! What is special about lines: frames may be lost on them, and a serial one has nobody who accepts.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use e_pigeon_core::{BrokerConfig, Close, Uuid};

use super::terminals::{is_taken, lay};
use super::world::{World, any_port};
use crate::Endpoint;

fn any_cobs_port() -> Endpoint {
    Endpoint::Cobs(any_port().as_tcp().expect("TCP"))
}

#[test]
fn lines_behind_sockets_carry_messages_and_are_found_again() {
    let mut world = World::new(BrokerConfig::new(0), any_cobs_port());
    let (alice, bob) = (world.join(), world.join());
    world.until_told(bob, "established");
    world.send(alice, &super::everyone_else(), &[7; 20_000]);
    world.until_told(alice, "1: 1 of 1");
    assert_eq!(world.told[bob], ["established", "20000 bytes of 7"]);
    assert_eq!(world.clients[bob].connected_to(), Some(&world.endpoint));
    assert!(world.endpoint.to_string().starts_with("cobs:127.0.0.1:"), "{}", world.endpoint);

    world.broker = None;
    world.until_told(alice, "disconnected");
    world.send(alice, &super::everyone_else(), b"kept");
    world.start_broker(BrokerConfig::new(0).settle(Duration::from_millis(300)), 2);
    world.until_told(alice, "2: 1 of 1");
    assert_eq!(world.told[bob].last().map(String::as_str), Some("kept"));
}

#[test]
fn a_client_does_not_connect_where_frames_go_another_way() {
    let mut world = World::new(BrokerConfig::new(0), any_cobs_port());
    let tcp = world.broker.as_mut().expect("a broker").bind(any_port()).expect("bound");
    let client = world.add_client(tcp);
    world.until("it is told", |world| {
        let error = world.clients[client].last_error();
        error.is_some_and(|error| error.kind() == ErrorKind::InvalidInput)
    });
}

#[test]
fn a_serial_line_has_one_link_after_the_other() {
    let [of_broker, of_client] = lay();
    let config = BrokerConfig::new(0).handshake_timeout(Duration::from_millis(100));
    let mut world = World::new(config, of_broker);
    // Nobody says hello, so the broker ends some links, and has one again each time, on the line that it keeps.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        world.turn(Duration::from_millis(20));
        assert!(is_taken(&world.endpoint), "closed after {:?}", start.elapsed());
    }
    assert!(world.broker.as_ref().expect("a broker").stats().links <= 1);
    for client in 0..2 {
        assert_eq!(world.add_client(of_client.clone()), client);
        world.until_told(client, "established");
        world.send(client, &Uuid::from_u128(client as u128 + 1).into(), &[9; 30_000]);
        world.until_told(client, "1: 1 of 1");
        assert_eq!(world.told[client], ["established", "30000 bytes of 9", "1: 1 of 1"]);
        assert_eq!(world.clients[client].connected_to(), Some(&of_client));
        let now = world.clients[client].now();
        world.clients[client].client().close(now, Close::EndSession);
        world.clients[client].flush();
        world.until_told(client, "ended: closed");
    }
    let broker = world.broker.as_mut().expect("a broker");
    broker.stop();
    broker.flush();
    world.until("it is stopped", |world| world.broker.as_ref().expect("a broker").is_stopped());
}
