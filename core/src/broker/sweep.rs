//! What becomes of queue entries whose messages have ended: they leave their queues without waiting for the client.
//!
//! A message does not know which queues name it, so ended ones are found by going through queues. That is paid for by what
//! it finds: all queues are gone through only when a good part of their entries have ended, or many records of ended
//! messages are kept for them, or they take far more memory than they need; one queue, when it is full and some of it must have ended. (PROTOCOL.md, "Void deliveries")

use super::capacity::*;
use super::deliveries::QueueEntry;
use super::messages::NO_MESSAGE;
use super::ordered::MIN_TABLE;
use super::sessions::NO_SESSION;
use super::sessions::Searched;
use super::state::Broker;
use super::work::{DROPPED, ROOM, SWEPT};
use crate::bug::OrBug;
use crate::time::Moment;
use core::time::Duration;

/// So long memory of tables stays unused before it is given back.
const UNUSED: Duration = Duration::from_secs(2);
/// Tables give their memory back one after the other, as many as that and one.
const LAST_TABLE: u8 = 6;
/// A full queue is searched when one entry of so many is new since it was searched last, or has ended.
const SEARCH_PART: usize = 16;
/// Where one of so many has ended is estimated by twice as many entries.
const SAMPLES: usize = 2 * SEARCH_PART;
/// So many entries of a queue are looked at before it is asked whether the call may do more.
const AT_ONCE: usize = 1_024;
/// So many runs of the log of a queue are written again at the price of an entry.
const RUNS: usize = 16;

impl Broker {
    /// True where entries of ended messages are to be dropped from all queues.
    pub(super) fn is_sweep_due(&self) -> bool {
        let ended = self.messages.ended_entries();
        let (entries, sessions) = (self.messages.entries(), self.sessions.len() as u64);
        self.swept.is_some()
            || ended > MIN_ENDED.max((entries + sessions) / 2)
            || self.queue_places as u64 > max_places(entries, sessions)
            || self.ended_in_queues() > max_ended(&self.config)
    }

    /// True where as many records of ended messages are kept as may be: no message is taken before some are gone.
    pub(super) fn is_sweep_behind(&self) -> bool {
        self.ended_in_queues() > 2 * max_ended(&self.config)
    }

    /// Records of ended messages, without those that links write, as many as there may be: no search makes these fewer.
    fn ended_in_queues(&self) -> u64 {
        self.messages.ended().saturating_sub(self.messages.written_in_part()) as u64
    }

    /// Goes through queues and drops entries of ended messages, where that is due, for a quarter of a call: others get their
    /// turn before it goes on.
    pub(super) fn sweep(&mut self) {
        if !self.is_sweep_due() {
            return;
        }
        let mut next = self.swept.take().unwrap_or(0);
        let until = self.work.left().saturating_sub(self.work.share());
        loop {
            if next >= self.sessions.places() {
                // All were gone through.
                return;
            }
            // At most 2^30 sessions.
            let index = next as u32;
            self.work.charge(SWEPT);
            if self.sessions.get(index).is_some() {
                if !self.drop_ended(index, until) {
                    break;
                }
                self.shrink_queue(index);
            }
            next += 1;
            if self.work.left() <= until {
                break;
            }
        }
        self.swept = Some(next);
    }

    /// The last place of a queue is taken. A message can take the last one of very many queues: as many get new ones as this
    /// call may make, and the others before the next message to many is taken. So none makes memory for all in one call.
    #[cold]
    pub(super) fn queue_filled(&mut self, index: u32) {
        if self.work.is_spent() {
            self.cramped.push(index);
            return;
        }
        let most = self.config.queue_messages as usize;
        if let Some(session) = self.sessions.get_mut(index).or_bug(NO_SESSION)
            && session.queue.is_full()
            && session.queue.capacity() < most
        {
            self.work.charge(ROOM);
            self.queue_places += session.queue.make_room();
        }
    }

    /// Makes room in queues that have none, for a quarter of a call: others get their turn before the next.
    pub(super) fn make_room(&mut self) {
        let until = self.work.left().saturating_sub(self.work.share());
        while self.work.left() > until
            && let Some(index) = self.cramped.pop()
        {
            // Its session may have ended.
            if self.sessions.get(index).is_some() {
                self.queue_filled(index);
            }
        }
    }

    fn is_oversized(&self) -> bool {
        self.messages.is_oversized() || self.sessions.is_oversized() || self.links.is_oversized()
    }

