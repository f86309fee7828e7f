//! What a link needs where frames may be lost, come twice, or in another order: which items the peer has, which are to be
//! written again and when, and what the peer is to be told. The same at both ends; on streams nothing of it runs.
//!
//! Numbers and times only. Items under way are bits of a word, counted from the first that is missing, so nothing here
//! grows. (PROTOCOL.md, "Lossy framed transports")

use super::timing::{Repeat, RoundTrip};
use crate::error::Code;
use crate::time::Instant;
use crate::wire::control::Window;
use crate::wire::lossy::{SPAN, State};

/// How many items may be under way before anything is known of the line.
const FIRST_FLIGHT: u32 = 16;
/// An item is missing when one that was written so many items later has come.
const REORDERING: u32 = 3;

/// Both directions of items on one lossy link.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    round_trip: RoundTrip,

    // Items that go out. Bit n of each word stands for the number `base + 1 + n`.
    /// The peer has all items up to this one.
    base: u64,
    /// The last item that was written on this link.
    sent: u64,
    /// The peer has these besides.
    arrived: u64,
    /// These are to be written again.
    missing: u64,
    /// These were written more than once.
    repeated: u64,
    /// How many items may be under way.
    flight: u32,
    /// Losses up to this item have made the flight smaller already.
    eased_up_to: u64,
    /// The item whose round trip is measured, 0 for none, and when it was written.
    timed: u64,
    timed_at: Instant,
    items: Repeat,

    // Items that come in. Bit n stands for the number `received + 1 + n`.
    beyond: u64,

    // What the ends tell each other.
    serial: u64,
    heard: u64,
    told: (u64, Window),
    /// The first state that told this, until the peer has heard it; then 0.
    unheard: u64,
    /// The first state since the last answer that asked for one, 0 for none, and when it was written. No other asks before
    /// that is answered or its time is over: else two ends that both have news would answer each other for ever.
    asked: u64,
    asked_at: Instant,
    /// True where the last state asks.
    asks: bool,
    states: Repeat,
    state_due: bool,
}

impl Recovery {
    /// A link on which the peer has all items up to `received`, and knows the window and what is acknowledged.
    pub(crate) fn new(received: u64, acknowledged: u64, window: Window) -> Self {
        Self {
            round_trip: RoundTrip::default(),
            base: received,
            sent: received,
            arrived: 0,
            missing: 0,
            repeated: 0,
            flight: FIRST_FLIGHT,
            eased_up_to: received,
            timed: 0,
            timed_at: Instant::default(),
            items: Repeat::default(),
            beyond: 0,
            serial: 0,
            heard: 0,
            told: (acknowledged, window),
            unheard: 0,
            asked: 0,
            asked_at: Instant::default(),
            asks: false,
            states: Repeat::default(),
            state_due: false,
        }
    }

    // Items that go out.

    /// True where the line takes one more item.
    pub(crate) fn has_room(&self) -> bool {
        self.sent - self.base < u64::from(SPAN) && self.under_way().count_ones() < self.flight
    }

    /// The first item that is to be written again, where the line takes it.
    pub(crate) fn next_missing(&self) -> Option<u64> {
        let is_due = self.missing != 0 && self.under_way().count_ones() < self.flight;
        is_due.then(|| self.base + 1 + u64::from(self.missing.trailing_zeros()))
    }

    /// An item was written: a new one, or one that was missing.
    pub(crate) fn wrote(&mut self, number: u64, now: Instant) {
        let idle = self.under_way() == 0;
        let bit = 1 << (number - self.base - 1).min(u64::from(SPAN - 1));
        if number > self.sent {
            self.sent = number;
            if self.timed == 0 {
                (self.timed, self.timed_at) = (number, now);
            }
        } else {
            self.missing &= !bit;
            self.repeated |= bit;
            // Which of both an answer would be to, nobody knows.
            if self.timed == number {
                self.timed = 0;
            }
        }
        if idle {
            self.items.start_again(now);
        }
    }

    /// True where the peer has all that was written, and has heard what it was told.
    pub(crate) fn is_settled(&self) -> bool {
        self.base == self.sent && self.unheard == 0
    }

    /// Items that were written, did not come as far as is known, and are not to be written again.
    fn under_way(&self) -> u64 {
        first_bits(self.sent - self.base) & !self.arrived & !self.missing
    }

