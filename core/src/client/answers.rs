//! How messages of the outbox end: by receipts from the broker, or here, when their time is over; and how the
//! application is told. (PROTOCOL.md, "Sender")

use super::memory::NONE;
use super::outbox::{
    ANSWERED_FIRST, DEADLINE, ENDED, ENDED_ACCEPTED, EPOCH, FINAL_DELIVERED, FINAL_RECIPIENTS, FLAGS, ID,
    IN_EVENTS, IS_SET, NEXT, NEXT_EVENT, NUMBER, Outbox, PARKED, PAYLOAD, REASON, RECIPIENTS, RETRY, SESSION,
    TAKEN, UNTIL_ACCEPTED,
};
use crate::message::{MessageId, Reason, Receipt};
use crate::time::{Instant, Moment};
use crate::wire::item::{Accepted, Final};

impl Outbox {
    /// *Accepted* for a run of messages.
    pub(super) fn accepted(&mut self, m: &mut [u8], run: &Accepted) {
        self.for_run(m, run.first, run.count, |outbox, m, index| {
            let flags: u16 = outbox.entries.get(m, index, FLAGS);
            if run.recipients == 0 {
                // Nobody matched the first sending. About a repetition that says nothing.
                if flags & (RETRY | TAKEN) == 0 {
                    outbox.add_flags(m, index, PARKED);
                }
            } else if flags & TAKEN == 0 {
                outbox.entries.set(m, index, RECIPIENTS, run.recipients);
                outbox.entries.set(m, index, EPOCH, run.epoch);
                outbox.entries.set(m, index, SESSION, run.session);
                let answers_first = flags & (RETRY | PARKED) == 0;
                outbox.add_flags(m, index, if answers_first { TAKEN | ANSWERED_FIRST } else { TAKEN });
            }
            outbox.entries.set(m, index, FINAL_RECIPIENTS, run.recipients);
            if flags & UNTIL_ACCEPTED != 0 {
                outbox.add_flags(m, index, ENDED | ENDED_ACCEPTED);
            }
            outbox.queue_event(m, index);
        });
    }

    /// The final receipt for a run of messages.
    pub(super) fn ended(&mut self, m: &mut [u8], run: &Final) {
        self.for_run(m, run.first, run.count, |outbox, m, index| {
            outbox.end(m, index, run.delivered, run.recipients, run.reason);
        });
    }

    fn end(&mut self, m: &mut [u8], index: u32, delivered: u32, recipients: u32, reason: Option<Reason>) {
        self.entries.set(m, index, FINAL_DELIVERED, delivered);
        self.entries.set(m, index, FINAL_RECIPIENTS, recipients);
        self.entries.set(m, index, REASON, reason.map_or(0, |reason| reason as u8));
        self.add_flags(m, index, ENDED);
        self.queue_event(m, index);
    }

    /// Does something to each message of a run that is still unanswered.
    fn for_run(
        &mut self,
        m: &mut [u8],
        first: u64,
        count: u32,
        mut each: impl FnMut(&mut Self, &mut [u8], u32),
    ) {
        let id = |outbox: &Self, m: &[u8], index: u32| outbox.entries.get(m, index, ID);
        let mut index = self.finger;
        if index == NONE || id(self, m, index) > first {
            index = self.head;
        }
        while index != NONE && id(self, m, index) < first {
            index = self.entries.get(m, index, NEXT);
        }
        while index != NONE && id(self, m, index) - first < u64::from(count) {
            // A change of attributes has the id of the message before it, which must still be found.
            if !self.flag(m, index, IS_SET) {
                self.finger = index;
                if !self.flag(m, index, ENDED) {
                    each(self, m, index);
                }
            }
            index = self.entries.get(m, index, NEXT);
        }
    }

