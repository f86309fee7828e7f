//! Senders: each is one boot of a client, with its messages in flight.

use crate::broker::store::key_set::{KeySet, is_oversized, last_of, reserve_one, shrink, shrink_table};
use crate::bug::OrBug;
use crate::wire::item::Origin;
use alloc::collections::VecDeque;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;

/// The bug if an entry is not in the table of senders.
pub(crate) const NO_SENDER: &str = "there is no such sender";
/// The session of the broker itself as a sender, whose receipts are events.
pub(crate) const OPERATOR: u32 = u32::MAX;
/// A place in `in_flight` whose message has ended.
const NONE: u32 = u32::MAX;
/// A sender keeps so many places of ended messages, and as many as it has others.
pub(crate) const MAX_ENDED: usize = 8;

/// A sender of messages: one boot of a client. It stays as long as its session or a message of it.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) origin: Origin,
    /// A number that no other sender gets.
    pub(crate) serial: u64,
    /// The session that gets its receipts.
    pub(crate) session: Option<u32>,
    /// The highest id of its messages.
    pub(crate) highest: u64,
    messages: u32,
    /// The number of its messages that are parked or held.
    pub(crate) waiting: u32,
    /// Messages in flight by ascending id; [`NONE`] for one that has ended.
    in_flight: VecDeque<(u64, u32)>,
    ended: u32,
    /// Messages that came after one with a higher id, most of them repetitions: the id, the message.
    late: KeySet,
}

/// All senders with a session or a message.
#[derive(Debug)]
pub(crate) struct Senders {
    table: Slab<Sender>,
    max: usize,
    /// Senders by the hashes of their origins.
    by_origin: HashTable<u32>,
    hasher: FixedState,
    next_serial: u64,
}