    // Items that come in.

    /// What to do with an item of that number where all up to `received` are here. Whatever it is, the peer is told.
    pub(crate) fn place(&mut self, number: u64, received: u64) -> Place {
        self.state_due = true;
        match number.checked_sub(received + 1) {
            Some(_) if canary!(TakesAnyOrder) => Place::Next,
            None => Place::Known,
            Some(0) => Place::Next,
            Some(ahead) if ahead < u64::from(SPAN) && self.beyond & (1 << ahead) == 0 => Place::Ahead,
            Some(_) => Place::Known,
        }
    }

    /// An item ahead of a missing one is kept.
    pub(crate) fn kept(&mut self, number: u64, received: u64) {
        self.beyond |= 1 << (number - received - 1).min(u64::from(SPAN - 1));
    }

    /// One more item was received in order; true where the next one is kept.
    pub(crate) fn received_one(&mut self) -> bool {
        self.beyond >>= 1;
        self.beyond & 1 != 0
    }

    // What the ends tell each other.

    /// The peer tells where it stands. Returns up to where it acknowledges, where that is news.
    pub(crate) fn hear(&mut self, state: &State, now: Instant) -> Result<bool, Code> {
        if state.serial <= self.heard {
            // An older one, which was overtaken.
            return Ok(false);
        }
        let ahead = state.received.checked_sub(self.base).ok_or(Code::BadAcknowledgement)?;
        if state.received > self.sent
            || state.beyond & !first_bits(self.sent - state.received) != 0
            || state.heard > self.serial
        {
            return Err(Code::BadAcknowledgement);
        }
        let shift = u32::try_from(ahead).unwrap_or(SPAN);
        if self.arrived.checked_shr(shift).unwrap_or(0) & !state.beyond != 0 {
            // No timer runs for what has come.
            return Err(Code::BadAcknowledgement);
        }
        self.heard = state.serial;
        self.state_due |= state.wants_reply;
        if self.asked != 0 && state.heard >= self.asked {
            if state.heard == self.asked {
                // An answer to one that was written later says nothing of this one.
                self.round_trip.measure(now.micros_since(self.asked_at));
            }
            self.asked = 0;
            // What has changed since is most likely heard with the next state; otherwise it is asked about.
            self.states.start(now);
        }
        if self.unheard != 0 && state.heard >= self.unheard {
            self.unheard = 0;
            self.states.end();
        }
        for word in [&mut self.arrived, &mut self.missing, &mut self.repeated] {
            *word = word.checked_shr(shift).unwrap_or(0);
        }
        self.base = state.received;
        let news = ahead > 0 || state.beyond & !self.arrived != 0;
        self.arrived = state.beyond;
        self.missing &= !self.arrived;
        if news {
            // Only what was written once tells how long an answer takes; until then a timer that was too short stays
            // as long as it has become.
            if self.measure(now) {
                self.items.start(now);
            } else {
                self.items.start_again(now);
            }
            self.flight = (self.flight + 1).min(SPAN);
        }
        self.find_gaps();
        Ok(true)
    }

    /// Takes the round trip of the item that is timed; false where that has not come.
    fn measure(&mut self, now: Instant) -> bool {
        let number = self.timed;
        let has_come = number <= self.base || self.arrived & (1 << (number - self.base - 1)) != 0;
        if number == 0 || !has_come {
            return false;
        }
        self.round_trip.measure(now.micros_since(self.timed_at));
        self.timed = 0;
        true
    }

    /// What was written well before something that has come, and has not come itself, is missing.
    fn find_gaps(&mut self) {
        let newest = u64::BITS - self.arrived.leading_zeros();
        let early = first_bits(u64::from(newest.saturating_sub(REORDERING)));
        let lost = self.under_way() & early & !self.repeated;
        if lost == 0 {
            return;
        }
        self.missing |= lost;
        let last = self.base + u64::from(u64::BITS - lost.leading_zeros());
        if last > self.eased_up_to {
            self.flight = (self.flight / 2).max(2);
            self.eased_up_to = self.sent;
        }
    }

    /// What the peer is to be told now, if anything, where this end stands like that.
    pub(crate) fn is_state_due(&self, acknowledged: u64, window: Window) -> bool {
        let is_unheard = self.unheard != 0 && !self.states.is_running();
        self.state_due || is_unheard || self.told != (acknowledged, window)
    }

