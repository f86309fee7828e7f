//! Presence: which sessions match a filter, reported to those that watch it.
//!
//! Presence is state, not a queue. A watcher receives the state at the time of writing: under each watch the broker keeps
//! only the names of the sessions that have changed since. If these become too many, the broker forgets them and reports
//! everything again. A snapshot is no copy either, but a place in the lists of the index. (PROTOCOL.md, "Presence")

use crate::broker::routing::rights;
use crate::broker::store::watches::*;
use crate::broker::store::work::{LISTED, NOTE, WATCH};
use crate::broker::store::{Job, NO_SESSION, Notes, Session, Store, Watch, last_of};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::attributes::AttributesRef;
use crate::data::filter::FilterRef;
use crate::data::message::RefusalReason;
use crate::error::AbortCode;
use crate::wire::item::{DownItem, PresenceState, Reply};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use uuid::Uuid;

/// The number of sessions to check for one watcher before others have their turn.
const LOOKED_AT_PER_CALL: u32 = 1_024;
/// The number of watches to read from their set at a time.
const NOTED_AT_ONCE: usize = 64;

impl Session {
    fn watched(&self, number: u32) -> Option<&Watch> {
        self.watches.iter().find(|watch| watch.number == number)
    }

    fn watched_mut(&mut self, number: u32) -> Option<&mut Watch> {
        self.watches.iter_mut().find(|watch| watch.number == number)
    }
}

/// Adds a watch of a client, which then gets the sessions that match the filter.
pub(crate) fn watch(
    store: &mut Store,
    session: u32,
    number: u32,
    filter: FilterRef<'_>,
) -> Result<(), AbortCode> {
    let max = usize::from(store.config.max_watches);
    let state = store.sessions.get(session).ok_or(AbortCode::UnexpectedFrame)?;
    if state.presence_items == 0 || state.watches.iter().any(|watch| watch.number == number) {
        return Err(AbortCode::UnexpectedFrame);
    }
    let refused = if state.watches.len() >= max {
        Some(RefusalReason::BrokerFull)
    } else if !rights::may_watch(store, session, filter) {
        Some(RefusalReason::NotAllowed)
    } else {
        None
    };
    if let Some(reason) = refused {
        rights::reply(store, session, Reply::WatchRefused(number, reason));
        return Ok(());
    }
    store.work.charge(WATCH);
    let filter = filter.as_bytes().into();
    let watch = Watch { number, filter, stage: Stage::Reset, changed: BTreeSet::new() };
    store.watchers.insert(session, &watch);
    if let Some(state) = store.sessions.get_mut(session) {
        state.watches.push(watch);
    }
    store.wake(session);
    Ok(())
}

/// Removes a watch of a client.
pub(crate) fn unwatch(store: &mut Store, session: u32, number: u32) {
    let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
    if let Some(at) = state.watches.iter().position(|watch| watch.number == number) {
        store.work.charge(WATCH);
        store.watchers.remove(session, &state.watches.swap_remove(at));
    }
}

/// Removes all watches of a session that has ended, or begins again.
pub(crate) fn forget_watches(store: &mut Store, session: u32) {
    let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
    for watch in state.watches.drain(..) {
        store.work.charge(WATCH);
        store.watchers.remove(session, &watch);
    }
}

/// Notifies the watchers of a session that has changed, or is about to. They report the state at the time of writing.
pub(crate) fn note_presence(store: &mut Store, session: u32) {
    let state = seen_as(store, session);
    note_states(store, session, state.into_iter().collect());
}

/// The attributes by which watchers see a session; `None` if it does not receive, or there are no watches.
pub(crate) fn seen_as(store: &Store, session: u32) -> Option<Box<[u8]>> {
    let state = store.sessions.get(session).or_bug(NO_SESSION)?;
    let is_seen = state.receives && !store.watchers.standing.is_empty();
    is_seen.then(|| state.attributes().as_bytes().into())
}

/// Notifies the watches that match a session with any of these attributes.
pub(crate) fn note_states(store: &mut Store, session: u32, mut states: Vec<Box<[u8]>>) {
    let Some(state) = store.sessions.get(session).or_bug(NO_SESSION).filter(|_| !states.is_empty()) else {
        // No watcher sees the session.
        return;
    };
    states.dedup();
    let uuid = state.uuid;
    match store.jobs.notes(uuid).filter(|_| state.jobs > 0) {
        Some(notes) => notes.add(states),
        None => {
            let mut notes = Box::new(Notes::of(uuid, states));
            if !run_notes(store, &mut notes) {
                store.keep_job(Job::Notes(notes));
            }
        }
    }
}

