//! Messages for the application that it has not consumed yet, in order, and deliveries that were declined.
//!
//! Messages lie in a ring of records, their payloads in a ring of bytes, each in one piece, because events
//! borrow them. The acknowledgement follows from what is left here: it never passes a message that was not
//! consumed, one of an earlier session included, nor a declined one whose decline the broker has not acknowledged.
//! (PROTOCOL.md, "Recipient")

use super::event::{AckToken, Delivery, Event};
use super::memory::{Cutter, Region, Table, record};
use crate::bug::OrBug;
use crate::data::message::MessageId;
use crate::wire::item::Origin;
use crate::wire::window::Window;
use uuid::Uuid;

record! {
    NUMBER: u64,
    BOOT: u64,
    ID: u64,
    UUID: [u8; 16],
    /// Where the payload lies in the ring of payloads.
    AT: u32,
    LENGTH: u32,
    FLAGS: u8,
    => STRIDE
}

const REPEATED: u8 = 1;
const DIRECT: u8 = 2;

record! {
    /// The number of the delivery that is declined.
    DECLINED: u64,
    /// The number of the item that declines it; 0 before it is written.
    DECLINE: u64,
    => DECLINE_STRIDE
}

/// A message that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) origin: Origin,
    pub(super) id: u64,
    pub(super) repeated: bool,
    pub(super) direct: bool,
}

const NO_PAYLOAD: &str = "a payload lies outside the memory";

/// The inbox. Positions only count up; a position's record is its remainder.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    /// The application says itself which messages it has consumed.
    manual: bool,
    entries: Table,
    bytes: Region,
    /// How many bytes of payload may wait.
    max_bytes: u32,
    /// The oldest message.
    head: u64,
    /// The next message that the application has not peeked at.
    cursor: u64,
    tail: u64,
    /// Those before came in earlier sessions.
    session_start: u64,
    /// The record of the head.
    first: u32,
    /// Where the payload of the tail ends.
    end_byte: usize,
    /// The last position whose payload was placed at the front again.
    wrapped_at: u64,
    declines: Table,
    /// The record of the first decline, how many there are, and how many of them were written on this link.
    first_decline: u32,
    declined: u32,
    written: u32,
}

impl Inbox {
    pub(super) fn new(cutter: &mut Cutter, messages: u32, bytes: u32, manual: bool) -> Self {
        Self {
            manual,
            entries: cutter.table(STRIDE, messages),
            bytes: cutter.region(0),
            max_bytes: bytes,
            head: 0,
            cursor: 0,
            tail: 0,
            session_start: 0,
            first: 0,
            end_byte: 0,
            wrapped_at: 0,
            declines: cutter.table(DECLINE_STRIDE, messages),
            first_decline: 0,
            declined: 0,
            written: 0,
        }
    }

    /// Cuts the ring of payloads, in the part of memory that events borrow from, which begins at `base`.
    pub(super) fn cut_payloads(&mut self, cutter: &mut Cutter, max_payload: u32, base: usize) {
        // Where a payload does not fit before the end of the ring, that end stays empty: at most one payload.
        let spare = if self.entries.count() > 1 { max_payload } else { 0 };
        self.bytes = cutter.region(self.max_bytes as usize + spare as usize).rebased(base);
    }

    /// The record of a position that is not before the head; there are at most as many behind it as records.
    fn index(&self, position: u64) -> u32 {
        self.entries.ring(self.first + (position - self.head) as u32)
    }

    /// Adds a message; false if it has no room, which is the broker's fault.
    pub(super) fn push(
        &mut self,
        m: &mut [u8],
        payloads: &mut [u8],
        number: u64,
        entry: &Entry,
        payload: &[u8],
    ) -> bool {
        if self.tail - self.head >= u64::from(self.entries.count()) {
            return false;
        }
        // It goes beyond the window.
        let Some(at) = self.place(m, payload.len()) else { return false };
        if let Some(room) = payloads.get_mut(self.bytes.part(at, payload.len())).or_bug(NO_PAYLOAD) {
            room.copy_from_slice(payload);
        }
        self.end_byte = at + payload.len();
        let index = self.index(self.tail);
        let record = self.entries.record_mut::<STRIDE>(m, index).or_bug("a message has no record");
        let Some(record) = record else { return false };
        NUMBER.put(record, number);
        BOOT.put(record, entry.origin.boot);
        ID.put(record, entry.id);
        UUID.put(record, entry.origin.uuid);
        // Both are below the size of the region, which came from 32 bits.
        AT.put(record, at as u32);
        LENGTH.put(record, payload.len() as u32);
        let repeated = if entry.repeated { REPEATED } else { 0 };
        let direct = if entry.direct { DIRECT } else { 0 };
        FLAGS.put(record, repeated | direct);
        self.tail += 1;
        true
    }

