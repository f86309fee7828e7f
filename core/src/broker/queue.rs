//! What waits for one session: messages and receipts, each in order, and a log of what has a number.
//!
//! Items get their number when they are first written, so receipts pass messages that wait for the window. The log
//! says in which order the numbers were given: so an acknowledgement, a repetition and a decline find their items.

use super::deliveries::{Deliveries, Delivery};
use super::presence::Word;
use super::receipts::Receipts;
use crate::bug::OrBug;
use crate::message::Reason;
use crate::wire::item::{DownItem, Refused};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::hint::black_box;

/// What kind of item has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delivery,
    Receipt,
    Notice,
    Presence,
}

/// Items of one kind with numbers one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    kind: Kind,
    count: u32,
}

/// The next item to be written again on this link, as places in the queues and the log.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    run: usize,
    in_run: u32,
    deliveries: usize,
    receipts: usize,
    notices: usize,
    presence: usize,
}

/// What few sessions have at a time.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    notices: VecDeque<Notice>,
    numbered_notices: usize,
    /// What was told of presence and is not acknowledged; what is still to be told is with the watches.
    presence: VecDeque<Word>,
    /// Where something is written again.
    cursor: Option<Cursor>,
}

/// An item to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Delivery(Delivery),
    Presence(Word),
    Other(DownItem<'static>),
}

/// An item that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) enum Acknowledged {
    Delivery(Delivery),
    Other,
}

/// Word of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) refused: Refused,
    /// The number of the watch, or 0.
    pub(super) watch: u32,
    pub(super) reason: Reason,
}

impl Cursor {
    fn place(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Delivery => &mut self.deliveries,
            Kind::Receipt => &mut self.receipts,
            Kind::Notice => &mut self.notices,
            Kind::Presence => &mut self.presence,
        }
    }

    /// The first item that has a number leaves, and its run with it where it `ends_run`.
    fn pass(&mut self, kind: Kind, ends_run: bool) {
        let place = self.place(kind);
        *place = place.saturating_sub(1);
        if ends_run {
            self.run = self.run.saturating_sub(1);
        } else if self.run == 0 {
            self.in_run = self.in_run.saturating_sub(1);
        }
    }
}

impl Notice {
    fn item(self) -> DownItem<'static> {
        DownItem::Refusal(self.refused, self.watch, self.reason)
    }
}

/// How many refusals of changes of attributes wait for a client at the most, and how many of watches besides. No client
/// has more watches that are not answered.
const MAX_NOTICES_EACH: usize = 16;
/// How many refusals wait for a client at the most.
pub(super) const MAX_NOTICES: usize = 2 * MAX_NOTICES_EACH;

/// The queue of a session.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Queue {
    deliveries: Deliveries,
    numbered_deliveries: usize,
    receipts: Receipts,
    /// In the order of their numbers, from the first that is not acknowledged.
    numbered: VecDeque<Run>,
    seldom: Option<Box<Seldom>>,
}

impl Queue {
    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Receipts that wait or are not acknowledged, in runs.
    pub(super) fn receipts(&mut self) -> &mut Receipts {
        &mut self.receipts
    }

    /// Receipts that wait or are not acknowledged, in runs.
    pub(super) fn receipt_backlog(&self) -> usize {
        self.receipts.len()
    }

    /// Looks at where the next message will be put, so that memory has it near by then.
    #[inline]
    pub(super) fn look_at_end(&self) {
        black_box(self.deliveries.free_place().map(|delivery| delivery.message));
    }

