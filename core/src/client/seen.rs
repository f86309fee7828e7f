//! The ids of messages that came: per sender the highest and a window of those below it, and those that came late.
//!
//! This decides whether a delivery with the retry mark is new, had before, or not for us. (PROTOCOL.md, "Recipient")

use super::memory::{Cutter, Table, record};
use crate::bug::OrBug;
use crate::wire::item::{DeliveryPast, Origin};

record! {
    UUID: [u8; 16],
    BOOT: u64,
    HIGHEST: u64,
    /// When a delivery of the sender came last, in deliveries; 0 if the record is empty.
    LAST_SEEN: u64,
    /// How many aliases of this link mean the sender.
    ALIASES: u8,
    /// A ring of bits follows: the bit at the remainder of an id by the window's size says that the id was had.
    => HAD
}

record! {
    LATE_UUID: [u8; 16],
    LATE_BOOT: u64,
    LATE_ID: u64,
    => LATE
}

record! {
    /// The record of the sender that the alias means.
    ALIAS_SENDER: u16,
    /// The id of the last delivery under the alias.
    ALIAS_LAST: u64,
    => ALIAS
}

/// An alias without a meaning. No record has that index: there is one less than 16 bits can count.
const NOBODY: u16 = u16::MAX;

/// What to do with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It is new: into the inbox.
    HandOn,
    /// It was had: acknowledge it, nothing else.
    HadIt,
    /// It is not for us, or too late for the order: decline it.
    Decline,
}

/// A delivery with the retry mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repetition {
    pub(super) past: DeliveryPast,
    /// For this UUID, not for a filter.
    pub(super) direct: bool,
    /// Its past is *taken*, and this client had a session then, and has it still.
    pub(super) here: bool,
    /// Its past is *taken*, and this client had a session then, which may have ended.
    pub(super) had_been_here: bool,
}

/// The table of senders, the aliases of this link, the late list.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    senders: Table,
    aliases: Table,
    late: Table,
    next_late: u16,
    /// True if an entry of the late list had to make room: what is not in it may have been had all the same.
    late_overflowed: bool,
    clock: u64,
}

impl Seen {
    pub(super) fn new(
        cutter: &mut Cutter,
        senders: u16,
        seen_window: u16,
        aliases: u16,
        late_ids: u16,
    ) -> Self {
        Self {
            senders: cutter.table(HAD + usize::from(seen_window) / 8, u32::from(senders)),
            aliases: cutter.table(ALIAS, u32::from(aliases)),
            late: cutter.table(LATE, u32::from(late_ids)),
            next_late: 0,
            late_overflowed: false,
            clock: 0,
        }
    }

    /// Empties all tables.
    pub(super) fn format(&mut self, m: &mut [u8]) {
        for index in 0..self.senders.count() {
            self.senders.set(m, index, LAST_SEEN, 0);
        }
        for index in 0..self.late.count() {
            self.late.set(m, index, LATE_ID, 0);
        }
        self.start_link(m);
    }

    /// A new link: no alias means anything.
    pub(super) fn start_link(&mut self, m: &mut [u8]) {
        for alias in 0..self.aliases.count() {
            self.aliases.set(m, alias, ALIAS_SENDER, NOBODY);
        }
        for index in 0..self.senders.count() {
            self.senders.set(m, index, ALIASES, 0);
        }
    }

    /// An alias gets its meaning; false if there is no such alias.
    pub(super) fn define(&mut self, m: &mut [u8], alias: u8, origin: &Origin) -> bool {
        let alias = u32::from(alias);
        if alias >= self.aliases.count() {
            return false;
        }
        let old = self.aliases.get(m, alias, ALIAS_SENDER);
        if old != NOBODY {
            let count = self.senders.get(m, u32::from(old), ALIASES);
            self.senders.set(m, u32::from(old), ALIASES, count.saturating_sub(1));
        }
        let sender = self.find_or_make(m, origin);
        let count = self.senders.get(m, sender, ALIASES);
        self.senders.set(m, sender, ALIASES, count.saturating_add(1));
        // Below the count, which has 16 bits.
        self.aliases.set(m, alias, ALIAS_SENDER, sender as u16);
        self.aliases.set(m, alias, ALIAS_LAST, 0);
        true
    }