    /// Where that many bytes fit in one piece.
    fn place(&mut self, m: &[u8], length: usize) -> Option<usize> {
        let first_byte = if self.head == self.tail {
            self.end_byte = 0;
            self.wrapped_at = 0;
            0
        } else {
            self.entries.get(m, self.first, AT) as usize
        };
        // Offsets alone do not show it: after empty payloads the end and the beginning are equal.
        let is_wrapped = self.head < self.wrapped_at;
        let limit = if is_wrapped { first_byte } else { self.bytes.len() };
        if length <= limit - self.end_byte {
            return Some(self.end_byte);
        }
        if is_wrapped || length > first_byte {
            return None;
        }
        self.wrapped_at = self.tail;
        Some(0)
    }

    /// The next message, as the event that it is, so that it is not copied once more.
    pub(super) fn peek<'m>(&mut self, m: &[u8], payloads: &'m [u8]) -> Option<Event<'m>> {
        if self.cursor == self.tail {
            return None;
        }
        let position = self.cursor;
        self.cursor += 1;
        let index = self.index(position);
        let record = self.entries.record::<STRIDE>(m, index);
        let flags = FLAGS.of(record);
        let (at, length) = (AT.of(record) as usize, LENGTH.of(record) as usize);
        Some(Event::Message(Delivery {
            from: Uuid::from_bytes(UUID.of(record)),
            boot: BOOT.of(record),
            id: MessageId(ID.of(record)),
            payload: payloads.get(self.bytes.part(at, length)).or_bug(NO_PAYLOAD).unwrap_or_default(),
            maybe_repeated: flags & REPEATED != 0,
            direct: flags & DIRECT != 0,
            token: AckToken(position),
        }))
    }

    /// True if a message waits.
    pub(super) fn has_next(&self) -> bool {
        self.cursor < self.tail
    }

    /// The application has consumed what it peeked at, unless it says so itself.
    pub(super) fn consume_peeked(&mut self) {
        if !self.manual {
            self.consume_up_to(self.cursor);
        }
    }

    /// The application has consumed all messages before that position that it has peeked at.
    pub(super) fn consume_up_to(&mut self, position: u64) {
        let head = position.min(self.cursor);
        if head > self.head {
            self.first = self.index(head);
            self.head = head;
        }
    }

    /// The last item that may be acknowledged if all up to `received` have come.
    pub(super) fn acknowledged(&self, m: &[u8], received: u64) -> u64 {
        if self.head < self.session_start {
            return 0;
        }
        let mut limit = received;
        if self.head < self.tail {
            limit = limit.min(self.entries.get(m, self.first, NUMBER) - 1);
        }
        if self.declined > 0 {
            limit = limit.min(self.declines.get(m, self.decline_index(0), DECLINED) - 1);
        }
        limit
    }

    /// A new session: all messages came in an earlier one, whose declines vanish.
    pub(super) fn start_session(&mut self) {
        self.session_start = self.tail;
        (self.declined, self.written) = (0, 0);
    }

    /// The window that is left beside messages of earlier sessions.
    pub(super) fn window(&self, m: &[u8]) -> Window {
        self.window_beside(m, self.session_start)
    }

    /// The window that is left beside all messages.
    pub(super) fn fresh_window(&self, m: &[u8]) -> Window {
        self.window_beside(m, self.tail)
    }

    fn window_beside(&self, m: &[u8], end: u64) -> Window {
        let mut window = Window { messages: self.entries.count(), bytes: self.max_bytes };
        for position in self.head..end.max(self.head) {
            window.messages = window.messages.saturating_sub(1);
            let length = self.entries.get(m, self.index(position), LENGTH);
            window.bytes = window.bytes.saturating_sub(length);
        }
        window
    }

    /// The window if the broker knows another one, once no message of an earlier session is left.
    pub(super) fn due_window(&self, m: &[u8], known: Window) -> Option<Window> {
        (self.head >= self.session_start).then(|| self.window(m)).filter(|&window| window != known)
    }

    /// The record of the `n`-th decline.
    fn decline_index(&self, n: u32) -> u32 {
        self.declines.ring(self.first_decline + n)
    }

    /// Declines the delivery of that number; false if that has no room, which is the broker's fault.
    pub(super) fn decline(&mut self, m: &mut [u8], number: u64) -> bool {
        if self.declined >= self.declines.count() {
            return false;
        }
        let index = self.decline_index(self.declined);
        self.declines.set(m, index, DECLINED, number);
        self.declines.set(m, index, DECLINE, 0);
        self.declined += 1;
        true
    }

    /// The next decline to be written on this link: what it declines, and its own number (0: none yet).
    pub(super) fn next_decline(&self, m: &[u8]) -> Option<(u64, u64)> {
        if !self.has_decline() {
            return None;
        }
        let index = self.decline_index(self.written);
        Some((self.declines.get(m, index, DECLINED), self.declines.get(m, index, DECLINE)))
    }

    /// The next decline begins to be written, under that number.
    pub(super) fn begin_decline(&mut self, m: &mut [u8], number: u64) {
        self.declines.set(m, self.decline_index(self.written), DECLINE, number);
    }

    /// The next decline was written.
    pub(super) fn advance_decline(&mut self) {
        self.written += 1;
    }

    /// The number of the delivery that the item with that number declines.
    #[cfg(feature = "lossy")]
    pub(super) fn declined_by(&self, m: &[u8], number: u64) -> Option<u64> {
        let mut written = (0..self.written).map(|n| self.decline_index(n));
        let found = written.find(|&index| self.declines.get(m, index, DECLINE) == number)?;
        Some(self.declines.get(m, found, DECLINED))
    }

    /// True if a decline waits to be written on this link.
    pub(super) fn has_decline(&self) -> bool {
        self.written < self.declined
    }

    /// The broker has acknowledged the client's items up to that number.
    pub(super) fn acknowledge_declines(&mut self, m: &[u8], up_to: u64) {
        while self.written > 0 && self.declines.get(m, self.first_decline, DECLINE) <= up_to {
            self.first_decline = self.decline_index(1);
            self.declined -= 1;
            self.written -= 1;
        }
    }

    /// The session goes on, on a new link: declines with a number above `received` are written again.
    pub(super) fn resume(&mut self, m: &[u8], received: u64) {
        self.written = 0;
        while let Some((_, number)) = self.next_decline(m) {
            if number == 0 || number > received {
                break;
            }
            self.written += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_window_allows_has_room() {
        let (messages, bytes, max_payload) = (5, 20, 12);
        let mut cutter = Cutter::default();
        let mut inbox = Inbox::new(&mut cutter, messages, bytes, false);
        let base = cutter.used();
        inbox.cut_payloads(&mut cutter, max_payload, base);
        let mut memory = std::vec![0; cutter.used()];
        let (m, payloads) = memory.split_at_mut(base);
        let entry = Entry { origin: Origin { uuid: [1; 16], boot: 1 }, id: 1, repeated: false, direct: true };
        let mut random = 1_u64;
        let mut draw = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let mut here = std::collections::VecDeque::new();
        let mut sent = 0_u64;
        for _ in 0..100_000 {
            let length = draw(14).saturating_sub(1).min(12) as usize * usize::from(draw(3) > 0);
            let used: usize = here.iter().map(|payload: &std::vec::Vec<u8>| payload.len()).sum();
            if here.len() < messages as usize && used + length <= bytes as usize && draw(2) == 0 {
                sent += 1;
                let payload = std::vec![sent as u8; length];
                assert!(inbox.push(m, payloads, sent, &entry, &payload), "{length} beside {used}");
                here.push_back(payload);
            } else if draw(3) == 0 {
                for _ in 0..=draw(3) {
                    if let Some(Event::Message(message)) = inbox.peek(m, payloads) {
                        assert_eq!(here.pop_front().as_deref(), Some(message.payload));
                    }
                }
                inbox.consume_peeked();
            }
        }
        assert!(sent > 10_000);
    }
}
