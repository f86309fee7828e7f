//! Sessions: the state of a client that the broker keeps across links.

use crate::broker::store::deliveries::QueueEntry;
#[cfg(feature = "presence")]
use crate::broker::store::index::Directory;
use crate::broker::store::index::{self, Index, Places};
use crate::broker::store::key_set::{is_oversized, reserve_one, shrink_table};
use crate::broker::store::queue::Queue;
use crate::broker::store::ready::LinkId;
use crate::broker::store::shares::Shares;
use crate::broker::store::watches::Watch;
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::handshake::{Holder, SessionFacts};
use crate::link::numbers::{Receiving, Sending};
use crate::time::Moment;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use uuid::Uuid;

/// The bug if another table names a session that is not there.
pub(crate) const NO_SESSION: &str = "there is no such session";

/// A session. The fields that a delivery reads lie together, close to the front of the queue: there are many sessions, and
/// each miss of the cache counts.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Session {
    pub(crate) uuid: Uuid,
    /// The current link of the client.
    pub(crate) link: Option<LinkId>,
    /// Bytes of payload in the queue.
    pub(crate) queue_bytes: u64,
    pub(crate) max_payload: u32,
    /// A queue with fewer places in use needs no check of shares; 0 if the messages of each sender are counted.
    uncounted: u32,
    pub(crate) aliases: u16,
    pub(crate) receives: bool,
    /// The number of jobs that concern this session; its input waits for them.
    pub(crate) jobs: u8,
    /// The client was welcomed while the broker settles, and knew an earlier life of it.
    pub(crate) shut: bool,
    pub(crate) queue: Queue,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    /// Messages and bytes that were received and not acknowledged, which count against the window.
    pub(crate) unacknowledged: u32,
    pub(crate) unacknowledged_bytes: u32,
    /// The place of the sender in its table.
    pub(crate) sender: u32,
    /// The number of messages that came since the window of the client was shut because too many receipts wait for it.
    pub(crate) since_narrow: u32,
    pub(crate) narrow: bool,
    /// The number of messages at the front of the queue that a search for ended ones has not reached.
    pub(crate) unsearched: u32,
    /// The most unacknowledged notices of presence that the client accepts, and its watches.
    pub(crate) presence_items: u16,
    pub(crate) watches: Vec<Watch>,
    secret: [u8; 16],
    pub(crate) boot: u64,
    previous_boot: Option<u64>,
    /// The client's number of its link.
    pub(crate) link_number: u64,
    /// The number of this session, which is never used twice in an epoch.
    pub(crate) number: u64,
    /// The next place in the accept order when this session began.
    pub(crate) since: u64,
    attributes: Box<[u8]>,
    places: Places,
    /// How long the session stays while it is away, in microseconds, as its WELCOME said.
    pub(crate) time_to_live: u64,
    /// When the session ends, if it is away.
    pub(crate) ends_at: Moment,
    /// The last search of the queue for ended messages.
    pub(crate) searched: Searched,
}

/// The fields of a new session.
#[derive(Debug)]
pub(crate) struct NewSession {
    pub(crate) uuid: Uuid,
    pub(crate) secret: [u8; 16],
    pub(crate) boot: u64,
    pub(crate) link_number: u64,
    pub(crate) sending: Sending,
    /// The number of messages that its queue takes without a check of shares.
    pub(crate) uncounted: u32,
}

/// The table of sessions, by UUID and by attributes.
#[derive(Debug)]
pub(crate) struct Sessions {
    sessions: Slab<Session>,
    max: usize,
    /// Sessions by the hashes of their UUIDs.
    by_uuid: HashTable<u32>,
    hasher: FixedState,
    index: Index,
    last_number: u64,
    pub(crate) connected: u32,
}

