//! What everybody does with it, over TCP and over Unix sockets.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use e_pigeon_core::{
    Broker as Core, BrokerConfig, Close, CloseReason, DisconnectReason, Established, Filter, Receipt, Roster,
    SendError, Value,
};
use e_pigeon_smol::{Broker, Event, InFlight, client};
use futures_lite::future::{or, poll_once, zip};
use support::{
    Running, any_port, config, delivered, established, everyone_else, hello, join, join_as, message,
    outgoing, over_each, read, soon, to, until,
};

#[test]
fn messages_arrive_in_order_and_are_answered() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let (alice, bob) = (join(1, &broker.endpoint), join(2, &broker.endpoint));
        established(&bob).await;
        let answers: Vec<_> = ["one", "two", "three"]
            .map(|text| alice.send(&outgoing(&everyone_else(), text.as_bytes())).expect("room"))
            .into_iter()
            .collect();
        for text in ["one", "two", "three"] {
            assert_eq!(&*message(&bob).await.payload, text.as_bytes());
        }
        let reader = smol::spawn(read(bob.clone()));
        for answer in answers {
            let id = answer.id();
            assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
        }
        assert_eq!(alice.connected_to(), Some(broker.endpoint.clone()));
        assert!(alice.unanswered().is_empty());
        assert_eq!(soon("goodbye", bob.close(Close::EndSession)).await, Some(CloseReason::Requested));
        assert_eq!(soon("the end", reader).await.last(), Some(&Event::Closed(CloseReason::Requested)));
        assert_eq!(bob.next_event().await, None);
        assert_eq!(
            bob.send(&outgoing(&everyone_else(), b"")).map(|answer| answer.id()),
            Err(SendError::Closed)
        );
        broker.stop().await;
    });
}

#[test]
fn a_client_that_reconnects_goes_on_where_it_was() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let (alice, bob) = (join(1, &broker.endpoint), join(2, &broker.endpoint));
        established(&bob).await;
        bob.reconnect();
        let sent = alice.send(&outgoing(&to(2), b"meanwhile")).expect("room");
        assert_eq!(established(&bob).await, Established::Resumed);
        assert_eq!(&*message(&bob).await.payload, b"meanwhile");
        drop(sent);
        broker.stop().await;
    });
}

#[test]
fn a_broker_that_dies_is_found_again_and_nothing_is_lost() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let endpoint = broker.endpoint.clone();
        let (alice, bob) = (join(1, &endpoint), join(2, &endpoint));
        established(&bob).await;
        let before = alice.send(&outgoing(&to(2), b"before")).expect("room");
        assert_eq!(&*message(&bob).await.payload, b"before");
        broker.kill().await;
        let after = alice.send(&outgoing(&to(2), b"after")).expect("room");
        until("nobody is there", || bob.last_error().is_some() && !alice.is_established()).await;
        let settle = BrokerConfig::new(0).settle(Duration::from_millis(200));
        let broker = Running::start(settle, 2, endpoint);
        let reader = smol::spawn(read(bob.clone()));
        let (one, two) = (before.id(), after.id());
        assert_eq!(
            soon("both receipts", zip(before, after)).await,
            (Ok(delivered(one, 1)), Ok(delivered(two, 1)))
        );
        assert!(bob.last_error().is_none());
        soon("goodbye", bob.close(Close::EndSession)).await;
        let events = reader.await;
        let texts: Vec<_> = events
            .iter()
            .filter_map(
                |event| if let Event::Message(message) = event { Some(&*message.payload) } else { None },
            )
            .collect();
        assert_eq!(texts, [b"after"], "once each: {events:?}");
        assert!(events.contains(&Event::Established(Established::Lost)));
        broker.stop().await;
    });
}

#[test]
fn receipts_go_on_while_nobody_takes_messages() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let small = config(1).inbox_messages(8);
        let (alice, bob) = (join_as(small, &broker.endpoint), join(2, &broker.endpoint));
        let reader = smol::spawn(read(bob.clone()));
        // Alice never asks for an event, and more comes than her inbox holds.
        let unread: Vec<_> =
            (0..100).map(|_| bob.send(&outgoing(&to(1), b"unread")).expect("room")).collect();
        for _ in 0..300 {
            let answer = alice.send(&outgoing(&to(2), b"answered")).expect("room");
            let id = answer.id();
            assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
        }
        assert_eq!(bob.unanswered().len(), unread.len(), "nobody has confirmed what nobody has read");
        for _ in 0..100 {
            assert_eq!(&*message(&alice).await.payload, b"unread");
        }
        alice.close(Close::KeepSession).await;
        for answer in unread {
            let id = answer.id();
            assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
        }
        drop((alice, bob));
        reader.cancel().await;
        broker.stop().await;
    });
}

