//! Every future is dropped at every point where it waits, and nothing is lost or comes twice.

mod support;

use std::future::Future;
use std::time::Duration;

use e_pigeon_core::{BrokerConfig, Close, CloseReason, Filter, Roster, SetError, Value, WatchId};
use e_pigeon_sim::conformance::dropping;
use e_pigeon_smol::{Broker, Client, Event, client};
use futures_lite::future::{or, yield_now, zip};
use support::{any_port, config, outgoing, soon, to};

const MESSAGES: u32 = 40;
/// No future here waits more often in a row.
const MOST_POLLS: u32 = 6;

/// Polls a future so many times, and drops it where that was not enough; then the others get their turn.
async fn at_most<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let result = dropping::at_most(polls, future).await;
    yield_now().await;
    result
}

/// Sends numbers, each until it is sent.
async fn send_all(polls: u32, client: &Client) {
    for number in 0..MESSAGES {
        let (destination, payload) = (to(2), number.to_le_bytes());
        // A change of attributes has to find room too.
        while client.set("n", Value::Int(i64::from(number + 1))) == Err(SetError::Full) {
            yield_now().await;
        }
        let message = outgoing(&destination, &payload);
        let mut answer = loop {
            if let Some(sent) = at_most(polls, client.send_wait(&message)).await {
                break sent.expect("sent");
            }
        };
        // What was given up is asked for again, and every other answer is given up for good.
        while number % 2 == 0 && at_most(polls, answer.accepted()).await.is_none() {}
        while number % 4 == 0 && at_most(polls, &mut answer).await.is_none() {}
        if number % 4 == 0 {
            assert_eq!((&mut answer).await, answer.await, "the same for ever");
        }
    }
}

/// Takes all numbers, in order.
async fn read_all(polls: u32, client: &Client) {
    let mut expected = 0;
    while expected < MESSAGES {
        if let Some(event) = at_most(polls, client.next_event()).await
            && let Event::Message(message) = event.expect("not closed")
        {
            assert_eq!(*message.payload, expected.to_le_bytes(), "in order, each once");
            expected += 1;
        }
    }
    // Asking for one more takes the last.
    assert!(at_most(1, client.next_event()).await.is_none());
}

/// Waits until the roster says that somebody has reached the last number.
async fn watch_all(polls: u32, watch: WatchId, client: &Client) {
    let last = Value::Int(i64::from(MESSAGES));
    let is_last =
        |roster: &Roster| roster.peers(watch).any(|(_, peer)| peer.attributes().get("n") == Some(last));
    loop {
        if let Some(roster) = at_most(polls, client.roster_changed()).await
            && is_last(&roster.expect("not closed"))
        {
            break;
        }
    }
}

async fn close(polls: u32, client: &Client) {
    loop {
        if let Some(reason) = at_most(polls, client.close(Close::EndSession)).await {
            assert_eq!(reason, Some(CloseReason::Requested));
            break;
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_wherever_futures_are_dropped() {
    for polls in 1..=MOST_POLLS {
        smol::block_on(async {
            let mut broker = Broker::bind(BrokerConfig::new(0), 1, [any_port()]).expect("bound");
            let endpoint = broker.endpoints().next().expect("the one").clone();
            let small = config(1).outbox_messages(2);
            let (alice, mut alice_driver) = client(small, endpoint.clone()).expect("works");
            let few = config(2).inbox_messages(3);
            let (bob, mut bob_driver) = client(few, endpoint).expect("works");

            let brokers = async { while at_most(polls, broker.run()).await.is_none() {} };
            let drivers = zip(async { while at_most(polls, &mut alice_driver).await.is_none() {} }, async {
                while at_most(polls, &mut bob_driver).await.is_none() {}
            });
            let application = async {
                bob.keep_roster(8);
                let watch = bob.watch(&Filter::everyone()).expect("the first");
                let bobs = zip(read_all(polls, &bob), watch_all(polls, watch, &bob));
                zip(send_all(polls, &alice), bobs).await;
                while !alice.unanswered().is_empty() {
                    yield_now().await;
                }
                zip(close(polls, &alice), close(polls, &bob)).await;
            };
            let clients = zip(drivers, application);
            soon(
                "everything",
                or(brokers, async {
                    clients.await;
                }),
            )
            .await;
            assert!(alice.is_closed() && bob.is_closed());
        });
    }
}

#[test]
fn one_that_is_dropped_unpolled_has_done_nothing() {
    smol::block_on(async {
        let (alice, _driver) = client(config(1), any_port()).expect("works");
        let destination = to(1);
        drop(alice.send_wait(&outgoing(&destination, b"never")));
        drop(alice.next_event());
        assert!(alice.unanswered().is_empty());
        // Closing is done at once; only waiting for it can be given up.
        drop(alice.close(Close::EndSession));
        assert!(alice.send(&outgoing(&destination, b"late")).is_err());
    });
}

#[test]
fn manual_acknowledgements_are_the_only_ones() {
    smol::block_on(async {
        let broker = support::Running::start(BrokerConfig::new(0), 1, any_port());
        let manual = config(1).manual_acknowledgement(true);
        let alice = support::join_as(manual, &broker.endpoint);
        let mut answer = alice.send(&outgoing(&to(1), b"to myself")).expect("room");
        let message = support::message(&alice).await;
        for polls in 1..4 {
            or(
                async {
                    at_most(polls, alice.next_event()).await;
                },
                async {
                    smol::Timer::after(Duration::from_millis(20)).await;
                },
            )
            .await;
        }
        assert_eq!(at_most(1, &mut answer).await, None, "nobody has acknowledged it");
        alice.acknowledge(message.token);
        soon("a receipt", answer).await.expect("answered");
        broker.stop().await;
    });
}