impl Senders {
    pub(crate) fn new(seed: u64, max: usize) -> Self {
        Self {
            table: Slab::new(),
            max,
            by_origin: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            next_serial: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// True if most of the memory of the tables is not in use.
    pub(crate) fn is_oversized(&self) -> bool {
        is_oversized(self.table.len(), self.table.capacity())
            || is_oversized(self.by_origin.len(), self.by_origin.capacity())
    }

    /// Gives back memory that is not in use.
    pub(crate) fn give_back(&mut self) {
        shrink_table(&mut self.table);
        let Self { table, by_origin, hasher, .. } = self;
        if is_oversized(by_origin.len(), by_origin.capacity()) {
            by_origin.shrink_to_fit(|&found| {
                table.get(found as usize).map_or(0, |sender| hasher.hash_one(sender.origin))
            });
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Sender> {
        self.table.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Sender> {
        self.table.get_mut(index as usize).or_bug(NO_SENDER)
    }

    /// Adds a message in flight, with its place in the table of messages.
    pub(crate) fn enter(&mut self, sender: u32, id: u64, message: u32) {
        if let Some(sender) = self.get_mut(sender) {
            sender.messages += 1;
            sender.highest = sender.highest.max(id);
            sender.enter(id, message);
        }
    }

    /// Removes a message that has ended: [`Sender::find`] does not find it any more.
    pub(crate) fn leave(&mut self, sender: u32, id: u64, message: u32) {
        if let Some(sender) = self.get_mut(sender) {
            sender.leave(id, message);
        }
    }

    /// Uncounts a message that has left the table of messages.
    pub(crate) fn release(&mut self, index: u32) {
        // `get_mut` has reported the bug.
        let Some(sender) = self.get_mut(index) else { return };
        sender.messages -= 1;
        if sender.messages == 0 {
            self.remove_if_unused(index);
        }
    }

    /// Finds or adds the sender with that identity, and gives it that session.
    pub(crate) fn attach(&mut self, origin: Origin, session: u32) -> u32 {
        let is_it =
            |&found: &u32| self.table.get(found as usize).is_some_and(|sender| sender.origin == origin);
        let index = match self.by_origin.find(self.hasher.hash_one(origin), is_it) {
            Some(&index) => index,
            None => {
                let serial = self.next_serial;
                self.next_serial += 1;
                let sender = Sender {
                    origin,
                    serial,
                    session: None,
                    highest: 0,
                    messages: 0,
                    waiting: 0,
                    in_flight: VecDeque::new(),
                    ended: 0,
                    late: KeySet::new(),
                };
                // There are at most as many senders as sessions and messages.
                reserve_one(&mut self.table, self.max);
                let index = self.table.insert(sender) as u32;
                let Self { table, by_origin, hasher, .. } = self;
                let hash_of = |&found: &u32| {
                    table.get(found as usize).map_or(0, |sender| hasher.hash_one(sender.origin))
                };
                by_origin.insert_unique(hash_of(&index), index, hash_of);
                index
            }
        };
        if let Some(sender) = self.table.get_mut(index as usize) {
            sender.session = Some(session);
        }
        index
    }

    /// Takes the session from a sender: it has ended, or belongs to another boot now.
    pub(crate) fn detach(&mut self, index: u32) {
        if let Some(sender) = self.table.get_mut(index as usize) {
            sender.session = None;
            // A sender without a session gets no more messages.
            sender.in_flight.shrink_to_fit();
        }
        self.remove_if_unused(index);
    }

    #[inline]
    fn remove_if_unused(&mut self, index: u32) {
        if let Some(sender) = self.table.get(index as usize)
            && sender.messages == 0
            && sender.session.is_none()
        {
            let hash = self.hasher.hash_one(sender.origin);
            match self.by_origin.find_entry(hash, |&found| found == index) {
                Ok(entry) => drop(entry.remove()),
                Err(_) => bug!("a sender is not found by its origin"),
            }
            self.table.remove(index as usize);
        }
    }
}

impl Sender {
    /// The message in flight with that id.
    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        let place = self.in_flight.binary_search_by_key(&id, |&(id, _)| id).ok();
        let in_order = place.and_then(|place| self.in_flight.get(place)).filter(|&&(_, index)| index != NONE);
        // The key was made from a u32.
        let of_late = || self.late.range((id, 0, 0)..=last_of(id)).next().map(|&(_, index, _)| index as u32);
        in_order.map(|&(_, index)| index).or_else(of_late)
    }

    /// The number of places of its messages in flight, for tests.
    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.in_flight.len()
    }

    fn enter(&mut self, id: u64, index: u32) {
        if self.in_flight.back().is_some_and(|&(last, _)| last >= id) {
            self.late.insert((id, u64::from(index), 0));
        } else {
            self.in_flight.push_back((id, index));
        }
    }

    fn leave(&mut self, id: u64, index: u32) {
        if !self.late.is_empty() && self.late.remove(&(id, u64::from(index), 0)) {
            return;
        }
        let place = match self.in_flight.front() {
            Some(&(first, _)) if first == id => 0,
            _ => match self.in_flight.binary_search_by_key(&id, |&(id, _)| id) {
                Ok(place) => place,
                Err(_) => return bug!("a message is not among those in flight of its sender"),
            },
        };
        if let Some(entry) = self.in_flight.get_mut(place) {
            entry.1 = NONE;
            self.ended += 1;
        }
        while self.in_flight.front().is_some_and(|&(_, index)| index == NONE) {
            self.in_flight.pop_front();
            self.ended -= 1;
        }
        // One old message must not keep the places of all later ones.
        let ended = self.ended as usize;
        if ended > MAX_ENDED && ended > self.in_flight.len() / 2 {
            self.in_flight.retain(|&(_, index)| index != NONE);
            self.ended = 0;
        }
        shrink(&mut self.in_flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_stays_as_long_as_it_has_a_session_or_a_message() {
        let mut senders = Senders::new(1, 1_000);
        let origin = Origin { uuid: [1; 16], boot: 1 };
        let sender = senders.attach(origin, 7);
        senders.enter(sender, 5, 50);
        // It was sent again after one with a higher id.
        senders.enter(sender, 3, 30);
        senders.detach(sender);
        assert_eq!(senders.attach(origin, 8), sender, "the same life is the same sender");
        let found = |senders: &Senders, id| senders.get(sender).and_then(|sender| sender.find(id));
        assert_eq!([5, 3, 4].map(|id| found(&senders, id)), [Some(50), Some(30), None]);
        for (id, message) in [(3, 30), (5, 50)] {
            senders.leave(sender, id, message);
            assert_eq!(found(&senders, id), None);
        }
        senders.release(sender);
        senders.detach(sender);
        assert_eq!(senders.len(), 1, "one message is still in the table");
        senders.release(sender);
        assert_eq!((senders.len(), senders.by_origin.len()), (0, 0));
    }
}
