//! The messages of one session's queue, in order: first those that have a number, then those that wait for one.
//!
//! The queue is a ring whose next free place can be read before it is written. Memory fetches several reads at once, but a
//! write to a place that is not in the cache holds up all writes behind it; `VecDeque` does not show its free places. With
//! `VecDeque`, and its last entry read instead, a message of W7 costs 1.42 times as much until it is in the queue of its
//! recipient (measured on 2026-11-30; docs/PERFORMANCE.md, "Prefetching").
//!
//! Between both parts there may be a gap. Deliveries at the head of the waiting part leave into it when their messages have
//! ended, and the next delivery that gets a number crosses it: both cost the same, however large the queue is.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// An entry of a queue: a message for its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueEntry {
    /// The place of the message in the table of messages.
    pub(crate) message: u32,
    /// The delivery was written in an earlier session of this client.
    pub(crate) retry: bool,
    /// The message was parked before.
    pub(crate) late: bool,
    /// The recipient has declined the delivery.
    pub(crate) declined: bool,
}

/// Deliveries, the oldest first. Index 0 is the first one with a number; behind the numbered ones are those that wait.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// The ring; its length is 0 or a power of two.
    places: Box<[QueueEntry]>,
    first: u32,
    /// Places from the first delivery to the last, the gap included.
    span: u32,
    numbered: u32,
    /// Free places behind the numbered deliveries; 0 if nothing waits behind them, or nothing has a number.
    gap: u32,
}

/// The number of places in the first allocation.
const FIRST_PLACES: usize = 4;

impl Deliveries {
    pub(crate) fn len(&self) -> usize {
        (self.span - self.gap) as usize
    }

    /// The number of places that the deliveries take, the gap included: at least [`len`](Self::len).
    #[inline]
    pub(crate) fn span(&self) -> u32 {
        self.span
    }

    pub(crate) fn numbered(&self) -> usize {
        self.numbered as usize
    }

