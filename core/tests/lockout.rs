//! Nobody locks others out: what makes way, and for whom, if the places for links run out.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    AttributesRef, Broker, BrokerConfig, BrokerEvent, Code, Framing, Full, Instant, Limit, LinkId, Ready,
};
use support::raw::hello;

const SECOND: Duration = Duration::from_secs(1);
const HONEST: u64 = 1;
const HOSTILE: u64 = 2;

/// A broker, and an adapter that does at once what it says.
struct Place {
    broker: Broker,
    now: Instant,
    events: Vec<BrokerEvent>,
    closed: Vec<LinkId>,
    /// Not what goes out on these.
    written: Vec<(LinkId, Vec<u8>)>,
}

impl Place {
    fn new(adapt: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::default() };
        adapt(&mut config);
        let broker = Broker::new(config, 1).unwrap();
        Self { broker, now: Instant::from_micros(1), events: vec![], closed: vec![], written: vec![] }
    }

    fn connect(&mut self, source: u64) -> Result<LinkId, Full> {
        let link = self.broker.handle_connected(self.now, source);
        self.turn();
        link
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.broker.handle_timeout(self.now);
        self.turn();
    }

    fn put(&mut self, link: LinkId, bytes: &[u8]) {
        self.broker.handle_input(self.now, link, bytes).unwrap();
        self.turn();
    }

    fn disconnect(&mut self, link: LinkId) {
        self.broker.handle_disconnected(self.now, link);
        self.turn();
    }

    fn turn(&mut self) {
        let mut out = [0; 256];
        while let Some(ready) = self.broker.poll_ready() {
            let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
            while let Ok(count @ 1..) = self.broker.poll_transmit(self.now, link, &mut out) {
                self.written.push((link, out[..count].to_vec()));
            }
            if let Ready::Close(link) = ready {
                self.closed.push(link);
                self.broker.handle_disconnected(self.now, link);
            }
        }
        while let Some(event) = self.broker.poll_event() {
            self.events.push(event);
        }
    }

    /// What a client says that has no session, and whether it is welcomed.
    fn is_welcomed(&mut self, n: usize, link: LinkId) -> bool {
        self.put(link, &hello(n, 1, None, AttributesRef::EMPTY));
        self.written.iter().any(|(to, bytes)| *to == link && bytes.get(1) == Some(&2))
    }

    fn was_refused(&self, source: u64, limit: Limit) -> bool {
        self.events.contains(&BrokerEvent::Refused { source, limit })
    }
}

#[test]
fn attack_a11_links_that_never_say_hello_make_way_for_others() {
    let mut place = Place::new(|_| {});
    let slow = place.connect(HONEST).unwrap();
    let hostile: Vec<LinkId> = (1..16_384).map(|_| place.connect(HOSTILE).unwrap()).collect();
    place.pass(Duration::from_millis(1_999));
    assert_eq!(place.connect(HONEST), Err(Full), "all may still be about to say hello");
    assert!(place.was_refused(HONEST, Limit::Links));
    place.pass(Duration::from_millis(1));
    // Many newcomers, one after the other, also those of the source that has so many.
    for n in 0..500 {
        let link = place.connect([3, HOSTILE][n % 2]).unwrap();
        assert!(place.is_welcomed(n, link));
        assert_eq!(place.closed.last(), Some(&hostile[n]), "the oldest of the source that has most");
    }
    assert_eq!((place.broker.stats().links, place.closed.len()), (16_384, 500));
    let told = place.written.iter().find(|(to, _)| *to == hostile[0]);
    assert_eq!(told.unwrap().1, [3, 3, Code::HandshakeTimeout as u8, 0]);
    assert!(place.is_welcomed(1_000, slow), "the only link of its source was not in the way");
}

#[test]
fn attack_a11_each_of_many_sources_with_one_silent_link_makes_way_the_oldest_first() {
    let mut place = Place::new(|config| config.max_links = 4);
    let mut links = Vec::new();
    for source in [9, 3, 7, 5] {
        links.push(place.connect(source).unwrap());
        place.pass(SECOND / 10);
    }
    place.pass(2 * SECOND);
    for old in links {
        let link = place.connect(HOSTILE).unwrap();
        assert!(place.is_welcomed(place.closed.len(), link));
        assert_eq!(place.closed.last(), Some(&old));
    }
    // Now all have a session, and these are not touched.
    place.pass(4 * SECOND);
    assert_eq!(place.connect(HONEST), Err(Full));
    assert_eq!(place.broker.stats().connected, 4);
}

#[test]
fn attack_a11_hellos_that_are_wrong_take_no_place() {
    let mut place = Place::new(|config| config.max_links = 64);
    for n in 0..10_000 {
        let link = place.connect(HOSTILE).unwrap();
        match n % 3 {
            0 => place.put(link, &[2, 0x7f, 0]),
            1 => place.put(link, &[1, 0]),
            // Half a hello.
            _ => {
                place.put(link, &hello(1, 1, None, AttributesRef::EMPTY)[..20]);
                place.disconnect(link);
            }
        }
    }
    let link = place.connect(HONEST).unwrap();
    assert!(place.is_welcomed(1, link));
    assert_eq!(place.broker.stats().links, 1);
}

