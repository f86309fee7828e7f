//! Presence of sessions: the filters that the application watches, and the items that came for them.
//! (PROTOCOL.md, "Presence")
//!
//! Without the feature `presence`, `no_presence` stands in for this module.

mod arrivals;
mod watches;

use super::event::{Event, EventFilter, WatchId};
use super::memory::Cutter;
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::config::client::ClientConfig;
use crate::data::filter::Filter;
use crate::data::message::RefusalReason;
use crate::error::WatchError;
use crate::wire::item::UpItem;
use arrivals::Arrivals;
use watches::Watches;

pub(super) use watches::WatchOp;

/// False if nothing of presence is read.
pub(super) const IS_READ: bool = true;

/// The watches, and the items that wait for the application.
#[derive(Clone, Debug)]
pub(super) struct Watching {
    watches: Watches,
    arrivals: Arrivals,
}

impl Watching {
    /// Cuts the table of watches.
    pub(super) fn new(cutter: &mut Cutter, config: &ClientConfig) -> Self {
        Self {
            watches: Watches::new(cutter, config.watches, config.destination_bytes),
            arrivals: Arrivals::new(&mut Cutter::default(), 0, 0),
        }
    }

    /// Cuts the ring of items, in the part of memory that events borrow from, which begins at `base`.
    pub(super) fn cut_items(&mut self, cutter: &mut Cutter, config: &ClientConfig, base: usize) {
        let items = if config.watches > 0 { config.presence_items } else { 0 };
        self.arrivals = Arrivals::new(cutter, items, base);
    }

    /// How many items may wait; 0 if nothing is ever watched.
    pub(super) fn items(&self) -> u16 {
        self.arrivals.most()
    }

    /// A new session, which watches nothing yet.
    pub(super) fn start_session(&mut self, m: &mut [u8]) {
        self.watches.start_session(m);
        self.arrivals.start_session();
    }

    // Commands of the application.

    /// Begins a watch.
    pub(super) fn watch(&mut self, m: &mut [u8], filter: &Filter) -> Result<WatchId, WatchError> {
        self.watches.watch(m, filter)
    }

    /// Ends a watch.
    pub(super) fn unwatch(&self, m: &mut [u8], watch: WatchId) {
        self.watches.unwatch(m, watch);
    }

    /// True if the application wants what comes under that watch.
    #[cfg(feature = "alloc")]
    pub(super) fn wants(&self, m: &[u8], watch: WatchId) -> bool {
        self.watches.wants(m, watch)
    }

    // Items to the broker.

    /// The next item that was never written.
    pub(super) fn next_op(&self, m: &[u8]) -> Option<WatchOp> {
        if self.watches.is_used() { self.watches.next_op(m) } else { None }
    }

    /// The item that was written under that number.
    pub(super) fn sent_as(&self, m: &[u8], item: u64) -> Option<WatchOp> {
        self.watches.sent_as(m, item)
    }

    /// An item is written, under that number.
    pub(super) fn note_sent(&self, m: &mut [u8], op: WatchOp, item: u64) {
        self.watches.note_sent(m, op, item);
    }

    /// Writes the body of the frame.
    pub(super) fn write(&self, m: &[u8], op: WatchOp, writer: &mut Writer<'_>) {
        if !op.is_wanted {
            UpItem::Unwatch(op.number).write(writer);
        } else if let Some(filter) = self.watches.filter(m, op) {
            UpItem::Watch(op.number, filter).write(writer);
        }
    }

    /// The broker has acknowledged items up to that number.
    pub(super) fn acknowledge(&self, m: &mut [u8], up_to: u64) {
        self.watches.acknowledge(m, up_to);
    }

    // Items from the broker.

    /// The broker refuses that watch; false if it cannot, as things are.
    pub(super) fn refuse(&self, m: &mut [u8], watch: u32, reason: RefusalReason) -> bool {
        self.watches.refuse(m, watch, reason)
    }

    /// Adds an item of that watch; false if it has no room, which is the broker's fault.
    pub(super) fn push(
        &mut self,
        m: &mut [u8],
        payloads_at: usize,
        number: u64,
        watch: u32,
        body: &[u8],
    ) -> bool {
        // Items of a watch that was ended may come for a while.
        let is_wanted = self.watches.wants(m, WatchId(watch));
        let payloads = m.get_mut(payloads_at..).or_bug("the payloads lie outside the memory");
        !is_wanted || self.arrivals.push(payloads.unwrap_or_default(), number, body)
    }

    // Events for the application.

    /// True if a filter was ever watched. Most clients watch none, and pay no more than this question.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.watches.is_used()
    }

    pub(super) fn has_event(&self, m: &[u8], payloads: &[u8]) -> bool {
        self.watches.has_refused(m) || self.arrivals.has_wanted(m, payloads, &self.watches)
    }

    /// The next event of the kinds that are `wanted`.
    pub(super) fn poll<'m>(
        &mut self,
        m: &mut [u8],
        payloads: &'m [u8],
        wanted: EventFilter,
    ) -> Option<Event<'m>> {
        if wanted.has(EventFilter::REFUSALS)
            && let Some((watch, reason)) = self.watches.poll_refused(m)
        {
            return Some(Event::WatchRefused(watch, reason));
        }
        if wanted.has(EventFilter::PRESENCE) { self.arrivals.peek(m, payloads, &self.watches) } else { None }
    }

    /// The application has consumed what it peeked at.
    #[inline]
    pub(super) fn consume_peeked(&mut self, m: &[u8], payloads: &[u8]) {
        self.arrivals.consume_peeked(m, payloads, &self.watches);
    }

    /// The last item that may be acknowledged if all up to `received` have come.
    pub(super) fn acknowledged(&self, payloads: &[u8], received: u64) -> u64 {
        self.arrivals.acknowledged(payloads, received)
    }
}
