//! What a link needs if frames may be lost, come twice, or in another order: which items the peer has, which are to be
//! written again and when, and the states that the ends report. The same at both ends; on streams nothing of it runs.
//!
//! Numbers and times only. Items under way are bits of a word, counted from the first that is missing, so nothing here
//! grows, and in no more room than they need: on the least nodes each byte counts. (PROTOCOL.md, "Lossy framed transports")

mod ago;
mod flight;

use super::timing::{Repeat, RoundTrip};
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::state::{SPAN, StateFrame};
use crate::wire::window::Window;
use ago::{Recently, StatesAgo};
use flight::Flight;

/// What was written is missing when something has come that was written so many frames later: at first, and at most, on a
/// network on which frames overtake each other.
const REORDERING: (u8, u8) = (3, 24);
/// The more timers have ended without an answer, the more states ask at once, up to so many.
const PROBES: u8 = 3;
/// After so many timers without any answer the line counts as cut, and is tried with a small flight.
const CUT: u8 = 3;
/// Frames that are written while nothing comes can be distinguished up to so many. With the most of [`REORDERING`] twice that is
/// half of what a byte counts, so that of two orders the later one is known.
const ORDERS: u8 = 80;

/// Why an item has an order.
const NO_PLACE: &str = "a remainder is not below what it was divided by";

/// Both directions of items on one lossy link.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    round_trip: RoundTrip,

    // Items that go out. Bit n of each word stands for the number `base + 1 + n`.
    /// The peer has all items up to this one.
    base: u64,
    /// The peer has these besides.
    arrived: u64,
    /// These are to be written again.
    missing: u64,
    /// These were written more than once.
    repeated: u64,
    /// So many items beyond that were written on this link, up to the span.
    ahead: u8,
    /// When each item was written last, in the order of writing, modulo 256; the place is the number modulo the span.
    orders: [u8; SPAN as usize],
    /// The order of the last frame that counts.
    written: u8,
    /// The latest that is known to have come.
    latest: u8,
    /// How much later something has to be written that has come, for what has not to be missing.
    reordering: u8,
    /// The first frame that was written at or after that time, which is not long ago.
    recent: u8,
    recent_at: Recently,
    /// How many items may be under way.
    flight: Flight,
    /// The item whose round trip is measured, as so many beyond `base`, 0 for none, and when it was written.
    timed: u8,
    timed_at: Recently,
    items: Repeat,
    /// Nothing has come for too long: so many states are to ask which items have.
    probes: u8,

    // Items that come in. Bit n stands for the number `received + 1 + n`.
    beyond: u64,

    // States that the ends report to each other.
    serial: u64,
    peer_serial: u64,
    /// The first state with what changed last, until the peer has confirmed it.
    unconfirmed: StatesAgo,
    /// The first state since the last answer that asked for one, and when it was written. No other asks before that is answered
    /// or its time is over: else two ends that both have news would answer each other without an end.
    asked: StatesAgo,
    asked_at: Recently,
    /// The last state that asked for one, until it is answered, and its order among the items.
    marker: StatesAgo,
    marker_order: u8,
    /// True if the last state asks.
    asks: bool,
    states: Repeat,
    state_due: bool,
}

impl Recovery {
    /// A link on which the peer has all items up to `received`.
    pub(crate) fn new(received: u64) -> Self {
        Self {
            round_trip: RoundTrip::UNKNOWN,
            base: received,
            arrived: 0,
            missing: 0,
            repeated: 0,
            ahead: 0,
            orders: [0; SPAN as usize],
            written: 0,
            latest: 0,
            reordering: REORDERING.0,
            recent: 0,
            recent_at: Recently::default(),
            flight: Flight::NEW,
            timed: 0,
            timed_at: Recently::default(),
            items: Repeat::default(),
            probes: 0,
            beyond: 0,
            serial: 0,
            peer_serial: 0,
            unconfirmed: StatesAgo::NONE,
            asked: StatesAgo::NONE,
            asked_at: Recently::default(),
            marker: StatesAgo::NONE,
            marker_order: 0,
            asks: false,
            states: Repeat::default(),
            state_due: false,
        }
    }

    // Items that go out.