    /// The record of a sender, in place of the one seen longest ago if it is new. A record that an alias means
    /// stays: there are no more aliases than records, and one of them has just given up its meaning.
    fn find_or_make(&mut self, m: &mut [u8], origin: &Origin) -> u32 {
        let (mut oldest, mut oldest_seen) = (0, u64::MAX);
        for index in 0..self.senders.count() {
            let record = self.senders.record::<HAD>(m, index);
            let seen = LAST_SEEN.of(record);
            let same = UUID.of(record) == origin.uuid && BOOT.of(record) == origin.boot;
            if seen != 0 && same {
                return index;
            }
            if seen < oldest_seen && ALIASES.of(record) == 0 {
                (oldest, oldest_seen) = (index, seen);
            }
        }
        self.clock += 1;
        if let Some(record) = self.senders.record_mut::<HAD>(m, oldest) {
            UUID.put(record, origin.uuid);
            BOOT.put(record, origin.boot);
            HIGHEST.put(record, 0);
            LAST_SEEN.put(record, self.clock);
        }
        self.senders.bytes_mut(m, oldest, HAD).fill(0);
        oldest
    }

    /// The record that an alias means, and the id of a delivery under it.
    pub(super) fn resolve(&mut self, m: &mut [u8], alias: u8, id_step: i64) -> Option<(u32, u64)> {
        let alias = u32::from(alias);
        if alias >= self.aliases.count() {
            return None;
        }
        let record = self.aliases.record_mut::<ALIAS>(m, alias)?;
        let (sender, id) = (ALIAS_SENDER.of(record), ALIAS_LAST.of(record).wrapping_add_signed(id_step));
        ALIAS_LAST.put(record, id);
        (sender != NOBODY && id != 0).then_some((u32::from(sender), id))
    }

    /// Who a record is about.
    pub(super) fn origin(&self, m: &[u8], sender: u32) -> Origin {
        let record = self.senders.record::<HAD>(m, sender);
        Origin { uuid: UUID.of(record), boot: BOOT.of(record) }
    }

    /// Decides about a delivery and marks what is handed on.
    pub(super) fn classify(
        &mut self,
        m: &mut [u8],
        sender: u32,
        id: u64,
        late: bool,
        repetition: Option<Repetition>,
    ) -> Disposition {
        self.clock += 1;
        let disposition = match repetition {
            None => Disposition::HandOn,
            Some(repetition) => self.classify_repetition(m, sender, id, repetition),
        };
        let is_new = disposition == Disposition::HandOn;
        self.note_seen(m, sender, is_new.then_some(id));
        if is_new && (late || repetition.is_some_and(|r| r.past == DeliveryPast::Parked && !r.direct)) {
            self.mark_late(m, sender, id);
        }
        disposition
    }

    /// The rule for a delivery that may be a repetition, case by case in the order of PROTOCOL.md.
    fn classify_repetition(&self, m: &[u8], sender: u32, id: u64, repetition: Repetition) -> Disposition {
        let Repetition { past, direct, here, had_been_here } = repetition;
        let was_accepted = matches!(past, DeliveryPast::Taken { .. });
        let highest = self.senders.get(m, sender, HIGHEST);
        if id > highest {
            return if was_accepted && !direct && !here { Disposition::Decline } else { Disposition::HandOn };
        }
        let below = highest - id;
        if below < self.window() && self.has_had(m, sender, id) {
            // Who had what was for its own UUID is the recipient, whenever it came. Otherwise it is one that had a session when
            // the message was accepted, whether or not this session has ended since.
            return if was_accepted && !direct && !had_been_here {
                Disposition::Decline
            } else {
                Disposition::HadIt
            };
        }
        if past == DeliveryPast::Parked && !direct {
            if self.is_late(m, sender, id) {
                return Disposition::HadIt;
            }
            // Within the window a clear bit proves that it was not had; below, only a late list that has forgotten
            // nothing does.
            return if below < self.window() || !self.late_overflowed {
                Disposition::HandOn
            } else {
                Disposition::Decline
            };
        }
        // In the window it was not had, but now it would come out of order. Below nothing is known: that this client was
        // there when it was accepted does not prove that it was meant, nor that it got it.
        Disposition::Decline
    }

