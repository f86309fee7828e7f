//! What waits for one session: messages and receipts, each in order, and a log of what has a number.
//!
//! Items get their number when they are first written, so receipts pass messages that wait for the window. The log
//! says in which order the numbers were given: so an acknowledgement, a repetition and a decline find their items.

use crate::broker::store::deliveries::{Deliveries, QueueEntry};
use crate::broker::store::key_set::shrink;
use crate::broker::store::log::{Cursor, Kind, Run, find, join};
use crate::broker::store::receipts::Receipts;
use crate::broker::store::watches::PresenceNotice;
use crate::data::message::RefusalReason;
use crate::wire::item::{DownItem, Refused};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hint::black_box;
use core::ops::Range;

/// What few sessions have at a time.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    refusals: VecDeque<Refusal>,
    refusals_in_flight: usize,
    /// What was told of presence and is not acknowledged; what is still to be told is with the watches.
    presence: VecDeque<PresenceNotice>,
    /// Where something is written again.
    cursor: Option<Cursor>,
}

/// An item to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Delivery(QueueEntry),
    /// So many deliveries that have ended.
    Void(u32),
    Presence(PresenceNotice),
    Other(DownItem<'static>),
}

/// An item that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acknowledged {
    Delivery(QueueEntry),
    /// So many deliveries that have ended, and what they give back of the window in bytes.
    Void(u32, u32),
    /// A run of receipts.
    Receipt,
    Other,
}

/// What the number in a decline means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Declined {
    /// A delivery, which is declined now.
    Delivery(QueueEntry),
    /// A delivery that has ended: nothing.
    Void,
}

/// PresenceNotice of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) refused: Refused,
    /// The number of the watch, or 0.
    pub(crate) watch: u32,
    pub(crate) reason: RefusalReason,
}

impl Refusal {
    fn item(self) -> DownItem<'static> {
        DownItem::Refusal(self.refused, self.watch, self.reason)
    }
}

/// How many refusals of changes of attributes wait for a client at the most, and how many of watches besides. No client
/// has more watches that are not answered.
const MAX_NOTICES_EACH: usize = 16;
/// How many refusals wait for a client at the most.
pub(crate) const MAX_REFUSALS: usize = 2 * MAX_NOTICES_EACH;

/// The queue of a session.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Queue {
    deliveries: Deliveries,
    receipts: Receipts,
    /// In the order of their numbers, from the first that is not acknowledged.
    numbered: VecDeque<Run>,
    cold: Option<Box<Cold>>,
}

impl Queue {
    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// The same, or somewhat more: as many places as they take.
    #[inline]
    pub(crate) fn span(&self) -> u32 {
        self.deliveries.span()
    }

    /// Receipts that wait or are not acknowledged, in runs.
    pub(crate) fn receipts(&mut self) -> &mut Receipts {
        &mut self.receipts
    }

    /// Receipts that wait or are not acknowledged, in runs.
    pub(crate) fn receipt_backlog(&self) -> usize {
        self.receipts.len()
    }

    /// True while messages are refused with one receipt that is to come.
    pub(crate) fn is_refusing(&self) -> bool {
        self.receipts.is_refusing()
    }

    /// Forgets all receipts, and says how many there were.
    pub(crate) fn forget_receipts(&mut self) -> u64 {
        self.receipts.forget()
    }

    /// Looks at where the next message will be put, so that memory has it near by then.
    #[inline]
    pub(crate) fn prefetch_end(&self) {
        black_box(self.deliveries.free_place().map(|delivery| delivery.message));
    }

