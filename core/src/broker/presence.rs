//! Presence: who is here, told to those who watch a filter.
//!
//! Presence is state, not a queue. A watcher is told what is true when it is written, never what was: under each watch
//! the broker keeps only the names of those who have changed since. Where these become too many it forgets them, and
//! tells everything again. A snapshot is no copy either, but a place in the lists of the index. (PROTOCOL.md, "Presence")

use super::jobs::Job;
use super::ordered::last_of;
use super::queue::Notice;
use super::sessions::NO_SESSION;
use super::sessions::Session;
use super::state::Broker;
use super::watches::*;
use super::work::{LISTED, NOTE, WATCH};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::attributes::AttributesRef;
use crate::data::filter::FilterRef;
use crate::data::message::RefusalReason;
use crate::error::AbortCode;
use crate::wire::item::{DownItem, PresenceState, Refused};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use uuid::Uuid;

/// How many sessions are looked at for one watcher before others have their turn.
const LOOKED_AT_PER_CALL: u32 = 1_024;
/// So many watches are looked for in the tree at a time.
const NOTED_AT_ONCE: usize = 64;

impl Broker {
    /// A client wants to know who matches a filter.
    pub(super) fn watch(
        &mut self,
        session: u32,
        number: u32,
        filter: FilterRef<'_>,
    ) -> Result<(), AbortCode> {
        let max = usize::from(self.config.max_watches);
        let state = self.sessions.get(session).ok_or(AbortCode::UnexpectedFrame)?;
        if state.presence_items == 0 || state.watches.iter().any(|watch| watch.number == number) {
            return Err(AbortCode::UnexpectedFrame);
        }
        let refused = if state.watches.len() >= max {
            Some(RefusalReason::BrokerFull)
        } else if !self.may_watch(session, filter) {
            Some(RefusalReason::NotAllowed)
        } else {
            None
        };
        if let Some(reason) = refused {
            self.refuse_wish(session, Notice { refused: Refused::Watch, watch: number, reason });
            return Ok(());
        }
        self.work.charge(WATCH);
        let filter = filter.as_bytes().into();
        let watch = Watch { number, filter, stage: Stage::Reset, changed: BTreeSet::new() };
        self.watchers.insert(session, &watch);
        if let Some(state) = self.sessions.get_mut(session) {
            state.watches.push(watch);
        }
        self.wake(session);
        Ok(())
    }

    /// A client no longer wants to know.
    pub(super) fn unwatch(&mut self, session: u32, number: u32) {
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
        if let Some(at) = state.watches.iter().position(|watch| watch.number == number) {
            self.work.charge(WATCH);
            self.watchers.remove(session, &state.watches.swap_remove(at));
        }
    }

    /// A session is over, or begins anew: it watches nothing.
    pub(super) fn forget_watches(&mut self, session: u32) {
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
        for watch in state.watches.drain(..) {
            self.work.charge(WATCH);
            self.watchers.remove(session, &watch);
        }
    }

    /// A session has changed, or is about to: whoever watches it as it is now will be told how it stands then.
    pub(super) fn note_presence(&mut self, session: u32) {
        let state = self.seen_as(session);
        self.note_states(session, state.into_iter().collect());
    }

    /// The attributes by which a session is seen; none where nobody sees it, or nobody watches.
    pub(super) fn seen_as(&self, session: u32) -> Option<Box<[u8]>> {
        let state = self.sessions.get(session).or_bug(NO_SESSION)?;
        let is_seen = state.receives && !self.watchers.standing.is_empty();
        is_seen.then(|| state.attributes().as_bytes().into())
    }

    /// A session has changed: each watch that matches one of these attributes will get its state of then.
    pub(super) fn note_states(&mut self, session: u32, mut states: Vec<Box<[u8]>>) {
        let Some(state) = self.sessions.get(session).or_bug(NO_SESSION).filter(|_| !states.is_empty()) else {
            // Nobody sees it.
            return;
        };
        states.dedup();
        let uuid = state.uuid;
        match self.jobs.notes(uuid).filter(|_| state.jobs > 0) {
            Some(notes) => notes.add(states),
            None => self.begin_job(Job::Notes(Box::new(Notes::of(uuid, states)))),
        }
    }

    /// Notes a session that has changed with those who watch it; true when that is done. Not inlined: other jobs need less of the
    /// stack.
    #[inline(never)]
    pub(super) fn run_notes(&mut self, notes: &mut Notes) -> bool {
        let backlog = self.config.watch_backlog as usize;
        loop {
            let terms = self.watchers.terms(notes.uuid, &notes.states);
            while let Some(&term) = terms.get(notes.term) {
                let from = (term, notes.from.0, notes.from.1);
                let mut found = [(0, 0); NOTED_AT_ONCE];
                let mut count = 0;
                for (place, &(_, session, number)) in
                    found.iter_mut().zip(self.watchers.standing.range(from..=last_of(term)))
                {
                    *place = (session, number);
                    count += 1;
                }
                for &(session, number) in found.iter().take(count) {
                    if self.work.is_spent() {
                        return false;
                    }
                    self.work.charge(NOTE);
                    notes.from = (session, number + 1);
                    // They were such numbers.
                    self.note(session as u32, number as u32, notes, backlog);
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

    /// Notes a session that has changed under one watch that may mean it.
    fn note(&mut self, watcher: u32, number: u32, notes: &Notes, backlog: usize) {
        let state = self.sessions.get_mut(watcher).or_bug(NO_SESSION);
        let watch =
            state.and_then(|state| state.watched_mut(number)).or_bug("a watch stands that is not there");
        if let Some(watch) = watch.filter(|watch| notes.matches(watch.filter())) {
            watch.note(notes.uuid, backlog);
            self.wake(watcher);
        }
    }

    /// What a watcher is to be told next, as far as it takes more; `link` is listed again where it was looked for
    /// long enough.
    pub(super) fn next_presence(&mut self, link: u32, session: u32) -> Option<Word> {
        let state = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
        if state.watches.is_empty() || state.queue.presence_len() >= usize::from(state.presence_items) {
            return None;
        }
        let mut watches = core::mem::take(&mut state.watches);
        let most = LOOKED_AT_PER_CALL.min(self.work.left() / LISTED);
        let mut budget = most;
        let word = watches.iter_mut().find_map(|watch| watch.next(&self.sessions, &mut budget));
        self.work.charge((most - budget) * LISTED);
        // The others have their turn.
        watches.rotate_left(1);
        self.sessions.get_mut(session).or_bug(NO_SESSION)?.watches = watches;
        if word.is_none() && budget == 0 {
            self.wake_link(link);
        }
        word
    }

    /// Writes the body of a frame that says how it stands now.
    pub(super) fn write_presence(&self, session: u32, word: Word, writer: &mut Writer<'_>) {
        let (number, uuid) = match word {
            Word::Reset(number) => return DownItem::PresenceReset(number).write(writer),
            Word::Synced(number) => return DownItem::PresenceSynced(number).write(writer),
            Word::Peer(number, uuid) => (number, uuid),
        };
        let watch = self.sessions.get(session).and_then(|state| state.watched(number));
        let peer = self.sessions.find(Uuid::from_bytes_ref(&uuid)).and_then(|peer| self.sessions.get(peer));
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
}

impl Session {
    fn watched(&self, number: u32) -> Option<&Watch> {
        self.watches.iter().find(|watch| watch.number == number)
    }

    fn watched_mut(&mut self, number: u32) -> Option<&mut Watch> {
        self.watches.iter_mut().find(|watch| watch.number == number)
    }
}
