//! Rounds over endpoints under virtual time: what is tried when.

use std::sync::mpsc::{Receiver, channel};

use super::*;

/// What an endpoint does with attempts to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// It answers after so many milliseconds.
    Answers(u64),
    /// It refuses after so many milliseconds.
    Refuses(u64),
    /// There is no socket for it.
    CannotStart,
    /// Nothing comes back.
    Silent,
}
use Host::{Answers, CannotStart, Refuses, Silent};

/// A dialer, a network, and the time in milliseconds.
struct World {
    dialer: Dialer<(Host, u64)>,
    hosts: Vec<(Endpoint, Host)>,
    now: u64,
    /// What was begun, and when.
    begun: Vec<(String, u64)>,
}

fn endpoint(text: &str) -> Endpoint {
    text.parse::<SocketAddr>().expect("an address").into()
}

fn at(now: u64) -> Instant {
    Instant::from_micros(now * 1000)
}

impl World {
    fn new(hosts: &[(&str, Host)]) -> Self {
        let endpoints: Vec<Endpoint> = hosts.iter().map(|(address, _)| endpoint(address)).collect();
        let mut world = Self::of(Resolver::from(endpoints));
        world.hosts = hosts.iter().map(|(address, host)| (endpoint(address), *host)).collect();
        world
    }

    fn of(resolver: Resolver) -> Self {
        let dialer = Dialer::new(resolver, Framing::Length);
        Self { dialer, hosts: Vec::new(), now: 0, begun: Vec::new() }
    }

    fn advance(&mut self) -> Dial<()> {
        let Self { dialer, hosts, now, begun } = self;
        let now = *now;
        dialer.advance(
            at(now),
            Waker::noop(),
            |endpoint| {
                begun.push((endpoint.to_string(), now));
                match hosts.iter().find(|(known, _)| known == endpoint).expect("a host").1 {
                    CannotStart => Err(io::ErrorKind::AddrNotAvailable.into()),
                    host => Ok((host, now)),
                }
            },
            |(host, since)| match *host {
                Answers(after) if *since + after <= now => Poll::Ready(Ok(())),
                Refuses(after) if *since + after <= now => {
                    Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()))
                }
                _ => Poll::Pending,
            },
        )
    }

    /// Goes on until the round has come to an end, and returns it with its time.
    fn run(&mut self) -> (Result<String, io::ErrorKind>, u64) {
        self.dialer.begin(at(self.now));
        loop {
            match self.advance() {
                Dial::Waiting => {}
                Dial::Connected((), endpoint) => return (Ok(endpoint.to_string()), self.now),
                Dial::Failed(error) => return (Err(error.kind()), self.now),
            }
            // A deadline of the dialer's, or an answer of the network's: here each millisecond may bring one.
            let due = self.dialer.deadline().expect("it waits for something");
            assert!(due > at(self.now), "it would spin");
            self.now += 1;
            assert!(self.now < 100_000, "no end");
        }
    }
}

const A4: &str = "127.0.0.1:1";
const B4: &str = "127.0.0.2:1";
const C4: &str = "127.0.0.3:1";
const A6: &str = "[::1]:1";
const B6: &str = "[::2]:1";

#[test]
fn program_16_an_endpoint_that_does_not_answer_costs_a_quarter_of_a_second() {
    let mut world = World::new(&[(A4, Silent), (B4, Answers(3))]);
    assert_eq!(world.run(), (Ok(B4.into()), 253));
}

#[test]
fn the_families_take_turns_and_the_first_that_connects_wins() {
    let mut world = World::new(&[(A6, Silent), (B6, Silent), (A4, Silent), (B4, Answers(1)), (C4, Silent)]);
    assert_eq!(world.run(), (Ok(B4.into()), 751));
    let begun: Vec<_> = world.begun.iter().map(|(endpoint, at)| (endpoint.as_str(), *at)).collect();
    assert_eq!(begun, [(A6, 0), (A4, 250), (B6, 500), (B4, 750)]);
    let mut world = World::new(&[(A6, Answers(400)), (A4, Answers(1000))]);
    assert_eq!(world.run(), (Ok(A6.into()), 400), "one that was begun later is no better for that");
}

#[test]
fn one_that_refuses_is_followed_at_once() {
    let mut world = World::new(&[(A4, Refuses(0)), (B4, CannotStart), (C4, Refuses(7)), (A6, Answers(0))]);
    assert_eq!(world.run(), (Ok(A6.into()), 0), "families take turns, so it comes second");
    let mut world = World::new(&[(A4, Refuses(5)), (B4, CannotStart), (C4, Answers(0))]);
    assert_eq!(world.run(), (Ok(C4.into()), 5));
}

