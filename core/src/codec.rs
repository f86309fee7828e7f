//! Canonical integers and byte strings: the alphabet that every frame is written in.
//!
//! The format is that of postcard: integers are varints (7 bits a byte, least significant first) in their one
//! shortest encoding, signed integers are zigzag. Numbers that are drawn at random (UUIDs, boots, epochs) are raw
//! bytes. [`Reader`] refuses everything that [`Writer`] would not have written. (PROTOCOL.md, "Notation")

use core::fmt;

/// How many bytes there are, for `Debug` in place of what no log should show.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// The bytes are not what the protocol allows here: too short, too long, or not the one canonical encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Takes canonical values from the front of a byte slice.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

/// How much is left, and not what: it may be a secret or a payload.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&Bytes(self.bytes.len())).finish()
    }
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(first)
    }

    /// The next byte, which must be 0 or 1.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// A varint of up to 64 bits.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.u64_from(first)
    }

    /// The rest of a varint that has more than one byte.
    fn u64_from(&mut self, first: u8) -> Result<u64, Malformed> {
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            // A last byte of zero would have a shorter encoding; the tenth byte has room for one bit.
            if byte == 0 || (shift == 63 && byte > 1) {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// A varint that must fit 32 bits.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.u64()?).map_err(|_| Malformed)
    }

    /// A varint that must fit 16 bits.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.u64()?).map_err(|_| Malformed)
    }

    /// A zigzag varint.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.u64().map(unzigzag)
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// Eight raw bytes, least significant first: a number that was drawn at random.
    pub fn raw_u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A byte string of at most `max` bytes, after its length.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u64()?).map_err(|_| Malformed)?;
        if length > max {
            return Err(Malformed);
        }
        self.take(length)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Writes a sequence of bytes of which only a part may fit.
///
/// A frame is written again from its beginning as often as it takes; `skip` bytes of it went out before, and what
/// does not fit is counted but not written. This is how output is resumable at any size of the buffer without a
/// copy of the frame anywhere.
pub struct Writer<'a> {
    out: &'a mut [u8],
    /// How many bytes of the whole stand before those in `out`.
    skip: usize,
    total: usize,
}

/// How much was written, and not what: it may be a secret or a payload.
impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&Bytes(self.total)).finish()
    }
}

impl<'a> Writer<'a> {
    /// Writes to `out`, leaving out the first `skip` bytes.
    pub fn new(out: &'a mut [u8], skip: usize) -> Self {
        Self { out, skip, total: 0 }
    }

    /// Only counts.
    pub fn counting() -> Writer<'static> {
        Writer { out: &mut [], skip: 0, total: 0 }
    }

    /// Bytes that went into `out`.
    pub fn written(&self) -> usize {
        self.total.saturating_sub(self.skip).min(self.out.len())
    }

    /// Bytes of the whole, whether they were skipped, written or did not fit.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Appends raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        let at = self.total.wrapping_sub(self.skip);
        if let Some(room) = self.out.get_mut(at..at.wrapping_add(bytes.len())) {
            room.copy_from_slice(bytes);
            self.total += bytes.len();
        } else {
            self.raw_in_part(bytes);
        }
    }

    /// The same if not all of it is to be written, or has room.
    fn raw_in_part(&mut self, bytes: &[u8]) {
        let start = self.total;
        self.total += bytes.len();
        // All of it went out before, or none of it has room.
        let bytes = bytes.get(self.skip.saturating_sub(start)..).unwrap_or_default();
        let room = self.out.get_mut(start.saturating_sub(self.skip)..).unwrap_or_default(); // No room is left.
        let count = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
    }

    /// Appends the body of a frame: its kind and its fields. Inlined, so that of a frame that is known no more is left than it
    /// takes.
    #[inline(always)]
    pub(crate) fn frame(&mut self, kind: u8, fields: &impl Field) {
        self.u8(kind);
        fields.write(self);
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        // What is to be left out lies before the beginning, and with that beyond any end.
        if let Some(slot) = self.out.get_mut(self.total.wrapping_sub(self.skip)) {
            *slot = value;
        }
        self.total += 1;
    }

    /// Appends a byte that is 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Appends a varint.
    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.u8((value & 0x7f) as u8);
    }

    /// Appends a varint.
    pub fn u16(&mut self, value: u16) {
        self.u64(u64::from(value));
    }

    /// Appends a varint.
    pub fn u32(&mut self, value: u32) {
        self.u64(u64::from(value));
    }

    /// Appends a zigzag varint.
    pub fn i64(&mut self, value: i64) {
        self.u64(zigzag(value));
    }

    /// Appends eight raw bytes, least significant first.
    pub fn raw_u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends a byte string after its length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.raw(bytes);
    }
}

/// A value that has one canonical encoding.
pub trait Field: Sized {
    /// Takes it from the front.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Appends it.
    fn write(&self, writer: &mut Writer<'_>);
}

macro_rules! plain_fields {
    ($($type:ident)*) => { $(
        impl Field for $type {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                reader.$type()
            }

            fn write(&self, writer: &mut Writer<'_>) {
                writer.$type(*self);
            }
        }
    )* };
}

