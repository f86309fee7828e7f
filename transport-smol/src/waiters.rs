//! Tasks that wait for the same thing, in the order in which they came.

use std::collections::BTreeMap;
use std::task::Waker;

/// Names a place among the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// Those who wait, each with the waker that is to be called next.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    places: BTreeMap<Place, Option<Waker>>,
}

impl Waiters {
    /// The last place.
    pub(crate) fn join(&mut self) -> Place {
        let place = Place(self.next);
        self.next += 1;
        self.places.insert(place, None);
        place
    }

    pub(crate) fn is_first(&self, place: Place) -> bool {
        self.places.keys().next() == Some(&place)
    }

    /// To be woken there from now on; returns the waker that was there before.
    pub(crate) fn wait(&mut self, place: Place, waker: &Waker) -> Option<Waker> {
        self.places.insert(place, Some(waker.clone())).flatten()
    }

    /// Gives a place up; returns the waker that was there.
    pub(crate) fn leave(&mut self, place: Place) -> Option<Waker> {
        self.places.remove(&place).flatten()
    }

    /// Moves the waker of the first to those that are to be called.
    pub(crate) fn wake_first(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.places.values_mut().next().and_then(Option::take));
    }

    /// Moves all wakers to those that are to be called.
    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.places.values_mut().filter_map(Option::take));
    }
}
