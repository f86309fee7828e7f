//! Which fault comes next in one direction of one connection, and after how many bytes.

use std::time::Duration;

use super::super::random::Random;

/// Some connections are cut this early, in the handshake or among the few bytes of a direction that only acknowledges.
const EARLY: u64 = 400;
const ONE_IN_EARLY: u64 = 5;

/// After every so many faults a connection goes half-open, as long as the plan has some.
const HALF_OPEN_EVERY: u64 = 12;

/// What the proxy does to its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Where all randomness comes from.
    pub(crate) seed: u64,
    /// The mean number of bytes between two faults in one direction.
    pub(crate) mean_bytes: u64,
    /// How many connections go half-open.
    pub(crate) half_opens: u64,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Direction {
    ToBroker,
    ToClient,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Both sockets are closed at once: a reset where bytes are unread.
    CutHard,
    /// Both sockets are ended in order.
    CutOrderly,
    /// Nothing is forwarded in this direction for a while.
    Stall(Duration),
    /// The next so many bytes are written one by one.
    Stretch(usize),
    /// Both directions fall silent, both sockets stay open.
    HalfOpen,
}

/// The faults to come in one direction of one connection.
pub(super) struct Faults {
    random: Random,
    mean_bytes: u64,
    next_at: u64,
    cut_next: bool,
}

impl Faults {
    /// The faults of this direction of the `number`th connection.
    pub(super) fn new(plan: &Plan, number: u64, direction: Direction) -> Self {
        // What concerns the connection as a whole comes from a sequence that both directions draw alike.
        let mut shared = Random::stream(plan.seed, 3 * number);
        let early = shared.one_in(ONE_IN_EARLY);
        let victim = if shared.one_in(2) { Direction::ToBroker } else { Direction::ToClient };
        let own = 3 * number + if direction == Direction::ToBroker { 1 } else { 2 };
        let mut faults = Self {
            random: Random::stream(plan.seed, own),
            mean_bytes: plan.mean_bytes.max(1),
            next_at: 0,
            cut_next: false,
        };
        faults.draw_distance();
        if early && victim == direction {
            faults.next_at = faults.random.below(EARLY);
            faults.cut_next = true;
        }
        faults
    }

    /// How many bytes are left until the next fault.
    pub(super) fn distance(&self) -> u64 {
        self.next_at
    }

    /// So many bytes have passed.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.next_at = self.next_at.saturating_sub(bytes);
    }

    /// The fault whose position has been reached. Before it there were `faults`, `half_opens` of them half-open connections;
    /// `may_half_open` says whether this one is past its handshake.
    pub(super) fn take(&mut self, plan: &Plan, faults: u64, half_opens: u64, may_half_open: bool) -> Fault {
        self.draw_distance();
        let is_due = half_opens < plan.half_opens && faults >= HALF_OPEN_EVERY * (half_opens + 1);
        if is_due && may_half_open {
            return Fault::HalfOpen;
        }
        let cut = if self.random.one_in(2) { Fault::CutHard } else { Fault::CutOrderly };
        if self.cut_next {
            self.cut_next = false;
            return cut;
        }
        match self.random.below(100) {
            0..8 => Fault::Stall(Duration::from_millis(50 + self.random.below(251))),
            8..20 => Fault::Stretch(100 + self.random.index(500)),
            _ => cut,
        }
    }

    /// Uniform up to twice the mean: every byte position can be hit.
    fn draw_distance(&mut self) {
        self.next_at = 1 + self.random.below(2 * self.mean_bytes);
    }
}