    /// The next receipt to be told to the application, if any.
    pub(super) fn poll_receipt(&mut self, m: &mut [u8]) -> Option<Receipt> {
        if self.first_event == NONE {
            return None;
        }
        let index = self.first_event;
        self.first_event = self.entries.get(m, index, NEXT_EVENT);
        if self.first_event == NONE {
            self.last_event = NONE;
        }
        let flags: u16 = self.entries.get(m, index, FLAGS);
        self.entries.set(m, index, FLAGS, flags & !IN_EVENTS);
        let id = MessageId(self.entries.get(m, index, ID));
        let recipients = self.entries.get(m, index, FINAL_RECIPIENTS);
        let receipt = if flags & ENDED == 0 || flags & ENDED_ACCEPTED != 0 {
            Receipt::Accepted { id, recipients, last: flags & ENDED_ACCEPTED != 0 }
        } else {
            let delivered = self.entries.get(m, index, FINAL_DELIVERED);
            let reason = Reason::from_code(self.entries.get(m, index, REASON));
            Receipt::Final { id, delivered, recipients, reason }
        };
        if flags & ENDED != 0 {
            self.free_if_done(m, index);
        }
        Some(receipt)
    }

    /// True where a receipt waits to be polled.
    pub(super) fn has_receipt(&self) -> bool {
        self.first_event != NONE
    }

    /// When [`Outbox::expire`] may have something to do.
    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.earliest.get()
    }

    /// Ends messages whose deadline is over and that are not under way to the broker.
    pub(super) fn expire(&mut self, m: &mut [u8], now: Instant) {
        self.earliest = Moment::NEVER;
        let mut index = self.head;
        while index != NONE {
            let next = self.entries.get(m, index, NEXT);
            let flags: u16 = self.entries.get(m, index, FLAGS);
            let ends_here = self.entries.get(m, index, NUMBER) == 0;
            if flags & (IS_SET | ENDED) == 0 && ends_here {
                let deadline = Instant::from_micros(self.entries.get(m, index, DEADLINE));
                if now >= deadline {
                    self.end_here(m, index, Reason::Expired);
                } else {
                    self.watch_deadline(deadline);
                }
            }
            index = next;
        }
    }

    /// Ends messages that this broker never takes.
    pub(super) fn refuse_larger_than(&mut self, m: &mut [u8], max: u32) {
        let mut index = self.head;
        while index != NONE {
            let next = self.entries.get(m, index, NEXT);
            let is_over = self.flag(m, index, IS_SET) || self.flag(m, index, ENDED);
            let is_unwritten = self.entries.get(m, index, NUMBER) == 0;
            if !is_over && is_unwritten && self.entries.get(m, index, PAYLOAD) > max {
                self.end_here(m, index, Reason::TooLarge);
            }
            index = next;
        }
    }

    /// Deadlines are to be looked at again: which messages can end here has changed.
    pub(super) fn recheck_deadlines(&mut self, now: Instant) {
        if self.head != NONE {
            self.watch_deadline(now);
        }
    }

    pub(super) fn watch_deadline(&mut self, deadline: Instant) {
        self.earliest = self.earliest.or_before(deadline);
    }

    /// Ends a message without the broker: for as many as it was accepted for, confirmed by none.
    pub(super) fn end_here(&mut self, m: &mut [u8], index: u32, reason: Reason) {
        let taken = self.flag(m, index, TAKEN);
        let recipients = if taken { self.entries.get(m, index, RECIPIENTS) } else { 0 };
        self.end(m, index, 0, recipients, Some(reason));
    }

    /// Ids of the messages that are not answered, in the order of sending.
    pub(super) fn unanswered(&self, m: &[u8]) -> impl Iterator<Item = MessageId> {
        let mut index = self.head;
        core::iter::from_fn(move || {
            while index != NONE {
                let this = index;
                index = self.entries.get(m, this, NEXT);
                if !self.flag(m, this, IS_SET) && !self.flag(m, this, ENDED) {
                    return Some(MessageId(self.entries.get(m, this, ID)));
                }
            }
            None
        })
    }

    fn queue_event(&mut self, m: &mut [u8], index: u32) {
        if self.flag(m, index, IN_EVENTS) {
            return;
        }
        self.add_flags(m, index, IN_EVENTS);
        self.entries.set(m, index, NEXT_EVENT, NONE);
        if self.last_event == NONE {
            self.first_event = index;
        } else {
            self.entries.set(m, self.last_event, NEXT_EVENT, index);
        }
        self.last_event = index;
    }
}
