//! Payloads that are values, from one client to another.

mod support;

use e_pigeon_core::{BrokerConfig, ClientConfig, DecodeError, Outgoing, SendAsError, SendError};
use serde::{Deserialize, Serialize};
use support::{Running, any_port, config, delivered, join, join_as, message, soon, to};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading<'a> {
    sensor: &'a str,
    value: i32,
}

#[test]
fn a_value_arrives_as_it_was_sent_also_where_room_is_awaited() {
    smol::block_on(async {
        let broker = Running::start(BrokerConfig::default(), 1, any_port());
        let small = ClientConfig { outbox_messages: 2, ..config(1) };
        let (alice, bob) = (join_as(small, &broker.endpoint), join(2, &broker.endpoint));
        let (destination, full) = (to(2), SendAsError::Send(SendError::Full));
        let readings = (0..20).map(|value| Reading { sensor: "roof", value });
        let sending = smol::spawn({
            let (alice, readings) = (alice.clone(), readings.clone());
            async move {
                for reading in readings {
                    let answer = alice.send_as_wait(&Outgoing::typed(&destination, &reading)).await;
                    drop(answer.expect("sent"));
                }
            }
        });
        for reading in readings {
            let message = message(&bob).await;
            assert_eq!(message.decode(), Ok(reading));
            assert_eq!(message.decode::<u8>(), Err(DecodeError), "something follows");
        }
        soon("all is sent", sending).await;
        // Asking for one more takes the last.
        let _reader = smol::spawn(support::read(bob));
        support::until("all is answered", || alice.unanswered().is_empty()).await;
        let destination = to(2);
        let last = Outgoing::typed(&destination, &1_u8);
        let (one, other) = (alice.send_as(&last).expect("room"), alice.send_as(&last).expect("room"));
        assert_eq!(alice.send_as(&last).map(drop), Err(full));
        let id = other.id();
        drop(one);
        assert_eq!(soon("a receipt", other).await, Ok(delivered(id, 1)));
        broker.stop().await;
    });
}