    /// True if the line takes one more item.
    pub(crate) fn has_room(&self) -> bool {
        u32::from(self.ahead) < SPAN && self.flight_has_room()
    }

    fn flight_has_room(&self) -> bool {
        self.under_way().count_ones() < u32::from(self.flight.size())
    }

    /// The first item that is to be written again, if the line takes it.
    pub(crate) fn next_missing(&self) -> Option<u64> {
        let is_due = self.missing != 0 && self.flight_has_room();
        is_due.then(|| self.base + 1 + u64::from(self.missing.trailing_zeros()))
    }

    /// An item was written: a new one, or one that was missing.
    pub(crate) fn wrote(&mut self, number: u64, now: Instant) {
        let idle = self.under_way() == 0;
        // It was let go only if it is within the span.
        let beyond = (number - self.base).min(u64::from(SPAN)) as u8;
        let bit = 1 << (beyond - 1);
        if beyond > self.ahead {
            self.ahead = beyond;
            if self.timed == 0 {
                (self.timed, self.timed_at) = (beyond, Recently::at(now));
            }
        } else {
            self.missing &= !bit;
            self.repeated |= bit;
            // An answer could be to either of them.
            if self.timed == beyond {
                self.timed = 0;
            }
        }
        self.count_written(1);
        if let Some(order) = self.orders.get_mut(place(number)).or_bug(NO_PLACE) {
            *order = self.written;
        }
        if !self.round_trip.is_too_soon(self.recent_at.micros_until(now)) {
            (self.recent, self.recent_at) = (self.written, Recently::at(now));
        }
        if idle {
            self.items.start_again(now);
        }
    }

    /// The next frame comes so many later in the order of writing.
    fn count_written(&mut self, more: u8) {
        if self.written.wrapping_sub(self.latest) < ORDERS {
            self.written = self.written.wrapping_add(more);
        }
    }

    /// True if the peer has all that was written, and has confirmed the last change of the state.
    pub(crate) fn is_settled(&self) -> bool {
        self.ahead == 0 && self.unconfirmed.is_none()
    }

    /// Items that were written, did not come as far as is known, and are not to be written again.
    fn under_way(&self) -> u64 {
        first_bits(self.ahead) & !self.arrived & !self.missing
    }

    // Items that come in.

