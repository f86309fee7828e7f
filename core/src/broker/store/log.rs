//! The log of a queue: the kinds of the items that have numbers, in runs.

use crate::bug::OrBug;
use alloc::collections::VecDeque;

/// The kind of an item that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delivery,
    /// A delivery that has ended since it got its number.
    Void,
    Receipt,
    Reply,
    Presence,
}

/// Items of one kind with consecutive numbers. There are many runs, so the fields of [`Before`] are inlined without
/// padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    replies: u8,
    presence: u16,
    pub(crate) count: u32,
    /// Bytes of the window that a void run takes.
    pub(crate) bytes: u32,
    items: u32,
    deliveries: u32,
    receipts: u32,
}

/// The number of items before a run, in all and of each kind, so that an item is found without a walk through the log. The
/// counts start anywhere and wrap, so only their differences mean something.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    items: u32,
    deliveries: u32,
    receipts: u32,
    presence: u16,
    replies: u8,
}

/// The next item to be written again on this link, as places in the queues and the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) run: usize,
    pub(crate) in_run: u32,
    pub(crate) deliveries: usize,
    receipts: usize,
    replies: usize,
    presence: usize,
}

impl Before {
    /// The counts behind `count` more items of that kind.
    fn with(self, kind: Kind, count: u32) -> Self {
        let Self { items, mut deliveries, mut receipts, mut presence, mut replies } = self;
        match kind {
            Kind::Delivery => deliveries = deliveries.wrapping_add(count),
            Kind::Receipt => receipts = receipts.wrapping_add(count),
            // There are never more of these than the type can count.
            Kind::Reply => replies = replies.wrapping_add(count as u8),
            Kind::Presence => presence = presence.wrapping_add(count as u16),
            // Void items are in no queue.
            Kind::Void => {}
        }
        Self { items: items.wrapping_add(count), deliveries, receipts, presence, replies }
    }
}

impl Run {
    pub(crate) fn new(kind: Kind, count: u32) -> Self {
        Self { kind, count, ..Self::behind(Before::default()) }
    }

    /// An empty run behind so many items.
    fn behind(before: Before) -> Self {
        let Before { items, deliveries, receipts, presence, replies } = before;
        Self { kind: Kind::Void, replies, presence, count: 0, bytes: 0, items, deliveries, receipts }
    }

    fn before(&self) -> Before {
        let Self { items, deliveries, receipts, presence, replies, .. } = *self;
        Before { items, deliveries, receipts, presence, replies }
    }

    /// A delivery that has ended, and the bytes of the window that it takes.
    pub(crate) fn void(bytes: u32) -> Self {
        Self { bytes, ..Self::new(Kind::Void, 1) }
    }

    /// Adds the run at the end of a log.
    pub(crate) fn push(mut self, log: &mut VecDeque<Self>) {
        if let Some(last) = log.back() {
            let Self { kind, count, bytes, .. } = self;
            self = Self { kind, count, bytes, ..Self::behind(last.before().with(last.kind, last.count)) };
        }
        log.push_back(self);
    }
}

impl Cursor {
    /// The number of items of that kind before the cursor; none for void items, which are in no queue.
    pub(crate) fn before(&mut self, kind: Kind) -> Option<&mut usize> {
        match kind {
            Kind::Delivery => Some(&mut self.deliveries),
            Kind::Void => None,
            Kind::Receipt => Some(&mut self.receipts),
            Kind::Reply => Some(&mut self.replies),
            Kind::Presence => Some(&mut self.presence),
        }
    }

    /// Moves the cursor back when the first `count` numbered items leave, all of one run, and with `end_run` the run too.
    pub(crate) fn pass(&mut self, kind: Kind, count: u32, end_run: bool) {
        if let Some(place) = self.before(kind) {
            *place = place.saturating_sub(count as usize);
        }
        if end_run {
            self.run = self.run.saturating_sub(1);
        } else if self.run == 0 {
            self.in_run = self.in_run.saturating_sub(count);
        }
    }

    /// Moves the cursor forward by `count` items of a run that has `of`.
    pub(crate) fn advance(&mut self, count: u32, of: u32) {
        self.in_run += count;
        if self.in_run >= of {
            (self.run, self.in_run) = (self.run + 1, 0);
        }
    }
}