#[test]
fn the_roster_goes_on_while_nobody_takes_events() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let (alice, bob) = (join(1, &broker.endpoint), join(2, &broker.endpoint));
        assert!(alice.roster().is_empty(), "nobody asked for one");
        alice.keep_roster(100);
        let watch = alice.watch(&Filter::everyone()).expect("the first");
        bob.send(&outgoing(&to(1), b"unread")).expect("room");
        let bob_is = |roster: &Roster, value| {
            let peer = roster.get(watch, bob.uuid());
            peer.is_some_and(|peer| peer.attributes().get("n") == Some(Value::Int(value)))
        };
        for value in 0..20 {
            bob.set("n", Value::Int(value)).expect("room");
            while !bob_is(&soon("a change", alice.roster_changed()).await.expect("not over"), value) {}
        }
        assert!(Arc::ptr_eq(&alice.roster(), &alice.roster()), "no copy without a change");
        soon("goodbye", bob.close(Close::EndSession)).await;
        until("bob is gone", || alice.roster().get(watch, bob.uuid()).is_none()).await;
        assert_eq!(alice.roster().len(), 1, "alice herself");
        assert_eq!(&*message(&alice).await.payload, b"unread", "and no presence among the events");
        alice.unwatch(watch);
        until("nobody is watched", || alice.roster().is_empty()).await;
        soon("goodbye", alice.close(Close::EndSession)).await;
        while soon("the end", alice.roster_changed()).await.is_some() {}
        broker.stop().await;
    });
}

#[test]
fn a_full_outbox_says_so_at_once_and_has_room_later() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let (alice, driver) = client(config(1).outbox_messages(4), broker.endpoint.clone()).expect("works");
        for _ in 0..4 {
            // Nobody wants these answers, and they hold up nobody.
            alice.send(&outgoing(&to(1), b"fills")).expect("room");
        }
        assert_eq!(alice.send(&outgoing(&to(1), b"over")).map(drop), Err(SendError::Full));
        let destination = to(1);
        let late = outgoing(&destination, b"late");
        let (mut first, mut second) = (Box::pin(alice.send_wait(&late)), Box::pin(alice.send_wait(&late)));
        assert!(poll_once(&mut first).await.is_none());
        assert!(poll_once(&mut second).await.is_none());
        // The place of one that goes is the next one's.
        drop(first);
        let _driver = smol::spawn(driver.run());
        let reader = smol::spawn(read(alice.clone()));
        let answer = soon("room", second).await.expect("sent");
        let id = answer.id();
        assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 1)));
        for _ in 0..200 {
            soon("room", alice.send_wait(&late)).await.expect("sent");
        }
        soon("goodbye", alice.close(Close::EndSession)).await;
        let events = soon("the end", reader).await;
        let count = |text: &[u8]| {
            let is_it =
                |event: &&Event| matches!(event, Event::Message(message) if *message.payload == *text);
            events.iter().filter(is_it).count()
        };
        assert_eq!(count(b"fills"), 4);
        assert!(events.contains(&Event::CapacityAvailable), "whoever was refused is told");
        broker.stop().await;
    });
}

#[test]
fn one_client_on_many_threads() {
    const EACH: usize = 200;
    let broker = Running::start(BrokerConfig::new(0), 1, any_port());
    let (alice, bob) = (join(1, &broker.endpoint), join(2, &broker.endpoint));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let alice = alice.clone();
            std::thread::spawn(move || {
                smol::block_on(async {
                    for number in 0..EACH {
                        let answer =
                            alice.send_wait(&outgoing(&to(2), &[thread, number as u8])).await.expect("sent");
                        if number % 50 == 0 {
                            soon("a receipt", answer).await.expect("answered");
                        }
                    }
                });
            })
        })
        .collect();
    smol::block_on(async {
        let mut next = [0_usize; 4];
        for _ in 0..4 * EACH {
            let payload = message(&bob).await.payload;
            let thread = usize::from(payload[0]);
            assert_eq!(payload[1], next[thread] as u8, "each in its order");
            next[thread] += 1;
        }
        let idle = async {
            bob.next_event().await;
        };
        assert!(poll_once(Box::pin(idle)).await.is_none(), "asking takes the last one");
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        until("all are answered", || alice.unanswered().is_empty()).await;
        broker.stop().await;
    });
}