    /// True where there is no place for another message before [`make_room`](Self::make_room).
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.deliveries.is_full()
    }

    /// Makes places for more messages; returns how many.
    pub(crate) fn make_room(&mut self) -> usize {
        self.deliveries.make_room()
    }

    /// Adds a message at the end, where there is a place.
    #[inline]
    pub(crate) fn push(&mut self, delivery: QueueEntry) {
        self.deliveries.push(delivery);
    }

    /// Adds word of a refused change of attributes or watch. Where the same waits already, that will do; where as many
    /// as may be are not acknowledged, they say enough.
    pub(crate) fn push_refusal(&mut self, refusal: Refusal) {
        let Cold { refusals, refusals_in_flight, .. } = self.cold.get_or_insert_default().as_mut();
        let waits = refusals.range(*refusals_in_flight..).any(|other| *other == refusal);
        let alike = refusals.iter().filter(|other| other.refused == refusal.refused).count();
        if alike < MAX_NOTICES_EACH && !waits {
            refusals.push_back(refusal);
        }
    }

    /// The delivery with that place in the queue.
    pub(crate) fn delivery(&self, place: usize) -> Option<QueueEntry> {
        self.deliveries.get(place)
    }

    /// The first message that has no number.
    #[inline]
    pub(crate) fn first_unnumbered(&self) -> Option<QueueEntry> {
        self.deliveries.first_waiting()
    }

    /// Drops the first message that has no number: it has ended before it was written.
    pub(crate) fn drop_first_unnumbered(&mut self) {
        self.deliveries.drop_first_waiting();
    }

    /// True where a receipt or a refusal waits that has no number.
    #[inline]
    pub(crate) fn has_unnumbered_other(&self) -> bool {
        let has_refusal = |cold: &Cold| cold.refusals_in_flight < cold.refusals.len();
        self.receipts.has_unnumbered() || self.cold.as_deref().is_some_and(has_refusal)
    }

    /// True where nothing waits that has no number.
    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.deliveries.is_written() && !self.has_unnumbered_other()
    }

    /// The next item that has a number and is to be written again, or up to `most` void ones; `has_ended` says which are.
    /// `epoch` fills in receipts.
    pub(crate) fn repeat(
        &mut self,
        epoch: u64,
        most: u32,
        has_ended: impl Fn(&QueueEntry) -> bool,
    ) -> Option<Next> {
        // Where something is to be written again there is a place for it.
        let Cold { refusals, presence, cursor, .. } = self.cold.as_deref_mut()?;
        let cursor = cursor.as_mut()?;
        let mut void = 0;
        while void < most
            && let Some(run) = self.numbered.get(cursor.run)
        {
            let count = match run.kind {
                Kind::Void => (run.count - cursor.in_run).min(most - void),
                Kind::Delivery if self.deliveries.get(cursor.deliveries).is_some_and(|d| has_ended(&d)) => {
                    cursor.deliveries += 1;
                    1
                }
                _ => break,
            };
            void += count;
            cursor.advance(count, run.count);
        }
        if void > 0 {
            return Some(Next::Void(void));
        }
        let run = *self.numbered.get(cursor.run)?;
        let place = cursor.before(run.kind)?;
        let at = *place;
        *place += 1;
        let next = match run.kind {
            Kind::Delivery => Next::Delivery(self.deliveries.get(at)?),
            Kind::Receipt => Next::Other(self.receipts.get(at, epoch)?),
            Kind::Refusal => Next::Other(refusals.get(at)?.item()),
            Kind::Presence => Next::Presence(*presence.get(at)?),
            // It was passed over.
            Kind::Void => return None,
        };
        cursor.advance(1, run.count);
        Some(next)
    }

    /// The kind of the item with a number at that place, and how many of that kind are before it.
    fn item_at(&self, place: u64) -> Option<(Kind, usize)> {
        let mut cursor = find(&self.numbered, place);
        // Behind the last is a number that was not given.
        let kind = self.numbered.get(cursor.run)?.kind;
        Some((kind, cursor.before(kind).map_or(0, |before| *before)))
    }

    /// The item with a number that lies so many places behind the first that is not acknowledged.
    #[cfg(feature = "lossy")]
    pub(crate) fn at(&self, place: u64, epoch: u64) -> Option<Next> {
        let (kind, place) = self.item_at(place)?;
        Some(match kind {
            Kind::Delivery => Next::Delivery(self.deliveries.get(place)?),
            Kind::Void => Next::Void(1),
            Kind::Receipt => Next::Other(self.receipts.get(place, epoch)?),
            Kind::Refusal => Next::Other(self.cold.as_deref()?.refusals.get(place)?.item()),
            Kind::Presence => Next::Presence(*self.cold.as_deref()?.presence.get(place)?),
        })
    }

    /// Gives the next number to the first receipt or refusal that has none.
    pub(crate) fn number_other(&mut self, epoch: u64) -> Option<DownItem<'static>> {
        if let Some(item) = self.receipts.number(epoch) {
            self.log(Kind::Receipt);
            return Some(item);
        }
        let cold = self.cold.as_deref_mut()?;
        let refusal = *cold.refusals.get(cold.refusals_in_flight)?;
        cold.refusals_in_flight += 1;
        self.log(Kind::Refusal);
        Some(refusal.item())
    }

    /// Gives the next number to the first message that has none.
    #[inline]
    pub(crate) fn number_delivery(&mut self) {
        self.deliveries.number();
        self.log(Kind::Delivery);
    }

    /// Gives the next number to word of presence.
    pub(crate) fn number_presence(&mut self, word: PresenceNotice) {
        self.cold.get_or_insert_default().presence.push_back(word);
        self.log(Kind::Presence);
    }

    /// How many words of presence are not acknowledged.
    #[cfg(feature = "presence")]
    pub(crate) fn presence_len(&self) -> usize {
        self.cold.as_deref().map_or(0, |cold| cold.presence.len())
    }

    /// Notes that an item of this kind has the next number and was written; everything before was.
    #[inline]
    fn log(&mut self, kind: Kind) {
        match self.numbered.back_mut() {
            Some(run) if run.kind == kind => run.count += 1,
            _ => self.begin_run(kind),
        }
        if let Some(cold) = &mut self.cold {
            cold.cursor = None;
        }
    }

    #[cold]
    fn begin_run(&mut self, kind: Kind) {
        Run::new(kind, 1).push(&mut self.numbered);
    }

    /// Takes off the first item that has a number, which the recipient has acknowledged, or up to `most` void ones.
    #[inline]
    pub(crate) fn acknowledge(&mut self, most: u64) -> Option<Acknowledged> {
        // As many as have a number, and no more, can be acknowledged.
        let run = self.numbered.front_mut()?;
        let kind = run.kind;
        // No more than the run has.
        let count = if kind == Kind::Void { u64::from(run.count).min(most) as u32 } else { 1 };
        let bytes = run.bytes;
        run.count -= count;
        let ends_run = run.count == 0;
        if ends_run {
            self.numbered.pop_front();
            shrink(&mut self.numbered);
        }
        if let Some(cursor) = self.cold.as_deref_mut().and_then(|cold| cold.cursor.as_mut()) {
            cursor.pass(kind, count, ends_run);
        }
        match kind {
            Kind::Delivery => return self.deliveries.pop().map(Acknowledged::Delivery),
            // How many of the bytes are of these, nobody knows any more.
            Kind::Void => return Some(Acknowledged::Void(count, if ends_run { bytes } else { 0 })),
            Kind::Receipt => {
                self.receipts.acknowledge();
                return Some(Acknowledged::Receipt);
            }
            Kind::Refusal => {
                let cold = self.cold.as_deref_mut()?;
                cold.refusals_in_flight -= 1;
                cold.refusals.pop_front();
            }
            Kind::Presence => {
                self.cold.as_deref_mut()?.presence.pop_front();
            }
        }
        Some(Acknowledged::Other)
    }

    /// The session goes on, on a new link: all but the first `received` items that have a number are written again.
    pub(crate) fn rewind(&mut self, received: u64) {
        let cursor = find(&self.numbered, received);
        if cursor.run < self.numbered.len() {
            self.cold.get_or_insert_default().cursor = Some(cursor);
        } else if let Some(cold) = &mut self.cold {
            cold.cursor = None;
        }
    }

    /// A new session takes the queue over: numbers start again, and what had one is marked. Those that were declined leave.
    pub(crate) fn renumber(&mut self, mut leaves: impl FnMut(QueueEntry)) {
        for index in 0..self.deliveries.numbered() {
            if let Some(delivery) = self.deliveries.get_mut(index) {
                delivery.retry = !canary!(RenumbersWithoutMark);
            } else {
                bug!("fewer deliveries than have a number");
            }
        }
        self.deliveries.retain(|_, delivery| {
            if delivery.declined {
                leaves(*delivery);
            }
            !delivery.declined
        });
        self.deliveries.clear_number();
        self.receipts.renumber();
        self.cold = None;
        self.numbered.clear();
    }

    /// Marks the message with a number as declined, where it is `place` numbers behind the last acknowledged one
    /// (1 is the next). `None` where that is no message, was declined before, or cannot be declined: `means` says that, and
    /// which are void.
    pub(crate) fn decline(
        &mut self,
        place: u64,
        means: impl FnOnce(&QueueEntry) -> Option<Declined>,
    ) -> Option<Declined> {
        let (kind, index) = self.item_at(place.checked_sub(1)?)?;
        match kind {
            Kind::Void => Some(Declined::Void),
            Kind::Delivery => {
                let delivery = self.deliveries.get_mut(index)?;
                let declined = means(delivery)?;
                let is_void = matches!(declined, Declined::Void);
                // Only once.
                (is_void || !core::mem::replace(&mut delivery.declined, true)).then_some(declined)
            }
            Kind::Receipt | Kind::Refusal | Kind::Presence => None,
        }
    }

    /// Drops what has ended among the messages with some places, for which `ended` gives the bytes of its payload: what waits
    /// leaves, what has a number becomes void, and `leaves` is called for each. A run of void ones takes at most `most_bytes`
    /// of the window, or has one of them.
    pub(crate) fn drop_ended(
        &mut self,
        among: Range<usize>,
        most_bytes: u32,
        ended: impl Fn(&QueueEntry) -> Option<u32>,
        mut leaves: impl FnMut(QueueEntry),
    ) {
        self.void_ended(among.clone(), most_bytes, &ended);
        self.deliveries.retain_among(among, |_, delivery| {
            let stays = ended(delivery).is_none();
            if !stays {
                leaves(*delivery);
            }
            stays
        });
    }

    /// Notes in the log which of these deliveries are void.
    fn void_ended(
        &mut self,
        among: Range<usize>,
        most_bytes: u32,
        ended: &impl Fn(&QueueEntry) -> Option<u32>,
    ) {
        let among = among.start..among.end.min(self.deliveries.numbered());
        let ended_at = |index: usize| self.deliveries.get(index).and_then(|delivery| ended(&delivery));
        if !among.clone().any(|index| ended_at(index).is_some()) {
            return;
        }
        // Where something is written again, as a number of items.
        let again = self.cold.as_deref().and_then(|cold| cold.cursor).map(|cursor| {
            let before = self.numbered.iter().take(cursor.run).map(|run| u64::from(run.count));
            before.sum::<u64>() + u64::from(cursor.in_run)
        });
        let (mut log, mut next) = (VecDeque::<Run>::new(), 0);
        for run in &self.numbered {
            let before = next;
            if run.kind == Kind::Delivery {
                next += run.count as usize;
            }
            if before == next || next <= among.start || before >= among.end {
                join(&mut log, *run, most_bytes);
                continue;
            }
            for index in before..next {
                let bytes = if among.contains(&index) { ended_at(index) } else { None };
                join(&mut log, bytes.map_or(Run::new(Kind::Delivery, 1), Run::void), most_bytes);
            }
        }
        self.numbered = log;
        if let Some(again) = again {
            self.rewind(again);
        }
    }

    /// Gives back memory that is far more than what is here needs; returns how many places of messages.
    pub(crate) fn shrink(&mut self) -> usize {
        self.deliveries.shrink()
    }

    /// How many runs the items with a number are.
    pub(crate) fn runs(&self) -> usize {
        self.numbered.len()
    }

    /// How many places there are for messages, free ones included.
    pub(crate) fn capacity(&self) -> usize {
        self.deliveries.capacity()
    }

    /// Takes off the first message, where the session has ended.
    pub(crate) fn pop(&mut self) -> Option<QueueEntry> {
        if self.deliveries.numbered() > 0 {
            return self.deliveries.pop();
        }
        // None may be left.
        let first = self.deliveries.first_waiting()?;
        self.deliveries.drop_first_waiting();
        Some(first)
    }

    /// Puts those of the messages without a number first that `is_earlier` names; their order stays otherwise.
    pub(crate) fn put_first(&mut self, mut is_earlier: impl FnMut(&QueueEntry) -> bool) {
        let keep = self.deliveries.numbered();
        let mut later = Vec::new();
        self.deliveries.retain(|index, delivery| {
            let stays = index < keep || is_earlier(delivery);
            if !stays {
                later.push(*delivery);
            }
            stays
        });
        later.into_iter().for_each(|delivery| self.deliveries.push(delivery));
    }
}
