//! Nobody locks others out: which link makes way for which newcomer, if the places for links run out.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Control, Known, Welcome};
use e_pigeon_core::wire::item::UpItem;
use e_pigeon_core::wire::state::{Prefix, tag};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{
    AbortCode, AttributesRef, Broker, BrokerConfig, BrokerEvent, Framing, Instant, Limit, LinkId, Past,
    Ready, TooManyLinks,
};
use support::lossy_raw::{control, hello_of};
use support::raw::{Raw, frame, hello, message};
use support::uuid;

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
        let mut config = BrokerConfig::new(0).settle(Duration::ZERO);
        adapt(&mut config);
        let broker = Broker::new(config, 1).unwrap();
        Self { broker, now: Instant::from_micros(1), events: vec![], closed: vec![], written: vec![] }
    }

    fn connect(&mut self, source: u64) -> Result<LinkId, TooManyLinks> {
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
    assert_eq!(place.connect(HONEST), Err(TooManyLinks), "all may still be about to say hello");
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
    assert_eq!(told.unwrap().1, [3, 3, AbortCode::HandshakeTimeout as u8, 0]);
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
    assert_eq!(place.connect(HONEST), Err(TooManyLinks));
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
    // The adapter ignores what the broker reports meanwhile.
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
    assert_eq!(place.broker.handle_connected_over(place.now, 3, Framing::Cobs), Err(TooManyLinks));
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
    assert_eq!(place.connect(HOSTILE), Err(TooManyLinks));
    assert!(place.was_refused(HOSTILE, Limit::LinksPerSource));
    place.connect(HONEST).unwrap();
    place.disconnect(links[1]);
    place.connect(HOSTILE).unwrap();
    assert_eq!(place.connect(HOSTILE), Err(TooManyLinks));
}

