//! The tables of a client in its block of memory, and the rules that concern several of them.

use super::attributes::Attributes;
use super::inbox::Inbox;
use super::memory::Cutter;
use super::outbox::Outbox;
use super::presence::Watching;
use super::seen::Seen;
use super::slots::Slots;
use crate::bug::OrBug;
use crate::config::client::ClientConfig;
use crate::link::numbers::Sending;
use crate::wire::limits::MAX_ALIASES;

/// The tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) attributes: Attributes,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) seen: Seen,
    pub(super) slots: Slots,
    pub(super) watching: Watching,
    /// The start of the part of memory that events borrow from.
    pub(super) payloads_at: usize,
    /// The start of the part that holds the front of a frame, behind everything that a frame can change.
    pub(super) kept_at: usize,
    /// The last event from the broker's items was one of presence, so a message has its turn.
    pub(super) presence_was_last: bool,
}

impl Tables {
    /// Cuts the memory, and gives it its first content as far as it goes.
    ///
    /// The parts are made first and put together last, so that they are built in place: a stack may have no room for two.
    #[inline(always)]
    pub(super) fn new(config: &ClientConfig, cutter: &mut Cutter, m: &mut [u8]) -> Self {
        let aliases = config.senders.min(MAX_ALIASES);
        let attributes = Attributes::new(cutter, config.attribute_bytes, m);
        let mut outbox = Outbox::new(cutter, config.outbox_messages, config.outbox_bytes);
        let manual = config.manual_acknowledgement;
        let mut inbox = Inbox::new(cutter, config.inbox_messages, config.inbox_bytes, manual);
        let mut seen = Seen::new(cutter, config.senders, config.seen_window, aliases, config.late_ids);
        let slots = Slots::new(cutter, config.destination_slots, config.destination_bytes);
        let mut watching = Watching::new(cutter, config);
        let payloads_at = cutter.used();
        inbox.cut_payloads(cutter, config.max_payload, payloads_at);
        watching.cut_items(cutter, config, payloads_at);
        outbox.format(m);
        seen.format(m);
        Self {
            attributes,
            outbox,
            inbox,
            seen,
            slots,
            watching,
            payloads_at,
            kept_at: cutter.used(),
            presence_was_last: false,
        }
    }

    /// The last item that may be acknowledged if all up to `received` have come.
    pub(super) fn acknowledgeable(&self, m: &[u8], received: u64) -> u64 {
        if self.outbox.is_crossed() {
            // What was acknowledged before stays so.
            return 0;
        }
        let payloads =
            m.get(self.payloads_at..).or_bug("the payloads lie outside the memory").unwrap_or_default();
        self.inbox.acknowledged(m, received).min(self.watching.acknowledged(payloads, received))
    }

    /// The broker has acknowledged the client's items up to that number.
    pub(super) fn acknowledge(&mut self, m: &mut [u8], up_to: u64, sending: &mut Sending) {
        self.outbox.acknowledge(m, up_to, |bytes| sending.release(bytes));
        self.inbox.acknowledge_declines(m, up_to);
        self.watching.acknowledge(m, up_to);
    }
}
