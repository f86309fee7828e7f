//! Watches of presence, and the changes that they have not reported yet. (PROTOCOL.md, "Presence")

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

/// The most unacknowledged notices of presence of one client, whatever it accepts.
pub(crate) const MAX_UNACKNOWLEDGED: u16 = 256;

/// A notice of presence. Its content is looked up when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PresenceNotice {
    /// A snapshot begins.
    Reset(u32),
    /// The current state of a client.
    Peer(u32, [u8; 16]),
    /// The snapshot is complete.
    Synced(u32),
}

/// The next notices of a watch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// The beginning of a snapshot.
    Reset,
    /// The sessions in one of the lists of the filter: `left` of them from the front, or `None` at the start.
    ///
    /// The list is read from its end. If a session leaves the list, its last one replaces it, so no session moves from the
    /// unread part into the part that is done; a session that joins has changed and is reported anyway.
    Listing { list: usize, left: Option<usize> },
    /// The sessions that have changed.
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

    /// Notes a change of a session that matches, or did. With more than `backlog` changes the watch starts again.
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

    /// The list to read: for all-of filters the shortest one, in which every session that matches stands.
    fn first_list(&self, sessions: &impl Directory) -> usize {
        // Other filters have one list, or need all of them.
        let Target::AllOf(pairs) = self.filter().target() else { return 0 };
        let shortest =
            pairs.encoded().enumerate().min_by_key(|(_, pair)| sessions.lists().with_pair(pair).len());
        shortest.map_or(0, |(list, _)| list)
    }

    fn next_listed(
        &mut self,
        sessions: &impl Directory,
        mut list: usize,
        mut left: Option<usize>,
        budget: &mut u32,
    ) -> Option<PresenceNotice> {
        while *budget > 0 {
            let Some(members) = members(self.filter(), sessions, list) else {
                // The last list is done.
                self.stage = Stage::Changes;
                return Some(PresenceNotice::Synced(self.number));
            };
            let at = left.unwrap_or(members.len()).min(members.len());
            // All sessions of this list are done.
            let Some((&session, _)) = members.get(..at).and_then(<[u32]>::split_last) else {
                // An all-of filter needs only one list.
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
    // Other filters read only one list.
    let Target::AnyOf(pairs) = filter.target() else { return false };
    pairs.encoded().take(list).any(|pair| attributes.pairs().encoded().any(|own| own == pair))
}

/// All watches, found by the terms of a session that changes.
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

    /// The terms, each once, of watches that may match a client with any of these attributes.
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

/// The notifications of a change of a session, and how far they have come.
///
/// A watch that begins meanwhile starts with a snapshot, so it may miss a notification.
#[derive(Debug)]
pub(crate) struct Notes {
    pub(crate) uuid: Uuid,
    /// Its attributes before and after the change: each watch that either matches is notified.
    pub(crate) states: Vec<Box<[u8]>>,
    /// The attributes of changes since this began. Their notifications follow when these are done.
    pub(crate) again: Vec<Box<[u8]>>,
    /// The next watch: the index of its term, and the rest of its key in the set.
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

    /// Adds a further change.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::store::index::Index;
    use crate::data::attributes::Attributes;
    use crate::data::filter::Filter;
    use alloc::vec;

    /// Sessions by their indices, which are their UUIDs too.
    struct Peers(Index, Vec<Attributes>);

    impl Directory for Peers {
        fn lists(&self) -> &Index {
            &self.0
        }

        fn identity(&self, session: u32) -> Option<(Uuid, AttributesRef<'_>)> {
            let attributes = self.1.get(session as usize)?;
            Some((Uuid::from_u128(session.into()), attributes.as_ref()))
        }
    }

    fn peers() -> Peers {
        let mut peers = Peers(Index::new(1, 100), Vec::new());
        for (session, keys) in (0..).zip(["ab", "a", "b", "c"]) {
            let attributes = Attributes::flags(keys);
            peers.0.insert(session, attributes.as_ref());
            peers.1.push(attributes);
        }
        peers
    }

    fn watch(filter: Filter) -> Watch {
        let filter = filter.as_ref().as_bytes().into();
        Watch { number: 4, filter, stage: Stage::Reset, changed: BTreeSet::new() }
    }

    fn a_and_b(of: impl Fn(&[(&str, crate::Value<'_>)]) -> Filter) -> Watch {
        watch(of(&[("a", true.into()), ("b", true.into())]))
    }

    fn peer(session: u128) -> PresenceNotice {
        PresenceNotice::Peer(4, session.to_be_bytes())
    }

    fn read(watch: &mut Watch, peers: &Peers, mut budget: u32) -> Vec<PresenceNotice> {
        core::iter::from_fn(|| watch.next(peers, &mut budget)).collect()
    }

    #[test]
    fn a_snapshot_has_each_session_that_matches_once_however_small_its_pieces() {
        let peers = peers();
        let any_of = || a_and_b(|pairs| Filter::any_of(pairs).unwrap());
        let all_of = || a_and_b(|pairs| Filter::all_of(pairs).unwrap());
        let everyone = || watch(Filter::everyone());
        let expected: [(Watch, Watch, &[u128]); 3] = [
            (any_of(), any_of(), &[1, 0, 2]),
            (all_of(), all_of(), &[0]),
            (everyone(), everyone(), &[3, 2, 1, 0]),
        ];
        for (mut whole, mut parts, sessions) in expected {
            let mut all = vec![PresenceNotice::Reset(4)];
            all.extend(sessions.iter().map(|&session| peer(session)));
            all.push(PresenceNotice::Synced(4));
            assert_eq!(read(&mut whole, &peers, 100), all);
            let parts: Vec<_> = (0..10).flat_map(|_| read(&mut parts, &peers, 1)).collect();
            assert_eq!(parts, all);
        }
    }

    #[test]
    fn changes_are_reported_once_and_too_many_begin_a_snapshot() {
        let peers = peers();
        let mut watch = watch(Filter::everyone());
        read(&mut watch, &peers, 100);
        for session in [2, 1, 2] {
            watch.note(Uuid::from_u128(session), 2);
        }
        assert_eq!(read(&mut watch, &peers, 100), [peer(1), peer(2)]);
        (0..3).for_each(|session| watch.note(Uuid::from_u128(session), 2));
        assert!(watch.changed.is_empty());
        assert_eq!(read(&mut watch, &peers, 100)[..2], [PresenceNotice::Reset(4), peer(3)]);
    }

    #[test]
    fn a_watch_stands_under_a_term_of_each_session_that_it_matches() {
        let mut watchers = Watchers::new(1);
        let watches = [a_and_b(|pairs| Filter::any_of(pairs).unwrap()), watch(Filter::everyone())];
        watches.iter().for_each(|watch| watchers.insert(9, watch));
        assert_eq!(watchers.standing.len(), 3);
        let states = ["b", "bc"].map(|keys| Attributes::flags(keys).as_ref().as_bytes().into());
        let terms = watchers.terms(Uuid::nil(), &states);
        let standing = watchers.standing.iter().filter(|(term, ..)| terms.contains(term)).count();
        assert_eq!((terms.len(), standing), (4, 2), "everyone, the UUID, b and c");
        watches.iter().for_each(|watch| watchers.remove(9, watch));
        assert!(watchers.standing.is_empty());
    }

    #[test]
    fn a_change_is_for_watches_of_before_and_after() {
        let state = |keys| Box::<[u8]>::from(Attributes::flags(keys).as_ref().as_bytes());
        let mut notes = Notes::of(Uuid::nil(), vec![state("a"), state("b")]);
        let matches = |key| notes.matches(watch(Filter::any_of(&[(key, true.into())]).unwrap()).filter());
        assert_eq!(["a", "b", "c"].map(matches), [true, true, false]);
        notes.add(vec![state("b"), state("c")]);
        notes.add(vec![state("c")]);
        assert_eq!(notes.again, [state("b"), state("c")]);
    }
}