/// The counts before the first unacknowledged item. Those of its run are too low if a part of the run is acknowledged.
fn first_number(log: &VecDeque<Run>) -> Option<Before> {
    let first = log.front()?;
    let second = log.get(1);
    Some(second.map_or(first.before(), |second| second.before().with(first.kind, first.count.wrapping_neg())))
}

/// Finds the numbered item that lies `place` places behind the first unacknowledged one; the end of the log if there is
/// none.
pub(crate) fn find(log: &VecDeque<Run>, place: u64) -> Cursor {
    let Some(first) = first_number(log) else {
        // No item has a number.
        return Cursor::default();
    };
    // This is negative for the first run if a part of it is acknowledged.
    let items_before = |run: &Run| i64::from(run.items.wrapping_sub(first.items).cast_signed());
    let place = i64::try_from(place).unwrap_or(i64::MAX); // No queue is longer than that.
    let run = log.partition_point(|run| items_before(run) <= place).saturating_sub(1);
    let Some(found) = log.get(run).or_bug("a run was found that is not there") else {
        return Cursor::default();
    };
    let before = if run == 0 { first } else { found.before() };
    let in_run = place - i64::from(before.items.wrapping_sub(first.items));
    let in_run = u32::try_from(in_run).unwrap_or(u32::MAX).min(found.count); // The end of the last run counts too.
    let mut cursor = Cursor {
        run,
        in_run,
        deliveries: before.deliveries.wrapping_sub(first.deliveries) as usize,
        receipts: before.receipts.wrapping_sub(first.receipts) as usize,
        replies: before.replies.wrapping_sub(first.replies).into(),
        presence: before.presence.wrapping_sub(first.presence).into(),
    };
    if let Some(place) = cursor.before(found.kind) {
        *place += in_run as usize;
    }
    if in_run == found.count {
        (cursor.run, cursor.in_run) = (log.len(), 0);
    }
    cursor
}

/// Adds a run at the end of a log, or merges it into the last one of the same kind. Merged void runs take at most
/// `most_bytes` of the window together, so that it opens in steps.
pub(crate) fn join(log: &mut VecDeque<Run>, run: Run, most_bytes: u32) {
    if let Some(last) = log.back_mut()
        && last.kind == run.kind
        && let Some(count) = last.count.checked_add(run.count)
        && let Some(bytes) = last.bytes.checked_add(run.bytes)
        && (bytes <= most_bytes || run.bytes == 0)
    {
        (last.count, last.bytes) = (count, bytes);
    } else {
        run.push(log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 5] = [Kind::Delivery, Kind::Void, Kind::Receipt, Kind::Reply, Kind::Presence];

    /// Where an item lies, found by going through all before it.
    fn walk(log: &VecDeque<Run>, mut place: u64) -> Cursor {
        let mut cursor = Cursor::default();
        for run in log {
            let count = place.min(run.count.into()) as u32;
            if let Some(before) = cursor.before(run.kind) {
                *before += count as usize;
            }
            place -= u64::from(count);
            if count < run.count {
                cursor.in_run = count;
                break;
            }
            cursor.run += 1;
        }
        cursor
    }

    proptest! {
        #[test]
        fn core_p8_an_item_is_found_where_a_walk_through_the_log_finds_it(
            steps in prop::collection::vec((0_usize..8, 1_u32..9), 0..60), far in any::<bool>()
        ) {
            let mut log = VecDeque::new();
            if far {
                // Numbers have run over almost.
                let near = u32::MAX - 20;
                let before = Before { items: near, deliveries: near, receipts: near, presence: 65_530, replies: 250 };
                log.push_back(Run { kind: Kind::Receipt, count: 1, ..Run::behind(before) });
            }
            for (step, count) in steps {
                match KINDS.get(step) {
                    Some(&kind) => join(&mut log, Run::new(kind, count), 0),
                    None if log.front().is_some_and(|run| run.count > count) => log[0].count -= count,
                    None => drop(log.pop_front()),
                }
                let all: u64 = log.iter().map(|run| u64::from(run.count)).sum();
                for place in 0..all + 2 {
                    prop_assert_eq!(find(&log, place), walk(&log, place), "at {} in {:?}", place, log);
                }
            }
        }
    }
}
