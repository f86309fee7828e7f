//! Messages that wait for sessions which are not here: parked, because nobody matches yet, and held, because they
//! were sent again after a broker's death and their recipients are not back.
//!
//! They are found by what a session that comes has: its UUID and its pairs. (PROTOCOL.md, "Holding")

use crate::broker::store::key_set::{KeySet, halves, last_of};
use crate::data::attributes::AttributesRef;
use crate::data::destination::{DestinationRef, Target};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use uuid::Uuid;

/// Messages that wait, by what they wait for and in the order in which they were taken.
#[derive(Debug)]
pub(crate) struct WaitList {
    /// A term, a place in the order, the message.
    waiting: KeySet,
    /// To whom a held message was offered: its place in the order, and the UUID.
    offered: KeySet,
    max_offers: usize,
    count: u32,
    hasher: FixedState,
}

/// How many offers are remembered for each message that may be held.
pub(crate) const OFFERS_PER_MESSAGE: usize = 8;

/// What comes of offering a held message to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It was not offered before.
    New,
    /// It was.
    Again,
    /// No more can be remembered, and nothing may be offered twice.
    Full,
}

const EVERYONE: u64 = 0;

impl WaitList {
    pub(crate) fn new(seed: u64, max_held: u32) -> Self {
        let max_offers = (max_held as usize).saturating_mul(OFFERS_PER_MESSAGE);
        let hasher = FixedState::with_seed(seed.rotate_left(32));
        Self { waiting: KeySet::new(), offered: KeySet::new(), max_offers, count: 0, hasher }
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// How many offers are remembered.
    pub(crate) fn offers(&self) -> usize {
        self.offered.len()
    }

    /// A message begins to wait; `order` is its place among all.
    pub(crate) fn insert(&mut self, destination: DestinationRef<'_>, order: u64, message: u32) {
        self.count += 1;
        let hasher = self.hasher.clone();
        for_waiting_terms(&hasher, destination, |term| {
            self.waiting.insert((term, order, u64::from(message)));
        });
    }

    /// A message no longer waits.
    pub(crate) fn remove(&mut self, destination: DestinationRef<'_>, order: u64, message: u32) {
        self.count -= 1;
        let hasher = self.hasher.clone();
        for_waiting_terms(&hasher, destination, |term| {
            self.waiting.remove(&(term, order, u64::from(message)));
        });
        while let Some(&offer) = self.offered.range((order, 0, 0)..=last_of(order)).next() {
            self.offered.remove(&offer);
        }
    }

    /// Notes that a held message is offered to that UUID.
    pub(crate) fn offer(&mut self, order: u64, uuid: [u8; 16]) -> Offer {
        let (high, low) = halves(uuid);
        let offer = (order, high, low);
        if self.offered.len() >= self.max_offers {
            return if self.offered.contains(&offer) { Offer::Again } else { Offer::Full };
        }
        if self.offered.insert(offer) { Offer::New } else { Offer::Again }
    }

    /// The terms under which messages may wait for a session that begins.
    pub(crate) fn all_terms(&self, uuid: Uuid, attributes: AttributesRef<'_>) -> Terms {
        if self.waiting.is_empty() {
            Terms::new()
        } else {
            terms_of(&self.hasher, uuid, attributes).collect()
        }
    }

    /// The terms of the messages that a session may begin to match when its attributes change from `before` to `after`.
    ///
    /// These have a pair that is new: what names nothing but pairs that it had, everyone, or a UUID, it matched before.
    pub(crate) fn new_terms(&self, before: AttributesRef<'_>, after: AttributesRef<'_>) -> Terms {
        if self.waiting.is_empty() {
            return Terms::new();
        }
        let is_new = |pair: &&[u8]| before.pairs().encoded().all(|old| old != *pair);
        after.pairs().encoded().filter(is_new).map(|pair| term(&self.hasher, pair)).collect()
    }

    /// The messages under any of these terms, from a place in the order on.
    pub(crate) fn merge(&self, terms: &Terms, from: u64) -> Merge {
        Merge { heads: terms.iter().map(|&term| (term, self.head(term, from))).collect() }
    }

    /// The first message that waits under a term, from a place in the order on, with its place.
    fn head(&self, term: u64, from: u64) -> Option<(u64, u32)> {
        if canary!(ReleasesInAnyOrder) {
            let last = (term, u64::MAX - from, u64::MAX);
            let found = self.waiting.range((term, 0, 0)..=last).next_back();
            return found.map(|&(_, order, message)| (u64::MAX - order, message as u32));
        }
        // It was put there as one.
        let found = self.waiting.range((term, from, 0)..=last_of(term)).next();
        found.map(|&(_, order, message)| (order, message as u32))
    }
}

/// Terms under which something waits: one for each pair of a session, its UUID, and everyone.
pub(crate) type Terms = Vec<u64>;

/// What waits under several terms, in the order in which it was taken, and each message once. Messages may leave meanwhile.
#[derive(Debug)]
pub(crate) struct Merge {
    heads: Vec<(u64, Option<(u64, u32)>)>,
}

impl Merge {
    /// The next message, with its place in the order.
    pub(crate) fn next(&mut self, holding: &WaitList) -> Option<(u64, u32)> {
        let first = self.heads.iter().filter_map(|&(_, head)| head).min()?;
        for (term, head) in self.heads.iter_mut().filter(|(_, head)| *head == Some(first)) {
            *head = holding.head(*term, first.0 + 1);
        }
        Some(first)
    }
}

/// The terms under which messages and watches for a session may stand.
pub(crate) fn terms_of(
    hasher: &FixedState,
    uuid: Uuid,
    attributes: AttributesRef<'_>,
) -> impl Iterator<Item = u64> {
    let terms = [EVERYONE, term(hasher, uuid.as_bytes())].into_iter();
    terms.chain(attributes.pairs().encoded().map(|pair| term(hasher, pair)))
}

/// The terms under which a message waits: each of its pairs, so that whichever a session gets last leads to it.
fn for_waiting_terms(hasher: &FixedState, destination: DestinationRef<'_>, mut each: impl FnMut(u64)) {
    match destination.target() {
        Target::AllOf(pairs) => pairs.encoded().for_each(|pair| each(term(hasher, pair))),
        _ => for_terms(hasher, destination, each),
    }
}

/// The terms under which a watch stands: one that each session that it means has.
pub(crate) fn for_terms(hasher: &FixedState, destination: DestinationRef<'_>, mut each: impl FnMut(u64)) {
    match destination.target() {
        Target::Uuid(uuid) => each(term(hasher, uuid.as_bytes())),
        Target::Everyone => each(EVERYONE),
        Target::AnyOf(pairs) => pairs.encoded().for_each(|pair| each(term(hasher, pair))),
        // Whoever matches has the first pair.
        Target::AllOf(pairs) => pairs.encoded().take(1).for_each(|pair| each(term(hasher, pair))),
    }
}

fn term(hasher: &FixedState, bytes: &[u8]) -> u64 {
    hasher.hash_one(bytes)
}
