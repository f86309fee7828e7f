//! Messages that wait for sessions: parked ones, which no session matches yet, and held ones, which were sent again after
//! the death of a broker and whose recipients are not back.
//!
//! A session that comes finds them by its UUID and its pairs. (PROTOCOL.md, "Holding")

use crate::broker::store::key_set::{KeySet, halves, last_of};
use crate::data::attributes::AttributesRef;
use crate::data::destination::{DestinationRef, Target};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use uuid::Uuid;

/// Messages that wait, by their terms and in the accept order.
#[derive(Debug)]
pub(crate) struct WaitList {
    /// A term, a place in the order, the message.
    waiting: KeySet,
    /// The offers of held messages: the place of the message in the order, and the UUID.
    offered: KeySet,
    max_offers: usize,
    count: u32,
    hasher: FixedState,
}

/// The number of remembered offers for each message that may be held.
pub(crate) const OFFERS_PER_MESSAGE: usize = 8;

/// The result of offering a held message to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The message was not offered to this UUID before.
    New,
    /// It was offered before.
    Again,
    /// No more offers can be remembered, and no message may be offered twice.
    Full,
}

const EVERYONE: u64 = 0;

impl WaitList {
    pub(crate) fn new(seed: u64, max_held: u32) -> Self {
        let max_offers = (max_held as usize).saturating_mul(OFFERS_PER_MESSAGE);
        let hasher = FixedState::with_seed(seed.rotate_left(32));
        Self { waiting: KeySet::new(), offered: KeySet::new(), max_offers, count: 0, hasher }
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    pub(crate) fn offers(&self) -> usize {
        self.offered.len()
    }

    /// Adds a message; `order` is its place in the accept order.
    pub(crate) fn insert(&mut self, destination: DestinationRef<'_>, order: u64, message: u32) {
        self.count += 1;
        let hasher = self.hasher.clone();
        for_waiting_terms(&hasher, destination, |term| {
            self.waiting.insert((term, order, u64::from(message)));
        });
    }

    /// Removes a message, with its offers.
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

    /// The terms of messages that a session may begin to match when its attributes change from `before` to `after`.
    ///
    /// Only new pairs count: a destination of old pairs, of everyone, or of a UUID matched before.
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
        // The key was made from a u32.
        let found = self.waiting.range((term, from, 0)..=last_of(term)).next();
        found.map(|&(_, order, message)| (order, message as u32))
    }
}

/// The terms of a session, as hashes: one for each of its pairs, its UUID, and everyone.
pub(crate) type Terms = Vec<u64>;

/// The messages under several terms, in the accept order, each once. Messages may leave the list meanwhile.
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

/// The terms under which a message waits: each of its pairs, because any of them may be the last that a session gets.
fn for_waiting_terms(hasher: &FixedState, destination: DestinationRef<'_>, mut each: impl FnMut(u64)) {
    match destination.target() {
        Target::AllOf(pairs) => pairs.encoded().for_each(|pair| each(term(hasher, pair))),
        _ => for_terms(hasher, destination, each),
    }
}

/// The terms under which a watch stands: each session that matches has at least one of them.
pub(crate) fn for_terms(hasher: &FixedState, destination: DestinationRef<'_>, mut each: impl FnMut(u64)) {
    match destination.target() {
        Target::Uuid(uuid) => each(term(hasher, uuid.as_bytes())),
        Target::Everyone => each(EVERYONE),
        Target::AnyOf(pairs) => pairs.encoded().for_each(|pair| each(term(hasher, pair))),
        // Every session that matches has the first pair.
        Target::AllOf(pairs) => pairs.encoded().take(1).for_each(|pair| each(term(hasher, pair))),
    }
}

fn term(hasher: &FixedState, bytes: &[u8]) -> u64 {
    hasher.hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::attributes::Attributes;
    use crate::data::destination::Destination;
    use crate::data::filter::Filter;

    fn under(list: &WaitList, terms: &Terms, from: u64) -> Vec<(u64, u32)> {
        let mut merge = list.merge(terms, from);
        core::iter::from_fn(|| merge.next(list)).collect()
    }

    #[test]
    fn a_session_finds_the_messages_for_its_uuid_and_its_pairs_once_and_in_order() {
        let mut list = WaitList::new(1, 10);
        let uuid = Uuid::from_u128(7);
        let both = Destination::from(Filter::all_of(&[("a", true.into()), ("b", true.into())]).unwrap());
        let to = [both, uuid.into(), Filter::everyone().into(), Uuid::from_u128(8).into()];
        for ((order, message), to) in [(3, 30), (2, 20), (1, 10), (4, 40)].into_iter().zip(&to) {
            list.insert(to.into(), order, message);
        }
        let (before, after) = (Attributes::flags("a"), Attributes::flags("ab"));
        assert_eq!(under(&list, &list.new_terms(before.as_ref(), after.as_ref()), 0), [(3, 30)]);
        assert!(list.new_terms(after.as_ref(), before.as_ref()).is_empty(), "no pair is new");
        let all = list.all_terms(uuid, after.as_ref());
        assert_eq!(under(&list, &all, 0), [(1, 10), (2, 20), (3, 30)]);
        assert_eq!(under(&list, &all, 2), [(2, 20), (3, 30)]);
        list.remove((&to[0]).into(), 3, 30);
        assert_eq!((under(&list, &all, 0), list.len()), (Vec::from([(1, 10), (2, 20)]), 3));
    }

    #[test]
    fn no_message_is_offered_twice_and_its_offers_are_forgotten_with_it() {
        let mut list = WaitList::new(1, 1);
        let to = Destination::from(Filter::everyone());
        list.insert(to.as_ref(), 5, 50);
        let mut offer = |peer: u8| list.offer(5, [peer; 16]);
        assert!((0..8).all(|peer| offer(peer) == Offer::New));
        assert_eq!([offer(3), offer(8)], [Offer::Again, Offer::Full]);
        list.remove(to.as_ref(), 5, 50);
        assert_eq!((list.offers(), list.len()), (0, 0));
        assert!(list.all_terms(Uuid::nil(), AttributesRef::EMPTY).is_empty(), "nothing waits");
    }
}
