//! Ordered sets of keys for timers, waiting messages and watches, and how much memory tables keep. All sets are of one
//! type, because each type of tree costs three KB of code, which counts on a microcontroller.

use alloc::collections::{BTreeSet, VecDeque};
use slab::Slab;

/// A key of a set; the table that owns the set defines the meaning of each number.
pub(crate) type Key = (u64, u64, u64);
/// A set of keys.
pub(crate) type KeySet = BTreeSet<Key>;

/// The largest key that begins with that number. The smallest one has zeros.
pub(crate) const fn last_of(first: u64) -> Key {
    (first, u64::MAX, u64::MAX)
}

/// The two halves of a UUID, in its order.
pub(crate) fn halves(uuid: [u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(uuid);
    ((whole >> 64) as u64, whole as u64)
}

/// A queue keeps so many places, however few are in use.
pub(crate) const MIN_PLACES: usize = 64;
/// A table of at most so many places does not shrink.
pub(crate) const MIN_TABLE: usize = 16_384;
/// The most places per used one that a queue keeps when it has shrunk.
pub(crate) const MAX_SPARE: usize = 4;

/// True if a table is large and most of its places are not in use.
#[inline]
pub(crate) fn is_oversized(len: usize, capacity: usize) -> bool {
    capacity > MIN_TABLE && MAX_SPARE * len < capacity
}

/// Gives back free memory at the end of a table of which most is not in use. Entries cannot move, because other tables name
/// them by their places.
pub(crate) fn shrink_table<T>(table: &mut Slab<T>) {
    if is_oversized(table.len(), table.capacity()) {
        table.shrink_to_fit();
    }
}

/// Makes a place for one more entry in a table that has at most `most`. The table doubles, but takes no more places than
/// these: on a microcontroller the last half of a table counts.
pub(crate) fn reserve_one<T>(table: &mut Slab<T>, most: usize) {
    if table.len() == table.capacity() {
        table.reserve_exact(next_places(table.len(), most));
    }
}

/// The number of places by which such a table grows from `places`.
pub(crate) fn next_places(places: usize, most: usize) -> usize {
    places.max(4).min(most.saturating_sub(places)).max(1)
}

/// Gives back memory of a queue of which most is not in use. If called whenever an entry has left, it costs little per
/// entry.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_with_one_first_number_are_a_range() {
        let keys = KeySet::from([(1, 2, 3), (2, 0, 0), (2, u64::MAX, u64::MAX), (3, 0, 0)]);
        assert_eq!(keys.range((2, 0, 0)..=last_of(2)).count(), 2);
    }

    #[test]
    fn the_halves_of_uuids_have_the_same_order() {
        let uuids = [1, u64::MAX.into(), 1 << 64, u128::MAX].map(u128::to_be_bytes);
        assert!(uuids.map(halves).is_sorted() && halves(uuids[2]) == (1, 0));
    }

    #[test]
    fn a_table_doubles_up_to_its_limit() {
        let mut table = Slab::new();
        let mut sizes = BTreeSet::new();
        for entry in 0..100 {
            reserve_one(&mut table, 100);
            table.insert(entry);
            sizes.insert(table.capacity());
        }
        assert!(sizes.iter().eq(&[4, 8, 16, 32, 64, 100]), "{sizes:?}");
        assert_eq!(next_places(100, 100), 1, "a caller beyond the limit gets a place all the same");
    }

    #[test]
    fn memory_of_which_most_is_free_is_given_back() {
        let mut queue: VecDeque<u32> = (0..1_000).collect();
        queue.truncate(300);
        shrink(&mut queue);
        assert!(queue.capacity() >= 1_000);
        queue.truncate(10);
        shrink(&mut queue);
        assert!(queue.len() == 10 && queue.capacity() <= MIN_PLACES, "{}", queue.capacity());
        let mut table: Slab<u8> = (0..=MIN_TABLE).map(|key| (key, 0)).collect();
        table.retain(|key, _| key < 100);
        shrink_table(&mut table);
        assert!(table.len() == 100 && table.capacity() < MIN_TABLE, "{}", table.capacity());
        assert!(!is_oversized(0, MIN_TABLE));
    }
}
