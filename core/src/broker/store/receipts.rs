//! Receipts that wait for one sender. Equal receipts for consecutive ids are one run.

use crate::broker::store::key_set::shrink;
use crate::data::message::{Outcome, RefusalReason};
use crate::wire::item::{Accepted, DownItem, Final};
use alloc::collections::VecDeque;

/// Runs of receipts that may wait for one sender, however many wait for all senders.
pub(crate) const RECEIPTS_OF_EACH: usize = 16;

/// The content of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiptBody {
    /// The message was accepted for `recipients` when the newest session had the number `session`; in an earlier life of
    /// the broker if that is given.
    Accepted { recipients: u32, session: u64, earlier_epoch: Option<u64> },
    /// The message has ended.
    Final(Outcome),
}

/// Equal receipts for messages with consecutive ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    first: u64,
    count: u32,
    body: ReceiptBody,
    /// The messages were accepted in an earlier session, so their repetitions may cross the receipt.
    crossed: bool,
}

/// The runs of receipts. The first `numbered` ones have numbers.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    runs: VecDeque<Run>,
    numbered: usize,
    /// The number of runs that may be crossed.
    crossed: u32,
    /// Refused messages that will get one common receipt: the first id, and the number of ids.
    refused: (u64, u32),
}

impl Receipts {
    /// The number of runs.
    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Adds a receipt, to the last run if that has no number and fits; returns true if it is a run of its own. A repetition
    /// may have `crossed` it, if the message was accepted in an earlier session.
    #[inline]
    pub(crate) fn push(&mut self, id: u64, body: ReceiptBody, crossed: bool) -> bool {
        if self.numbered < self.runs.len()
            && let Some(last) = self.runs.back_mut()
            && last.body == body
            && last.crossed == crossed
            && last.first.checked_add(u64::from(last.count)) == Some(id)
            && last.count < u32::MAX
        {
            last.count += 1;
            return false;
        }
        self.runs.push_back(Run { first: id, count: 1, body, crossed });
        self.crossed += u32::from(crossed);
        true
    }

    /// True while there are refused messages that will get one common receipt.
    #[inline]
    pub(crate) fn is_refusing(&self) -> bool {
        self.refused.1 > 0
    }

    /// Refuses a message as *broker full*, together with those before it; false if one receipt cannot cover them all. No
    /// message in flight has an id between theirs.
    pub(crate) fn refuse(&mut self, id: u64) -> bool {
        let (first, count) = &mut self.refused;
        if *count == 0 {
            *first = id;
        }
        let new = id.checked_sub(*first).and_then(|place| u32::try_from(place + 1).ok());
        // A message that does not fit leaves the earlier ones refused.
        *count = new.map_or(*count, |new| new.max(*count));
        new.is_some()
    }

    /// Adds the common receipt of refused messages, if there are any, as a run of its own; returns true if it did.
    #[inline]
    pub(crate) fn end_refusals(&mut self) -> bool {
        let (first, count) = self.refused;
        if count == 0 {
            return false;
        }
        self.refused = (0, 0);
        let body = ReceiptBody::Final(Outcome::new(0, 0, Some(RefusalReason::BrokerFull)));
        self.runs.push_back(Run { first, count, body, crossed: false });
        true
    }

    /// True if the final receipt of a message of an earlier session waits or is unacknowledged. Messages of this session
    /// are not repeated.
    pub(crate) fn answers(&self, id: u64, until_accepted: bool) -> bool {
        self.crossed > 0
            && self.runs.iter().filter(|run| run.crossed).any(|run| {
                let is_last = until_accepted || matches!(run.body, ReceiptBody::Final(_));
                is_last && id.checked_sub(run.first).is_some_and(|place| place < u64::from(run.count))
            })
    }

    /// True if there is a run without a number.
    #[inline]
    pub(crate) fn has_unnumbered(&self) -> bool {
        self.numbered < self.runs.len()
    }

    /// Gives the next number to the first run without one.
    pub(crate) fn number(&mut self, epoch: u64) -> Option<DownItem<'static>> {
        let item = self.get(self.numbered, epoch)?;
        self.numbered += 1;
        Some(item)
    }

    /// A run, as an item.
    pub(crate) fn get(&self, place: usize, epoch: u64) -> Option<DownItem<'static>> {
        let Run { first, count, body, .. } = *self.runs.get(place)?;
        Some(match body {
            ReceiptBody::Accepted { recipients, session, earlier_epoch } => {
                let epoch = earlier_epoch.unwrap_or(epoch);
                DownItem::Accepted(Accepted { first, count, recipients, epoch, session })
            }
            ReceiptBody::Final(outcome) => DownItem::Final(Final { first, count, outcome }),
        })
    }

    /// Removes the first run, which was acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        let run = self.runs.pop_front();
        shrink(&mut self.runs);
        self.numbered = self.numbered.saturating_sub(1);
        self.crossed -= u32::from(run.is_some_and(|run| run.crossed));
    }

    /// Removes all runs, and returns how many there were.
    pub(crate) fn forget(&mut self) -> u64 {
        core::mem::take(self).runs.len() as u64
    }

    /// Starts the numbers again for a new session.
    pub(crate) fn renumber(&mut self) {
        self.numbered = 0;
        // The client sends the messages again that were refused without a receipt.
        self.refused = (0, 0);
        self.runs.iter_mut().for_each(|run| run.crossed = true);
        // There are no more runs than the backlog and the window allow.
        self.crossed = self.runs.len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_that_are_alike_become_one_run_until_it_has_a_number() {
        let body = ReceiptBody::Final(Outcome::new(1, 1, None));
        let mut receipts = Receipts::default();
        for id in 1..=5 {
            receipts.push(id, body, false);
        }
        assert_eq!(receipts.len(), 1);
        assert!(matches!(receipts.number(0), Some(DownItem::Final(Final { first: 1, count: 5, .. }))));
        receipts.push(6, body, false);
        receipts.push(8, body, false);
        assert_eq!(receipts.len(), 3);
        receipts.acknowledge();
        assert!(matches!(receipts.number(0), Some(DownItem::Final(Final { first: 6, count: 1, .. }))));
        assert!(receipts.has_unnumbered());
        receipts.renumber();
        assert!(matches!(receipts.number(0), Some(DownItem::Final(Final { first: 6, .. }))));
        assert_eq!(receipts.forget(), 2);
        assert!(!receipts.has_unnumbered());
    }

    #[test]
    fn messages_without_a_receipt_are_refused_with_one_when_there_is_one() {
        let mut receipts = Receipts::default();
        assert!(!receipts.end_refusals() && receipts.len() == 0);
        assert!(
            receipts.refuse(7) && receipts.refuse(9) && receipts.refuse(8),
            "the last one stays among them"
        );
        assert!(!receipts.refuse(6), "it is not behind the first");
        assert!(!receipts.refuse(7 + (1 << 32)), "so many fit no receipt");
        assert!(receipts.is_refusing() && receipts.len() == 0);
        assert!(receipts.end_refusals() && !receipts.is_refusing());
        let item = receipts.number(0);
        let outcome = Outcome::new(0, 0, Some(RefusalReason::BrokerFull));
        assert_eq!(item, Some(DownItem::Final(Final { first: 7, count: 3, outcome })));
        receipts.refuse(10);
        receipts.renumber();
        assert!(!receipts.end_refusals(), "they are sent again");
    }
}