    /// The next one is a sign of life. The peer is to answer it, so that both ends are heard, and it is repeated until
    /// they are; where it is an answer itself, the peer was heard just now.
    pub(crate) fn ask(&mut self) {
        if !self.state_due {
            self.unheard = if self.unheard == 0 { self.serial + 1 } else { self.unheard };
        }
    }

    /// The next [`state`](Self::state) tells it.
    pub(crate) fn tell(&mut self, acknowledged: u64, window: Window, now: Instant) {
        self.serial += 1;
        self.state_due = false;
        if self.told != (acknowledged, window) {
            self.told = (acknowledged, window);
            self.unheard = self.serial;
        }
        self.asks = self.unheard != 0 && !self.states.is_running();
        if self.asks {
            self.states.start_again(now);
            if self.asked == 0 {
                (self.asked, self.asked_at) = (self.serial, now);
            }
        }
    }

    /// What the peer is told last, where all items up to `received` are here.
    pub(crate) fn state(&self, received: u64) -> State {
        let skipped = if canary!(TakesRangesForAll) { self.beyond.count_ones() } else { 0 };
        State {
            serial: self.serial,
            heard: self.heard,
            wants_reply: self.asks,
            received: received + u64::from(skipped),
            acknowledged: self.told.0,
            window: self.told.1,
            beyond: self.beyond,
        }
    }

    // Time.

    /// When [`Recovery::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let items = if self.under_way() == 0 { None } else { self.items.due(&self.round_trip) };
        [items, self.states.due(&self.round_trip)].into_iter().flatten().min()
    }

    /// Time has passed: what was waited for too long is written again.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.under_way() != 0 && self.items.is_over(&self.round_trip, now) {
            // Nothing comes back: all of it may be lost, and is tried again one by one.
            self.missing |= if canary!(NeverTriesAgain) { 0 } else { self.under_way() };
            self.flight = 1;
            self.eased_up_to = self.sent;
            self.timed = 0;
            self.items.fail();
        }
        if self.states.is_over(&self.round_trip, now) {
            self.states.fail();
        }
    }

    /// The estimate of the round trip, for what is repeated besides.
    pub(crate) fn round_trip(&self) -> &RoundTrip {
        &self.round_trip
    }
}

/// What to do with an item that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the next one.
    Next,
    /// One before it is missing.
    Ahead,
    /// It is here already, or too far ahead to be kept.
    Known,
}