#[test]
fn failed_hellos_of_one_source_have_a_limit_and_one_that_is_welcomed_does_not_count() {
    let mut place = Place::new(|config| config.max_failed_hellos_per_source = 10);
    // A fleet behind one address: as many as it likes, ten at a time.
    for n in 0..100 {
        let links: Vec<LinkId> = (0..10).map(|_| place.connect(HOSTILE).unwrap()).collect();
        assert_eq!(place.connect(HOSTILE), Err(TooManyLinks), "ten are awaited");
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
    assert_eq!(place.connect(HOSTILE), Err(TooManyLinks));
    assert!(place.was_refused(HOSTILE, Limit::FailedHellosPerSource));
    place.connect(HONEST).unwrap();
    // One is forgotten each six seconds.
    place.pass(6 * SECOND);
    let link = place.connect(HOSTILE).unwrap();
    assert_eq!(place.connect(HOSTILE), Err(TooManyLinks));
    assert!(place.is_welcomed(2_000, link));
    place.connect(HOSTILE).unwrap();
    // Its time is over as well, and then its failure is forgotten too.
    place.pass(5 * SECOND);
    place.pass(60 * SECOND);
    for _ in 0..10 {
        place.connect(HOSTILE).unwrap();
    }
    assert_eq!(place.connect(HOSTILE), Err(TooManyLinks));
}

/// The welcome that has come for a link last.
fn welcome_for(place: &Place, link: LinkId) -> Option<Welcome> {
    let bytes = &place.written.iter().rfind(|(to, _)| *to == link)?.1;
    // A frame of that size has one byte of length.
    let mut reader = Reader::new(&bytes[1..]);
    match Control::read(reader.u8().unwrap(), &mut reader).unwrap() {
        Control::Welcome(welcome) => Some(welcome),
        _ => None,
    }
}

#[test]
fn attack_a9_sessions_that_fill_the_table_are_gone_soon_and_none_before_its_time() {
    let mut place = Place::new(|config| config.max_sessions = 1_000);
    let mut promised = Vec::new();
    for n in 0..1_000 {
        let link = place.connect(HOSTILE).unwrap();
        assert!(place.is_welcomed(n, link));
        promised.push(welcome_for(&place, link).unwrap().session_ttl_ms);
        place.disconnect(link);
    }
    let begun = place.now;
    assert_eq!(
        (promised[0], promised[499], promised[899], promised[999]),
        (600_000, 600_000, 30_000, 30_000)
    );
    assert!(promised.is_sorted_by(|a, b| a >= b));
    let link = place.connect(HONEST).unwrap();
    assert!(!place.is_welcomed(2_000, link));
    assert!(place.was_refused(HONEST, Limit::Sessions));
    place.disconnect(link);
    for seconds in [29, 30, 31, 100, 300, 599, 600] {
        let now = begun + seconds * SECOND;
        place.pass(now.saturating_duration_since(place.now));
        let due = promised.iter().filter(|&&ms| ms > u64::from(seconds) * 1_000).count();
        assert_eq!(place.broker.stats().sessions as usize, due, "after {seconds} s");
        if seconds == 30 {
            let link = place.connect(HONEST).unwrap();
            assert!(place.is_welcomed(2_000, link), "a tenth of the table is free again");
            place.put(link, &[2, 9, 1]);
        }
    }
}

#[test]
fn attack_a9_a_session_that_was_promised_more_keeps_it_when_it_goes_on() {
    let mut place = Place::new(|config| config.max_sessions = 10);
    let link = place.connect(HONEST).unwrap();
    assert!(place.is_welcomed(0, link));
    let welcome = welcome_for(&place, link).unwrap();
    place.disconnect(link);
    for n in 1..10 {
        let link = place.connect(HOSTILE).unwrap();
        assert!(place.is_welcomed(n, link));
    }
    let window = Window { messages: 1, bytes: 5_000 };
    let known =
        Known { epoch: welcome.epoch, session: welcome.session, received: 0, acknowledged: 0, window };
    let link = place.connect(HONEST).unwrap();
    place.put(link, &hello(0, 2, Some(known), AttributesRef::EMPTY));
    let again = welcome_for(&place, link).unwrap();
    assert!(again.resumed.is_some());
    assert_eq!((welcome.session_ttl_ms, again.session_ttl_ms), (600_000, 600_000));
    place.disconnect(link);
    place.pass(599 * SECOND);
    let link = place.connect(HONEST).unwrap();
    place.put(link, &hello(0, 3, Some(known), AttributesRef::EMPTY));
    assert!(welcome_for(&place, link).unwrap().resumed.is_some());
}

/// A hello on a line, of a client that has not been there before.
fn hello_on_line(framing: Framing, n: usize) -> Vec<u8> {
    let boot = 1_000 + n as u64;
    control(framing, tag(boot, 1), Control::Hello(hello_of(n, boot, 1), AttributesRef::EMPTY))
}

/// The welcome that is the last thing said on a link over datagrams.
fn last_welcome(place: &mut Place, link: LinkId) -> Option<Welcome> {
    let (to, bytes) = place.written.last()?;
    let mut reader = Reader::new(bytes);
    Prefix::read(&mut reader).unwrap();
    match Control::read(reader.u8().unwrap(), &mut reader).unwrap() {
        Control::Welcome(welcome) if *to == link => Some(welcome),
        _ => None,
    }
}

#[test]
fn attack_a10_one_line_does_not_fill_the_table_of_sessions() {
    let mut place = Place::new(|config| config.max_sessions = 1_000);
    let line = place.broker.handle_connected_over(place.now, HOSTILE, Framing::Cobs).unwrap();
    for n in 0..10_000 {
        place.put(line, &hello_on_line(Framing::Cobs, n));
        assert!(place.broker.stats().sessions <= 5);
    }
    assert!(place.was_refused(HOSTILE, Limit::SessionsPerLine));
    assert_eq!(place.broker.stats().sessions, 5, "four away, and one that it has");
    // It is not lost for good: all but the first are over soon.
    place.pass(5 * SECOND);
    place.put(line, &hello_on_line(Framing::Cobs, 20_000));
    assert_eq!((place.broker.stats().sessions, place.broker.stats().connected), (3, 1));
}

#[test]
fn a_line_whose_client_forgets_who_it_is_each_second_welcomes_it_each_time() {
    let mut place = Place::new(|_| {});
    let line = place.broker.handle_connected_over(place.now, HONEST, Framing::Datagram).unwrap();
    let mut told = Vec::new();
    for n in 0..60 {
        place.put(line, &hello_on_line(Framing::Datagram, n));
        told.push(last_welcome(&mut place, line).expect("a welcome").session_ttl_ms);
        assert_eq!(place.broker.stats().connected, 1);
        place.pass(Duration::from_millis(1_300));
    }
    assert_eq!((told[0], &told[1..]), (600_000, &[5_000; 59][..]));
    // The first was promised more, and is there.
    assert!(place.broker.stats().sessions <= 6);
    let first = control(
        Framing::Datagram,
        tag(1_000, 2),
        Control::Hello(hello_of(0, 1_000, 2), AttributesRef::EMPTY),
    );
    place.put(line, &first);
    assert!(place.events.contains(&BrokerEvent::SessionResumed(uuid(0))));
    // When the others are over, it has its whole time again.
    place.pass(6 * SECOND);
    let boot = control(
        Framing::Datagram,
        tag(1_000, 3),
        Control::Hello(hello_of(0, 1_000, 3), AttributesRef::EMPTY),
    );
    place.put(line, &boot);
    assert_eq!(last_welcome(&mut place, line).expect("a welcome").session_ttl_ms, 600_000);
}

#[test]
fn attack_a12_what_is_no_repetition_cannot_be_declined_and_so_not_be_made_to_wait() {
    let mut raw = Raw::new(BrokerConfig::new(0).settle(Duration::ZERO));
    let mut abort = |retry: Option<Past>, receiver: usize| {
        let to = raw.up(receiver, 1);
        let from = raw.up(receiver + 1, 1);
        for step in 0..3 {
            let define = (step == 0).then(|| uuid(receiver).into());
            raw.put(from, &message(define.as_ref(), 1, retry, b"to you"));
        }
        raw.swallow(to);
        for number in 1..=3 {
            let decline = frame(|w| UpItem::Decline(number).write(w));
            raw.put(to, &decline);
        }
        let told = raw.swallow(to);
        let waiting = raw.broker.stats().waiting;
        assert!(raw.broker.stats().is_balanced());
        (waiting, told.windows(3).any(|bytes| bytes == [3, AbortCode::BadAcknowledgement as u8, 0]))
    };
    assert_eq!(abort(None, 1), (0, true));
    assert_eq!(abort(Some(Past::Sent), 3), (3, false), "what may be a repetition can be");
}
