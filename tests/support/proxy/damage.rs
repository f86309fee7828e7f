//! A line that damages frames: a bit is flipped, a byte is lost, or one is put in.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::random::Random;

/// The damage lies among so many first bytes of a frame, or in the frame behind it where that one is shorter.
const REACH: u64 = 48;

/// How often frames are damaged, and how often they have been.
pub(crate) struct Damage {
    seed: u64,
    one_in: u64,
    flipped: AtomicU64,
    lost: AtomicU64,
    inserted: AtomicU64,
}

/// The counts of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Damages {
    /// Bits flipped.
    pub(crate) flipped: u64,
    /// Bytes lost.
    pub(crate) lost: u64,
    /// Bytes put in.
    pub(crate) inserted: u64,
}

/// One direction of the line.
pub(crate) struct Damaging {
    random: Random,
    /// Bytes until the next damage.
    distance: Option<u64>,
}

impl Damage {
    /// One frame in `one_in` is damaged, as the seed says.
    pub(crate) fn new(seed: u64, one_in: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self { seed, one_in, flipped: zero(), lost: zero(), inserted: zero() }
    }

    /// What happens in the `number`th direction of all.
    pub(crate) fn of_direction(&self, number: u64) -> Damaging {
        Damaging { random: Random::stream(self.seed, number), distance: None }
    }

    /// What there has been.
    pub(crate) fn counts(&self) -> Damages {
        let now = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Damages { flipped: now(&self.flipped), lost: now(&self.lost), inserted: now(&self.inserted) }
    }
}

impl Damages {
    /// All of them.
    pub(crate) fn all(&self) -> u64 {
        self.flipped + self.lost + self.inserted
    }

    /// Fails where one kind is missing, or there are too few.
    pub(crate) fn expect(&self, at_least: u64) {
        let each = self.flipped.min(self.lost).min(self.inserted);
        assert!(each > 0 && self.all() >= at_least, "too little damage for this test: {self:?}");
    }
}

impl Damaging {
    /// Puts what becomes of `bytes` behind `out`.
    pub(crate) fn pass(&mut self, damage: &Damage, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            match &mut self.distance {
                Some(0) => {
                    self.distance = None;
                    self.harm(damage, byte, out);
                }
                Some(distance) => {
                    *distance -= 1;
                    out.push(byte);
                }
                None => out.push(byte),
            }
            // A zero ends a frame.
            if byte == 0 && self.distance.is_none() && self.random.one_in(damage.one_in) {
                self.distance = Some(self.random.below(REACH));
            }
        }
    }

    fn harm(&mut self, damage: &Damage, byte: u8, out: &mut Vec<u8>) {
        let counter = match self.random.below(3) {
            0 => {
                out.push(byte ^ (1 << self.random.below(8)));
                &damage.flipped
            }
            1 => &damage.lost,
            _ => {
                out.extend_from_slice(&[byte, self.random.next().to_le_bytes()[0]]);
                &damage.inserted
            }
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}