    /// Notes when a sender was seen, and marks an id of it as had.
    #[inline(always)] // Each message would pay for a call.
    fn note_seen(&self, m: &mut [u8], sender: u32, id: Option<u64>) {
        let record = self.senders.bytes_mut(m, sender, 0);
        let Some((record, had)) = record.split_first_chunk_mut::<HAD>().or_bug("a sender has no record")
        else {
            return;
        };
        LAST_SEEN.put(record, self.clock);
        // The delivery brings no new id.
        let Some(id) = id else { return };
        let highest = HIGHEST.of(record);
        if id > highest {
            if id - highest >= self.window() {
                had.fill(0);
            } else if id - highest > 1 {
                // The places of the ids in between were those of ids that have left the window.
                let (from, to) = (self.remainder(highest + 1), self.remainder(id));
                if from <= to {
                    clear_bits(had, from, to);
                } else {
                    clear_bits(had, from, self.window_bits());
                    clear_bits(had, 0, to);
                }
            }
            HIGHEST.put(record, id);
        } else if highest - id >= self.window() {
            return;
        }
        let (byte, bit) = self.place(id);
        had.get_mut(byte).into_iter().for_each(|byte| *byte |= bit);
    }

    /// How many ids the window of a sender has.
    fn window(&self) -> u64 {
        self.window_bits() as u64
    }

    fn window_bits(&self) -> usize {
        8 * self.senders.bytes_from(HAD)
    }

    /// The byte of a window and the bit in it that stand for an id.
    fn place(&self, id: u64) -> (usize, u8) {
        let place = self.remainder(id);
        (place / 8, 1 << (place % 8))
    }

    /// The place of an id in the ring.
    fn remainder(&self, id: u64) -> usize {
        // A window is never empty: the config was checked.
        id.checked_rem(self.window()).unwrap_or(0) as usize
    }

    fn has_had(&self, m: &[u8], sender: u32, id: u64) -> bool {
        let (byte, bit) = self.place(id);
        self.senders.bytes(m, sender, HAD).get(byte).is_some_and(|byte| byte & bit != 0)
    }

    fn mark_late(&mut self, m: &mut [u8], sender: u32, id: u64) {
        if self.late.count() == 0 {
            self.late_overflowed = true;
            return;
        }
        let origin = self.origin(m, sender);
        if let Some(record) = self.late.record_mut::<LATE>(m, u32::from(self.next_late)) {
            self.late_overflowed |= LATE_ID.of(record) != 0;
            LATE_UUID.put(record, origin.uuid);
            LATE_BOOT.put(record, origin.boot);
            LATE_ID.put(record, id);
        }
        // Below the count, which has 16 bits.
        self.next_late = self.late.ring(u32::from(self.next_late) + 1) as u16;
    }

    fn is_late(&self, m: &[u8], sender: u32, id: u64) -> bool {
        let origin = self.origin(m, sender);
        (0..self.late.count()).any(|index| {
            let record = self.late.record::<LATE>(m, index);
            LATE_ID.of(record) == id
                && LATE_BOOT.of(record) == origin.boot
                && LATE_UUID.of(record) == origin.uuid
        })
    }
}

