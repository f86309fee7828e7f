//! Payloads that are values, from one client to another.

mod support;

use e_pigeon_core::{BrokerConfig, DecodeError, Message, SendAsError, SendError};
use e_pigeon_smol::client;
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
        let broker = Running::start(BrokerConfig::new(0), 1, any_port());
        let small = config(1).outbox_messages(2);
        let (alice, bob) = (join_as(small, &broker.endpoint), join(2, &broker.endpoint));
        let destination = to(2);
        let readings = (0..20).map(|value| Reading { sensor: "roof", value });
        let sending = smol::spawn({
            let (alice, readings) = (alice.clone(), readings.clone());
            async move {
                for reading in readings {
                    let answer = alice.send_as_wait(&Message::to(&destination).value(&reading)).await;
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
        let answer = alice.send_as(&Message::to(&destination).value(&1_u8)).expect("room");
        let id = answer.id();
        assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
        broker.stop().await;
    });
}

#[test]
fn a_full_outbox_says_so_at_once() {
    // Nobody drives it, so that no receipt makes room.
    let (alice, _driver) = client(config(1).outbox_messages(2), any_port()).expect("works");
    let destination = to(2);
    let message = Message::to(&destination).value(&1_u8);
    let _answers = [alice.send_as(&message).expect("room"), alice.send_as(&message).expect("room")];
    assert_eq!(alice.send_as(&message).map(drop), Err(SendAsError::Send(SendError::Full)));
}
