//! Watches of presence, and what they have not written yet. (PROTOCOL.md, "Presence")

use crate::broker::store::index::Directory;
use crate::broker::store::key_set::KeySet;
use crate::broker::store::wait_list::{Terms, for_terms, terms_of};
use crate::data::attributes::AttributesRef;
use crate::data::destination::{DestinationRef, Target};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use foldhash::quality::FixedState;
use uuid::Uuid;

/// How many items of presence may be unacknowledged at the most, whatever the client takes.
pub(crate) const MAX_UNACKNOWLEDGED: u16 = 256;

/// An item of presence, described: what it says is looked up when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PresenceNotice {
    /// A snapshot begins.
    Reset(u32),
    /// How it stands with this client.
    Peer(u32, [u8; 16]),
    /// The snapshot is complete.
    Synced(u32),
}

/// What a watcher is to be told next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// That a snapshot begins.
    Reset,
    /// Those in one of the lists of the filter: `left` of them from the front, or none looked at yet.
    ///
    /// The list is read from its end: a session that leaves it is replaced by its last one, so no session moves from the part
    /// that is to come into the part that is done, and a session that joins has changed and is written anyway.
    Listing { list: usize, left: Option<usize> },
    /// Those who have changed.
    Changes,
}

/// A filter that a session watches.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) number: u32,
    pub(crate) filter: Box<[u8]>,
    pub(crate) stage: Stage,
    pub(crate) changed: BTreeSet<[u8; 16]>,
}

impl Watch {
    pub(crate) fn filter(&self) -> DestinationRef<'_> {
        DestinationRef::trusted(&self.filter)
    }

    /// Somebody who matches, or did, has changed.
    pub(crate) fn note(&mut self, uuid: Uuid, backlog: usize) {
        if matches!(self.stage, Stage::Reset) {
            return;
        }
        self.changed.insert(*uuid.as_bytes());
        if self.changed.len() > backlog {
            self.changed.clear();
            self.stage = Stage::Reset;
        }
    }

    pub(crate) fn next(&mut self, sessions: &impl Directory, budget: &mut u32) -> Option<PresenceNotice> {
        match self.stage {
            Stage::Reset => {
                self.stage = Stage::Listing { list: self.first_list(sessions), left: None };
                Some(PresenceNotice::Reset(self.number))
            }
            Stage::Listing { list, left } => self.next_listed(sessions, list, left, budget),
            Stage::Changes => self.changed.pop_first().map(|uuid| PresenceNotice::Peer(self.number, uuid)),
        }
    }

    /// A session that matches all of the pairs stands in the shortest list too.
    pub(crate) fn first_list(&self, sessions: &impl Directory) -> usize {
        // Other filters have one list, or look at all.
        let Target::AllOf(pairs) = self.filter().target() else { return 0 };
        let shortest =
            pairs.encoded().enumerate().min_by_key(|(_, pair)| sessions.lists().with_pair(pair).len());
        shortest.map_or(0, |(list, _)| list)
    }

    pub(crate) fn next_listed(
        &mut self,
        sessions: &impl Directory,
        mut list: usize,
        mut left: Option<usize>,
        budget: &mut u32,
    ) -> Option<PresenceNotice> {
        while *budget > 0 {
            let Some(members) = members(self.filter(), sessions, list) else {
                // That was the last list.
                self.stage = Stage::Changes;
                return Some(PresenceNotice::Synced(self.number));
            };
            let at = left.unwrap_or(members.len()).min(members.len());
            // All of that list were looked at.
            let Some((&session, _)) = members.get(..at).and_then(<[u32]>::split_last) else {
                // Of all-of one list is enough.
                list = if matches!(self.filter().target(), Target::AllOf(_)) { usize::MAX } else { list + 1 };
                left = None;
                continue;
            };
            *budget -= 1;
            left = Some(at - 1);
            if let Some((uuid, attributes)) = sessions.identity(session)
                && self.filter().matches(uuid, attributes)
                && !is_in_earlier_list(self.filter(), attributes, list)
            {
                self.stage = Stage::Listing { list, left };
                return Some(PresenceNotice::Peer(self.number, *uuid.as_bytes()));
            }
        }
        self.stage = Stage::Listing { list, left };
        None
    }
}

