//! The log of a queue: which numbers were given to what, in runs.

use crate::bug::OrBug;
use alloc::collections::VecDeque;

/// What kind of item has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Delivery,
    /// Deliveries that have ended since they got their numbers.
    Void,
    Receipt,
    Refusal,
    Presence,
}

/// Items of one kind with numbers one after the other. There are many, so what lies [`Before`] one has no gaps here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    refusals: u8,
    presence: u16,
    pub(crate) count: u32,
    /// What it takes of the window in bytes, where it is void.
    pub(crate) bytes: u32,
    items: u32,
    deliveries: u32,
    receipts: u32,
}

/// How many items lie before a run, in all and of each kind: so one is found without going through all before it. They count
/// from anywhere and run over, and so only differences mean something.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    items: u32,
    deliveries: u32,
    receipts: u32,
    presence: u16,
    refusals: u8,
}

/// The next item to be written again on this link, as places in the queues and the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) run: usize,
    pub(crate) in_run: u32,
    pub(crate) deliveries: usize,
    receipts: usize,
    refusals: usize,
    presence: usize,
}

impl Before {
    /// With so many more of that kind.
    fn with(self, kind: Kind, count: u32) -> Self {
        let Self { items, mut deliveries, mut receipts, mut presence, mut refusals } = self;
        match kind {
            Kind::Delivery => deliveries = deliveries.wrapping_add(count),
            Kind::Receipt => receipts = receipts.wrapping_add(count),
            // There are never as many of these as they count.
            Kind::Refusal => refusals = refusals.wrapping_add(count as u8),
            Kind::Presence => presence = presence.wrapping_add(count as u16),
            // Of void ones nothing is kept.
            Kind::Void => {}
        }
        Self { items: items.wrapping_add(count), deliveries, receipts, presence, refusals }
    }
}

impl Run {
    pub(crate) fn new(kind: Kind, count: u32) -> Self {
        Self { kind, count, ..Self::behind(Before::default()) }
    }

    /// Nothing, behind so many items.
    fn behind(before: Before) -> Self {
        let Before { items, deliveries, receipts, presence, refusals } = before;
        Self { kind: Kind::Void, refusals, presence, count: 0, bytes: 0, items, deliveries, receipts }
    }

    fn before(&self) -> Before {
        let Self { items, deliveries, receipts, presence, refusals, .. } = *self;
        Before { items, deliveries, receipts, presence, refusals }
    }

    /// A delivery that has ended, which takes so many bytes of the window.
    pub(crate) fn void(bytes: u32) -> Self {
        Self { bytes, ..Self::new(Kind::Void, 1) }
    }

    /// Adds it at the end of a log.
    pub(crate) fn push(mut self, log: &mut VecDeque<Self>) {
        if let Some(last) = log.back() {
            let Self { kind, count, bytes, .. } = self;
            self = Self { kind, count, bytes, ..Self::behind(last.before().with(last.kind, last.count)) };
        }
        log.push_back(self);
    }
}

impl Cursor {
    /// How many items of that kind lie before it; of void ones nothing is kept.
    pub(crate) fn before(&mut self, kind: Kind) -> Option<&mut usize> {
        match kind {
            Kind::Delivery => Some(&mut self.deliveries),
            Kind::Void => None,
            Kind::Receipt => Some(&mut self.receipts),
            Kind::Refusal => Some(&mut self.refusals),
            Kind::Presence => Some(&mut self.presence),
        }
    }

    /// The first `count` items that have numbers leave, all of one run, and that with them where they `end_run`.
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

    /// So many items of a run that has `of` are behind it.
    pub(crate) fn advance(&mut self, count: u32, of: u32) {
        self.in_run += count;
        if self.in_run >= of {
            (self.run, self.in_run) = (self.run + 1, 0);
        }
    }
}

/// What lies before the first item that is not acknowledged. Its run does not say that, where a part of it is.
fn first_number(log: &VecDeque<Run>) -> Option<Before> {
    let first = log.front()?;
    let second = log.get(1);
    Some(second.map_or(first.before(), |second| second.before().with(first.kind, first.count.wrapping_neg())))
}

/// Where the item with a number stands that lies so many places behind the first that is not acknowledged; behind the
/// last item, where there are no more.
pub(crate) fn find(log: &VecDeque<Run>, place: u64) -> Cursor {
    let Some(first) = first_number(log) else {
        // Nothing has a number.
        return Cursor::default();
    };
    // Below zero of the first run, where a part of it is acknowledged.
    let items_before = |run: &Run| i64::from(run.items.wrapping_sub(first.items).cast_signed());
    let place = i64::try_from(place).unwrap_or(i64::MAX); // No queue is as long as that.
    let run = log.partition_point(|run| items_before(run) <= place).saturating_sub(1);
    let Some(found) = log.get(run).or_bug("a run was found that is not there") else {
        return Cursor::default();
    };
    let before = if run == 0 { first } else { found.before() };
    let in_run = place - i64::from(before.items.wrapping_sub(first.items));
    let in_run = u32::try_from(in_run).unwrap_or(u32::MAX).min(found.count); // All of it, where that is the last.
    let mut cursor = Cursor {
        run,
        in_run,
        deliveries: before.deliveries.wrapping_sub(first.deliveries) as usize,
        receipts: before.receipts.wrapping_sub(first.receipts) as usize,
        refusals: before.refusals.wrapping_sub(first.refusals).into(),
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

/// Adds a run at the end of a log, as a part of the last one where that is alike. Void ones are joined as long as they take at
/// most so many bytes of the window together, so that it opens by and by.
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

    const KINDS: [Kind; 5] = [Kind::Delivery, Kind::Void, Kind::Receipt, Kind::Refusal, Kind::Presence];

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
                let before = Before { items: near, deliveries: near, receipts: near, presence: 65_530, refusals: 250 };
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
