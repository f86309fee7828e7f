//! The messages of one session's queue, in order.
//!
//! It is a ring whose next free place can be read before it is written. Memory fetches several reads at once, but a write
//! to where nobody has looked for long holds up all writes behind it; `VecDeque` does not show its free places.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A message for this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Its place in the table of messages.
    pub(super) message: u32,
    /// It was written on an earlier session of this client.
    pub(super) retry: bool,
    /// It was parked before.
    pub(super) late: bool,
    /// The recipient has declined it.
    pub(super) declined: bool,
}

/// Deliveries, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// None, or a power of two.
    places: Box<[Delivery]>,
    first: u32,
    len: u32,
}

/// The first memory that is taken is for so many.
const FIRST_PLACES: usize = 4;

impl Deliveries {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The place of the delivery with that index, where there are any places.
    #[inline]
    fn place(&self, index: usize) -> usize {
        (self.first as usize + index) & self.places.len().wrapping_sub(1)
    }

    /// What lies where the next delivery will be put: old, and of no meaning.
    #[inline]
    pub(super) fn free_place(&self) -> Option<&Delivery> {
        self.places.get(self.place(self.len()))
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Delivery> {
        if index < self.len() { self.places.get(self.place(index)).copied() } else { None }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Delivery> {
        let place = self.place(index);
        if index < self.len() { self.places.get_mut(place) } else { None }
    }

    #[inline]
    pub(super) fn push(&mut self, delivery: Delivery) {
        if self.len() == self.places.len() {
            self.grow();
        }
        let place = self.place(self.len());
        if let Some(free) = self.places.get_mut(place) {
            *free = delivery;
            self.len += 1;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let count = (2 * self.places.len()).max(FIRST_PLACES);
        let mut places = Vec::with_capacity(count);
        places.extend(self.iter());
        places.resize(count, Delivery::default());
        (self.places, self.first) = (places.into_boxed_slice(), 0);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.get(0)?;
        self.first = self.place(1) as u32;
        self.len -= 1;
        Some(delivery)
    }

    /// Takes one out; those before it move up.
    pub(super) fn remove(&mut self, index: usize) {
        if index >= self.len() {
            return;
        }
        for index in (0..index).rev() {
            if let (Some(delivery), Some(place)) = (self.get(index), self.get_mut(index + 1)) {
                *place = delivery;
            }
        }
        self.pop();
    }

    /// Keeps those for which `keep` says so; it is asked about each once, in order, with its index.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize, &Delivery) -> bool) {
        let mut kept = 0;
        for index in 0..self.len() {
            // What is not kept is passed over.
            let Some(delivery) = self.get(index).filter(|delivery| keep(index, delivery)) else { continue };
            if let Some(place) = self.get_mut(kept) {
                *place = delivery;
                kept += 1;
            }
        }
        self.len = kept as u32;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Delivery> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    fn numbered(message: u32) -> Delivery {
        Delivery { message, ..Delivery::default() }
    }

    proptest! {
        /// Whatever is done with it, it holds what a queue of the standard library holds.
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((0_u8..6, any::<prop::sample::Index>()), 0..200)) {
            let (mut ours, mut theirs) = (Deliveries::default(), VecDeque::new());
            for (number, (step, index)) in steps.into_iter().enumerate() {
                let index = index.index(theirs.len() + 2);
                match step {
                    0..=2 => {
                        ours.push(numbered(number as u32));
                        theirs.push_back(numbered(number as u32));
                    }
                    3 => prop_assert_eq!(ours.pop(), theirs.pop_front()),
                    4 => {
                        ours.remove(index);
                        theirs.remove(index);
                    }
                    _ => {
                        let mut asked = 0;
                        ours.retain(|place, delivery| {
                            assert_eq!(place, asked);
                            asked += 1;
                            !(delivery.message as usize + index).is_multiple_of(3)
                        });
                        theirs.retain(|delivery| !(delivery.message as usize + index).is_multiple_of(3));
                    }
                }
                prop_assert!(ours.iter().eq(theirs.iter().copied()));
                prop_assert_eq!(ours.get(index), theirs.get(index).copied());
                prop_assert_eq!(ours.get_mut(index), theirs.get_mut(index));
                prop_assert_eq!(ours.len(), theirs.len());
            }
        }
    }
}
