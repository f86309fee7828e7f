//! Messages that have not ended, or that a queue still names.

use crate::broker::store::destinations::Destinations;
use crate::broker::store::key_set::{is_oversized, shrink_table};
use crate::broker::store::pool::Payload;
use crate::broker::store::receipts::ReceiptBody;
use crate::broker::store::senders::{Sender, Senders};
use crate::bug::OrBug;
use crate::data::message::{Outcome, Past, RefusalReason};
use crate::time::Instant;
use crate::wire::item::Origin;
use core::time::Duration;
use slab::Slab;

/// The bug if another table names a message that is not there.
pub(crate) const NO_MESSAGE: &str = "there is no such message";
/// An index that points nowhere.
const NONE: u32 = u32::MAX;

/// Whether a message may still get another recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// No: its recipients are those that matched when it was accepted.
    Closed,
    /// No session matched yet. The first one that does becomes its recipient.
    Parked,
    /// It was accepted in an earlier life of the broker. Its recipients are those that come back, up to the earlier number.
    Held,
}

/// A message, with its state.
#[derive(Debug)]
pub(crate) struct MessageEntry {
    /// The place of its sender in the table of senders.
    pub(crate) sender: u32,
    pub(crate) id: u64,
    pub(crate) payload: Payload,
    /// Bytes of the payload, which may be freed already.
    pub(crate) length: u32,
    /// The place of its destination in the table of destinations, until the message has ended.
    pub(crate) destination: u32,
    /// The destination is one UUID, not a filter.
    pub(crate) direct: bool,
    /// What the sender knew of it when it sent it again.
    pub(crate) past: Option<Past>,
    pub(crate) until_accepted: bool,
    /// The receipt that reports it as accepted.
    pub(crate) accepted: ReceiptBody,
    /// The sender has, or is about to get, that receipt.
    pub(crate) accepted_reported: bool,
    pub(crate) open: Open,
    /// The number of its recipients, of those that have confirmed it, and of queues that have it.
    pub(crate) wanted: u32,
    pub(crate) got: u32,
    pub(crate) pending: u32,
    /// The reason why it did not reach all recipients.
    pub(crate) reason: Option<RefusalReason>,
    pub(crate) deadline: Instant,
    /// The deadline has a timer.
    pub(crate) timed: bool,
    /// Its place in the order in which messages were accepted.
    pub(crate) order: u64,
    /// It has ended; only queues still name it.
    pub(crate) ended: bool,
    /// The number of queue entries that name it.
    refs: u32,
    /// The number of links on which it is written in part.
    writing: u32,
    taken_at: Instant,
    accept_next: u32,
    accept_previous: u32,
}

impl MessageEntry {
    /// Its content; empty if that is freed already.
    #[inline]
    pub(crate) fn content(&self) -> &[u8] {
        self.payload.bytes(self.length)
    }

    /// True if it has ended and no link needs its payload any more.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.writing == 0
    }

    pub(crate) fn has_no_refs(&self) -> bool {
        self.refs == 0
    }

    /// How it has ended, if it ends now.
    pub(crate) fn outcome(&self) -> Outcome {
        let recipients = self.wanted.max(self.got);
        let complete = self.got == recipients && recipients > 0;
        let reason = if complete { None } else { Some(self.reason.unwrap_or(RefusalReason::Declined)) };
        Outcome::new(self.got, recipients, reason)
    }

    /// True if it is in a queue, or waits for a session that matches: then it was accepted.
    pub(crate) fn is_kept(&self) -> bool {
        self.open != Open::Closed || self.pending > 0
    }
}

/// The fields of a new message.
#[derive(Debug)]
pub(crate) struct NewMessage {
    pub(crate) sender: u32,
    pub(crate) id: u64,
    pub(crate) payload: Payload,
    pub(crate) length: u32,
    pub(crate) destination: u32,
    pub(crate) direct: bool,
    pub(crate) until_accepted: bool,
    pub(crate) deadline: Instant,
}

/// All messages, with their senders and destinations.
#[derive(Debug)]
pub(crate) struct Messages {
    messages: Slab<MessageEntry>,
    senders: Senders,
    destinations: Destinations,
    next_order: u64,
    open: usize,
    /// The number of queue entries, and of those that name messages which have ended.
    entries: u64,
    ended_entries: u64,
    /// The number of links that write a message in part.
    written_in_part: usize,
    /// The ends of the accept queue: messages whose `accept_delay` is not over, the oldest first.
    accept_last: u32,
    accept_first: u32,
}

impl Messages {
    pub(crate) fn new(seed: u64, max_senders: usize) -> Self {
        Self {
            messages: Slab::new(),
            senders: Senders::new(seed, max_senders),
            destinations: Destinations::default(),
            next_order: 0,
            open: 0,
            entries: 0,
            ended_entries: 0,
            written_in_part: 0,
            accept_last: NONE,
            accept_first: NONE,
        }
    }

    /// The number of messages, ended ones that a queue still names included.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }

    pub(crate) fn destinations(&self) -> usize {
        self.destinations.len()
    }

    /// The place of the next message in the accept order.
    pub(crate) fn next_order(&self) -> u64 {
        self.next_order
    }

    /// The number of messages that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// True if most of the memory of one of these tables is not in use.
    pub(crate) fn is_oversized(&self) -> bool {
        is_oversized(self.messages.len(), self.messages.capacity())
            || self.senders.is_oversized()
            || self.destinations.is_oversized()
    }

    /// Gives back memory of the table of messages that is not in use.
    pub(crate) fn give_back(&mut self) {
        shrink_table(&mut self.messages);
    }

    pub(crate) fn give_back_destinations(&mut self) {
        self.destinations.give_back();
    }

    pub(crate) fn give_back_senders(&mut self) {
        self.senders.give_back();
    }

    /// The number of messages that have ended and are still named or written.
    pub(crate) fn ended(&self) -> usize {
        self.messages.len() - self.open
    }

    pub(crate) fn written_in_part(&self) -> usize {
        self.written_in_part
    }

    /// The number of entries of all queues.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// The number of entries that name ended messages.
    pub(crate) fn ended_entries(&self) -> u64 {
        self.ended_entries
    }

    /// Counts the entries of a message in that many more queues.
    pub(crate) fn add_refs(&mut self, index: u32, queues: u32) {
        self.entries += u64::from(queues);
        if let Some(message) = self.messages.get_mut(index as usize).or_bug(NO_MESSAGE) {
            message.refs += queues;
            message.pending += queues;
        }
    }

    /// Uncounts the entry of a message in a queue.
    #[inline]
    pub(crate) fn release_ref(&mut self, index: u32) -> Option<&mut MessageEntry> {
        let message = self.messages.get_mut(index as usize).or_bug(NO_MESSAGE)?;
        message.refs -= 1;
        self.entries -= 1;
        if message.ended {
            self.ended_entries -= 1;
        }
        Some(message)
    }

    /// Keeps the payload of a message that is written in part, until [`wrote`](Self::wrote).
    pub(crate) fn write(&mut self, index: u32) {
        if let Some(message) = self.messages.get_mut(index as usize).or_bug(NO_MESSAGE) {
            message.writing += 1;
            self.written_in_part += 1;
        }
    }

