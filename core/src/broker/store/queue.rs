//! The queue of one session: messages and receipts, each in order, and a log of the items that have numbers.
//!
//! An item gets its number when it is first written, so receipts overtake messages that wait for the window. The log has
//! the order of the numbers: by it an acknowledgement, a repetition and a decline find their items.

use crate::broker::store::deliveries::{Deliveries, QueueEntry};
use crate::broker::store::key_set::shrink;
use crate::broker::store::log::{Cursor, Kind, Run, find, join};
use crate::broker::store::receipts::Receipts;
use crate::broker::store::watches::PresenceNotice;
use crate::wire::item::{DownItem, Reply};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::discriminant;
use core::ops::Range;

/// The state that few sessions need at a time.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    replies: VecDeque<Reply>,
    replies_in_flight: usize,
    /// Unacknowledged notices of presence. Those that are not written yet are with the watches.
    presence: VecDeque<PresenceNotice>,
    /// The next item to be written again.
    cursor: Option<Cursor>,
}

/// An item to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Delivery(QueueEntry),
    /// That many deliveries that have ended.
    Void(u32),
    Presence(PresenceNotice),
    Other(DownItem<'static>),
}

/// An item that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acknowledged {
    Delivery(QueueEntry),
    /// That many deliveries that have ended, and the bytes of the window that they give back.
    Void(u32, u32),
    /// A run of receipts.
    Receipt,
    Other,
}

/// The meaning of the number in a decline.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Declined {
    /// A delivery, which is now declined.
    Delivery(QueueEntry),
    /// A delivery that has ended: the decline has no effect.
    Void,
}

/// The most replies of one kind that wait for a client, which has at most so many unanswered watches.
const MAX_REPLIES_EACH: usize = 16;
/// The most replies that wait for a client.
pub(crate) const MAX_REPLIES: usize = Reply::KINDS * MAX_REPLIES_EACH;