    /// Memory that a burst has taken and that stays unused for a while goes back. Of one kind of table in each call: a walk
    /// through a large one is enough for that.
    pub(super) fn give_back(&mut self) {
        if self.gave_back == 0 && !self.is_oversized() {
            self.gives_back_at = None;
            return;
        }
        match self.gives_back_at {
            Some(at) if self.now < at => return,
            None => {
                self.gives_back_at = Some(self.now + UNUSED);
                return;
            }
            Some(_) => {}
        }
        match self.gave_back {
            0 => {
                self.recipients.shrink_to(MIN_TABLE);
                self.dropped.shrink_to(MIN_TABLE);
                self.cramped.shrink_to(MIN_TABLE);
                self.ready.give_back(self.links.places());
                self.messages.give_back();
            }
            1 => self.messages.give_back_destinations(),
            2 => self.messages.give_back_senders(),
            3 => self.sessions.give_back(),
            4 => self.sessions.give_back_lists(),
            // One buffer can keep the allocator from giving back what lies before it.
            5 => self.pool.give_back(),
            _ => self.links.give_back(),
        }
        if self.gave_back < LAST_TABLE {
            self.gave_back += 1;
            return;
        }
        // Where the end of a table is in use it stays, and to try again costs a walk through it.
        self.gave_back = 0;
        self.gives_back_at = self.is_oversized().then_some(self.now + UNUSED * 30);
    }

    fn shrink_queue(&mut self, index: u32) {
        if let Some(session) = self.sessions.get_mut(index).or_bug(NO_SESSION) {
            self.queue_places -= session.queue.shrink();
        }
    }

    /// Drops entries of ended messages from the queue of one session, or goes on with that, until so many units are left;
    /// true when it is done. It begins with the newest: what the client acknowledges meanwhile was not looked at, and moves none
    /// of those that were.
    fn drop_ended(&mut self, index: u32, until: u32) -> bool {
        let mut dropped = core::mem::take(&mut self.dropped);
        let is_done = loop {
            let Some(session) = self.sessions.get_mut(index).or_bug(NO_SESSION) else { break true };
            let length = session.queue.len();
            let end = match session.unsearched as usize {
                0 => length,
                unsearched => unsearched.min(length),
            };
            let start = end.saturating_sub(AT_ONCE);
            // At most 2^30 messages.
            self.work.charge((end - start) as u32 * SWEPT + (session.queue.runs() / RUNS) as u32);
            let messages = &self.messages;
            let ended = |delivery: &QueueEntry| {
                let message = messages.get(delivery.message).or_bug(NO_MESSAGE);
                message.filter(|message| message.ended).map(|message| message.length)
            };
            // Or of what is under way, where the window was larger: else there would be a run for each of these.
            let window = session.sending.window().bytes.max(session.sending.under_way());
            let most_bytes = window / window_parts(&self.config);
            session.queue.drop_ended(start..end, most_bytes, ended, |delivery| dropped.push(delivery));
            session.unsearched = start as u32;
            self.work.charge(dropped.len() as u32 * DROPPED);
            for delivery in dropped.drain(..) {
                self.leave_queue(index, delivery);
            }
            if start == 0 || self.work.left() <= until {
                break start == 0;
            }
        };
        self.dropped = dropped;
        is_done
    }

    /// The queue of a session is full: drops entries of ended messages from it, where enough can have ended, as far as this
    /// call may. What is left goes on with the next message for it.
    pub(super) fn search_queue(&mut self, index: u32) {
        let Some(session) = self.sessions.get(index).or_bug(NO_SESSION) else { return };
        let Searched { order, next } = session.searched;
        let length = session.queue.len();
        let late = length.checked_sub(1 + length / SEARCH_PART).and_then(|late| session.queue.delivery(late));
        let message = late.and_then(|late| self.messages.get(late.message));
        let is_due = session.unsearched > 0 || next.get().is_some_and(|next| self.now >= next);
        if !is_due && message.is_none_or(|message| message.order < order) {
            return;
        }
        if !self.drop_ended(index, 0) {
            return;
        }
        let next = self.part_ends_at(index);
        if let Some(session) = self.sessions.get_mut(index).or_bug(NO_SESSION) {
            session.searched = Searched { order: self.messages.next_order(), next };
        }
    }

    /// When about one entry of [`SEARCH_PART`] of a queue will have ended; the first, where there are few.
    fn part_ends_at(&self, index: u32) -> Moment {
        let Some(session) = self.sessions.get(index).or_bug(NO_SESSION) else { return Moment::NEVER };
        let length = session.queue.len();
        let samples = (0..length).step_by((length / SAMPLES).max(1));
        let deliveries = samples.filter_map(|place| session.queue.delivery(place));
        let deadlines =
            deliveries.filter_map(|delivery| self.messages.get(delivery.message)).map(|m| m.deadline);
        let (mut first, mut second) = (None, None);
        for deadline in deadlines {
            if first.is_none_or(|first| deadline < first) {
                (first, second) = (Some(deadline), first);
            } else if second.is_none_or(|second| deadline < second) {
                second = Some(deadline);
            }
        }
        let part = if length < SAMPLES { first } else { second };
        part.map_or(Moment::NEVER, Moment::at)
    }
}