impl Session {
    pub(crate) fn attributes(&self) -> AttributesRef<'_> {
        AttributesRef::trusted(&self.attributes)
    }

    /// The facts that the handshake decides by.
    pub(crate) fn facts(&self, epoch: u64, holder: Holder) -> SessionFacts {
        SessionFacts {
            secret: self.secret,
            boot: self.boot,
            previous_boot: self.previous_boot,
            link: self.link_number,
            epoch,
            session: self.number,
            max_payload: self.max_payload,
            holder,
        }
    }

    /// True if a message of `length` bytes fits the queue without a check of shares; the queue then has at most
    /// `most_bytes`.
    #[inline]
    pub(crate) fn has_room(&self, length: u32, most_bytes: u64) -> bool {
        length <= self.max_payload
            && self.queue.span() < self.uncounted
            && !self.queue.is_full()
            && self.queue_bytes + u64::from(length) <= most_bytes
    }

    /// True if the messages of each sender in the queue are counted.
    #[inline]
    pub(crate) fn is_counted(&self) -> bool {
        self.uncounted == 0
    }

    /// Begins to count the messages of each sender, or ends that.
    pub(crate) fn count(&mut self, counts: bool, shares: &Shares) {
        self.uncounted = if counts { 0 } else { shares.messages() };
    }

    /// Adds a message of that many bytes to the queue.
    #[inline]
    pub(crate) fn put(&mut self, delivery: QueueEntry, length: u32) {
        self.queue_bytes += u64::from(length);
        self.queue.push(delivery);
    }

    /// Gives the session to a new boot of the client.
    pub(crate) fn change_boot(&mut self, boot: u64, sender: u32) {
        self.previous_boot = Some(self.boot);
        self.boot = boot;
        self.sender = sender;
    }
}

impl index::Sessions for Slab<Session> {
    fn placed(&mut self, session: u32) -> Option<(AttributesRef<'_>, &mut [u32])> {
        let session = self.get_mut(session as usize)?;
        Some((AttributesRef::trusted(&session.attributes), &mut session.places))
    }
}

#[cfg(feature = "presence")]
impl Directory for Sessions {
    fn lists(&self) -> &Index {
        &self.index
    }

    fn identity(&self, session: u32) -> Option<(Uuid, AttributesRef<'_>)> {
        self.get(session).map(|session| (session.uuid, session.attributes()))
    }
}

impl Sessions {
    pub(crate) fn new(seed: u64, max: u32, max_attributes: u8) -> Self {
        Self {
            sessions: Slab::new(),
            max: max as usize,
            by_uuid: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            index: Index::new(seed, (max as usize).saturating_mul(max_attributes.into())),
            last_number: 0,
            connected: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().map(|(_, session)| session)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Session> {
        self.sessions.get(index as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Session> {
        self.sessions.get_mut(index as usize)
    }

    /// The session of a client.
    #[inline]
    pub(crate) fn find(&self, uuid: &Uuid) -> Option<u32> {
        let is_it = |&found: &u32| self.get(found).is_some_and(|session| session.uuid == *uuid);
        self.by_uuid.find(self.hash(uuid), is_it).copied()
    }

    /// The hash by which a session is found.
    #[inline]
    pub(crate) fn hash(&self, uuid: &Uuid) -> u64 {
        self.hasher.hash_one(uuid)
    }

    /// The session with that hash, most likely: the UUIDs are not compared.
    #[inline]
    pub(crate) fn likely(&self, hash: u64) -> Option<u32> {
        self.by_uuid.iter_hash(hash).next().copied()
    }

    /// The index of attributes.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn newest_number(&self) -> u64 {
        self.last_number
    }

    /// Adds a session without attributes, which the index does not have yet.
    pub(crate) fn insert(&mut self, new: NewSession) -> u32 {
        let NewSession { uuid, secret, boot, link_number, sending, uncounted } = new;
        let session = Session {
            uuid,
            secret,
            boot,
            previous_boot: None,
            link_number,
            number: 0,
            since: 0,
            sender: 0,
            attributes: Box::from(AttributesRef::EMPTY.as_bytes()),
            places: Box::default(),
            receives: false,
            max_payload: 0,
            uncounted,
            aliases: 0,
            shut: false,
            jobs: 0,
            narrow: false,
            since_narrow: 0,
            link: None,
            time_to_live: 0,
            ends_at: Moment::NEVER,
            queue: Queue::default(),
            queue_bytes: 0,
            searched: Searched::default(),
            unsearched: 0,
            sending,
            receiving: Receiving::default(),
            watches: Vec::new(),
            presence_items: 0,
            unacknowledged: 0,
            unacknowledged_bytes: 0,
        };
        // There are at most 2^30 sessions.
        reserve_one(&mut self.sessions, self.max);
        let index = self.sessions.insert(session) as u32;
        let Self { sessions, by_uuid, hasher, .. } = self;
        let hash_of =
            |&found: &u32| sessions.get(found as usize).map_or(0, |found| hasher.hash_one(found.uuid));
        by_uuid.insert_unique(hash_of(&index), index, hash_of);
        index
    }

    /// Sets the attributes of a session. The index has it only if it receives.
    pub(crate) fn set_attributes(&mut self, index: u32, attributes: AttributesRef<'_>, receives: bool) {
        self.leave_index(index);
        let places = if receives { self.index.insert(index, attributes) } else { Places::default() };
        if let Some(session) = self.sessions.get_mut(index as usize).or_bug(NO_SESSION) {
            session.attributes = attributes.as_bytes().into();
            session.places = places;
            session.receives = receives;
        }
    }

    fn leave_index(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index as usize).or_bug(NO_SESSION) else { return };
        let places = core::mem::take(&mut session.places);
        let attributes =
            core::mem::replace(&mut session.attributes, Box::from(AttributesRef::EMPTY.as_bytes()));
        self.index.remove(AttributesRef::trusted(&attributes), &places, &mut self.sessions);
    }

    /// Removes a session from all tables.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Session> {
        self.leave_index(index);
        let session = self.sessions.try_remove(index as usize).or_bug(NO_SESSION)?;
        match self.by_uuid.find_entry(self.hash(&session.uuid), |&found| found == index) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => bug!("a session is not found by its UUID"),
        }
        Some(session)
    }