plain_fields!(bool u8 u16 u32 u64);

impl<const N: usize> Field for [u8; N] {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.array()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(self);
    }
}

impl<T: Field> Field for Option<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if reader.bool()? { Some(T::read(reader)?) } else { None })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.bool(self.is_some());
        if let Some(value) = self {
            value.write(writer);
        }
    }
}

/// Declares structs whose encoding is that of their fields, in the order of the list. Behind a field may stand the method of
/// [`Reader`] and [`Writer`] that takes it in another form than that of its type.
macro_rules! fields {
    (@read $reader:ident) => { $crate::codec::Field::read($reader)? };
    (@read $reader:ident $form:ident) => { $reader.$form()? };
    (@write $writer:ident $value:expr) => { $crate::codec::Field::write(&$value, $writer) };
    (@write $writer:ident $value:expr, $form:ident) => { $writer.$form($value) };
    ($($(#[$about:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* pub $field:ident: $type:ty $(= $form:ident)?,)*
    })*) => { $(
        $(#[$about])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $crate::codec::Field for $name {
            fn read(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::Malformed> {
                Ok(Self { $($field: fields!(@read reader $($form)?),)* })
            }

            fn write(&self, writer: &mut $crate::codec::Writer<'_>) {
                $(fields!(@write writer self.$field $(, $form)?);)*
            }
        }
    )* };
}

/// Moves bytes within a slice, as far as both places lie in it. As `copy_within`, which would panic if they do not.
pub(crate) fn shift(bytes: &mut [u8], from: core::ops::Range<usize>, to: usize) {
    let mut step = |n: usize| {
        let byte = bytes.get(from.start.wrapping_add(n)).copied();
        if let (Some(byte), Some(slot)) = (byte, bytes.get_mut(to.wrapping_add(n))) {
            *slot = byte;
        }
    };
    let length = from.end.saturating_sub(from.start);
    // What is still to be read is never written over.
    if to < from.start {
        (0..length).for_each(&mut step);
    } else {
        (0..length).rev().for_each(&mut step);
    }
}

/// How many bytes the varint of `value` has.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    // As dividing by 7 and rounding up, for all there are.
    (bits * 9 + 64) / 64
}

/// Folds the sign into the lowest bit, so that small negative numbers stay short.
#[allow(clippy::cast_sign_loss)]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
#[allow(clippy::cast_possible_wrap)]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shifted_as_copy_within_does_it() {
        for start in 0..6 {
            for end in start..=6 {
                for to in 0..=6 - (end - start) {
                    let (mut shifted, mut copied) = ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]);
                    shift(&mut shifted, start..end, to);
                    copied.copy_within(start..end, to);
                    assert_eq!(shifted, copied, "{start}..{end} to {to}");
                }
            }
        }
    }

    fn encode(value: u64) -> ([u8; 10], usize) {
        let mut out = [0; 10];
        let mut writer = Writer::new(&mut out, 0);
        writer.u64(value);
        let written = writer.written();
        (out, written)
    }

    #[test]
    fn varints_are_those_of_postcard_and_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), 1 << 62, u64::MAX - 1, u64::MAX] {
            let (out, written) = encode(value);
            assert_eq!(written, varint_len(value), "{value}");
            let mut reference = [0; 10];
            assert_eq!(
                postcard::to_slice(&value, &mut reference).map(|r| r.to_vec()).ok(),
                Some(out[..written].to_vec())
            );
            let mut reader = Reader::new(&out[..written]);
            assert_eq!(reader.u64(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn the_length_of_a_varint_is_known_for_each_number_of_bits() {
        for value in (0..64).map(|bits| 1_u64 << bits).flat_map(|power| [power - 1, power, u64::MAX - power])
        {
            assert_eq!(encode(value).1, varint_len(value), "{value}");
        }
    }

    #[test]
    fn a_longer_encoding_of_the_same_integer_is_refused() {
        assert_eq!(Reader::new(&[0x80, 0x00]).u64(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff, 0x80, 0x00]).u64(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff; 11]).u64(), Err(Malformed));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).u64(),
            Err(Malformed)
        );
        assert_eq!(Reader::new(&[0x80]).u64(), Err(Malformed));
    }

    #[test]
    fn zigzag_is_its_own_inverse() {
        for value in [0, -1, 1, i64::MIN, i64::MAX, -64, 64] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_frame_that_is_written_piece_by_piece_is_the_same_frame() {
        let write = |writer: &mut Writer<'_>| {
            writer.u8(7);
            writer.u64(300);
            writer.bytes(b"pigeon");
            writer.raw_u64(9);
        };
        let mut whole = [0; 32];
        let mut writer = Writer::new(&mut whole, 0);
        write(&mut writer);
        let total = writer.total();
        for size in 1..=total {
            let mut pieces = std::vec::Vec::new();
            while pieces.len() < total {
                let mut piece = [0; 32];
                let mut writer = Writer::new(&mut piece[..size], pieces.len());
                write(&mut writer);
                assert_eq!(writer.total(), total);
                let written = writer.written();
                pieces.extend_from_slice(&piece[..written]);
            }
            assert_eq!(pieces, whole[..total]);
        }
    }
}
