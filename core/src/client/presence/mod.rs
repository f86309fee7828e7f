//! Who is here, as far as the application asks: the filters that it watches, and what came under them.
//! (PROTOCOL.md, "Presence")
//!
//! Where the feature is off, `no_presence` stands in for this room.

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

/// False where nothing of presence is read.
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

    /// Cuts the ring of items, in the part of memory that is lent, which begins at `base`.
    pub(super) fn cut_items(&mut self, cutter: &mut Cutter, config: &ClientConfig, base: usize) {
        let items = if config.watches > 0 { config.presence_items } else { 0 };
        self.arrivals = Arrivals::new(cutter, items, base);
    }

    /// How many items may wait; 0 where nothing is ever watched.
    pub(super) fn items(&self) -> u16 {
        self.arrivals.most()
    }

    /// A new session, which watches nothing yet.
    pub(super) fn start_session(&mut self, m: &mut [u8]) {
        self.watches.start_session(m);
        self.arrivals.start_session();
    }

    // What the application wants.

    /// Begins a watch.
    pub(super) fn watch(&mut self, m: &mut [u8], filter: &Filter) -> Result<WatchId, WatchError> {
        self.watches.watch(m, filter)
    }

    /// Ends a watch.
    pub(super) fn unwatch(&self, m: &mut [u8], watch: WatchId) {
        self.watches.unwatch(m, watch);
    }

    /// True where the application wants what comes under that watch.
    #[cfg(feature = "alloc")]
    pub(super) fn wants(&self, m: &[u8], watch: WatchId) -> bool {
        self.watches.wants(m, watch)
    }

    // What the broker is told.

    /// The next thing that it was never told.
    pub(super) fn next_op(&self, m: &[u8]) -> Option<WatchOp> {
        if self.watches.are_unused() { None } else { self.watches.next_op(m) }
    }

    /// What it was told with that number.
    pub(super) fn told_with(&self, m: &[u8], item: u64) -> Option<WatchOp> {
        self.watches.told_with(m, item)
    }

    /// It is told, with that number.
    pub(super) fn tell(&self, m: &mut [u8], op: WatchOp, item: u64) {
        self.watches.tell(m, op, item);
    }

    /// Writes the body of the frame.
    pub(super) fn write(&self, m: &[u8], op: WatchOp, writer: &mut Writer<'_>) {
        if !op.is_wanted {
            UpItem::Unwatch(op.number).write(writer);
        } else if let Some(filter) = self.watches.filter(m, op) {
            UpItem::Watch(op.number, filter).write(writer);
        }
    }

    /// It has acknowledged items up to that number.
    pub(super) fn acknowledge(&self, m: &mut [u8], up_to: u64) {
        self.watches.acknowledge(m, up_to);
    }

    // What the broker tells.

    /// It refuses that watch; false where it has no reason to.
    pub(super) fn refuse(&self, m: &mut [u8], watch: u32, reason: RefusalReason) -> bool {
        self.watches.refuse(m, watch, reason)
    }

    /// Takes an item under that watch; false where there is no room, which is the broker's fault.
    pub(super) fn take(
        &mut self,
        m: &mut [u8],
        lent_at: usize,
        number: u64,
        watch: u32,
        body: &[u8],
    ) -> bool {
        // What was ended may still be told for a while.
        let is_wanted = self.watches.wants(m, WatchId(watch));
        let lent = m.get_mut(lent_at..).or_bug("the part that is lent lies outside the memory");
        !is_wanted || self.arrivals.push(lent.unwrap_or_default(), number, body)
    }

    // What the application is told.

    pub(super) fn has_event(&self, m: &[u8], lent: &[u8]) -> bool {
        self.watches.has_refused(m) || self.arrivals.has_wanted(m, lent, &self.watches)
    }

    /// The next event of the kinds that are `wanted`.
    pub(super) fn poll<'m>(
        &mut self,
        m: &mut [u8],
        lent: &'m [u8],
        wanted: EventFilter,
    ) -> Option<Event<'m>> {
        if wanted.has(EventFilter::REFUSALS)
            && let Some((watch, reason)) = self.watches.poll_refused(m)
        {
            return Some(Event::WatchRefused(watch, reason));
        }
        if wanted.has(EventFilter::PRESENCE) { self.arrivals.lend(m, lent, &self.watches) } else { None }
    }

    /// The application has taken everything that was lent.
    pub(super) fn take_lent(&mut self, m: &[u8], lent: &[u8]) {
        self.arrivals.take_lent(m, lent, &self.watches);
    }

    /// The last item that may be acknowledged where all up to `received` are here.
    pub(super) fn acknowledged(&self, lent: &[u8], received: u64) -> u64 {
        self.arrivals.acknowledged(lent, received)
    }
}