#[test]
fn a_round_without_success_fails_once_and_the_next_asks_for_the_names() {
    let mut asked = 0;
    let mut world = World::of(Resolver::immediate(move || {
        asked += 1;
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], asked))])
    }));
    world.hosts = vec![(endpoint("127.0.0.1:1"), Refuses(1)), (endpoint("127.0.0.1:2"), Answers(0))];
    assert_eq!(world.run(), (Err(io::ErrorKind::ConnectionRefused), 1));
    assert_eq!(world.run(), (Ok("127.0.0.1:2".into()), 1));
    let mut world = World::new(&[(A4, Silent), (B4, Silent)]);
    world.dialer.set_timeout(Duration::from_secs(2));
    assert_eq!(world.run(), (Err(io::ErrorKind::TimedOut), 2250));
}

#[test]
fn field_f3_the_round_goes_on_behind_one_that_gives_no_session() {
    let mut world = World::new(&[(A4, Answers(300)), (A6, Answers(400)), (B4, Answers(0))]);
    assert_eq!(world.run(), (Ok(A4.into()), 300));
    assert!(world.dialer.goes_on() && !world.dialer.is_silent(at(world.now + 2999)));
    assert!(world.dialer.is_silent(at(world.now + 3000)), "three seconds without a session");
    assert_eq!(world.dialer.deadline(), Some(at(world.now + 3000)));
    assert_eq!(
        world.run().0,
        Ok(B4.into()),
        "the one that was under way is tried again, and another one is faster"
    );
    assert!(world.dialer.goes_on());
    assert_eq!(world.run().0, Ok(A6.into()));
    assert!(!world.dialer.goes_on() && !world.dialer.is_silent(at(world.now + 100_000)), "none is left");
    assert_eq!(world.dialer.deadline(), None);
}

#[test]
fn field_f3_the_endpoint_that_gave_a_session_is_tried_first() {
    let mut world = World::new(&[(A4, Silent), (B4, Silent), (C4, Answers(0))]);
    assert_eq!(world.run(), (Ok(C4.into()), 500));
    world.dialer.note_session();
    assert!(!world.dialer.goes_on(), "the round is over");
    assert_eq!(world.run(), (Ok(C4.into()), 500));
    world.dialer.give_up();
    // It is one of the names no longer.
    world.dialer.resolver = Resolver::from(vec![endpoint(A4), endpoint(B4)]);
    world.hosts[1].1 = Answers(0);
    assert_eq!(world.run(), (Ok(B4.into()), 750));
}

#[test]
fn no_more_than_eight_are_tried_at_once() {
    let hosts: Vec<(String, Host)> = (1..=20).map(|port| (format!("127.0.0.1:{port}"), Silent)).collect();
    let mut world = World::new(&hosts.iter().map(|(host, what)| (host.as_str(), *what)).collect::<Vec<_>>());
    world.dialer.begin(at(0));
    for now in 0..9_999 {
        world.now = now;
        assert!(matches!(world.advance(), Dial::Waiting) && world.dialer.trying.len() <= 8);
    }
    assert_eq!(world.begun.len(), 8);
    world.now = 10_000;
    world.advance();
    assert_eq!(world.begun.len(), 9, "the first had its time");
}

#[test]
fn another_framing_is_an_error_of_that_endpoint() {
    let mut world = World::new(&[(A4, Answers(0))]);
    world.dialer.framing = Framing::Cobs;
    assert_eq!(world.run().0, Err(io::ErrorKind::InvalidInput));
    assert!(world.begun.is_empty());
}

#[test]
fn field_f5_names_that_do_not_come_fail_the_attempt_after_five_seconds() {
    let (hold, held): (_, Receiver<()>) = channel();
    let mut world = World::of(Resolver::new(move || {
        // Until the test is over.
        let _ = held.recv();
        Ok(Vec::<Endpoint>::new())
    }));
    assert!(!world.dialer.needs_waker(), "nothing is asked yet");
    world.dialer.begin(at(0));
    assert!(world.dialer.needs_waker());
    assert_eq!(world.run(), (Err(io::ErrorKind::TimedOut), 5000));
    assert_eq!(world.run(), (Err(io::ErrorKind::TimedOut), 10_000));
    drop(hold);
}
