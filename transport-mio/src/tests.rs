//! Clients and a broker in one machine, all in one `Poll`: what sockets do to them.

mod endpoints;
mod full;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod terminals;
#[cfg(unix)]
mod unix;
mod world;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e_pigeon_core::{
    Broker, BrokerConfig, ClientConfig, Close, Destination, Event, Filter, Message, Roster, Secret, Uuid,
    Value,
};

use self::world::{Raw, World, any_port, hello, over_each};
use crate::{BrokerDriver, BrokerLoop, ClientLoop, Endpoint, Resolver};

fn everyone_else() -> Destination {
    Destination::from(Filter::everyone()).exclude_self()
}

#[test]
fn messages_arrive_in_order_and_are_answered() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(bob, "established");
        for payload in ["one", "two", "three"] {
            world.send(alice, &everyone_else(), payload.as_bytes());
        }
        world.until_told(alice, "3: 1 of 1");
        assert_eq!(world.told[bob], ["established", "one", "two", "three"]);
        assert_eq!(world.clients[bob].connected_to(), Some(&world.endpoint));

        let now = world.clients[alice].now();
        world.clients[alice].client().close(now, Close::EndSession);
        world.clients[alice].flush();
        world.until_told(alice, "ended: closed");
        world.until("the broker has one link", |world| {
            world.broker.as_ref().expect("a broker").stats().links == 1
        });
        assert!(world.clients[alice].client().is_closed());
    });
}

#[test]
fn a_broker_that_dies_is_found_again() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(alice, "established");
        world.until_told(bob, "established");
        world.broker = None;
        world.until_told(alice, "disconnected");
        world.send(alice, &everyone_else(), b"kept");
        world.until("bob cannot connect", |world| world.clients[bob].last_error().is_some());
        let config = BrokerConfig::new(0).settle(Duration::from_millis(300));
        world.start_broker(config, 2);
        world.until_told(bob, "kept");
        world.until_told(alice, "1: 1 of 1");
        assert!(world.clients[alice].last_error().is_none());
    });
}

#[test]
fn a_client_that_has_found_a_bug_in_itself_drops_its_connection_and_makes_no_other() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(alice, "established");
        world.until_told(bob, "established");
        assert!(!world.clients[alice].is_broken());
        world.clients[alice].end_life();
        assert!(world.clients[alice].is_broken());
        let links = |world: &World| world.broker.as_ref().expect("a broker").stats().links;
        world.until("its connection is gone", |world| links(world) == 1);
        // The turns of another client are turns of this one too.
        world.clients[bob].reconnect();
        world.until_told(bob, "disconnected");
        world.until_told(bob, "established");
        let driver = &mut world.clients[alice];
        assert_eq!((driver.connected_to(), driver.poll_timeout_without_events()), (None, None));
        let error = driver.last_error().expect("the bug").to_string();
        assert!(error.contains("please report it"), "{error}");
    });
}

#[test]
fn a_client_that_reconnects_goes_on_where_it_was() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(bob, "established");
        world.clients[bob].reconnect();
        assert_eq!(world.clients[bob].connected_to(), None);
        world.send(alice, &everyone_else(), b"meanwhile");
        world.until_told(alice, "1: 1 of 1");
        assert_eq!(world.told[bob], ["established", "disconnected", "established", "meanwhile"]);
    });
}

#[test]
fn a_reader_that_stalls_gets_everything_later() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(bob, "established");
        // Far more than the kernel takes, so that the broker has to keep some and wait.
        world.asleep.push(bob);
        for number in 0..60 {
            world.send(alice, &everyone_else(), &[number; 65_536]);
        }
        for _ in 0..100 {
            world.turn(Duration::from_millis(1));
        }
        assert_eq!(world.told[alice], ["established"], "nobody has confirmed anything");
        world.asleep.clear();
        world.until_told(alice, "60: 1 of 1");
        let expected: Vec<String> = (0..60).map(|number| format!("65536 bytes of {number}")).collect();
        assert_eq!(world.told[bob][1..], expected);
    });
}

