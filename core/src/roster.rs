//! The roster: the sessions that a watcher knows, kept up to date by the events of the client.

use crate::client::{Client, Event, EventFilter, Presence, WatchId};
use crate::data::attributes::AttributesRef;
use crate::wire::item::PresenceState;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};
use core::ops::RangeInclusive;
use uuid::Uuid;

/// The sessions under each watch of a client, as far as its events have reported them.
///
/// A client keeps none by itself, because it has no allocator. Give [`apply`](Self::apply) every event. While a new
/// snapshot comes in, the sessions of before stay; one that the snapshot does not name goes when it is complete.
///
/// ```
/// use e_pigeon_core::{Event, Roster};
///
/// let mut roster = Roster::new(1_000);
/// let mut changes = 0;
/// roster.apply(&Event::CapacityAvailable, |_| changes += 1);
/// assert_eq!((changes, roster.len()), (0, 0));
/// ```
#[derive(Clone, Debug)]
pub struct Roster {
    peers: BTreeMap<(WatchId, Uuid), Peer>,
    max_peers: usize,
    left_out: bool,
}

/// A session that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    is_connected: bool,
    attributes: Box<[u8]>,
    /// Named since the last snapshot began.
    confirmed: bool,
}

/// What an event has changed in a [`Roster`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RosterChange<'a> {
    /// A session matches that did not before.
    Here(WatchId, Uuid, &'a Peer),
    /// Somebody has other attributes, has gone away, or is back.
    Changed(WatchId, Uuid, &'a Peer),
    /// Somebody is gone, or no longer matches.
    Gone(WatchId, Uuid),
}

impl Peer {
    /// True if it is connected; otherwise it is away, and its session waits for it.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Its attributes.
    pub fn attributes(&self) -> AttributesRef<'_> {
        AttributesRef::trusted(&self.attributes)
    }
}

impl Roster {
    /// An empty roster. It names at most `max_peers`, those under two watches twice; further ones are left out, and
    /// [`is_complete`](Self::is_complete) says so.
    pub fn new(max_peers: usize) -> Self {
        Self { peers: BTreeMap::new(), max_peers, left_out: false }
    }

    /// Takes in an event of the client, and calls `on_change` for each change that it makes.
    pub fn apply(&mut self, event: &Event<'_>, on_change: impl FnMut(RosterChange<'_>)) {
        match *event {
            Event::Presence(presence) => self.told(&presence, on_change),
            Event::PresenceReset(watch) => {
                self.peers.range_mut(all_of(watch)).for_each(|(_, peer)| peer.confirmed = false);
            }
            Event::PresenceSynced(watch) => self.remove(watch, |peer| !peer.confirmed, on_change),
            Event::WatchRefused(watch, _) => self.remove(watch, |_| true, on_change),
            _ => {}
        }
    }

    /// Takes in all presence that a client has for its application now, past its other events, and calls `on_change` for
    /// each change. The sessions under a watch that has ended are gone. Returns true if there was something, so that
    /// the client may have to acknowledge it.
    ///
    /// For an application that keeps a roster beside the events, also while it takes none of these: `poll_event` does not
    /// report what was taken here, but it reports watches that were refused. Presence is acknowledged in order with messages:
    /// as long as a message is not consumed, no more comes than
    /// [`presence_items`](crate::ClientConfig::presence_items).
    pub fn update<B: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        client: &mut Client<B>,
        mut on_change: impl FnMut(RosterChange<'_>),
    ) -> bool {
        let mut last = None;
        while let Some(watch) = self.next_watch(last) {
            if !client.wants(watch) {
                self.remove(watch, |_| true, &mut on_change);
            }
            last = Some(watch);
        }
        let mut any = false;
        while let Some(event) = client.poll_event_of(EventFilter::PRESENCE) {
            self.apply(&event, &mut on_change);
            any = true;
        }
        any
    }

    /// The first watch behind `last` that has a session.
    fn next_watch(&self, last: Option<WatchId>) -> Option<WatchId> {
        let from = last.map_or(Unbounded, |watch| Excluded((watch, Uuid::max())));
        self.peers.range((from, Unbounded)).next().map(|(key, _)| key.0)
    }

    fn told(&mut self, presence: &Presence<'_>, mut on_change: impl FnMut(RosterChange<'_>)) {
        let key = (presence.watch, presence.uuid);
        if presence.state == PresenceState::Gone {
            if self.peers.remove(&key).is_some() {
                on_change(RosterChange::Gone(presence.watch, presence.uuid));
            }
            return;
        }
        let is_connected = presence.state == PresenceState::Connected;
        let attributes = presence.attributes.as_bytes();
        let has_room = self.peers.len() < self.max_peers;
        match self.peers.entry(key) {
            Entry::Occupied(mut entry) => {
                let peer = entry.get_mut();
                peer.confirmed = true;
                if peer.is_connected != is_connected || *peer.attributes != *attributes {
                    peer.is_connected = is_connected;
                    peer.attributes = attributes.into();
                    on_change(RosterChange::Changed(presence.watch, presence.uuid, peer));
                }
            }
            Entry::Vacant(entry) if has_room => {
                let peer = Peer { is_connected, attributes: attributes.into(), confirmed: true };
                on_change(RosterChange::Here(presence.watch, presence.uuid, entry.insert(peer)));
            }
            Entry::Vacant(_) => self.left_out = true,
        }
    }

    /// Forgets what is under a watch that has ended.
    pub fn forget(&mut self, watch: WatchId) {
        self.remove(watch, |_| true, |_| {});
    }

    fn remove(
        &mut self,
        watch: WatchId,
        goes: impl Fn(&Peer) -> bool,
        mut on_change: impl FnMut(RosterChange<'_>),
    ) {
        let going = self.peers.range(all_of(watch)).filter(|(_, peer)| goes(peer)).map(|(&key, _)| key);
        for key in going.collect::<Vec<_>>() {
            self.peers.remove(&key);
            on_change(RosterChange::Gone(key.0, key.1));
        }
    }

    /// Those under one watch, by UUID.
    pub fn peers(&self, watch: WatchId) -> impl Iterator<Item = (Uuid, &Peer)> {
        self.peers.range(all_of(watch)).map(|(key, peer)| (key.1, peer))
    }

    /// Somebody under one watch.
    pub fn get(&self, watch: WatchId, uuid: Uuid) -> Option<&Peer> {
        self.peers.get(&(watch, uuid))
    }

    /// How many there are under all watches together.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// True if there is no session.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// False if a session was left out for lack of room.
    pub fn is_complete(&self) -> bool {
        !self.left_out
    }
}

fn all_of(watch: WatchId) -> RangeInclusive<(WatchId, Uuid)> {
    (watch, Uuid::nil())..=(watch, Uuid::max())
}
