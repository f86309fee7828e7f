//! How messages of the outbox end: by receipts from the broker, or here, when their time is over; and
//! the receipts that the application gets. (PROTOCOL.md, "Sender")

use super::entry::{
    DEADLINE, ENDED, FLAGS, ID, IN_EVENTS, IS_SET, NEXT, NEXT_EVENT, NUMBER, PAYLOAD, PREVIOUS, RETRY,
    Record, accept, accepted_for, end, receipt,
};
use super::memory::NONE;
use super::outbox::{NO_ENTRY, Outbox};
use crate::bug::OrBug;
use crate::data::message::{MessageId, Outcome, Receipt, RefusalReason};
use crate::time::{Instant, Moment};
use crate::wire::item::{Accepted, Final};

impl Outbox {
    /// *Accepted* for a run of messages.
    pub(super) fn accepted(&mut self, m: &mut [u8], run: &Accepted) {
        self.for_run(m, run.first, run.count, |entry| accept(entry, run));
    }

    /// The final receipt for a run of messages.
    pub(super) fn ended(&mut self, m: &mut [u8], run: &Final) {
        // The broker does not say for how many recipients each of these was accepted before.
        let mut outcome = run.outcome;
        let are_refused = outcome.recipients == 0 && outcome.reason == Some(RefusalReason::BrokerFull);
        self.for_run(m, run.first, run.count, |entry| {
            if are_refused {
                outcome.recipients = accepted_for(entry);
            }
            end(entry, &outcome);
        });
    }

    /// Lets `note` write the answer into each message of a run that is still unanswered, and queues the receipts.
    fn for_run(&mut self, m: &mut [u8], first: u64, count: u32, mut note: impl FnMut(&mut Record)) {
        let id = |outbox: &Self, m: &[u8], index: u32| outbox.entries.get(m, index, ID);
        let mut index = self.receipt_hint;
        // Back to before the run: its first entry may be a change of attributes with the id of the message in front of it.
        while index != NONE && id(self, m, index) >= first {
            index = self.entries.get(m, index, PREVIOUS);
            #[cfg(test)]
            (self.steps += 1);
        }
        if index == NONE {
            index = self.head;
        }
        while index != NONE && id(self, m, index) < first {
            index = self.entries.get(m, index, NEXT);
            #[cfg(test)]
            (self.steps += 1);
        }
        while index != NONE {
            let Some(entry) = self.entry_mut(m, index).or_bug(NO_ENTRY) else { return };
            let (flags, next) = (FLAGS.of(entry), NEXT.of(entry));
            if ID.of(entry) - first >= u64::from(count) {
                return;
            }
            // A change of attributes has the id of the message before it, which must still be found.
            if flags & IS_SET == 0 {
                self.receipt_hint = index;
                if flags & ENDED == 0 {
                    note(entry);
                    self.push_event(m, index);
                }
            }
            index = next;
        }
    }

    /// A message was answered: its receipt waits for the application. If it is a repetition that has its last receipt, that
    /// is noted until the repetition is acknowledged.
    fn push_event(&mut self, m: &mut [u8], index: u32) {
        let Some(entry) = self.entry_mut(m, index).or_bug(NO_ENTRY) else { return };
        let (flags, number) = (FLAGS.of(entry), NUMBER.of(entry));
        if flags & (RETRY | ENDED) == RETRY | ENDED {
            self.acked_by_receipt = self.acked_by_receipt.max(self.ahead(number));
        }
        if flags & IN_EVENTS != 0 {
            return;
        }
        FLAGS.put(entry, flags | IN_EVENTS);
        NEXT_EVENT.put(entry, NONE);
        if self.last_event == NONE {
            self.first_event = index;
        } else {
            self.entries.set(m, self.last_event, NEXT_EVENT, index);
        }
        self.last_event = index;
    }

    /// The next receipt for the application, if any.
    pub(super) fn poll_receipt(&mut self, m: &mut [u8]) -> Option<Receipt> {
        let index = self.first_event;
        if index == NONE {
            return None;
        }
        let entry = self.entry_mut(m, index)?;
        let flags = FLAGS.of(entry);
        FLAGS.put(entry, flags & !IN_EVENTS);
        let (receipt, next) = (receipt(entry), NEXT_EVENT.of(entry));
        // One that needs not be written again is over with that.
        let is_done = flags & ENDED != 0 && NUMBER.of(entry) <= self.acknowledged;
        self.first_event = next;
        if next == NONE {
            self.last_event = NONE;
        }
        if is_done {
            self.unlink(m, index);
        }
        Some(receipt)
    }