#[test]
fn the_roster_goes_on_while_nobody_takes_events() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        let driver = &mut world.clients[alice];
        assert!(driver.roster().is_none(), "nobody asked for one");
        driver.keep_roster(100);
        let now = driver.now();
        let watch = driver.client().watch(now, &Filter::everyone()).expect("the first");
        driver.flush();
        world.until_told(alice, "established");
        world.until_told(bob, "established");
        world.asleep.push(alice);
        world.send(bob, &everyone_else(), b"unread");
        let uuid = world.clients[bob].client().uuid();
        for value in 0..20 {
            let driver = &mut world.clients[bob];
            let now = driver.now();
            driver.client().set(now, "n", Value::Int(value)).expect("room");
            driver.flush();
            world.until("a change", |world| {
                world.clients[alice].flush();
                let roster = world.clients[alice].roster().expect("kept");
                let peer = roster.get(watch, uuid);
                peer.is_some_and(|peer| peer.attributes().get("n") == Some(Value::Int(value)))
            });
            assert!(world.clients[alice].roster_changed() && !world.clients[alice].roster_changed(), "once");
        }
        world.clients[alice].client().unwatch(now, watch);
        world.clients[alice].flush();
        assert!(world.clients[alice].roster().is_some_and(Roster::is_empty));
        world.asleep.clear();
        world.until_told(alice, "unread");
    });
}

#[test]
fn a_message_larger_than_one_write_goes_out_whole() {
    over_each(&BrokerConfig::new(0).max_payload(1 << 20), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(bob, "established");
        world.send(alice, &everyone_else(), &[9; 65_536]);
        world.until_told(bob, "65536 bytes of 9");
        world.until_told(alice, "1: 1 of 1");
    });
}

#[test]
fn work_for_more_than_one_turn_is_gone_on_with() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let alice = world.join();
        let others: Vec<usize> = (0..8).map(|_| world.join()).collect();
        for other in &others {
            world.until_told(*other, "established");
        }
        // They are written and read as one, and make more deliveries than the broker makes in one go.
        let driver = &mut world.clients[alice];
        let now = driver.now();
        for _ in 0..4000 {
            driver.client().send(now, &Message::new(&everyone_else(), b"")).expect("room");
        }
        driver.flush();
        world.until_told(alice, "4000: 8 of 8");
        assert!(others.iter().all(|other| world.told[*other].len() == 4001));
        // A sender that has left something is read in small pieces: most of it stays in the socket, which says nothing more.
        let driver = &mut world.clients[alice];
        let now = driver.now();
        for _ in 0..4000 {
            driver.client().send(now, &Message::new(&everyone_else(), b"again")).expect("room");
        }
        driver.flush();
        world.until_told(alice, "8000: 8 of 8");
    });
}

#[test]
fn more_than_one_turn_writes_goes_out_without_an_event() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let (alice, bob) = (world.join(), world.join());
        world.until_told(bob, "established");
        world.until_told(alice, "established");
        let driver = &mut world.clients[alice];
        let now = driver.now();
        // Less than a socket takes, and more than the two writes of a turn.
        for number in 0..3 {
            driver.client().send(now, &Message::new(&everyone_else(), &[number; 60_000])).expect("room");
        }
        driver.flush();
        // Its socket has taken all so far, and will say nothing.
        assert_eq!(driver.poll_timeout(), Some(Duration::ZERO), "the next turn comes at once");
        world.until_told(alice, "3: 1 of 1");
    });
}

#[test]
fn a_deadline_wakes_the_broker_where_nothing_comes() {
    let handshake_timeout = Duration::from_millis(300);
    over_each(&BrokerConfig::new(0).handshake_timeout(handshake_timeout), |mut world| {
        let silent = world.dial();
        let begun = Instant::now();
        let links = |world: &mut World| world.broker.as_ref().expect("a broker").stats().links;
        world.until("the link is there", |world| links(world) == 1);
        world.until("it has ended", |world| links(world) == 0);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        drop(silent);
    });
}

