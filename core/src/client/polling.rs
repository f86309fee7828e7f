//! What the application is told, and in which order: news of the link, receipts, presence and messages by turns.

use super::event::Event;
use super::session::State;
use crate::bug::OrBug;
use crate::wire::item::Origin;

/// Each of these is given the part of memory that is lent besides the rest, so that what an event borrows stands in
/// nobody's way.
impl State {
    pub(super) fn has_event(&self, m: &[u8], lent: &[u8]) -> bool {
        self.lifecycle.has_news(self.is_established())
            || self.outbox.has_receipt()
            || self.lifecycle.attributes_refused.is_some()
            || (self.takes_commands()
                && (self.outbox.has_capacity()
                    || self.watching.has_event(m, lent)
                    || self.inbox.has_unlent()))
            || self.lifecycle.has_closed()
    }

    /// The next event; what was lent before is taken, messages only where the application does not say so itself.
    pub(super) fn poll_event<'m>(&mut self, m: &mut [u8], lent: &'m [u8]) -> Option<Event<'m>> {
        if !self.manual && self.takes_commands() {
            self.inbox.take_lent();
        }
        self.watching.take_lent(m, lent);
        if let Some(event) = self.lifecycle.poll(self.is_established()) {
            return Some(event);
        }
        if let Some(receipt) = self.outbox.poll_receipt(m) {
            return Some(Event::Receipt(receipt));
        }
        if let Some(reason) = self.lifecycle.attributes_refused.take() {
            return Some(Event::AttributesRefused(reason));
        }
        if !self.takes_commands() {
            return self.lifecycle.poll_closed();
        }
        if self.outbox.poll_capacity() {
            return Some(Event::CapacityAvailable);
        }
        // By turns, so that neither stops the other.
        self.told_presence = !self.told_presence || !self.inbox.has_unlent();
        if self.told_presence
            && let Some(event) = self.watching.poll(m, lent)
        {
            return Some(event);
        }
        let event = self.inbox.lend(m, lent);
        if canary!(RemembersWhenTaken)
            && let Some(Event::Message(message)) = &event
        {
            let origin = Origin { uuid: message.from.into_bytes(), boot: message.boot };
            self.seen.remember(m, &origin, message.id.0);
        }
        event
    }

    /// The last item that may be acknowledged where all up to `received` are here.
    pub(super) fn taken(&self, m: &[u8], received: u64) -> u64 {
        if canary!(AcknowledgesTooEarly) {
            return received;
        }
        if self.outbox.is_crossed() {
            // What was told before stays as it is.
            return 0;
        }
        let lent =
            m.get(self.lent_at..).or_bug("the part that is lent lies outside the memory").unwrap_or_default();
        self.inbox.acknowledged(m, received).min(self.watching.acknowledged(lent, received))
    }
}