    /// True if a receipt waits to be polled.
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
            let entry = self.entry(m, index);
            let (next, deadline) = (NEXT.of(entry), Instant::from_micros(DEADLINE.of(entry)));
            if FLAGS.of(entry) & (IS_SET | ENDED) == 0 && NUMBER.of(entry) == 0 {
                if now >= deadline {
                    self.end_here(m, index, RefusalReason::Expired);
                } else {
                    self.watch_deadline(deadline);
                }
            }
            index = next;
        }
    }

    /// Ends messages that are too large for this broker.
    pub(super) fn refuse_larger_than(&mut self, m: &mut [u8], max: u32) {
        let mut index = self.head;
        while index != NONE {
            let entry = self.entry(m, index);
            let next = NEXT.of(entry);
            let is_unwritten = FLAGS.of(entry) & (IS_SET | ENDED) == 0 && NUMBER.of(entry) == 0;
            if is_unwritten && PAYLOAD.of(entry) > max {
                self.end_here(m, index, RefusalReason::TooLarge);
            }
            index = next;
        }
    }

    pub(super) fn watch_deadline(&mut self, deadline: Instant) {
        self.earliest = self.earliest.or_before(deadline);
    }

    /// Ends a message without the broker: for as many as it was accepted for, confirmed by none.
    pub(super) fn end_here(&mut self, m: &mut [u8], index: u32, reason: RefusalReason) {
        let Some(entry) = self.entry_mut(m, index).or_bug(NO_ENTRY) else { return };
        let outcome = Outcome::new(0, accepted_for(entry), Some(reason));
        end(entry, &outcome);
        self.push_event(m, index);
    }

    /// Ids of the messages that are not answered, in the order of sending.
    pub(super) fn unanswered(&self, m: &[u8]) -> impl Iterator<Item = MessageId> {
        let mut index = self.head;
        core::iter::from_fn(move || {
            while index != NONE {
                let this = index;
                let entry = self.entry(m, this);
                index = NEXT.of(entry);
                if FLAGS.of(entry) & (IS_SET | ENDED) == 0 {
                    return Some(MessageId(ID.of(entry)));
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::memory::Cutter;
    use crate::{Destination, Message};

    const COUNT: u64 = 1_000;

    fn outbox() -> (Outbox, std::vec::Vec<u8>) {
        let mut cutter = Cutter::default();
        let mut outbox = Outbox::new(&mut cutter, 2 * COUNT as u32, 1 << 20);
        let mut m = std::vec![0; cutter.used()];
        outbox.format(&mut m);
        let to = Destination::from(uuid::Uuid::nil());
        for serial in 1..=COUNT {
            let pushed = outbox.push_message(&mut m, Instant::default(), &Message::new(&to, b""), 0, |_| {});
            assert_eq!(pushed, Ok(Some(MessageId(serial))));
            // A change of attributes between any two messages, with the id of the first.
            assert_eq!(outbox.push_item(&mut m, 0x18, b"set", serial), Ok(()));
            let index = outbox.next_outbound(&m).unwrap().index;
            outbox.begin(&mut m, index, 2 * serial - 1).unwrap();
            let index = outbox.next_outbound(&m).unwrap().index;
            outbox.begin(&mut m, index, 2 * serial).unwrap();
        }
        (outbox, m)
    }

    #[test]
    fn core_p9_receipts_in_any_direction_take_a_few_steps_each() {
        let ascending: std::vec::Vec<u64> = (1..=COUNT).collect();
        let descending: std::vec::Vec<u64> = (1..=COUNT).rev().collect();
        // Two senders' worth of recipients that answer in turn, each from the newest to the oldest.
        let by_pairs: std::vec::Vec<u64> = (1..=COUNT / 2).rev().flat_map(|n| [2 * n - 1, 2 * n]).collect();
        for (order, polls) in
            [&ascending, &descending, &by_pairs].into_iter().flat_map(|o| [(o, false), (o, true)])
        {
            let (mut outbox, mut m) = outbox();
            if polls {
                outbox.acknowledge(&mut m, 2 * COUNT, |_| {});
            }
            for &id in order {
                let run = Final { first: id, count: 1, outcome: Outcome::new(1, 1, None) };
                outbox.ended(&mut m, &run);
                if polls {
                    let told = outbox.poll_receipt(&mut m).map(|receipt| receipt.id());
                    assert_eq!(told, Some(MessageId(id)));
                }
            }
            assert_eq!(outbox.unanswered(&m).count(), 0);
            // To the first one it may be far.
            assert!(
                outbox.steps <= 10 * COUNT as usize,
                "{} steps, {polls}, {:?}",
                outbox.steps,
                &order[..2]
            );
        }
    }
    #[test]
    fn capacity_is_reported_once_after_a_refusal_that_has_room_now() {
        let (mut outbox, mut m) = outbox();
        let to = Destination::from(uuid::Uuid::nil());
        let push = |outbox: &mut Outbox, m: &mut [u8]| {
            outbox.push_message(m, Instant::default(), &Message::new(&to, b""), 0, |_| {})
        };
        assert!(!outbox.poll_capacity(), "nothing was refused");
        assert_eq!(push(&mut outbox, &mut m), Err(crate::SendError::Full));
        assert!(!outbox.has_capacity());
        let run = Final { first: 1, count: 1, outcome: Outcome::new(1, 1, None) };
        outbox.ended(&mut m, &run);
        outbox.poll_receipt(&mut m).unwrap();
        assert!(!outbox.has_capacity(), "it may have to be written again");
        outbox.acknowledge(&mut m, 1, |_| {});
        assert!(outbox.poll_capacity() && !outbox.poll_capacity());
        assert_eq!(push(&mut outbox, &mut m), Ok(Some(MessageId(COUNT + 1))));
    }
}