    /// Adds a message at the end.
    #[inline]
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }

    /// Adds word of a refused change of attributes or watch. Where the same waits already, that will do; where as many
    /// as may be are not acknowledged, they say enough.
    pub(super) fn push_notice(&mut self, notice: Notice) {
        let Seldom { notices, numbered_notices, .. } = self.seldom.get_or_insert_default().as_mut();
        let waits = notices.range(*numbered_notices..).any(|other| *other == notice);
        let alike = notices.iter().filter(|other| other.refused == notice.refused).count();
        if alike < MAX_NOTICES_EACH && !waits {
            notices.push_back(notice);
        }
    }

    /// The first message that has no number.
    #[inline]
    pub(super) fn first_unnumbered(&self) -> Option<Delivery> {
        self.deliveries.get(self.numbered_deliveries)
    }

    /// Drops the first message that has no number: it has ended before it was written.
    pub(super) fn drop_first_unnumbered(&mut self) {
        self.deliveries.remove(self.numbered_deliveries);
    }

    /// Drops messages without a number that `is_over` says have ended.
    pub(super) fn compact(&mut self, mut is_over: impl FnMut(&Delivery) -> bool) {
        let keep = self.numbered_deliveries;
        self.deliveries.retain(|index, delivery| index < keep || !is_over(delivery));
    }

    /// True where a receipt or a notice waits that has no number.
    #[inline]
    pub(super) fn has_unnumbered_other(&self) -> bool {
        let has_notice = |seldom: &Seldom| seldom.numbered_notices < seldom.notices.len();
        self.receipts.has_unnumbered() || self.seldom.as_deref().is_some_and(has_notice)
    }

    /// True where nothing waits that has no number.
    #[inline]
    pub(super) fn is_written(&self) -> bool {
        self.numbered_deliveries == self.deliveries.len() && !self.has_unnumbered_other()
    }

    /// The next item that has a number and is to be written again; `epoch` fills in receipts.
    pub(super) fn repeat(&mut self, epoch: u64) -> Option<Next> {
        let Seldom { notices, presence, cursor, .. } = self.seldom.as_deref_mut()?;
        let cursor = cursor.as_mut()?;
        let run = *self.numbered.get(cursor.run)?;
        let next = match run.kind {
            Kind::Delivery => {
                cursor.deliveries += 1;
                Next::Delivery(self.deliveries.get(cursor.deliveries - 1)?)
            }
            Kind::Receipt => {
                cursor.receipts += 1;
                Next::Other(self.receipts.get(cursor.receipts - 1, epoch)?)
            }
            Kind::Notice => {
                cursor.notices += 1;
                Next::Other(notices.get(cursor.notices - 1)?.item())
            }
            Kind::Presence => {
                cursor.presence += 1;
                Next::Presence(*presence.get(cursor.presence - 1)?)
            }
        };
        cursor.in_run += 1;
        if cursor.in_run == run.count {
            (cursor.run, cursor.in_run) = (cursor.run + 1, 0);
        }
        Some(next)
    }

    /// The item with a number that lies so many places behind the first that is not acknowledged.
    pub(super) fn at(&self, place: u64, epoch: u64) -> Option<Next> {
        let mut place = usize::try_from(place).ok()?;
        let (mut deliveries, mut receipts, mut notices, mut presence) = (0, 0, 0, 0);
        for run in &self.numbered {
            let (kind, count) = (run.kind, run.count as usize);
            let before = match kind {
                Kind::Delivery => &mut deliveries,
                Kind::Receipt => &mut receipts,
                Kind::Notice => &mut notices,
                Kind::Presence => &mut presence,
            };
            if place >= count {
                (place, *before) = (place - count, *before + count);
                continue;
            }
            let place = *before + place;
            return Some(match kind {
                Kind::Delivery => Next::Delivery(self.deliveries.get(place)?),
                Kind::Receipt => Next::Other(self.receipts.get(place, epoch)?),
                Kind::Notice => Next::Other(self.seldom.as_deref()?.notices.get(place)?.item()),
                Kind::Presence => Next::Presence(*self.seldom.as_deref()?.presence.get(place)?),
            });
        }
        None
    }

    /// Gives the next number to the first receipt or notice that has none.
    pub(super) fn number_other(&mut self, epoch: u64) -> Option<DownItem<'static>> {
        if let Some(item) = self.receipts.number(epoch) {
            self.log(Kind::Receipt);
            return Some(item);
        }
        let seldom = self.seldom.as_deref_mut()?;
        let notice = *seldom.notices.get(seldom.numbered_notices)?;
        seldom.numbered_notices += 1;
        self.log(Kind::Notice);
        Some(notice.item())
    }

    /// Gives the next number to the first message that has none.
    #[inline]
    pub(super) fn number_delivery(&mut self) {
        self.numbered_deliveries += 1;
        self.log(Kind::Delivery);
    }

    /// Gives the next number to word of presence.
    pub(super) fn number_presence(&mut self, word: Word) {
        self.seldom.get_or_insert_default().presence.push_back(word);
        self.log(Kind::Presence);
    }

    /// How many words of presence are not acknowledged.
    pub(super) fn presence_len(&self) -> usize {
        self.seldom.as_deref().map_or(0, |seldom| seldom.presence.len())
    }

    /// Notes that an item of this kind has the next number and was written; everything before was.
    #[inline]
    fn log(&mut self, kind: Kind) {
        match self.numbered.back_mut() {
            Some(run) if run.kind == kind => run.count += 1,
            _ => self.numbered.push_back(Run { kind, count: 1 }),
        }
        if let Some(seldom) = &mut self.seldom {
            seldom.cursor = None;
        }
    }

    /// Takes off the first item that has a number; the recipient has acknowledged it.
    #[inline]
    pub(super) fn acknowledge(&mut self) -> Option<Acknowledged> {
        let run = self.numbered.front_mut()?;
        let kind = run.kind;
        run.count -= 1;
        let ends_run = run.count == 0;
        if ends_run {
            self.numbered.pop_front();
        }
        if let Some(cursor) = self.seldom.as_deref_mut().and_then(|seldom| seldom.cursor.as_mut()) {
            cursor.pass(kind, ends_run);
        }
        match kind {
            Kind::Delivery => {
                self.numbered_deliveries -= 1;
                return self.deliveries.pop().map(Acknowledged::Delivery);
            }
            Kind::Receipt => self.receipts.acknowledge(),
            Kind::Notice => {
                let seldom = self.seldom.as_deref_mut()?;
                seldom.numbered_notices -= 1;
                seldom.notices.pop_front();
            }
            Kind::Presence => {
                self.seldom.as_deref_mut()?.presence.pop_front();
            }
        }
        Some(Acknowledged::Other)
    }

    /// The session goes on, on a new link: all but the first `received` items that have a number are written again.
    pub(super) fn rewind(&mut self, mut received: u64) {
        let mut cursor = Cursor::default();
        for run in &self.numbered {
            let count = received.min(u64::from(run.count)) as u32;
            *cursor.place(run.kind) += count as usize;
            received -= u64::from(count);
            if count < run.count {
                cursor.in_run = count;
                break;
            }
            cursor.run += 1;
        }
        if cursor.run < self.numbered.len() {
            self.seldom.get_or_insert_default().cursor = Some(cursor);
        } else if let Some(seldom) = &mut self.seldom {
            seldom.cursor = None;
        }
    }

    /// A new session takes the queue over: numbers start again, and what had one is marked. Calls `unnumber` for each
    /// message that had a number, with whether it was declined and is dropped.
    pub(super) fn renumber(&mut self, keep_receipts: bool, mut unnumber: impl FnMut(Delivery)) {
        for index in 0..self.numbered_deliveries {
            let Some(delivery) = self.deliveries.get_mut(index).or_bug("fewer messages than have a number")
            else {
                break;
            };
            delivery.retry = !canary!(RenumbersWithoutMark);
            unnumber(*delivery);
        }
        self.deliveries.retain(|_, delivery| !delivery.declined);
        self.receipts.renumber(keep_receipts);
        self.seldom = None;
        self.numbered.clear();
        self.numbered_deliveries = 0;
    }

    /// Marks the message with a number as declined, where it is `place` numbers behind the last acknowledged one
    /// (1 is the next). `None` where that is no message, or was declined before.
    pub(super) fn decline(&mut self, place: u64) -> Option<Delivery> {
        let (mut before, mut deliveries) = (0, 0);
        for run in &self.numbered {
            let count = u64::from(run.count);
            let is_delivery = run.kind == Kind::Delivery;
            if (before + 1..=before + count).contains(&place) {
                let index = deliveries + (place - before - 1) as usize;
                let delivery = self.deliveries.get_mut(index).filter(|d| is_delivery && !d.declined)?;
                delivery.declined = true;
                return Some(*delivery);
            }
            before += count;
            deliveries += if is_delivery { run.count as usize } else { 0 };
        }
        None
    }

    /// Everything that is left, with whether it has a number.
    pub(super) fn into_deliveries(self) -> impl Iterator<Item = (Delivery, bool)> {
        let Self { deliveries, numbered_deliveries, .. } = self;
        (0..deliveries.len()).filter_map(move |index| {
            deliveries.get(index).map(|delivery| (delivery, index < numbered_deliveries))
        })
    }
}