/// Notifies watchers of a session that has changed; true if that is done. Not inlined, because other jobs need less of the
/// stack.
#[inline(never)]
pub(crate) fn run_notes(store: &mut Store, notes: &mut Notes) -> bool {
    let backlog = store.config.watch_backlog as usize;
    loop {
        let terms = store.watchers.terms(notes.uuid, &notes.states);
        while let Some(&term) = terms.get(notes.term) {
            let from = (term, notes.from.0, notes.from.1);
            let mut found = [(0, 0); NOTED_AT_ONCE];
            let mut count = 0;
            for (place, &(_, session, number)) in
                found.iter_mut().zip(store.watchers.standing.range(from..=last_of(term)))
            {
                *place = (session, number);
                count += 1;
            }
            for &(session, number) in found.iter().take(count) {
                if store.work.is_spent() {
                    return false;
                }
                store.work.charge(NOTE);
                notes.from = (session, number + 1);
                // The key was made from u32s.
                note(store, session as u32, number as u32, notes, backlog);
            }
            if count < NOTED_AT_ONCE {
                notes.term += 1;
                notes.from = (0, 0);
            }
        }
        if notes.again.is_empty() {
            return true;
        }
        *notes = Notes::of(notes.uuid, core::mem::take(&mut notes.again));
    }
}

/// Notes a changed session under one watch, if that matches.
fn note(store: &mut Store, watcher: u32, number: u32, notes: &Notes, backlog: usize) {
    let state = store.sessions.get_mut(watcher).or_bug(NO_SESSION);
    let watch = state.and_then(|state| state.watched_mut(number)).or_bug("a watch stands that is not there");
    if let Some(watch) = watch.filter(|watch| notes.matches(watch.filter())) {
        watch.note(notes.uuid, backlog);
        store.wake(watcher);
    }
}

/// The next notice for a watcher, if it accepts more. Its link becomes ready again if the search was long enough for this
/// call.
pub(crate) fn next_presence(store: &mut Store, session: u32) -> Option<PresenceNotice> {
    let state = store.sessions.get_mut(session).or_bug(NO_SESSION)?;
    if state.watches.is_empty() || state.queue.presence_len() >= usize::from(state.presence_items) {
        return None;
    }
    let mut watches = core::mem::take(&mut state.watches);
    let most = LOOKED_AT_PER_CALL.min(store.work.left() / LISTED);
    let mut budget = most;
    let notice = watches.iter_mut().find_map(|watch| watch.next(&store.sessions, &mut budget));
    store.work.charge((most - budget) * LISTED);
    // The other watches have their turn.
    watches.rotate_left(1);
    store.sessions.get_mut(session).or_bug(NO_SESSION)?.watches = watches;
    if notice.is_none() && budget == 0 {
        store.wake(session);
    }
    notice
}

/// Writes the body of a frame with the current state.
pub(crate) fn write_presence(store: &Store, session: u32, notice: PresenceNotice, writer: &mut Writer<'_>) {
    let (number, uuid) = match notice {
        PresenceNotice::Reset(number) => return DownItem::PresenceReset(number).write(writer),
        PresenceNotice::Synced(number) => return DownItem::PresenceSynced(number).write(writer),
        PresenceNotice::Peer(number, uuid) => (number, uuid),
    };
    let watch = store.sessions.get(session).and_then(|state| state.watched(number));
    let peer = store.sessions.find(Uuid::from_bytes_ref(&uuid)).and_then(|peer| store.sessions.get(peer));
    let here = peer.filter(|peer| {
        peer.receives && watch.is_some_and(|watch| watch.filter().matches(peer.uuid, peer.attributes()))
    });
    let item = match here {
        None => DownItem::Presence(number, uuid, PresenceState::Gone, AttributesRef::EMPTY),
        Some(peer) => {
            let state = if peer.link.is_some() { PresenceState::Connected } else { PresenceState::Away };
            DownItem::Presence(number, uuid, state, peer.attributes())
        }
    };
    item.write(writer);
}
