//! What becomes of deliveries, and from that of their message: confirmed, declined, gone, ended, answered.
//!
//! The states of a message are in PROTOCOL.md, "Broker". One function here for each thing that can happen to it.

use super::deliveries::QueueEntry;
use super::messages::NO_MESSAGE;
use super::messages::Open;
use super::receipts::Word;
use super::sessions::NO_SESSION;
use super::state::Broker;
use super::timers::Timer;
use crate::bug::OrBug;
use crate::data::destination::DestinationRef;
use crate::data::message::{Past, RefusalReason};

impl Broker {
    /// A recipient has acknowledged a delivery, and its queue no longer names the message.
    pub(super) fn confirm(&mut self, delivery: QueueEntry) {
        let Some(message) = self.messages.release_ref(delivery.message).or_bug(NO_MESSAGE) else { return };
        if canary!(CountsDeclined) && delivery.declined && !message.ended {
            message.got += 1;
        }
        if !delivery.declined && !message.ended {
            message.pending -= 1;
            message.got += if canary!(CountsTwice) { 2 } else { 1 };
            self.stats.delivered += 1;
            self.stats.held -= 1;
            if message.open == Open::Held && message.got >= message.wanted {
                self.close_message(delivery.message);
                return self.check_message(delivery.message);
            }
        }
        // A message to many is in other queues, most often.
        let has_ended = message.ended;
        if has_ended || !message.is_kept() {
            self.finish_message(delivery.message, has_ended);
        }
    }

    /// A recipient has declined a delivery. It is acknowledged later, but counts no more.
    pub(super) fn decline(&mut self, delivery: QueueEntry) {
        let index = delivery.message;
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
        if message.ended {
            return;
        }
        message.pending -= 1;
        self.stats.declined += 1;
        self.stats.held -= 1;
        let held = message.open == Open::Held || matches!(message.past, Some(Past::Taken(_)));
        if !held {
            message.wanted -= 1;
            if message.wanted == 0 {
                self.nobody_left(index);
            }
        }
        self.check_message(index);
    }

    /// The last recipient of a message has declined it: it is for whoever comes, unless it was only for those who
    /// were connected.
    fn nobody_left(&mut self, index: u32) {
        let Some(destination) =
            self.messages.get(index).map(|message| message.destination).or_bug(NO_MESSAGE)
        else {
            return;
        };
        if DestinationRef::trusted(self.messages.destination(destination)).only_connected() {
            self.give_up(index, RefusalReason::Nobody);
        } else {
            // Whoever declined it may have had it, and may be the next to match.
            if let Some(message) = self.messages.get_mut(index) {
                message.past.get_or_insert(Past::Sent);
            }
            self.park(index, 1);
        }
    }

    /// A delivery that waited in a queue cannot be taken by its recipient after all.
    pub(super) fn refuse_queued(&mut self, delivery: QueueEntry) {
        if self.give_up_delivery(delivery, RefusalReason::TooLarge) {
            self.stats.refused += 1;
        }
        self.unname(delivery);
    }

    /// A delivery is left over from a session that has ended.
    pub(super) fn delivery_gone(&mut self, delivery: QueueEntry) {
        if self.give_up_delivery(delivery, RefusalReason::Gone) {
            self.stats.gone += 1;
        }
        self.unname(delivery);
    }

    /// A delivery will not be confirmed any more; false where that was known before.
    fn give_up_delivery(&mut self, delivery: QueueEntry, reason: RefusalReason) -> bool {
        let message = self.messages.get_mut(delivery.message).or_bug(NO_MESSAGE);
        let Some(message) = message.filter(|message| !delivery.declined && !message.ended) else {
            // It was declined, or ended.
            return false;
        };
        message.pending -= 1;
        message.reason.get_or_insert(reason);
        self.stats.held -= 1;
        true
    }