    /// What to do with an item of that number if all up to `received` have come. The peer gets a state in any case.
    pub(crate) fn place(&mut self, number: u64, received: u64) -> Place {
        self.state_due = true;
        match number.checked_sub(received + 1) {
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

    /// One more item was received in order; true if the next one is kept.
    pub(crate) fn received_one(&mut self) -> bool {
        self.beyond >>= 1;
        self.beyond & 1 != 0
    }

    /// True if the next item is kept, and was not read yet.
    #[cfg(feature = "alloc")]
    pub(crate) fn has_next(&self) -> bool {
        self.beyond & 1 != 0
    }

    // States that the ends report to each other.

    /// The peer reports its state. Returns true if the state is news.
    pub(crate) fn receive_state(&mut self, state: &StateFrame, now: Instant) -> Result<bool, AbortCode> {
        if state.serial <= self.peer_serial {
            // An older one, which was overtaken.
            return Ok(false);
        }
        let more = state.received.checked_sub(self.base).filter(|&more| more <= u64::from(self.ahead));
        // No more than are under way.
        let more = more.ok_or(AbortCode::BadAcknowledgement)? as u8;
        let later = self.serial.checked_sub(state.heard).ok_or(AbortCode::BadAcknowledgement)?;
        if state.beyond & !first_bits(self.ahead - more) != 0 {
            return Err(AbortCode::BadAcknowledgement);
        }
        let shift = u32::from(more);
        if self.arrived.checked_shr(shift).unwrap_or(0) & !state.beyond != 0 {
            // No timer runs for what has come.
            return Err(AbortCode::BadAcknowledgement);
        }
        self.peer_serial = state.serial;
        // The line is not cut, so the next timer need not be much longer than the last one.
        self.items.forgive(2);
        self.state_due |= state.wants_reply;
        if self.asked.was_received(later) {
            if self.asked.was_received_last(later) {
                // An answer to one that was written later says nothing of this one.
                self.measured(self.asked_at.micros_until(now));
            }
            self.asked = StatesAgo::NONE;
            if !self.unconfirmed.is_none() {
                // The peer most likely gets later changes with the next state; otherwise a question follows.
                self.states.start(now);
            }
        }
        let is_answer = self.marker.was_received(later);
        if is_answer {
            // All that was written well before it has come by now, or never will.
            self.marker = StatesAgo::NONE;
            if is_behind(self.latest, self.marker_order) {
                self.latest = self.marker_order;
            }
        }
        if self.unconfirmed.was_received(later) {
            self.unconfirmed = StatesAgo::NONE;
            self.states.end();
        }
        let mut come = self.come(first_bits(more) & !self.arrived, now);
        let timed_has_come = self.timed != 0 && self.timed <= more;
        for word in [&mut self.arrived, &mut self.missing, &mut self.repeated] {
            *word = word.checked_shr(shift).unwrap_or(0);
        }
        self.base = state.received;
        self.ahead -= more;
        self.timed = self.timed.saturating_sub(more);
        come += self.come(state.beyond & !self.arrived, now);
        self.arrived = state.beyond;
        self.missing &= !self.arrived;
        if come > 0 {
            self.probes = 0;
            // Only a frame that was written once shows how long an answer takes; until then a timer that was too short stays
            // as long as it has become.
            if timed_has_come || self.timed_has_come() {
                self.measured(self.timed_at.micros_until(now));
                self.timed = 0;
                self.items.start(now);
            } else {
                self.items.start_again(now);
            }
            self.grow(come, now);
        }
        if is_answer || self.arrived | self.repeated != 0 {
            self.find_lost();
        }
        Ok(true)
    }

    /// These items have come, bit n stands for `base + 1 + n`; returns how many.
    fn come(&mut self, items: u64, now: Instant) -> u8 {
        // What counted as missing, and was not written again so long ago that this can have come, was only overtaken.
        let mut late = items & self.missing;
        let is_soon =
            self.items.failed() == 0 && self.round_trip.is_too_soon(self.recent_at.micros_until(now));
        for number in self.numbers(items & !late) {
            let (order, bit) = (self.order(number), 1 << (number - self.base - 1));
            if is_soon && self.repeated & bit != 0 && is_behind(self.recent, order) {
                late |= bit;
            } else if is_behind(self.latest, order) {
                self.latest = order;
            }
        }
        if late != 0 {
            self.reordering = (2 * self.reordering).min(REORDERING.1);
            self.flight.restore(count(late));
        }
        count(items)
    }

    /// The numbers of these items.
    fn numbers(&self, mut items: u64) -> impl Iterator<Item = u64> + use<> {
        let base = self.base;
        core::iter::from_fn(move || {
            let first = (items != 0).then(|| items.trailing_zeros())?;
            items &= items - 1;
            Some(base + 1 + u64::from(first))
        })
    }

    /// When that item was written last.
    fn order(&self, number: u64) -> u8 {
        self.orders.get(place(number)).copied().or_bug(NO_PLACE).unwrap_or_default()
    }

    /// So many items have come, and the flight grows if no frames wait on the line.
    fn grow(&mut self, come: u8, now: Instant) {
        // What was measured is that old; the item that is timed may be late already.
        let waits = self.timed != 0 && self.round_trip.is_long(self.timed_at.micros_until(now));
        if !waits && !self.round_trip.is_queueing() {
            self.flight.grow(come);
        }
    }

    /// An answer took so long. A flight that only makes frames wait on the line is too large.
    fn measured(&mut self, took: u64) {
        self.round_trip.measure(took);
        self.items.forgive(0);
        if self.round_trip.is_queueing() && !self.flight.shrink() {
            // So few do not wait for each other: the line has become longer.
            self.round_trip.forget_least();
        }
    }

    /// True if the item whose round trip is measured has come out of order.
    fn timed_has_come(&self) -> bool {
        self.timed != 0 && self.arrived & (1 << (self.timed - 1)) != 0
    }

    /// An item that was written well before one that has come, and has not come itself, is missing.
    fn find_lost(&mut self) {
        // If few are under way, few overtake each other.
        let reordering = self.reordering.min(self.flight.size() / 2).max(REORDERING.0);
        let mut lost = 0;
        for number in self.numbers(self.under_way()) {
            let order = self.order(number);
            if is_behind(order, self.latest) && self.latest.wrapping_sub(order) >= reordering {
                lost |= 1 << (number - self.base - 1);
            }
        }
        if lost != 0 {
            self.missing |= lost;
            self.flight.lose(count(lost));
        }
    }

    /// True if a state has to be sent now; `has_news` is true if the acknowledgement or the window is not
    /// that of the last state.
    pub(crate) fn is_state_due(&self, has_news: bool) -> bool {
        let is_unconfirmed = !self.unconfirmed.is_none() && !self.states.is_running();
        self.state_due || self.probes > 0 || is_unconfirmed || has_news
    }

    /// The next [`state`](Self::state) goes out. A sign of life is repeated until the peer answers it, so that both ends show
    /// that they live; if it is an answer itself, a frame of the peer came just now.
    pub(crate) fn begin_state(&mut self, has_news: bool, is_sign: bool, now: Instant) {
        self.serial += 1;
        for state in [&mut self.unconfirmed, &mut self.asked, &mut self.marker] {
            state.count_one();
        }
        let is_answer = core::mem::take(&mut self.state_due);
        if has_news || (is_sign && !is_answer && self.unconfirmed.is_none()) {
            self.unconfirmed = StatesAgo::LAST;
        }
        let probes = self.probes > 0;
        self.asks = probes || (!self.unconfirmed.is_none() && !self.states.is_running());
        if probes {
            self.probes -= 1;
            self.items.start_again(now);
            // It comes so long after the items that none of them is still under way when it is there.
            self.count_written(self.reordering);
        }
        if self.asks {
            if !self.unconfirmed.is_none() {
                self.states.start_again(now);
            }
            if self.asked.is_none() {
                (self.asked, self.asked_at) = (StatesAgo::LAST, Recently::at(now));
            }
            (self.marker, self.marker_order) = (StatesAgo::LAST, self.written);
        }
    }

    /// The state to send if all items up to `received` have come, and all up to `acknowledged` are acknowledged.
    pub(crate) fn state(&self, received: u64, acknowledged: u64, window: Window) -> StateFrame {
        StateFrame {
            serial: self.serial,
            heard: self.peer_serial,
            wants_reply: self.asks,
            received,
            acknowledged,
            window,
            beyond: self.beyond,
        }
    }

    // Time.

    /// When [`Recovery::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let items = if self.under_way() == 0 { None } else { self.items.due(&self.round_trip) };
        [items, self.states.due(&self.round_trip)].into_iter().flatten().min()
    }

    /// Time has passed, and nothing has come. That proves nothing about any item, so the peer is asked what it has. If only
    /// one item is under way, that item is such a question itself.
    pub(crate) fn expire(&mut self, now: Instant) {
        let under_way = self.under_way();
        if under_way != 0 && self.items.is_over(&self.round_trip, now) {
            self.items.fail();
            // A state may have been lost that had it, so what comes now says how long the timer is.
            self.timed = 0;
            if self.items.failed() >= CUT {
                self.flight.cut();
            }
            self.probes = self.items.failed().min(PROBES);
            if under_way.count_ones() == 1 {
                self.missing |= under_way;
                self.probes -= 1;
            }
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
    /// It has come already, or is too far ahead to be kept.
    Known,
}

/// Where the order of that item stands.
fn place(number: u64) -> usize {
    // A remainder fits.
    (number % u64::from(SPAN)) as usize
}

/// True if the order `this` is not after `that`.
fn is_behind(this: u8, that: u8) -> bool {
    that.wrapping_sub(this) <= u8::MAX / 2
}

/// A word whose first so many bits are set.
fn first_bits(count: u8) -> u64 {
    // Shifted by all its bits, nothing is left.
    u64::MAX.checked_shr(SPAN.saturating_sub(u32::from(count))).unwrap_or(0)
}

/// How many bits of a word are set.
fn count(word: u64) -> u8 {
    // A word has 64.
    word.count_ones() as u8
}

#[cfg(test)]
mod tests;
