//! From a message to its recipients, and from their acknowledgements to its receipt.
//!
//! The states of a message are in PROTOCOL.md, "Broker". One function here for each thing that can happen to it.

use super::deliveries::QueueEntry;
use super::holding::{Offer, Terms};
use super::jobs::{Job, Offers, Release};
use super::messages::NO_MESSAGE;
use super::messages::{NewMessage, Open};
use super::receipts::Word;
use super::sessions::NO_SESSION;
use super::sessions::Session;
use super::state::Broker;
use super::work::{ENTRY, LISTED, OFFERED, RELEASED, WAITING, WATCH};
use crate::bug::OrBug;
use crate::data::destination::{DestinationRef, Target};
use crate::data::message::{Past, RefusalReason, Taken};
use crate::error::AbortCode;
use crate::wire::item::MessageItem;
use alloc::boxed::Box;
use core::time::Duration;

/// A held message is offered to so many at once, however few units are left.
const AT_ONCE: u32 = 4;

impl Broker {
    /// Takes a message from a session, for a destination in the table.
    pub(super) fn take(
        &mut self,
        session: u32,
        id: u64,
        message: &MessageItem<'_>,
        to: u32,
    ) -> Result<(), AbortCode> {
        let state = self.sessions.get(session).ok_or(AbortCode::UnexpectedFrame)?;
        let (sender, lacks_receipts) = (state.sender, self.lacks_receipts(state));
        let past = message.retry;
        if past.is_some() {
            if let Some(index) = self.messages.find(sender, id) {
                // It is in flight: no new routing, only the answer again.
                self.stats.repeated += 1;
                if let Some(message) = self.messages.get_mut(index) {
                    message.accepted_told = false;
                }
                if lacks_receipts {
                    // It gets its final receipt, as it would anyway, and is not among those that are refused.
                    self.end_refusals(session);
                } else {
                    self.tell_accepted(index);
                }
                return Ok(());
            }
            let until_accepted = message.until_accepted;
            if self.sessions.get_mut(session).is_some_and(|s| s.queue.receipts().answers(id, until_accepted))
            {
                // Its last receipt is on its way, and has crossed it. There is none that would go with an acknowledgement.
                self.stats.repeated += 1;
                self.wake(session);
                return Ok(());
            }
        } else if self.messages.sender(sender).is_some_and(|sender| id <= sender.highest) {
            return Err(AbortCode::BadId);
        }
        let taken = match past {
            Some(Past::Taken(taken)) => Some(taken),
            _ => None,
        };
        if lacks_receipts {
            return self.refuse_without_receipt(session, id);
        }
        self.stats.taken += 1;
        self.work.take_message();
        let destination = self.messages.destination(to);
        let direct = matches!(DestinationRef::trusted(destination).target(), Target::Uuid(_));
        let too_large = message.payload.len() > self.config.max_payload as usize || destination.is_empty();
        let refusal = if too_large {
            Some(RefusalReason::TooLarge)
        } else if !self.may_send(session, to) {
            Some(RefusalReason::NotAllowed)
        } else if self.messages.open() >= self.config.max_messages as usize {
            Some(RefusalReason::BrokerFull)
        } else {
            None
        };
        let payload = if refusal.is_none() { self.pool.store(message.payload) } else { None };
        let Some(payload) = payload else {
            // It is refused, or there is no memory for it.
            self.refuse(session, id, taken, refusal.unwrap_or(RefusalReason::BrokerFull));
            return Ok(());
        };
        let time_to_live =
            Duration::from_millis(u64::from(message.time_to_live_ms)).min(self.config.max_time_to_live);
        let new = NewMessage {
            sender,
            id,
            payload,
            // A payload has at most 16 MiB.
            length: message.payload.len() as u32,
            destination: to,
            direct,
            until_accepted: message.until_accepted,
            deadline: self.now + time_to_live,
        };
        let index = self.messages.insert(self.now, new);
        // Seldom, and so not moved along with the rest.
        if past.is_some()
            && let Some(message) = self.messages.get_mut(index)
        {
            message.past = past;
        }
        if time_to_live <= self.config.accept_delay * 2 {
            self.time_message(index);
        }
        match taken {
            Some(taken) => self.hold(index, session, taken),
            None => self.route(index, session),
        }
        if message.until_accepted && self.messages.get(index).is_some_and(|taken| taken.is_kept()) {
            self.tell_accepted(index);
        }
        self.check_message(index);
        Ok(())
    }