/// A word whose first so many bits are set.
fn first_bits(count: u64) -> u64 {
    match u32::try_from(count) {
        Ok(count @ 1..=SPAN) => u64::MAX >> (SPAN - count),
        Ok(0) => 0,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const WINDOW: Window = Window { messages: 9, bytes: 9 };

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1 + ms * 1_000)
    }

    /// A link that has written so many items at the beginning of time.
    fn written(count: u64) -> Recovery {
        let mut recovery = Recovery::new(0, 0, WINDOW);
        (1..=count).for_each(|number| recovery.wrote(number, at(0)));
        recovery
    }

    /// What is told next.
    fn told(link: &mut Recovery, received: u64, acknowledged: u64, window: Window, now: Instant) -> State {
        link.tell(acknowledged, window, now);
        link.state(received)
    }

    fn state(serial: u64, received: u64, beyond: u64) -> State {
        State { serial, heard: 0, wants_reply: false, received, acknowledged: 0, window: WINDOW, beyond }
    }

    #[test]
    fn what_was_overtaken_by_three_is_missing_and_is_written_once_more() {
        let mut sender = written(8);
        sender.hear(&state(1, 2, 0b0110), at(10)).unwrap();
        assert_eq!(sender.next_missing(), None, "3 was overtaken by two");
        sender.hear(&state(2, 2, 0b1110), at(11)).unwrap();
        assert_eq!(sender.next_missing(), Some(3));
        sender.wrote(3, at(11));
        sender.hear(&state(3, 2, 0b11_1110), at(12)).unwrap();
        assert_eq!(sender.next_missing(), None, "it is under way again");
        sender.hear(&state(4, 8, 0), at(20)).unwrap();
        assert_eq!((sender.deadline(), sender.is_settled()), (None, true));
    }

    #[test]
    fn silence_makes_all_of_it_missing_and_the_flight_one() {
        let mut sender = written(5);
        let due = sender.deadline().unwrap();
        sender.expire(at(1));
        assert_eq!(sender.next_missing(), None, "not yet");
        sender.expire(due);
        assert_eq!(sender.deadline(), None, "what is to be written has no deadline");
        assert_eq!(sender.next_missing(), Some(1));
        sender.wrote(1, due);
        assert_eq!(sender.next_missing(), None, "one at a time");
        assert!(!sender.has_room());
        let again = sender.deadline().unwrap();
        assert_eq!(again.saturating_duration_since(due), 2 * due.saturating_duration_since(at(0)));
        sender.hear(&state(1, 1, 0), again).unwrap();
        assert_eq!(sender.next_missing(), Some(2));
        sender.wrote(2, again);
        assert_eq!(sender.next_missing(), Some(3), "an answer makes it two");
    }

    #[test]
    fn the_flight_halves_once_for_each_round_of_losses() {
        let mut sender = written(16);
        sender.hear(&state(1, 0, 0b1110), at(10)).unwrap();
        let once = sender.flight;
        assert_eq!(once, FIRST_FLIGHT.div_ceil(2));
        sender.hear(&state(2, 0, 0b11_1010_1110), at(11)).unwrap();
        assert_eq!(sender.flight, once + 1, "these were under way when it was halved");
    }

    #[test]
    fn what_cannot_be_true_is_refused_and_what_is_old_changes_nothing() {
        let mut sender = written(4);
        for bad in [state(1, 5, 0), state(1, 1, 0b1000), State { heard: 1, ..state(1, 1, 0) }] {
            assert_eq!(sender.clone().hear(&bad, at(1)), Err(Code::BadAcknowledgement), "{bad:?}");
        }
        assert_eq!(sender.hear(&state(7, 3, 0), at(1)), Ok(true));
        assert_eq!(sender.hear(&state(6, 1, 0), at(1)), Ok(false));
        assert_eq!(sender.hear(&state(8, 2, 0), at(1)), Err(Code::BadAcknowledgement), "3 was here before");
    }

    #[test]
    fn items_ahead_of_a_missing_one_are_told_and_taken_in_order() {
        let mut receiver = Recovery::new(0, 0, WINDOW);
        assert_eq!(receiver.place(2, 0), Place::Ahead);
        receiver.kept(2, 0);
        assert_eq!(receiver.place(2, 0), Place::Known);
        assert_eq!(receiver.place(65, 0), Place::Known, "too far ahead");
        assert_eq!(receiver.place(64, 0), Place::Ahead);
        receiver.kept(64, 0);
        assert_eq!(told(&mut receiver, 0, 0, WINDOW, at(0)).beyond, 1 << 63 | 0b10);
        assert_eq!(receiver.place(1, 0), Place::Next);
        assert!(receiver.received_one(), "2 is next, and here");
        assert!(!receiver.received_one());
        assert_eq!(told(&mut receiver, 2, 2, WINDOW, at(0)).beyond, 1 << 61);
        assert_eq!(receiver.place(1, 2), Place::Known);
    }

    #[test]
    fn what_changes_is_told_until_it_was_heard_and_the_answer_to_it_is_not_answered() {
        let (mut a, mut b) = (Recovery::new(0, 0, WINDOW), Recovery::new(0, 0, WINDOW));
        assert!(!a.is_state_due(0, WINDOW));
        let wide = Window { messages: 99, bytes: 99 };
        assert!(a.is_state_due(0, wide));
        let lost = told(&mut a, 0, 0, wide, at(0));
        assert!(lost.wants_reply && !a.is_state_due(0, wide));
        let due = a.deadline().unwrap();
        a.expire(due);
        assert!(a.is_state_due(0, wide));
        let again = told(&mut a, 0, 0, wide, due);
        assert_eq!(b.hear(&again, due), Ok(true));
        assert!(b.is_state_due(0, WINDOW));
        let answer = told(&mut b, 0, 0, WINDOW, due);
        assert_eq!((answer.heard, answer.wants_reply), (again.serial, false));
        assert_eq!(a.hear(&answer, due), Ok(true));
        assert!(!a.is_state_due(0, wide) && a.deadline().is_none() && b.deadline().is_none());
        assert_eq!(b.hear(&lost, due + Duration::from_secs(1)), Ok(false), "it was overtaken");
    }
}
