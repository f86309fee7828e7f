//! What frames carry besides on lossy framed transports, where frames may be lost, come twice, or in another order:
//! a prefix in front of each, and the one frame by which each end reports its state.
//! (PROTOCOL.md, "Lossy framed transports")

use super::window::Window;
use crate::codec::{Malformed, Reader, Writer};

/// The most bytes that the prefix of a frame has.
pub const MAX_PREFIX: usize = 4 + 10;
/// How many items may be under way, from the first that is missing.
pub const SPAN: u32 = u64::BITS;

/// The tag that a client gives to a link: no two links of a boot that follow each other have the same.
pub fn tag(boot: u64, link: u64) -> u32 {
    // Whatever does not fit falls away.
    let (boot, link) = ((boot ^ (boot >> 32)) as u32, link as u32);
    boot.wrapping_add(link.wrapping_mul(0x9e37_79b9))
}

/// The tag of that link from its welcome on: it names the life of the broker and the session too. So what is left on a line of
/// an earlier broker is known, and copies of one hello that made two sessions are two links.
pub fn welcomed_tag(tag: u32, epoch: u64, session: u64) -> u32 {
    let folded = |number: u64| (number ^ (number >> 32)) as u32; // Whatever does not fit falls away.
    tag.rotate_left(16) ^ folded(epoch) ^ folded(session)
}

/// What stands in front of the body of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Names the link, so that what is left over of an earlier one is known.
    pub tag: u32,
    /// The number of the item; 0 if the frame is none.
    pub number: u64,
}

impl Prefix {
    /// Takes it from the front of a frame.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { tag: reader.array().map(u32::from_le_bytes)?, number: reader.u64()? })
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.tag.to_le_bytes());
        writer.u64(self.number);
    }
}

fields! {
    /// The state of one end: everything at once, so that only the newest matters.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct StateFrame {
        /// Counts the frames of this kind on the link, from 1.
        pub serial: u64,
        /// The highest serial that came from the peer; 0 for none.
        pub heard: u64,
        /// True if the peer is to confirm that it has received this.
        pub wants_reply: bool,
        /// All items up to this one have been received.
        pub received: u64,
        /// All items up to this one are acknowledged; not above `received`.
        pub acknowledged: u64,
        /// The window.
        pub window: Window,
        /// Items that were received beyond a missing one: bit n stands for number `received + 1 + n`. Bit 0 is never set.
        pub beyond: u64 = ranges,
    }
}

impl StateFrame {
    /// Refuses what no end can be at.
    pub fn checked(self) -> Result<Self, Malformed> {
        if self.serial == 0 || self.acknowledged > self.received { Err(Malformed) } else { Ok(self) }
    }
}

impl Writer<'_> {
    /// Appends a set as its ranges.
    fn ranges(&mut self, set: u64) {
        self.u64(ranges(set).count() as u64);
        for (missing, here) in ranges(set) {
            self.u32(missing);
            self.u32(here);
        }
    }
}

impl Reader<'_> {
    /// A set as its ranges.
    fn ranges(&mut self) -> Result<u64, Malformed> {
        let (mut set, mut at) = (0_u64, 0_u32);
        for _ in 0..self.u64()? {
            let (missing, here) = (self.u32()?, self.u32()?);
            if missing == 0 || here == 0 {
                return Err(Malformed);
            }
            let start = at.checked_add(missing).ok_or(Malformed)?;
            at = start.checked_add(here).filter(|&end| end <= SPAN).ok_or(Malformed)?;
            set |= (u64::MAX >> (SPAN - here)) << start;
        }
        Ok(set)
    }
}

/// The ranges of a set: how many are missing, then how many are here, and so on.
fn ranges(mut set: u64) -> impl Iterator<Item = (u32, u32)> {
    core::iter::from_fn(move || {
        if set == 0 {
            return None;
        }
        let missing = set.trailing_zeros();
        set >>= missing;
        let here = set.trailing_ones();
        set = set.checked_shr(here).unwrap_or(0);
        Some((missing, here))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Field;

    fn state(beyond: u64) -> StateFrame {
        let window = Window { messages: 3, bytes: 1_000 };
        StateFrame {
            serial: 9,
            heard: 4,
            wants_reply: true,
            received: 300,
            acknowledged: 299,
            window,
            beyond,
        }
    }

    #[test]
    fn what_was_received_comes_back_from_its_ranges() {
        for beyond in [0, 2, 6, 1 << 63, 0xaaaa_aaaa_aaaa_aaaa, u64::MAX - 1, 0x8000_0000_0000_0002] {
            let mut bytes = [0; 128];
            let mut writer = Writer::new(&mut bytes, 0);
            state(beyond).write(&mut writer);
            let length = writer.total();
            assert!(length <= 112, "{length}");
            let mut reader = Reader::new(&bytes[..length]);
            assert_eq!(StateFrame::read(&mut reader), Ok(state(beyond)));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn ranges_that_touch_or_lie_beyond_the_span_are_refused() {
        for bytes in [&[1, 0, 3][..], &[1, 3, 0], &[1, 60, 5], &[2, 1, 1, 0, 1], &[1, 64, 1], &[1]] {
            assert_eq!(Reader::new(bytes).ranges(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[1, 1, 63]).ranges(), Ok(u64::MAX - 1));
    }
}