#[test]
fn answers_can_come_as_events_and_first_of_all_as_accepted() {
    smol::block_on(async {
        let broker = Running::start(BrokerConfig::new(0), 1, any_port());
        let alice = join(1, &broker.endpoint);
        let nobody = Filter::all_of(&[("room", Value::Str("b"))]).expect("a filter").into();
        let mut parked = alice.send(&outgoing(&nobody, b"parked")).expect("room");
        let id = parked.id();
        let accepted = Receipt::accepted(id, 0, false);
        assert_eq!(soon("accepted", parked.accepted()).await, Ok(accepted));
        assert_eq!(poll_once(&mut parked).await, None, "nobody has confirmed it");
        parked.into_event();
        alice.set("room", Value::Str("b")).expect("room");
        let mut receipts = Vec::new();
        soon("the final one", async {
            while receipts.last() != Some(&delivered(id, 1)) {
                if let Event::Receipt(receipt) = alice.next_event().await.expect("not closed") {
                    receipts.push(receipt);
                }
            }
        })
        .await;
        assert_eq!(receipts.first(), Some(&accepted), "what had come already is told too");
        let unanswered = alice.send(&outgoing(&to(99), b"to nobody")).expect("room");
        soon("goodbye", alice.close(Close::EndSession)).await;
        assert_eq!(soon("no receipt", unanswered).await, Err(InFlight));
        broker.stop().await;
    });
}

#[test]
fn a_client_that_nobody_holds_leaves_and_says_what_it_had_to_say() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let bob = join(2, &broker.endpoint);
        established(&bob).await;
        let (alice, driver) = client(config(1), broker.endpoint.clone()).expect("a config that works");
        alice.send(&outgoing(&to(2), b"last words")).expect("room");
        drop(alice);
        soon("the driver ends", driver.run()).await;
        assert_eq!(&*message(&bob).await.payload, b"last words");
        until("alice is away, her session is not", || {
            let stats = broker.stats();
            (stats.links, stats.sessions) == (1, 2)
        })
        .await;
        broker.stop().await;
    });
}

#[test]
fn a_driver_that_is_dropped_leaves_nobody_waiting() {
    smol::block_on(async {
        let (alice, driver) = client(config(1), any_port()).expect("a config that works");
        let answer = alice.send(&outgoing(&to(2), b"never")).expect("room");
        let (events, (answer, ())) = soon(
            "all are told",
            zip(
                read(alice.clone()),
                zip(answer, async {
                    drop(driver);
                }),
            ),
        )
        .await;
        assert_eq!((events, answer), (vec![], Err(InFlight)));
        assert!(alice.is_closed());
        assert_eq!(alice.close(Close::EndSession).await, None);
    });
}

#[test]
fn one_too_many_is_told_so() {
    let broker = Running::start(BrokerConfig::new(0).max_links(1), 1, any_port());
    smol::block_on(async {
        let alice = join(1, &broker.endpoint);
        established(&alice).await;
        let mut stream = TcpStream::connect(broker.endpoint.as_tcp().expect("TCP")).expect("accepted");
        stream.set_read_timeout(Some(support::LIMIT)).expect("a time-out");
        stream.write_all(b"may I come in").expect("written");
        let mut read = Vec::new();
        stream.read_to_end(&mut read).expect("no reset");
        assert_eq!(read, Core::FULL);
        let answer = alice.send(&outgoing(&to(1), b"still here")).expect("room");
        assert_eq!(&*message(&alice).await.payload, b"still here");
        drop(answer);
        broker.stop().await;
    });
}