#[test]
fn the_next_address_is_tried_at_once() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let closed =
        std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("its address");
    let alice = world.add_client(vec![closed.into(), closed.into(), world.endpoint.clone()]);
    world.until_told(alice, "established");
    assert_eq!(world.clients[alice].connected_to(), Some(&world.endpoint));
    assert_eq!(world.told[alice], ["established"], "that was one attempt");
}

#[test]
fn a_name_without_address_is_asked_for_again() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let endpoint = world.endpoint.clone();
    let mut asked = 0;
    let alice = world.add_client(Resolver::new(move || {
        asked += 1;
        Ok(if asked < 3 { vec![] } else { vec![endpoint.clone()] })
    }));
    world.until("there is no address", |world| world.clients[alice].last_error().is_some());
    assert_eq!(world.clients[alice].last_error().expect("no address").to_string(), "the name has no address");
    world.until_told(alice, "established");
}

#[test]
fn a_client_that_never_met_its_broker_ends_at_once() {
    let mut world = World::new(BrokerConfig::new(0), any_port());
    let alice = world.add_client(Vec::<Endpoint>::new());
    let now = world.clients[alice].now();
    world.clients[alice].client().close(now, Close::EndSession);
    world.clients[alice].flush();
    assert_eq!(world.clients[alice].poll_timeout(), Some(Duration::ZERO), "there is an event to be polled");
    world.until_told(alice, "ended: closed");
    assert_eq!(world.clients[alice].poll_timeout(), None, "nothing is left to do");
}

/// Reads to the end, while the world goes round. A reset fails the test.
fn read_to_end(world: &mut World, mut stream: Box<dyn Raw>) -> Vec<u8> {
    stream.do_not_block();
    let mut read = Vec::new();
    let each = Duration::from_millis(1);
    world.until_looking_each(each, "the connection is closed", |_| match stream.read_to_end(&mut read) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    });
    read
}

#[test]
fn one_too_many_is_told_so() {
    over_each(&BrokerConfig::new(0).max_links(1), |mut world| {
        let alice = world.join();
        world.until_told(alice, "established");
        let mut stream = world.dial();
        stream.write_all(b"may I come in").expect("written");
        assert_eq!(read_to_end(&mut world, stream), Broker::FULL);
        world.send(alice, &Uuid::from_u128(1).into(), b"still here");
        world.until_told(alice, "still here");
    });
}

#[test]
fn whoever_talks_nonsense_hears_the_last_words() {
    over_each(&BrokerConfig::new(0), |mut world| {
        for size in [4, 1000, 300_000] {
            let mut stream = world.dial();
            // As much as the kernel takes, and over TCP more than the broker reads before it gives up: closing at
            // once would destroy what it says.
            stream.do_not_block();
            let _ = stream.write_all(&vec![0xff; size]);
            let mut again = stream.again();
            assert!(!read_to_end(&mut world, stream).is_empty(), "{size} bytes");
            // It may still be writing, and a reset for that would destroy what it has not read yet.
            again.write_all(b"more").expect("the broker still takes what nobody reads");
        }
        world
            .until("the links are gone", |world| world.broker.as_ref().expect("a broker").stats().links == 0);
    });
}

#[test]
fn whoever_stops_writing_behind_nonsense_hears_the_last_words_too() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let mut stream = world.dial();
        world.until("the link is there", |world| world.broker.as_ref().expect("a broker").stats().links == 1);
        // Both are there when the broker looks: what was said, and that it was all.
        stream.write_all(&[0xff; 16]).expect("written");
        stream.end_writing();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(read_to_end(&mut world, stream), [3, 3, 3, 0], "the frame is too large");
    });
}