/// The queue of a session.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Queue {
    deliveries: Deliveries,
    receipts: Receipts,
    /// The log, in the order of the numbers, from the first unacknowledged item.
    numbered: VecDeque<Run>,
    cold: Option<Box<Cold>>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// The number of places that the messages take: at least [`len`](Self::len).
    #[inline]
    pub(crate) fn span(&self) -> u32 {
        self.deliveries.span()
    }

    /// The runs of receipts that wait or are unacknowledged.
    pub(crate) fn receipts(&mut self) -> &mut Receipts {
        &mut self.receipts
    }

    /// The number of these runs.
    pub(crate) fn receipt_backlog(&self) -> usize {
        self.receipts.len()
    }

    /// True while messages are refused that will get one common receipt.
    pub(crate) fn is_refusing(&self) -> bool {
        self.receipts.is_refusing()
    }

    /// Removes all receipts, and returns the number of runs.
    pub(crate) fn forget_receipts(&mut self) -> u64 {
        self.receipts.forget()
    }

    /// The entry in the place of the next message: an old one, without meaning.
    #[inline]
    pub(crate) fn free_place(&self) -> Option<QueueEntry> {
        self.deliveries.free_place()
    }

    /// True if there is no place for another message before [`make_room`](Self::make_room).
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.deliveries.is_full()
    }

    /// Makes places for more messages; returns how many.
    pub(crate) fn make_room(&mut self) -> usize {
        self.deliveries.make_room()
    }

    /// Adds a message at the end. There must be a free place.
    #[inline]
    pub(crate) fn push(&mut self, delivery: QueueEntry) {
        self.deliveries.push(delivery);
    }

    /// Adds a reply for the client, unless the same one waits already, or the limit of unacknowledged replies of its kind
    /// is reached.
    pub(crate) fn push_reply(&mut self, reply: Reply) {
        let Cold { replies, replies_in_flight, .. } = self.cold.get_or_insert_default().as_mut();
        let waits = replies.range(*replies_in_flight..).any(|other| *other == reply);
        let alike = replies.iter().filter(|other| discriminant(*other) == discriminant(&reply)).count();
        if alike < MAX_REPLIES_EACH && !waits {
            replies.push_back(reply);
        }
    }

    /// The delivery at that place of the queue.
    pub(crate) fn delivery(&self, place: usize) -> Option<QueueEntry> {
        self.deliveries.get(place)
    }

    /// The first message without a number.
    #[inline]
    pub(crate) fn first_unnumbered(&self) -> Option<QueueEntry> {
        self.deliveries.first_waiting()
    }

    /// Removes the first message without a number: it has ended before it was written.
    pub(crate) fn drop_first_unnumbered(&mut self) {
        self.deliveries.drop_first_waiting();
    }

    /// True if a receipt or a reply without a number waits.
    #[inline]
    pub(crate) fn has_unnumbered_other(&self) -> bool {
        let has_reply = |cold: &Cold| cold.replies_in_flight < cold.replies.len();
        self.receipts.has_unnumbered() || self.cold.as_deref().is_some_and(has_reply)
    }

    /// True if every item has a number.
    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.deliveries.is_written() && !self.has_unnumbered_other()
    }

    /// The next item to be written again, or a run of up to `most` void ones, as `has_ended` decides. Receipts carry
    /// `epoch`.
    pub(crate) fn repeat(
        &mut self,
        epoch: u64,
        most: u32,
        has_ended: impl Fn(&QueueEntry) -> bool,
    ) -> Option<Next> {
        // A queue that repeats items has a cold part with a cursor.
        let Cold { replies, presence, cursor, .. } = self.cold.as_deref_mut()?;
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
            Kind::Reply => Next::Other(DownItem::Reply(*replies.get(at)?)),
            Kind::Presence => Next::Presence(*presence.get(at)?),
            // The loop has passed over void items.
            Kind::Void => return None,
        };
        cursor.advance(1, run.count);
        Some(next)
    }

    /// The kind of the numbered item at that place, and the number of items of that kind before it.
    fn item_at(&self, place: u64) -> Option<(Kind, usize)> {
        let mut cursor = find(&self.numbered, place);
        // No item behind the last one has a number.
        let kind = self.numbered.get(cursor.run)?.kind;
        Some((kind, cursor.before(kind).map_or(0, |before| *before)))
    }

    /// The numbered item that lies `place` places behind the first unacknowledged one.
    #[cfg(feature = "lossy")]
    pub(crate) fn at(&self, place: u64, epoch: u64) -> Option<Next> {
        let (kind, place) = self.item_at(place)?;
        Some(match kind {
            Kind::Delivery => Next::Delivery(self.deliveries.get(place)?),
            Kind::Void => Next::Void(1),
            Kind::Receipt => Next::Other(self.receipts.get(place, epoch)?),
            Kind::Reply => Next::Other(DownItem::Reply(*self.cold.as_deref()?.replies.get(place)?)),
            Kind::Presence => Next::Presence(*self.cold.as_deref()?.presence.get(place)?),
        })
    }

    /// Gives the next number to the first receipt or reply without one.
    pub(crate) fn number_other(&mut self, epoch: u64) -> Option<DownItem<'static>> {
        if let Some(item) = self.receipts.number(epoch) {
            self.log(Kind::Receipt);
            return Some(item);
        }
        let cold = self.cold.as_deref_mut()?;
        let reply = *cold.replies.get(cold.replies_in_flight)?;
        cold.replies_in_flight += 1;
        self.log(Kind::Reply);
        Some(DownItem::Reply(reply))
    }

    /// Gives the next number to the first message without one.
    #[inline]
    pub(crate) fn number_delivery(&mut self) {
        self.deliveries.number();
        self.log(Kind::Delivery);
    }

    /// Gives the next number to a notice of presence.
    pub(crate) fn number_presence(&mut self, notice: PresenceNotice) {
        self.cold.get_or_insert_default().presence.push_back(notice);
        self.log(Kind::Presence);
    }

    /// The number of unacknowledged notices of presence.
    #[cfg(feature = "presence")]
    pub(crate) fn presence_len(&self) -> usize {
        self.cold.as_deref().map_or(0, |cold| cold.presence.len())
    }

    /// Notes that an item of this kind has the next number and is written, after all items before it.
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

    /// Removes the first numbered item, which the recipient has acknowledged, or a run of up to `most` void ones.
    #[inline]
    pub(crate) fn acknowledge(&mut self, most: u64) -> Option<Acknowledged> {
        // An item without a number cannot be acknowledged.
        let run = self.numbered.front_mut()?;
        let kind = run.kind;
        // The count is at most that of the run.
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
            // The bytes of a run are given back with its last item, because those of each item are not known.
            Kind::Void => return Some(Acknowledged::Void(count, if ends_run { bytes } else { 0 })),
            Kind::Receipt => {
                self.receipts.acknowledge();
                return Some(Acknowledged::Receipt);
            }
            Kind::Reply => {
                let cold = self.cold.as_deref_mut()?;
                cold.replies_in_flight -= 1;
                cold.replies.pop_front();
            }
            Kind::Presence => {
                self.cold.as_deref_mut()?.presence.pop_front();
            }
        }
        Some(Acknowledged::Other)
    }

    /// Continues the session on a new link: all numbered items but the first `received` are written again.
    pub(crate) fn rewind(&mut self, received: u64) {
        let cursor = find(&self.numbered, received);
        if cursor.run < self.numbered.len() {
            self.cold.get_or_insert_default().cursor = Some(cursor);
        } else if let Some(cold) = &mut self.cold {
            cold.cursor = None;
        }
    }

    /// Starts the numbers again for a new session. Deliveries with old numbers are marked as retries, and declined ones
    /// leave.
    pub(crate) fn renumber(&mut self, mut leaves: impl FnMut(QueueEntry)) {
        for index in 0..self.deliveries.numbered() {
            if let Some(delivery) = self.deliveries.get_mut(index) {
                delivery.retry = true;
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

    /// Marks the numbered message that lies `place` places behind the last acknowledged item (1 is the next) as declined.
    /// Returns `None` if the item is no message, was declined before, or cannot be declined, as `means` decides, which also
    /// recognizes void ones.
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
                // A second decline of the same delivery is an error.
                (is_void || !core::mem::replace(&mut delivery.declined, true)).then_some(declined)
            }
            Kind::Receipt | Kind::Reply | Kind::Presence => None,
        }
    }

    /// Removes ended messages from a range of places; `ended` returns their payload bytes. A waiting message leaves, a
    /// numbered one becomes void, and `leaves` is called for each. A void run takes at most `most_bytes` of the window, or
    /// has one item.
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
        // The place of the cursor as a number of items, because the runs change.
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

    /// Gives back memory that the messages do not need; returns the number of places.
    pub(crate) fn shrink(&mut self) -> usize {
        self.deliveries.shrink()
    }

    /// The number of runs of the log.
    pub(crate) fn runs(&self) -> usize {
        self.numbered.len()
    }

    /// The number of places for messages, free ones included.
    pub(crate) fn capacity(&self) -> usize {
        self.deliveries.capacity()
    }

    /// Removes the first message, if the session has ended.
    pub(crate) fn pop(&mut self) -> Option<QueueEntry> {
        if self.deliveries.numbered() > 0 {
            return self.deliveries.pop();
        }
        // It may be that no message is left.
        let first = self.deliveries.first_waiting()?;
        self.deliveries.drop_first_waiting();
        Some(first)
    }

    /// Moves the unnumbered messages for which `is_earlier` returns true to the front; the order stays the same otherwise.
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

#[cfg(test)]
mod tests;