#[test]
fn attack_a11_an_adapter_that_is_slow_to_close_holds_up_no_more_than_a_quarter() {
    let mut place = Place::new(|config| config.max_links = 64);
    for _ in 0..64 {
        place.connect(HOSTILE).unwrap();
    }
    place.pass(2 * SECOND);
    // The adapter does nothing of what it is told meanwhile.
    let mut given = 0;
    while place.broker.handle_connected(place.now, HONEST).is_ok() {
        given += 1;
    }
    assert_eq!((given, place.broker.stats().links), (16, 64));
    place.turn();
    assert_eq!((place.closed.len(), place.broker.stats().links), (16, 64));
    place.connect(HONEST).unwrap();
}

#[test]
fn attack_a11_where_lossy_links_run_out_one_of_these_makes_way() {
    let mut place = Place::new(|config| (config.max_links, config.max_lossy_links) = (8, 2));
    for _ in 0..6 {
        place.connect(HOSTILE).unwrap();
    }
    let lines: Vec<LinkId> = [HOSTILE, HONEST]
        .map(|source| place.broker.handle_connected_over(place.now, source, Framing::Cobs).unwrap())
        .into();
    place.turn();
    place.pass(Duration::from_millis(1_500));
    assert_eq!(place.broker.handle_connected_over(place.now, 3, Framing::Cobs), Err(Full));
    place.turn();
    assert!(place.was_refused(3, Limit::LossyLinks));
    place.pass(Duration::from_millis(500));
    place.broker.handle_connected_over(place.now, 3, Framing::Cobs).unwrap();
    place.turn();
    // Of two with one each the older one; both are as old, so any.
    assert_eq!((place.closed.len(), place.broker.stats().links), (1, 8));
    assert!(lines.contains(&place.closed[0]));
    // Where a place of any kind will do, the one with most makes way.
    place.connect(HONEST).unwrap();
    assert!(!lines.contains(&place.closed[1]));
}

#[test]
fn a_fleet_behind_one_source_gets_in_where_there_are_no_limits_per_source() {
    let mut place = Place::new(|_| {});
    let links: Vec<LinkId> = (0..2_000).map(|_| place.connect(HONEST).unwrap()).collect();
    for (n, link) in links.into_iter().enumerate() {
        assert!(place.is_welcomed(n, link));
    }
    assert!(!place.events.iter().any(|event| matches!(event, BrokerEvent::Refused { .. })));
}

#[test]
fn links_of_one_source_have_a_limit_that_is_no_other_source_s() {
    let mut place = Place::new(|config| config.max_links_per_source = 3);
    let links: Vec<LinkId> = (0..3).map(|_| place.connect(HOSTILE).unwrap()).collect();
    assert!(place.is_welcomed(1, links[0]));
    assert_eq!(place.connect(HOSTILE), Err(Full));
    assert!(place.was_refused(HOSTILE, Limit::LinksPerSource));
    place.connect(HONEST).unwrap();
    place.disconnect(links[1]);
    place.connect(HOSTILE).unwrap();
    assert_eq!(place.connect(HOSTILE), Err(Full));
}

#[test]
fn failed_hellos_of_one_source_have_a_limit_and_one_that_is_welcomed_does_not_count() {
    let mut place = Place::new(|config| config.max_failed_hellos_per_source = 10);
    // A fleet behind one address: as many as it likes, ten at a time.
    for n in 0..100 {
        let links: Vec<LinkId> = (0..10).map(|_| place.connect(HOSTILE).unwrap()).collect();
        assert_eq!(place.connect(HOSTILE), Err(Full), "ten are awaited");
        for (k, link) in links.into_iter().enumerate() {
            assert!(place.is_welcomed(10 * n + k, link));
        }
    }
    assert!(place.was_refused(HOSTILE, Limit::FailedHellosPerSource));
    place.events.clear();
    // Guesses at a secret, and those that say nothing and leave.
    let mut wrong = hello(1, 2, None, AttributesRef::EMPTY);
    wrong[24..40].fill(99);
    for n in 0..10 {
        let link = place.connect(HOSTILE).unwrap();
        if n % 2 == 0 { place.put(link, &wrong) } else { place.disconnect(link) }
    }
    assert_eq!(place.connect(HOSTILE), Err(Full));
    assert!(place.was_refused(HOSTILE, Limit::FailedHellosPerSource));
    place.connect(HONEST).unwrap();
    // One is forgotten each six seconds.
    place.pass(6 * SECOND);
    let link = place.connect(HOSTILE).unwrap();
    assert_eq!(place.connect(HOSTILE), Err(Full));
    assert!(place.is_welcomed(2_000, link));
    place.connect(HOSTILE).unwrap();
    // Its time is over as well, and then its failure is forgotten too.
    place.pass(5 * SECOND);
    place.pass(60 * SECOND);
    for _ in 0..10 {
        place.connect(HOSTILE).unwrap();
    }
    assert_eq!(place.connect(HOSTILE), Err(Full));
}
