//! What is kept in order, and how much memory that keeps: timers, messages that wait, and watches. All in trees of one kind,
//! because each kind is a program of three KB, which counts on a microcontroller.

use alloc::collections::{BTreeSet, VecDeque};
use slab::Slab;

/// What stands in such a tree; what each number means is said where it is used.
pub(crate) type Key = (u64, u64, u64);
/// Such a tree.
pub(crate) type KeySet = BTreeSet<Key>;

/// The largest key that begins with that number; the smallest has zeros.
pub(crate) const fn last_of(first: u64) -> Key {
    (first, u64::MAX, u64::MAX)
}

/// The two halves of a UUID, in its order.
pub(crate) fn halves(uuid: [u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(uuid);
    ((whole >> 64) as u64, whole as u64)
}

/// So many places stay however few are in use.
pub(crate) const MIN_PLACES: usize = 64;
/// A table with so many places or fewer stays as it is.
pub(crate) const MIN_TABLE: usize = 16_384;
/// A queue that has shrunk takes at most so many places for each that is in use.
pub(crate) const MAX_SPARE: usize = 4;

/// True where most of the places of a table are not in use, and so many that they count.
#[inline]
pub(crate) fn is_oversized(len: usize, capacity: usize) -> bool {
    capacity > MIN_TABLE && MAX_SPARE * len < capacity
}

/// Gives back memory of a table of which most is not in use, as far as its end is free: those that are in use are named by
/// their places, and cannot move.
pub(crate) fn shrink_table<T>(table: &mut Slab<T>) {
    if is_oversized(table.len(), table.capacity()) {
        table.shrink_to_fit();
    }
}

/// Makes place for one more in a table that comes to hold so many: it doubles, but takes no more places than these. On a
/// microcontroller the last half of a table counts.
pub(crate) fn reserve_one<T>(table: &mut Slab<T>, most: usize) {
    if table.len() == table.capacity() {
        table.reserve_exact(next_places(table.len(), most));
    }
}

/// So many places more get a table that has so many and comes to hold so many.
pub(crate) fn next_places(places: usize, most: usize) -> usize {
    places.max(4).min(most.saturating_sub(places)).max(1)
}

/// Gives back memory of a queue of which most is not in use. To be called when something has left it: this costs little for
/// each that has.
#[inline]
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > MIN_PLACES && MAX_SPARE * queue.len() < queue.capacity() {
        shrink_now(queue);
    }
}

#[cold]
fn shrink_now<T>(queue: &mut VecDeque<T>) {
    queue.shrink_to((2 * queue.len()).max(MIN_PLACES / 2));
}
