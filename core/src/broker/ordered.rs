//! What is kept in order: timers, messages that wait, and who watches whom. All in trees of one kind, because each kind is a
//! program of three KB, which counts on a microcontroller.

use alloc::collections::BTreeSet;

/// What stands in such a tree; what each number means is said where it is used.
pub(super) type Key = (u64, u64, u64);
/// Such a tree.
pub(super) type Ordered = BTreeSet<Key>;

/// The largest key that begins with that number; the smallest has zeros.
pub(super) const fn last_of(first: u64) -> Key {
    (first, u64::MAX, u64::MAX)
}

/// The two halves of a UUID, in its order.
pub(super) fn halves(uuid: [u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(uuid);
    ((whole >> 64) as u64, whole as u64)
}