    /// True if no delivery waits for a number.
    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.numbered + self.gap == self.span
    }

    /// The number of places, free ones included.
    pub(crate) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The place at that offset from the first.
    #[inline]
    fn place(&self, offset: u32) -> usize {
        (self.first as usize + offset as usize) & self.places.len().wrapping_sub(1)
    }

    /// The offset of the delivery with that index from the first place.
    fn offset(&self, index: usize) -> u32 {
        // There are at most 2^32 places.
        let index = index as u32;
        if index < self.numbered { index } else { index + self.gap }
    }

    /// The entry in the place of the next delivery: an old one, without meaning.
    #[inline]
    pub(crate) fn free_place(&self) -> Option<QueueEntry> {
        self.places.get(self.place(self.span)).copied()
    }

    pub(crate) fn get(&self, index: usize) -> Option<QueueEntry> {
        // There is no delivery behind the last one.
        if index < self.len() { self.places.get(self.place(self.offset(index))).copied() } else { None }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut QueueEntry> {
        let place = self.place(self.offset(index));
        // There is no delivery behind the last one.
        if index < self.len() { self.places.get_mut(place) } else { None }
    }

    /// The first delivery that waits for a number.
    #[inline]
    pub(crate) fn first_waiting(&self) -> Option<QueueEntry> {
        // It may be that no delivery waits.
        if self.is_written() { None } else { self.places.get(self.place(self.numbered + self.gap)).copied() }
    }

    /// True if there is no free place before [`make_room`](Self::make_room).
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.span as usize == self.places.len()
    }

    /// Adds a delivery at the end. There must be a free place.
    #[inline]
    pub(crate) fn push(&mut self, delivery: QueueEntry) {
        let place = self.place(self.span);
        match self.places.get_mut(place) {
            Some(free) => {
                *free = delivery;
                self.span += 1;
            }
            None => bug!("no place was made for a delivery"),
        }
    }

    /// Makes free places: closes the gap if it is large, so that this costs little per delivery that left into it, or else
    /// doubles the ring. Returns the number of new places.
    #[cold]
    pub(crate) fn make_room(&mut self) -> usize {
        let places = self.places.len();
        let is_gap_large = self.gap > 0 && 4 * self.gap as usize >= places;
        self.move_to(if is_gap_large { places } else { (2 * places).max(FIRST_PLACES) });
        self.places.len() - places
    }

    /// Moves all deliveries to a new ring of that size, without a gap. One message can be the next for very many queues
    /// that are full, so the cost of this counts.
    fn move_to(&mut self, places: usize) {
        if places == FIRST_PLACES && self.span == 0 {
            (self.places, self.first) = (Box::new([QueueEntry::default(); FIRST_PLACES]), 0);
            return;
        }
        let mut new = Vec::with_capacity(places);
        let waits_from = self.numbered + self.gap;
        for part in [0..self.numbered, waits_from..self.span.max(waits_from)] {
            let (start, count) = (self.place(part.start), part.len());
            // A part may go on at the front of the ring.
            let behind = self.places.get(start..).unwrap_or_default();
            let behind = behind.get(..count).unwrap_or(behind);
            new.extend_from_slice(behind);
            // If the whole part was copied, this slice is empty.
            new.extend_from_slice(self.places.get(..count - behind.len()).unwrap_or_default());
        }
        new.resize(places, QueueEntry::default());
        (self.places, self.first, self.span, self.gap) = (new.into_boxed_slice(), 0, self.len() as u32, 0);
    }

    /// Gives back memory that the deliveries do not need; returns the number of places.
    pub(crate) fn shrink(&mut self) -> usize {
        let places = self.places.len();
        // One place stays free.
        let needed = (self.len() + 1).next_power_of_two().max(FIRST_PLACES);
        if needed < places {
            self.move_to(needed);
        }
        places - self.places.len()
    }

    /// Gives a number to the first delivery that waits.
    #[inline]
    pub(crate) fn number(&mut self) {
        if self.gap > 0 {
            self.cross_gap();
        }
        self.numbered += 1;
    }

    #[cold]
    fn cross_gap(&mut self) {
        let (from, to) = (self.place(self.numbered + self.gap), self.place(self.numbered));
        if from < self.places.len() && to < self.places.len() {
            self.places.swap(from, to);
        } else {
            bug!("places beyond the ring");
        }
        if self.numbered + 1 + self.gap == self.span {
            // No other delivery waits behind the one that crossed the gap.
            (self.span, self.gap) = (self.numbered + 1, 0);
        }
    }

    /// Removes the first delivery, which must have a number.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<QueueEntry> {
        if self.numbered == 0 {
            bug!("no delivery has a number");
            return None;
        }
        let delivery = self.places.get(self.place(0)).copied();
        self.first = self.place(1) as u32;
        self.span -= 1;
        self.numbered -= 1;
        if self.numbered == 0 {
            self.pass_gap();
        }
        delivery
    }

    /// Moves the start past the gap, if no delivery has a number: the first one that waits comes first.
    #[inline]
    fn pass_gap(&mut self) {
        self.first = self.place(self.gap) as u32;
        self.span -= self.gap;
        self.gap = 0;
    }

    /// Removes the first delivery that waits.
    pub(crate) fn drop_first_waiting(&mut self) {
        if self.is_written() {
            bug!("no delivery waits");
            return;
        }
        self.gap += 1;
        if self.numbered == 0 {
            self.pass_gap();
        } else if self.is_written() {
            (self.span, self.gap) = (self.numbered, 0);
        }
    }

    /// Keeps the deliveries for which `keep` returns true; it is called once for each, in order, with its index.
    pub(crate) fn retain(&mut self, keep: impl FnMut(usize, &QueueEntry) -> bool) {
        self.retain_among(0..self.len(), keep);
    }

    /// The same among the deliveries in a range of indices; all others stay.
    pub(crate) fn retain_among(
        &mut self,
        among: Range<usize>,
        mut keep: impl FnMut(usize, &QueueEntry) -> bool,
    ) {
        // There are at most 2^32 places.
        let from = if self.gap > 0 { among.start.min(self.numbered()) } else { among.start } as u32;
        let (mut kept, mut numbered) = (from, from.min(self.numbered));
        for index in from as usize..self.len() {
            if index >= among.end && self.gap == 0 && index == kept as usize {
                // No delivery has left, and the others keep their places.
                return;
            }
            let Some(delivery) = self.get(index) else {
                bug!("fewer deliveries than were counted");
                break;
            };
            if among.contains(&index) && !keep(index, &delivery) {
                // This delivery leaves.
                continue;
            }
            numbered += u32::from(index < self.numbered());
            let place = self.place(kept);
            if let Some(place) = self.places.get_mut(place) {
                *place = delivery;
                kept += 1;
            }
        }
        (self.span, self.numbered, self.gap) = (kept, numbered, 0);
    }

    /// Removes the numbers of all deliveries: all wait again.
    pub(crate) fn clear_number(&mut self) {
        if self.gap > 0 {
            self.retain(|_, _| true);
        }
        self.numbered = 0;
    }

    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = QueueEntry> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    fn push(deliveries: &mut Deliveries, message: u32) {
        if deliveries.is_full() {
            deliveries.make_room();
        }
        deliveries.push(delivery(message));
    }

    fn delivery(message: u32) -> QueueEntry {
        QueueEntry { message, ..QueueEntry::default() }
    }

    proptest! {
        /// Whatever is done with it, it holds what two queues of the standard library hold.
        #[test]
        fn it_is_two_queues(steps in prop::collection::vec((0_u8..11, any::<prop::sample::Index>()), 0..400)) {
            let mut ours = Deliveries::default();
            let (mut numbered, mut waiting) = (VecDeque::new(), VecDeque::new());
            for (number, (step, index)) in steps.into_iter().enumerate() {
                match step {
                    0..=3 => {
                        push(&mut ours, number as u32);
                        waiting.push_back(delivery(number as u32));
                    }
                    4 if !numbered.is_empty() => prop_assert_eq!(ours.pop(), numbered.pop_front()),
                    5 | 6 if !waiting.is_empty() => {
                        ours.drop_first_waiting();
                        waiting.pop_front();
                    }
                    7 | 8 if !waiting.is_empty() => {
                        ours.number();
                        numbered.extend(waiting.pop_front());
                    }
                    9 => {
                        let (start, shift) = (index.index(ours.len() + 1), index.index(3));
                        let among = start..start + index.index(ours.len() + 1 - start);
                        let keep = |delivery: &QueueEntry| !(delivery.message as usize + shift).is_multiple_of(3);
                        let mut asked = among.clone();
                        ours.retain_among(among.clone(), |place, delivery| {
                            assert_eq!(Some(place), asked.next());
                            keep(delivery)
                        });
                        assert_eq!(asked.next(), None);
                        let mut place = 0;
                        for queue in [&mut numbered, &mut waiting] {
                            queue.retain(|delivery| {
                                place += 1;
                                !among.contains(&(place - 1)) || keep(delivery)
                            });
                        }
                    }
                    10 if index.index(4) == 0 => {
                        ours.clear_number();
                        numbered.append(&mut waiting);
                        (numbered, waiting) = (VecDeque::new(), numbered);
                    }
                    _ => drop(ours.shrink()),
                }
                prop_assert!(ours.iter().eq(numbered.iter().chain(&waiting).copied()));
                prop_assert_eq!((ours.len(), ours.numbered()), (numbered.len() + waiting.len(), numbered.len()));
                prop_assert_eq!(ours.first_waiting(), waiting.front().copied());
                prop_assert_eq!(ours.is_written(), waiting.is_empty());
                let index = index.index(ours.len() + 2);
                let expected = numbered.iter().chain(&waiting).nth(index).copied();
                prop_assert_eq!(ours.get(index), expected);
                prop_assert_eq!(ours.get_mut(index).copied(), expected);
            }
        }
    }

    #[test]
    fn core_p7_what_leaves_before_it_has_a_number_takes_no_place_for_long() {
        let mut deliveries = Deliveries::default();
        for message in 0..1_000 {
            push(&mut deliveries, message);
            deliveries.number();
        }
        for message in 0..300_000 {
            push(&mut deliveries, message);
            if deliveries.len() > 1_100 {
                deliveries.drop_first_waiting();
            }
        }
        assert!(deliveries.capacity() <= 4_096, "{}", deliveries.capacity());
        for message in 0..1_000 {
            assert_eq!(deliveries.pop(), Some(delivery(message)));
        }
    }
}