/// It may be that of a boot that has died, and the boot that it would displace may live.
#[test]
fn a_hello_whose_connection_has_ended_is_not_judged() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let alice = world.join();
        world.until_told(alice, "established");
        let mut dead = world.dial();
        dead.write_all(&hello(1, 2)).expect("written");
        drop(dead);
        if let Endpoint::Tcp(address) = world.endpoint {
            let mut reset = TcpStream::connect(address).expect("accepted");
            reset.write_all(&hello(1, 3)).expect("written");
            socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).expect("an option");
        }
        let links = |world: &World| world.broker.as_ref().expect("a broker").stats().links;
        for round in 0..3 {
            let text = format!("still here {round}");
            world.send(alice, &Uuid::from_u128(1).into(), text.as_bytes());
            world.until_told(alice, &text);
            world.until("those connections are gone", |world| links(world) == 1);
        }
        assert!(!world.told[alice].iter().any(|told| told == "disconnected"), "{:?}", world.told);
        // One that has not ended is judged.
        let mut living = world.dial();
        living.write_all(&hello(1, 2)).expect("written");
        world.until("it is there", |world| links(world) == 2);
        let begun = Instant::now();
        world.until_looking_each(Duration::from_millis(1), "it is judged", |_| {
            begun.elapsed() > Duration::from_millis(50)
        });
        drop(living);
        world.until_told(alice, "disconnected");
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing() {
    over_each(&BrokerConfig::new(0), |mut world| {
        for round in 0..300 {
            let stream = world.dial();
            if round % 3 == 0 {
                world.turn(Duration::ZERO);
            }
            drop(stream);
        }
        world.until("all are gone", |world| {
            let broker = world.broker.as_ref().expect("a broker");
            broker.stats().links == 0 && broker.poll_timeout() != Some(Duration::ZERO)
        });
    });
}

#[test]
fn more_connections_than_one_turn_accepts() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let streams: Vec<_> = (0..200).map(|_| world.dial()).collect();
        world.until("all are links", |world| world.broker.as_ref().expect("a broker").stats().links == 200);
        drop(streams);
    });
}

#[test]
fn a_broker_that_stops_tells_its_clients() {
    over_each(&BrokerConfig::new(0), |mut world| {
        let alice = world.join();
        world.until_told(alice, "established");
        // Somebody who never reads cannot hold it up for long.
        let silent = world.dial();
        world.turn(Duration::ZERO);
        world.broker.as_mut().expect("a broker").stop();
        let start = Instant::now();
        world.until("stopped", |world| world.broker.as_ref().is_none_or(BrokerDriver::is_stopped));
        assert!(start.elapsed() < Duration::from_secs(3));
        drop(silent);
        world.until_told(alice, "disconnected");
        assert_eq!(world.broker.as_ref().expect("a broker").endpoints().count(), 0);
    });
}

#[test]
fn loops_run_by_themselves_until_they_are_stopped() {
    let mut broker = BrokerLoop::new(BrokerConfig::new(0), 1).expect("a broker");
    let address = broker.bind(any_port()).expect("a port");
    let stop_broker = broker.shutdown_handle();
    let broker = std::thread::spawn(move || broker.run());

    let config = ClientConfig::new(Uuid::from_u128(1), Secret([7; 16]), 1, 1);
    let mut client = ClientLoop::new(config, address.clone()).expect("a client");
    let stop_client = client.shutdown_handle();
    let now = client.driver().now();
    let me = Destination::from(Uuid::from_u128(1));
    client.driver().client().send(now, &Message::new(&me, b"to myself")).expect("room");
    let mut heard = Vec::new();
    let mut application = |event: Event<'_>| match event {
        Event::Message(message) => heard.push(message.payload.to_vec()),
        Event::Receipt(receipt) if receipt.is_final() => stop_client.stop().expect("woken"),
        _ => {}
    };
    client.run(Close::EndSession, &mut application).expect("ran to its end");
    assert_eq!(heard, [b"to myself"]);
    assert!(client.driver().client().is_closed());

    stop_broker.stop().expect("woken");
    broker.join().expect("no panic").expect("ran to its end");
    assert!(TcpStream::connect(address.as_tcp().expect("TCP")).is_err(), "nobody listens any more");
}