    /// A delivery leaves the queue of a session, and is not confirmed with that.
    pub(super) fn leave_queue(&mut self, session: u32, delivery: QueueEntry) {
        if let (Some(session), Some(message)) = (
            self.sessions.get_mut(session).or_bug(NO_SESSION),
            self.messages.get(delivery.message).or_bug(NO_MESSAGE),
        ) {
            session.queue_bytes -= u64::from(message.length);
        }
        self.forget_counts(session);
        self.unname(delivery);
    }

    /// A queue no longer names a message.
    pub(super) fn unname(&mut self, delivery: QueueEntry) {
        self.messages.release_ref(delivery.message);
        self.check_message(delivery.message);
    }

    /// A message that was written in part on a link is whole, or never will be.
    pub(super) fn wrote_message(&mut self, index: u32) {
        self.messages.wrote(index);
        self.check_message(index);
    }

    /// A message is for nobody else any more.
    pub(super) fn close_message(&mut self, index: u32) {
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
        let open = core::mem::replace(&mut message.open, Open::Closed);
        if open == Open::Closed {
            return;
        }
        let (order, destination, sender) = (message.order, message.destination, message.sender);
        self.count_waiting(sender, open, false);
        let destination = DestinationRef::trusted(self.messages.destination(destination));
        self.holding.remove(destination, order, index);
    }

    /// Ends a message that is for nobody else and that nobody has in the queue, and removes it where it is over.
    pub(super) fn check_message(&mut self, index: u32) {
        // It has ended at an offer for which there was no place.
        let Some(message) = self.messages.get(index) else { return };
        let has_ended = message.ended;
        if has_ended || !message.is_kept() {
            self.finish_message(index, has_ended);
        }
    }

    /// The same for a message of which it is known that it is for nobody, and whether it has ended before.
    fn finish_message(&mut self, index: u32, has_ended: bool) {
        if !has_ended {
            self.end_message(index);
        }
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
        if message.is_over() {
            self.pool.release(&mut message.payload);
            if message.is_unnamed() {
                self.messages.remove(index);
            }
        }
    }

    /// The message has ended: its sender gets the final receipt.
    fn end_message(&mut self, index: u32) {
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
        let (delivered, recipients) = (message.got, message.wanted.max(message.got));
        let complete = delivered == recipients && recipients > 0;
        let reason = if complete { None } else { Some(message.reason.unwrap_or(RefusalReason::Declined)) };
        let (sender, id, order) = (message.sender, message.id, message.order);
        trace!("e_pigeon::broker", "message {id} ended: delivered to {delivered} of {recipients}");
        let answered = message.until_accepted && message.accepted_told;
        let timer = core::mem::take(&mut message.timed).then_some(message.deadline);
        if let Some(at) = timer {
            self.timers.disarm(at, Timer::Message(index));
        }
        self.messages.end(index);
        self.stats.answer(reason);
        if !answered {
            self.tell_sender(sender, (id, order), Word::Final { delivered, recipients, reason });
        }
    }

    /// The sender is told that its message was accepted, unless it was before.
    pub(super) fn tell_accepted(&mut self, index: u32) {
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
        if !core::mem::replace(&mut message.accepted_told, true) {
            let (sender, of, word) = (message.sender, (message.id, message.order), message.accepted);
            self.tell_sender(sender, of, word);
        }
    }

    /// Puts a receipt into the queue of a sender, where that has a session: word of the message with that id and place in the
    /// order in which messages were taken.
    #[inline]
    fn tell_sender(&mut self, sender: u32, (id, order): (u64, u64), word: Word) {
        // Nobody waits for the receipt any more.
        let Some(session) = self.messages.sender(sender).and_then(|sender| sender.session) else { return };
        if let Some(state) = self.sessions.get_mut(session) {
            let is_new = state.queue.receipts().push(id, word, order < state.since);
            if let Some(link) = state.link {
                self.ready.wake(link);
            }
            if is_new {
                self.receipts += 1;
                self.adjust_window(session);
            }
        }
    }
}