    /// Ends that: the message is whole on the link, or never will be.
    pub(crate) fn wrote(&mut self, index: u32) {
        if let Some(message) = self.messages.get_mut(index as usize).or_bug(NO_MESSAGE) {
            message.writing -= 1;
            self.written_in_part -= 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&MessageEntry> {
        self.messages.get(index as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut MessageEntry> {
        self.messages.get_mut(index as usize)
    }

    /// Adds a message at the end of the accept queue; the caller fills in its recipients.
    pub(crate) fn insert(&mut self, now: Instant, new: NewMessage) -> u32 {
        let NewMessage { sender, id, payload, length, destination, direct, until_accepted, deadline } = new;
        let order = self.next_order;
        self.next_order += 1;
        let accepted = ReceiptBody::Accepted { recipients: 0, session: 0, earlier_epoch: None };
        let message = MessageEntry {
            sender,
            id,
            length,
            payload,
            destination,
            direct,
            past: None,
            until_accepted,
            accepted,
            accepted_reported: false,
            open: Open::Closed,
            wanted: 0,
            got: 0,
            pending: 0,
            reason: None,
            deadline,
            timed: false,
            order,
            ended: false,
            refs: 0,
            writing: 0,
            taken_at: now,
            accept_next: NONE,
            accept_previous: self.accept_last,
        };
        // There are at most 2^30 messages.
        let index = self.messages.insert(message) as u32;
        match self.messages.get_mut(self.accept_last as usize) {
            Some(accept_previous) if self.accept_last != NONE => accept_previous.accept_next = index,
            _ => self.accept_first = index,
        }
        self.accept_last = index;
        self.open += 1;
        self.destinations.keep(destination);
        self.senders.enter(sender, id, index);
        index
    }

    /// Removes the first message from the accept queue, if it is `age` old.
    pub(crate) fn pop_accept_due(&mut self, now: Instant, age: Duration) -> Option<u32> {
        if self.accept_due_at(age)? > now {
            return None;
        }
        let index = self.accept_first;
        self.leave_accept_queue(index);
        Some(index)
    }

    /// When the first message of the accept queue is `age` old.
    pub(crate) fn accept_due_at(&self, age: Duration) -> Option<Instant> {
        if self.accept_first == NONE {
            None
        } else {
            self.get(self.accept_first).map(|message| message.taken_at + age)
        }
    }

    fn leave_accept_queue(&mut self, index: u32) {
        let Some(message) = self.messages.get_mut(index as usize).or_bug(NO_MESSAGE) else { return };
        let (accept_next, accept_previous) = (message.accept_next, message.accept_previous);
        if self.accept_first != index && accept_previous == NONE {
            // It has left the queue before.
            return;
        }
        (message.accept_next, message.accept_previous) = (NONE, NONE);
        match self.messages.get_mut(accept_next as usize) {
            Some(message) if accept_next != NONE => message.accept_previous = accept_previous,
            _ => self.accept_last = accept_previous,
        }
        match self.messages.get_mut(accept_previous as usize) {
            Some(message) if accept_previous != NONE => message.accept_next = accept_next,
            _ => self.accept_first = accept_next,
        }
    }

    /// Ends a message: it is not found by its id any more.
    pub(crate) fn end(&mut self, index: u32) {
        self.leave_accept_queue(index);
        let Some(message) = self.messages.get_mut(index as usize).or_bug(NO_MESSAGE) else { return };
        message.ended = true;
        self.ended_entries += u64::from(message.refs);
        self.open -= 1;
        let (sender, id, destination) = (message.sender, message.id, message.destination);
        self.destinations.release(destination);
        self.senders.leave(sender, id, index);
    }

    /// Removes a message that has ended and that no queue names.
    pub(crate) fn remove(&mut self, index: u32) {
        let message = self.messages.remove(index as usize);
        self.senders.release(message.sender);
    }

    /// The message of a sender with that id, if it has not ended.
    pub(crate) fn find(&self, sender: u32, id: u64) -> Option<u32> {
        self.senders.get(sender)?.find(id)
    }

    #[inline]
    pub(crate) fn sender(&self, index: u32) -> Option<&Sender> {
        self.senders.get(index)
    }

    pub(crate) fn sender_mut(&mut self, index: u32) -> Option<&mut Sender> {
        self.senders.get_mut(index)
    }

    /// Finds or adds the sender with that identity, and gives it that session.
    pub(crate) fn attach_sender(&mut self, origin: Origin, session: u32) -> u32 {
        self.senders.attach(origin, session)
    }

    /// Takes the session from a sender: it has ended, or belongs to another boot now.
    pub(crate) fn detach_sender(&mut self, index: u32) {
        self.senders.detach(index);
    }

    /// Adds a destination for an alias.
    pub(crate) fn insert_destination(&mut self, bytes: &[u8]) -> u32 {
        self.destinations.insert(bytes)
    }

    /// Releases the destination of an alias.
    pub(crate) fn drop_destination(&mut self, index: u32) {
        self.destinations.release(index);
    }

    #[inline]
    pub(crate) fn destination(&self, index: u32) -> &[u8] {
        self.destinations.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn new(sender: u32, id: u64, destination: u32) -> NewMessage {
        NewMessage {
            sender,
            id,
            payload: Payload::default(),
            length: 0,
            destination,
            direct: false,
            until_accepted: false,
            deadline: Instant::default(),
        }
    }

    #[test]
    fn the_young_grow_up_in_order_and_leave_from_anywhere() {
        let mut messages = Messages::new(1, 1_000);
        let origin = Origin { uuid: [1; 16], boot: 1 };
        let sender = messages.attach_sender(origin, 0);
        let destination = messages.insert_destination(&[3]);
        let at = Instant::from_micros;
        let age = Duration::from_micros(10);
        let all: Vec<u32> = (0..5).map(|n| messages.insert(at(n), new(sender, n + 1, destination))).collect();
        for index in [all[2], all[0], all[4]] {
            messages.end(index);
            messages.remove(index);
        }
        assert_eq!(messages.pop_accept_due(at(10), age), None);
        assert_eq!(messages.pop_accept_due(at(11), age), Some(all[1]));
        assert_eq!(messages.pop_accept_due(at(99), age), Some(all[3]));
        assert_eq!((messages.pop_accept_due(at(99), age), messages.accept_due_at(age)), (None, None));
        assert_eq!((messages.find(sender, 2), messages.find(sender, 3)), (Some(all[1]), None));
        for index in [all[3], all[1]] {
            messages.end(index);
            messages.remove(index);
        }
        messages.drop_destination(destination);
        messages.detach_sender(sender);
        assert_eq!((messages.destinations(), messages.senders()), (0, 0));
        assert_eq!((messages.len(), messages.open()), (0, 0));
    }

    #[test]
    fn one_old_message_does_not_keep_the_places_of_all_that_came_after_it() {
        let mut messages = Messages::new(1, 1_000);
        let sender = messages.attach_sender(Origin { uuid: [1; 16], boot: 1 }, 0);
        let to = messages.insert_destination(&[3]);
        let old = messages.insert(Instant::default(), new(sender, 1, to));
        for id in 2..10_000 {
            let index = messages.insert(Instant::default(), new(sender, id, to));
            messages.end(index);
            messages.remove(index);
        }
        assert_eq!(messages.find(sender, 1), Some(old));
        assert!(messages.sender(sender).unwrap().places() < 200);
        let again = messages.insert(Instant::default(), new(sender, 5, to));
        assert_eq!(messages.find(sender, 5), Some(again));
    }
}