    /// True if most of the memory of one of these tables is not in use.
    pub(crate) fn is_oversized(&self) -> bool {
        is_oversized(self.sessions.len(), self.sessions.capacity())
            || is_oversized(self.by_uuid.len(), self.by_uuid.capacity())
            || self.index.is_oversized()
    }

    /// Gives back memory of the table of sessions that is not in use.
    pub(crate) fn give_back(&mut self) {
        shrink_table(&mut self.sessions);
        let Self { sessions, by_uuid, hasher, .. } = self;
        if is_oversized(by_uuid.len(), by_uuid.capacity()) {
            by_uuid.shrink_to_fit(|&found| {
                sessions.get(found as usize).map_or(0, |session| hasher.hash_one(session.uuid))
            });
        }
    }

    /// The same for the index.
    pub(crate) fn give_back_lists(&mut self) {
        self.index.give_back();
    }

    /// All sessions have smaller indices.
    pub(crate) fn places(&self) -> usize {
        self.sessions.capacity()
    }
}

/// The last search of a full queue for entries of ended messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Searched {
    /// The next place in the accept order at that time.
    pub(crate) order: u64,
    /// When a part of the remaining entries will have ended.
    pub(crate) next: Moment,
}

impl Default for Searched {
    fn default() -> Self {
        Self { order: 0, next: Moment::NEVER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::data::attributes::Attributes;
    use crate::data::value::encode_pair;
    use crate::wire::window::Window;

    #[test]
    fn the_index_finds_exactly_those_that_have_a_pair_whatever_changes() {
        let mut sessions = Sessions::new(1, 1_000, 16);
        let mut random = 7_u64;
        let mut draw = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        let mut live: Vec<u32> = Vec::new();
        for round in 0..3_000 {
            if live.is_empty() || draw(3) == 0 {
                let sending = Sending::fresh(Window { messages: 1, bytes: 1 });
                let uuid = Uuid::from_u128(round);
                live.push(sessions.insert(NewSession {
                    uuid,
                    secret: [0; 16],
                    boot: 1,
                    link_number: 1,
                    sending,
                    uncounted: 1,
                }));
            }
            let at = draw(live.len() as u64) as usize;
            if draw(5) == 0 {
                sessions.remove(live.swap_remove(at));
            } else {
                let mut attributes = Attributes::new();
                for key in ["a", "b", "c"] {
                    if draw(2) == 0 {
                        attributes.set(key, Value::Int(draw(3) as i64)).unwrap();
                    }
                }
                sessions.set_attributes(live[at], attributes.as_ref(), draw(4) > 0);
            }
            for key in ["a", "b", "c"] {
                for value in 0..3 {
                    let pair = encode_pair(key, Value::Int(value)).unwrap();
                    let mut found = sessions.index().with_pair(&pair).to_vec();
                    found.sort_unstable();
                    let has = |&&index: &&u32| {
                        let session = sessions.get(index).unwrap();
                        session.receives && session.attributes().get(key) == Some(Value::Int(value))
                    };
                    let mut expected: Vec<u32> = live.iter().filter(has).copied().collect();
                    expected.sort_unstable();
                    assert_eq!(found, expected);
                }
            }
        }
    }
}