/// Clears the bits with these places, byte by byte: how many there are is up to the sender.
fn clear_bits(bytes: &mut [u8], from: usize, to: usize) {
    let (first, last) = (from / 8, to / 8);
    let (keep_front, keep_back) = (!(0xff_u8 << (from % 8)), 0xff_u8 << (to % 8));
    if first == last {
        bytes.get_mut(first).into_iter().for_each(|byte| *byte &= keep_front | keep_back);
        return;
    }
    bytes.get_mut(first).into_iter().for_each(|byte| *byte &= keep_front);
    bytes.get_mut(first + 1..last).into_iter().for_each(|whole| whole.fill(0));
    // Where `to` is the end of the ring there is no such byte.
    bytes.get_mut(last).into_iter().for_each(|byte| *byte &= keep_back);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin { uuid: [1; 16], boot: 1 };

    fn seen() -> (Seen, std::vec::Vec<u8>) {
        let mut cutter = Cutter::default();
        let mut seen = Seen::new(&mut cutter, 2, 64, 2, 2);
        let mut memory = std::vec![0; cutter.used()];
        seen.format(&mut memory);
        assert!(seen.define(&mut memory, 0, &ORIGIN));
        (seen, memory)
    }

    fn taken(here: bool, answered_first: bool) -> Option<Repetition> {
        let past = DeliveryPast::Taken { epoch: 1, session: 1, answered_first };
        Some(Repetition { past, direct: false, here, had_been_here: here })
    }

    #[test]
    fn a_repetition_is_classified_by_what_was_had() {
        let (mut seen, mut m) = seen();
        let m = m.as_mut_slice();
        let sent =
            Some(Repetition { past: DeliveryPast::Sent, direct: false, here: false, had_been_here: false });
        let parked =
            Some(Repetition { past: DeliveryPast::Parked, direct: false, here: false, had_been_here: false });
        assert_eq!(seen.classify(m, 0, 100, false, taken(false, true)), Disposition::Decline, "not here");
        assert_eq!(seen.classify(m, 0, 100, false, taken(true, true)), Disposition::HandOn);
        assert_eq!(seen.classify(m, 0, 100, false, taken(true, true)), Disposition::HadIt);
        assert_eq!(
            seen.classify(m, 0, 100, false, taken(false, true)),
            Disposition::Decline,
            "had, cannot be counted"
        );
        assert_eq!(seen.classify(m, 0, 100, false, sent), Disposition::HadIt);
        assert_eq!(seen.classify(m, 0, 99, false, sent), Disposition::Decline, "too late for the order");
        assert_eq!(seen.classify(m, 0, 99, false, parked), Disposition::HandOn);
        assert_eq!(seen.classify(m, 0, 99, false, parked), Disposition::HadIt);
        assert_eq!(seen.classify(m, 0, 36, false, sent), Disposition::Decline, "below the window");
        assert_eq!(
            seen.classify(m, 0, 36, false, taken(true, true)),
            Disposition::Decline,
            "it may not have matched then"
        );
        assert_eq!(seen.classify(m, 0, 36, false, parked), Disposition::HandOn);
        assert_eq!(seen.classify(m, 0, 36, false, parked), Disposition::HadIt, "remembered as late");
        assert_eq!(
            seen.classify(m, 0, 98, true, sent),
            Disposition::Decline,
            "too late for the order, parked or not"
        );
        assert_eq!(
            seen.classify(m, 0, 35, false, parked),
            Disposition::HandOn,
            "takes the place of 99 in the late list"
        );
        assert_eq!(
            seen.classify(m, 0, 34, false, parked),
            Disposition::Decline,
            "may have been had and forgotten"
        );
    }

    #[test]
    fn the_window_slides_and_forgets_what_falls_out_of_it() {
        let (mut seen, mut m) = seen();
        let m = m.as_mut_slice();
        let sent =
            Some(Repetition { past: DeliveryPast::Sent, direct: false, here: false, had_been_here: false });
        let mut had = std::collections::BTreeSet::new();
        for id in [1, 2, 3, 40, 63, 64, 65, 70, 127, 190, 191, 400, 401, 463] {
            seen.classify(m, 0, id, false, None);
            had.insert(id);
            for other in 1..=id {
                let expected = if id - other < 64 && had.contains(&other) {
                    Disposition::HadIt
                } else {
                    Disposition::Decline
                };
                assert_eq!(seen.classify(m, 0, other, false, sent), expected, "{other} after {id}");
            }
        }
    }

    #[test]
    fn core_p18_bits_are_cleared_by_bytes_and_no_others() {
        for from in 0..=64 {
            for to in from..=64 {
                let mut bytes = [0xff_u8; 8];
                clear_bits(&mut bytes, from, to);
                for place in 0..64 {
                    let is_set = bytes[place / 8] >> (place % 8) & 1 == 1;
                    assert_eq!(is_set, !(from..to).contains(&place), "{place} of {from}..{to}");
                }
            }
        }
    }

    #[test]
    fn the_sender_heard_longest_ago_is_forgotten_but_never_one_that_an_alias_means() {
        let (mut seen, mut m) = seen();
        let m = m.as_mut_slice();
        let origin = |n: u8| Origin { uuid: [n; 16], boot: 1 };
        assert_eq!(seen.classify(m, 0, 5, false, None), Disposition::HandOn);
        assert!(seen.define(m, 1, &origin(2)));
        assert!(seen.define(m, 1, &origin(3)), "takes the record of the second");
        assert_eq!(seen.resolve(m, 0, 7), Some((0, 7)));
        assert_eq!(seen.origin(m, 0), ORIGIN);
        assert!(!seen.define(m, 2, &origin(4)));
        seen.start_link(m);
        assert_eq!(seen.resolve(m, 0, 7), None);
        assert!(seen.define(m, 0, &origin(5)));
        let sent =
            Some(Repetition { past: DeliveryPast::Sent, direct: false, here: false, had_been_here: false });
        assert!(seen.define(m, 1, &origin(3)));
        assert_eq!(seen.classify(m, 1, 5, false, sent), Disposition::HandOn, "the first sender is forgotten");
    }
}