    /// A message is not taken at all. Where it was before, somebody may have had it: so many of so many.
    fn refuse(&mut self, session: u32, id: u64, taken: Option<Taken>, reason: RefusalReason) {
        debug!("e_pigeon::broker", "message {id} is refused: {reason}");
        self.stats.answer(Some(reason));
        let recipients = taken.map_or(0, |taken| taken.recipients);
        let word = Word::Final { delivered: 0, recipients, reason: Some(reason) };
        if let Some(session) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
            self.receipts += u64::from(session.queue.receipts().push(id, word, false));
        }
        self.wake(session);
        self.adjust_window(session);
    }

    /// There is no receipt for a message, and its client cannot acknowledge others before this one is taken: it may have a
    /// DECLINE behind it. All of these are refused with one receipt, when fewer wait: for how many they were accepted before,
    /// their client knows. (PROTOCOL.md, "Windows")
    #[cold]
    fn refuse_without_receipt(&mut self, session: u32, id: u64) -> Result<(), AbortCode> {
        let state = self.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?;
        if !state.queue.receipts().refuse(id) {
            return Err(AbortCode::Full);
        }
        self.stats.taken += 1;
        self.stats.answer(Some(RefusalReason::BrokerFull));
        self.work.take_message();
        Ok(())
    }

    /// A message is for those who match now; where there are none, for the first who does.
    fn route(&mut self, index: u32, from: u32) {
        let mut recipients = core::mem::take(&mut self.recipients);
        recipients.clear();
        // Those whom it is for are counted when it is in their queues.
        let only_connected = self.resolve(index, from, &mut recipients);
        let session = self.sessions.newest_number();
        if let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) {
            // At most 2^30 sessions.
            message.wanted = recipients.len() as u32;
            trace!("e_pigeon::broker", "message {} has {} recipients", message.id, message.wanted);
            message.accepted = Word::Accepted { recipients: message.wanted, session, earlier_epoch: None };
        }
        self.deliver_to_all(index, &recipients);
        if recipients.is_empty() {
            if only_connected {
                self.give_up(index, RefusalReason::Nobody);
            } else {
                self.park(index, 0);
            }
        }
        self.recipients = recipients;
    }

    /// A message was accepted in an earlier life of the broker: offered to those who match, as they come.
    fn hold(&mut self, index: u32, from: u32, taken: Taken) {
        let Taken { recipients: wanted, epoch, session, .. } = taken;
        if let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) {
            message.wanted = wanted;
            message.accepted = Word::Accepted { recipients: wanted, session, earlier_epoch: Some(epoch) };
        }
        if !self.wait(index, Open::Held) {
            return;
        }
        let mut recipients = core::mem::take(&mut self.recipients);
        recipients.clear();
        self.resolve(index, from, &mut recipients);
        if recipients.len() <= (self.work.left() / OFFERED).max(AT_ONCE) as usize {
            for &recipient in &recipients {
                self.offer(index, recipient);
            }
        } else if let (Some(message), Some(sender)) =
            (self.messages.get(index).or_bug(NO_MESSAGE), self.sessions.get(from).or_bug(NO_SESSION))
        {
            // What its sender sends next waits until all are gone through, so that it comes after this.
            let offers = Offers { uuid: sender.uuid, message: index, order: message.order, next: 0 };
            self.begin_job(Job::Offer(Box::new(offers)));
        }
        self.recipients = recipients;
    }

    /// Offers a held message to the sessions that were here when it came; true when all were gone through.
    pub(super) fn run_offers(&mut self, offers: &mut Offers) -> bool {
        while (offers.next as usize) < self.sessions.places() {
            if self.work.is_spent() {
                return false;
            }
            let held = self.messages.get(offers.message);
            if held.is_none_or(|message| message.order != offers.order || message.open != Open::Held) {
                // It has ended, or enough have confirmed it.
                return true;
            }
            let session = offers.next;
            offers.next += 1;
            self.work.charge(LISTED);
            // Those that began later have got it with their hello.
            let was_here = |state: &Session| state.receives && state.since <= offers.order;
            if self.sessions.get(session).is_some_and(was_here) {
                self.release_one(session, true, offers.message);
            }
        }
        true
    }

    /// Puts a message into the queues of its recipients.
    ///
    /// Sessions lie far apart in memory. That all are looked at first, and nothing is done in between, lets the memory fetch many
    /// of them at a time.
    fn deliver_to_all(&mut self, index: u32, recipients: &[u32]) {
        let Some(length) = self.messages.get(index).map(|message| message.length).or_bug(NO_MESSAGE) else {
            return;
        };
        let most_bytes = self.shares.bytes();
        let has_room = |&recipient: &u32| {
            let session = self.sessions.get(recipient);
            session.is_some_and(|session| session.has_room(length, most_bytes))
        };
        let entries = self.messages.entries() + recipients.len() as u64;
        if entries > u64::from(self.config.max_queued) || !recipients.iter().all(has_room) {
            return recipients.iter().for_each(|&recipient| self.deliver(index, recipient, false));
        }
        let delivery = QueueEntry { message: index, retry: false, late: false, declined: false };
        for &recipient in recipients {
            let Some(session) = self.sessions.get_mut(recipient).or_bug(NO_SESSION) else { continue };
            session.put(delivery, length);
            if session.queue.is_full() {
                self.cramped.push(recipient);
            }
            if let Some(link) = session.link {
                self.ready.wake(link);
            }
        }
        if !self.cramped.is_empty() {
            self.make_room();
        }
        // At most 2^30 sessions.
        self.delivered(index, recipients.len() as u32);
    }

    /// Puts a message into the queue of one recipient; where it does not fit, the receipt will say so.
    fn deliver(&mut self, index: u32, recipient: u32, late: bool) {
        let Some(length) = self.messages.get(index).map(|message| message.length).or_bug(NO_MESSAGE) else {
            return;
        };
        let refusal = self.refusal(index, recipient);
        if let Some(reason) = refusal {
            self.work.charge(1);
            self.stats.routed += 1;
            self.stats.refused += 1;
            if let Some(message) = self.messages.get_mut(index) {
                message.reason.get_or_insert(reason);
            }
            return;
        }
        if let Some(session) = self.sessions.get_mut(recipient).or_bug(NO_SESSION) {
            if session.queue.is_full() {
                self.queue_places += session.queue.make_room();
            }
            session.put(QueueEntry { message: index, retry: false, late, declined: false }, length);
            let is_full = session.queue.is_full();
            if session.is_counted() {
                self.count_in(recipient, index);
            }
            if is_full {
                self.queue_filled(recipient);
            }
        }
        self.wake(recipient);
        self.delivered(index, 1);
    }

    /// A message is in so many more queues.
    fn delivered(&mut self, index: u32, queues: u32) {
        self.work.charge(queues);
        self.stats.routed += u64::from(queues);
        self.stats.held += u64::from(queues);
        self.messages.add_refs(index, queues);
    }

    /// A message waits for somebody to come; false where the broker has no place for that, and it has ended.
    fn wait(&mut self, index: u32, open: Open) -> bool {
        let Some(sender) = self.messages.get(index).or_bug(NO_MESSAGE).map(|message| message.sender) else {
            return false;
        };
        if !self.may_wait(sender, open) {
            self.give_up(index, RefusalReason::BrokerFull);
            return false;
        }
        self.count_waiting(sender, open, true);
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return false };
        message.open = open;
        let (order, destination) = (message.order, message.destination);
        self.work.charge(WATCH);
        let destination = DestinationRef::trusted(self.messages.destination(destination));
        self.holding.insert(destination, order, index);
        true
    }

    /// Nobody matches: the message waits for the first who does. Until then it is for so many: 0, but where somebody has
    /// declined it, who may have had it.
    pub(super) fn park(&mut self, index: u32, wanted: u32) {
        if self.wait(index, Open::Parked)
            && let Some(message) = self.messages.get_mut(index)
        {
            message.wanted = wanted;
            message.accepted = Word::Accepted { recipients: 0, session: 0, earlier_epoch: None };
        }
    }

    /// A message can have no recipient, or no place.
    pub(super) fn give_up(&mut self, index: u32, reason: RefusalReason) {
        if let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) {
            message.reason.get_or_insert(reason);
        }
        self.close_message(index);
    }

    /// Offers a held message to a recipient, once per UUID.
    fn offer(&mut self, index: u32, recipient: u32) {
        let Some(uuid) = self.sessions.get(recipient).map(|session| session.uuid).or_bug(NO_SESSION) else {
            return;
        };
        self.work.charge(OFFERED);
        let held = self.messages.get(index).filter(|message| message.open == Open::Held);
        // It ended at an earlier offer, or has enough.
        let Some(order) = held.map(|message| message.order) else { return };
        match self.holding.offer(order, *uuid.as_bytes()) {
            Offer::New => self.deliver(index, recipient, false),
            Offer::Again => {}
            Offer::Full => {
                self.give_up(index, RefusalReason::BrokerFull);
                self.check_message(index);
            }
        }
    }

    /// A session has new attributes: it gets what waits for them under these terms, in the order in which it was taken. Held
    /// messages only at a hello; what was parked is marked, because it may come out of order.
    pub(super) fn release_waiting(&mut self, session: u32, at_hello: bool, terms: Terms) {
        let receives = self.sessions.get(session).or_bug(NO_SESSION).is_some_and(|state| state.receives);
        if receives && !terms.is_empty() {
            let release = Release { session, at_hello, terms, from: 0, window: None };
            self.begin_job(Job::Release(Box::new(release)));
        }
    }

    /// Goes on with that; true when it is done.
    ///
    /// At a hello nothing may come before what was held, but messages that are routed meanwhile are in the queue before the
    /// rest of it. So none is written until all are there, and then they are put in order.
    pub(super) fn run_release(&mut self, release: &mut Release) -> bool {
        let session = release.session;
        let mut merge = self.holding.merge(&release.terms, release.from);
        self.work.charge(release.terms.len() as u32 * ENTRY);
        // At least one, however few units are left.
        loop {
            let Some((order, index)) = merge.next(&self.holding) else {
                self.end_release(release);
                return true;
            };
            release.from = order + 1;
            self.release_one(session, release.at_hello, index);
            if self.work.is_spent() {
                break;
            }
        }
        if release.at_hello && release.window.is_none() {
            let state = self.sessions.get_mut(session).or_bug(NO_SESSION);
            release.window = state.map(|state| state.sending.shut());
        }
        false
    }

    fn end_release(&mut self, release: &Release) {
        let Some(window) = release.window else {
            // Nothing has come between.
            return;
        };
        let Some(state) = self.sessions.get_mut(release.session).or_bug(NO_SESSION) else { return };
        state.sending.set_window(window);
        let (since, messages) = (state.since, &self.messages);
        self.work.charge(state.queue.len() as u32 / 2);
        state.queue.put_first(|delivery| {
            let message = messages.get(delivery.message).or_bug(NO_MESSAGE);
            message.is_some_and(|message| message.order < since)
        });
        self.wake(release.session);
    }

    /// A message waits for what a session has now, or for some of it.
    fn release_one(&mut self, session: u32, at_hello: bool, index: u32) {
        self.work.charge(WAITING);
        let (message, state) = (self.messages.get(index), self.sessions.get(session));
        let (Some(message), Some(state)) = (message.or_bug(NO_MESSAGE), state.or_bug(NO_SESSION)) else {
            return;
        };
        let destination = DestinationRef::trusted(self.messages.destination(message.destination));
        let sender = self.messages.sender(message.sender).map(|sender| sender.origin.uuid);
        let is_own = destination.exclude_self() && sender == Some(*state.uuid.as_bytes());
        if is_own || !destination.matches(state.uuid, state.attributes()) {
            return;
        }
        match message.open {
            Open::Parked => self.unpark(index, session),
            Open::Held if at_hello != canary!(OffersAtChanges) => self.offer(index, session),
            Open::Held | Open::Closed => {}
        }
    }

    /// Somebody matches a parked message: it is for that one.
    fn unpark(&mut self, index: u32, session: u32) {
        self.work.charge(RELEASED);
        self.close_message(index);
        let newest = self.sessions.newest_number();
        if let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) {
            message.wanted = 1;
            message.accepted = Word::Accepted { recipients: 1, session: newest, earlier_epoch: None };
            // Until accepted, the sender has had its last word.
            message.accepted_told = message.until_accepted;
        }
        self.deliver(index, session, true);
        self.tell_accepted(index);
        self.check_message(index);
    }
}
