//! What is special about lines: frames may be lost on them, and a serial one has nobody who accepts.

#![cfg(unix)]

mod support;
#[path = "../../transport-mio/src/tests/terminals.rs"]
mod terminals;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use e_pigeon_core::{BrokerConfig, Close};
use e_pigeon_smol::{Client, Endpoint};
use support::{
    Running, any_port, config, delivered, established, everyone_else, join, join_as, message, outgoing, soon,
    to, until,
};
use terminals::{is_taken, lay};

fn any_cobs_port() -> Endpoint {
    Endpoint::Cobs(any_port().as_tcp().expect("TCP"))
}

fn join_line(number: u128, endpoint: &Endpoint) -> Client {
    join_as(config(number).framing(endpoint.framing()), endpoint)
}

#[test]
fn lines_behind_sockets_carry_messages_and_are_found_again() {
    smol::block_on(async {
        let broker = Running::start(BrokerConfig::new(0), 1, any_cobs_port());
        let endpoint = broker.endpoint.clone();
        assert!(endpoint.to_string().starts_with("cobs:127.0.0.1:"), "{endpoint}");
        let (alice, bob) = (join_line(1, &endpoint), join_line(2, &endpoint));
        established(&bob).await;
        let answer = alice.send(&outgoing(&everyone_else(), &[7; 20_000])).expect("room");
        assert_eq!(*message(&bob).await.payload, [7; 20_000]);
        assert_eq!(bob.connected_to(), Some(endpoint.clone()));
        broker.kill().await;

        let kept = alice.send(&outgoing(&everyone_else(), b"kept")).expect("room");
        let settle = Duration::from_millis(300);
        let broker = Running::start(BrokerConfig::new(0).settle(settle), 2, endpoint);
        assert_eq!(&*message(&bob).await.payload, b"kept");
        let reader = smol::spawn(support::read(bob.clone()));
        for answer in [answer, kept] {
            let id = answer.id();
            assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
        }
        drop(reader);
        broker.stop().await;
    });
}

#[test]
fn a_client_does_not_connect_where_frames_go_another_way() {
    smol::block_on(async {
        let broker = Running::start(BrokerConfig::new(0), 1, any_cobs_port());
        let client = join(1, &broker.endpoint);
        until("it is told", || {
            client.last_error().is_some_and(|error| error.kind() == ErrorKind::InvalidInput)
        })
        .await;
        broker.stop().await;
    });
}

#[test]
fn a_serial_line_has_one_link_after_the_other() {
    smol::block_on(async {
        let [of_broker, of_client] = lay();
        let handshake_timeout = Duration::from_millis(100);
        let broker =
            Running::start(BrokerConfig::new(0).handshake_timeout(handshake_timeout), 1, of_broker.clone());
        // Nobody says hello, so the broker ends some links, and has one again each time, on the line that it keeps.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            assert!(is_taken(&of_broker), "closed after {:?}", start.elapsed());
            smol::Timer::after(Duration::from_millis(20)).await;
        }
        assert!(broker.stats().links <= 1);
        for number in 1..3 {
            let client = join_line(number, &of_client);
            established(&client).await;
            let answer = client.send(&outgoing(&to(number), &[9; 30_000])).expect("room");
            assert_eq!(*message(&client).await.payload, [9; 30_000]);
            assert_eq!(client.connected_to(), Some(of_client.clone()));
            let reader = smol::spawn(support::read(client.clone()));
            let id = answer.id();
            assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
            soon("goodbye", client.close(Close::EndSession)).await.expect("a goodbye");
            soon("the end", reader).await;
        }
        broker.stop().await;
    });
}
