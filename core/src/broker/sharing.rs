//! Refuses a message if its sender has its share of what waits, or of a queue. (PROTOCOL.md, "Resources")

use super::messages::NO_MESSAGE;
use super::messages::Open;
use super::sessions::NO_SESSION;
use super::sessions::Session;
use super::state::Broker;
use super::work::ENTRY;
use crate::bug::OrBug;
use crate::data::message::RefusalReason;

impl Broker {
    /// Why a message does not go into the queue of a session, after ended ones were looked for.
    pub(super) fn refusal(&mut self, index: u32, recipient: u32) -> Option<RefusalReason> {
        let message = self.messages.get(index).or_bug(NO_MESSAGE)?;
        let (sender, length) = (message.sender, message.length);
        if length > self.sessions.get(recipient).or_bug(NO_SESSION)?.max_payload {
            return Some(RefusalReason::TooLarge);
        }
        if self.messages.entries() >= u64::from(self.config.max_queued) {
            return Some(RefusalReason::BrokerFull);
        }
        if self.fits(recipient, sender, length) {
            return None;
        }
        if self.work.is_spent() {
            // A message to very many goes into no queue that it would have to look at more closely.
            return Some(RefusalReason::QueueFull);
        }
        self.search_queue(recipient);
        (!self.fits(recipient, sender, length)).then_some(RefusalReason::QueueFull)
    }

    /// True where a message goes into the queue of a session as it is, and its sender does not have too much in it.
    fn fits(&mut self, recipient: u32, sender: u32, length: u32) -> bool {
        let Some(session) = self.sessions.get(recipient).or_bug(NO_SESSION) else { return false };
        let (messages, bytes) = (session.queue.len(), session.queue_bytes + u64::from(length));
        if messages >= self.config.queue_messages as usize || bytes > self.config.queue_bytes {
            return false;
        }
        if messages < self.shares.messages() as usize && bytes <= self.shares.bytes() {
            return true;
        }
        if self.work.is_spent() && !self.sessions.get(recipient).is_some_and(Session::is_counted) {
            // As above.
            return false;
        }
        self.count_senders(recipient);
        let (messages, bytes) = self.shares.of(recipient, sender);
        messages < u64::from(self.shares.messages()) && bytes + u64::from(length) <= self.shares.bytes()
    }

    /// Counts what each sender has in the queue of a session, unless that is known.
    fn count_senders(&mut self, index: u32) {
        let Some(session) = self.sessions.get_mut(index).or_bug(NO_SESSION) else { return };
        if session.is_counted() {
            return;
        }
        session.count(true, &self.shares);
        let length = session.queue.len();
        for place in 0..length {
            let delivery = session.queue.delivery(place).or_bug("a queue has fewer messages than it says");
            let message = delivery.and_then(|delivery| self.messages.get(delivery.message));
            let Some(message) = message.or_bug(NO_MESSAGE) else { continue };
            let bytes = u64::from(message.length);
            self.shares.change(index, message.sender, |(count, before)| (count + 1, before + bytes));
        }
        // At most 2^30 messages.
        self.work.charge(length as u32 * ENTRY);
    }

    /// A message came into a queue that is counted.
    pub(super) fn count_in(&mut self, session: u32, index: u32) {
        if let Some(message) = self.messages.get(index).or_bug(NO_MESSAGE) {
            let bytes = u64::from(message.length);
            self.shares.change(session, message.sender, |(count, before)| (count + 1, before + bytes));
        }
    }

    /// A message of that sender has left a queue that is counted.
    #[cold]
    pub(super) fn count_out(&mut self, index: u32, sender: u32, length: u32) {
        let Some(session) = self.sessions.get(index).or_bug(NO_SESSION) else { return };
        if 2 * session.queue.len() < self.shares.messages() as usize
            && 2 * session.queue_bytes < self.shares.bytes()
        {
            self.forget_counts(index);
            return;
        }
        if self.shares.of(index, sender).0 == 0 {
            bug!("a message was not counted");
            return;
        }
        self.shares.change(index, sender, |(count, bytes)| (count - 1, bytes - u64::from(length)));
    }

    /// Forgets what each sender has in the queue of a session.
    pub(super) fn forget_counts(&mut self, index: u32) {
        if let Some(session) = self.sessions.get_mut(index).or_bug(NO_SESSION)
            && session.is_counted()
        {
            session.count(false, &self.shares);
            self.drop_counts(index);
        }
    }

    /// The same for a session that has ended.
    pub(super) fn drop_counts(&mut self, index: u32) {
        let forgotten = self.shares.forget(index);
        self.work.charge(forgotten * ENTRY);
    }

    /// True where one more message of its sender may wait in that way.
    pub(super) fn may_wait(&self, sender: u32, open: Open) -> bool {
        let of_sender = self.messages.sender(sender).map_or(0, |sender| sender.waiting);
        let is_parked = open == Open::Parked;
        self.holding.len() < self.config.max_held
            && (of_sender < self.config.sender_waiting || canary!(IgnoresShare))
            && !(is_parked && self.parked >= self.config.max_parked)
    }

    /// A message begins to wait, or waits no more.
    pub(super) fn count_waiting(&mut self, sender: u32, open: Open, begins: bool) {
        let counts = [
            self.messages.sender_mut(sender).map(|sender| &mut sender.waiting),
            (open == Open::Parked).then_some(&mut self.parked),
        ];
        for count in counts.into_iter().flatten() {
            if begins {
                *count += 1;
            } else if !canary!(KeepsShare) {
                *count -= 1;
            }
        }
    }
}