#[test]
fn whoever_talks_nonsense_hears_the_last_words() {
    let broker = Running::start(BrokerConfig::new(0), 1, any_port());
    for (size, half_closed) in [(16, true), (1000, false), (300_000, false)] {
        let mut stream = TcpStream::connect(broker.endpoint.as_tcp().expect("TCP")).expect("accepted");
        stream.set_read_timeout(Some(support::LIMIT)).expect("a time-out");
        stream.write_all(&vec![0xff; size]).expect("written");
        if half_closed {
            stream.shutdown(std::net::Shutdown::Write).expect("half-closed");
        }
        let mut read = Vec::new();
        stream.read_to_end(&mut read).expect("no reset");
        assert_eq!(read, [3, 3, 3, 0], "the frame is too large");
    }
    smol::block_on(async {
        until("the links are gone", || broker.stats().links == 0).await;
        broker.stop().await;
    });
}

/// It may be that of a boot that has died, and the boot that it would displace may live.
#[test]
fn a_hello_whose_connection_has_ended_is_not_judged() {
    smol::block_on(async {
        let mut broker = Broker::bind(BrokerConfig::new(0), 1, [any_port()]).expect("bound");
        let (endpoint, shutdown_handle) =
            (broker.endpoints().next().expect("the one").clone(), broker.shutdown_handle());
        let address = endpoint.as_tcp().expect("TCP");
        let alice = join(1, &endpoint);
        or(broker.run(), async { _ = established(&alice).await }).await;
        // Nobody runs the broker meanwhile.
        let mut dead = TcpStream::connect(address).expect("accepted");
        dead.write_all(&hello(1, 2)).expect("written");
        drop(dead);
        let mut reset = TcpStream::connect(address).expect("accepted");
        reset.write_all(&hello(1, 3)).expect("written");
        socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).expect("an option");
        drop(reset);
        or(broker.run(), async {
            for round in 0..3 {
                let sent = alice.send(&outgoing(&to(1), b"still here")).expect("room");
                let event = soon("a message", alice.next_event()).await;
                assert!(matches!(event, Some(Event::Message(_))), "{event:?} in round {round}");
                until("those connections are gone", || shutdown_handle.stats().links == 1).await;
                drop(sent);
            }
        })
        .await;
        // One that has not ended is judged.
        let mut living = TcpStream::connect(address).expect("accepted");
        living.write_all(&hello(1, 2)).expect("written");
        or(broker.run(), async {
            until("it is there", || shutdown_handle.stats().links == 2).await;
            smol::Timer::after(Duration::from_millis(50)).await;
            drop(living);
            let event = soon("the loss of the link", alice.next_event()).await;
            assert!(matches!(event, Some(Event::Disconnected { .. })), "{event:?}");
        })
        .await;
    });
}

#[test]
fn a_broker_that_stops_tells_its_clients() {
    over_each(|endpoint| async move {
        let broker = Running::start(BrokerConfig::new(0), 1, endpoint);
        let (alice, endpoint) = (join(1, &broker.endpoint), broker.endpoint.clone());
        established(&alice).await;
        let start = std::time::Instant::now();
        broker.stop().await;
        assert!(start.elapsed() < Duration::from_secs(3));
        let event = soon("the news", alice.next_event()).await;
        let reason = DisconnectReason::Aborted(e_pigeon_core::AbortCode::ShuttingDown, 0);
        assert!(
            matches!(event, Some(Event::Disconnected { reason: told, .. }) if told == reason),
            "{event:?}"
        );
        drop(Broker::bind(BrokerConfig::new(0), 2, [endpoint]).expect("the place is free"));
    });
}

#[test]
fn work_for_more_than_one_turn_is_gone_on_with() {
    let broker = Running::start(BrokerConfig::new(0), 1, any_port());
    smol::block_on(async {
        let readers: Vec<_> = (2..10)
            .map(|number| {
                let client = join(number, &broker.endpoint);
                smol::spawn(async move {
                    established(&client).await;
                    for _ in 0..4000 {
                        message(&client).await;
                    }
                    // Asking for the next one takes the last.
                    client.next_event().await;
                })
            })
            .collect();
        until("all are there", || broker.stats().connected == 8).await;
        let alice = join(1, &broker.endpoint);
        // They are written and read as one, and make more deliveries than the broker makes in one go.
        let answers: Vec<_> =
            (0..4000).map(|_| alice.send(&outgoing(&everyone_else(), b"")).expect("room")).collect();
        for answer in answers {
            let id = answer.id();
            assert_eq!(soon("a receipt", answer).await, Ok(delivered(id, 8)));
        }
        drop(readers);
        broker.stop().await;
    });
}