/// The sessions in one of the lists of a filter; `None` behind the last.
fn members<'s>(filter: DestinationRef<'_>, sessions: &'s impl Directory, list: usize) -> Option<&'s [u32]> {
    match filter.target() {
        Target::AllOf(pairs) | Target::AnyOf(pairs) => {
            pairs.encoded().nth(list).map(|pair| sessions.lists().with_pair(pair))
        }
        Target::Everyone => (list == 0).then(|| sessions.lists().everyone()),
        Target::Uuid(_) => None,
    }
}

fn is_in_earlier_list(filter: DestinationRef<'_>, attributes: AttributesRef<'_>, list: usize) -> bool {
    // Other filters look at one list only.
    let Target::AnyOf(pairs) = filter.target() else { return false };
    pairs.encoded().take(list).any(|pair| attributes.pairs().encoded().any(|own| own == pair))
}

/// Who watches what, found by what a session that changes has.
#[derive(Debug)]
pub(crate) struct Watchers {
    /// A term, the session, the number of its watch.
    pub(crate) standing: KeySet,
    pub(crate) hasher: FixedState,
}

impl Watchers {
    pub(crate) fn new(seed: u64) -> Self {
        Self { standing: KeySet::new(), hasher: FixedState::with_seed(seed.rotate_left(16)) }
    }

    pub(crate) fn insert(&mut self, session: u32, watch: &Watch) {
        let standing = &mut self.standing;
        for_terms(&self.hasher, watch.filter(), |term| {
            standing.insert((term, u64::from(session), u64::from(watch.number)));
        });
    }

    pub(crate) fn remove(&mut self, session: u32, watch: &Watch) {
        let standing = &mut self.standing;
        for_terms(&self.hasher, watch.filter(), |term| {
            standing.remove(&(term, u64::from(session), u64::from(watch.number)));
        });
    }

    /// The terms under which watches may stand that somebody matches who has or had these attributes, each once.
    pub(crate) fn terms(&self, uuid: Uuid, states: &[Box<[u8]>]) -> Terms {
        let mut terms = Terms::new();
        for state in states {
            let found = terms_of(&self.hasher, uuid, AttributesRef::trusted(state));
            for term in found {
                if !terms.contains(&term) {
                    terms.push(term);
                }
            }
        }
        terms
    }
}

/// The notifications that a change of a session makes, and how far they have come.
///
/// Watches that begin meanwhile are passed over or notified as it happens: they begin with a snapshot, which says how it stands then.
#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) uuid: Uuid,
    /// Its attributes before and after: each watch that either matches is notified.
    pub(crate) states: Vec<Box<[u8]>>,
    /// The same of what has changed since this began. Its notifications follow when this is done.
    pub(crate) again: Vec<Box<[u8]>>,
    /// The next watch: one of the terms of these states, and the key in the tree of watches.
    pub(crate) term: usize,
    pub(crate) from: (u64, u64),
}

impl Notes {
    pub(crate) fn of(uuid: Uuid, states: Vec<Box<[u8]>>) -> Self {
        Self { uuid, states, again: Vec::new(), term: 0, from: (0, 0) }
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// It has changed again.
    pub(crate) fn add(&mut self, states: Vec<Box<[u8]>>) {
        for state in states {
            if !self.again.contains(&state) {
                self.again.push(state);
            }
        }
    }

    pub(crate) fn matches(&self, filter: DestinationRef<'_>) -> bool {
        self.states.iter().any(|state| filter.matches(self.uuid, AttributesRef::trusted(state)))
    }
}
