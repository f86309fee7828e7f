//! The one block of memory that a client lives in, cut up into tables of small records.
//!
//! A record's fields are read and written where they lie, little end first. Places outside the block cannot be
//! made: a table is cut by [`Cutter`], and an index comes from the table's own free list.

use crate::bug::OrBug;
use core::marker::PhantomData;
use core::ops::Range;

const NO_RECORD: &str = "a record lies outside the memory";

/// An index that points nowhere.
pub(crate) const NONE: u32 = u32::MAX;

/// A value with a fixed size in memory.
pub(crate) trait Scalar: Copy + Default {
    /// Reads it from the front of `bytes`.
    fn load(bytes: &[u8]) -> Option<Self>;
    /// Writes it to the front of `bytes`.
    fn store(self, bytes: &mut [u8]);
}

macro_rules! scalar {
    ($($type:ty: $size:literal),*) => {$(
        impl Scalar for $type {
            fn load(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk::<$size>().map(|chunk| Self::from_le_bytes(*chunk))
            }

            fn store(self, bytes: &mut [u8]) {
                if let Some(chunk) = bytes.first_chunk_mut::<$size>() {
                    *chunk = self.to_le_bytes();
                }
            }
        }
    )*};
}

scalar!(u8: 1, u16: 2, u32: 4, u64: 8);

impl Scalar for [u8; 16] {
    fn load(bytes: &[u8]) -> Option<Self> {
        // By way of a number: bytes that go from one place in memory to another would take a `memmove`, of 700 bytes.
        bytes.first_chunk::<16>().map(|chunk| u128::from_le_bytes(*chunk).to_le_bytes())
    }

    fn store(self, bytes: &mut [u8]) {
        if let Some(chunk) = bytes.first_chunk_mut::<16>() {
            *chunk = self;
        }
    }
}

/// Where a field lies in a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<T> {
    offset: usize,
    of: PhantomData<T>,
}

impl<T> Field<T> {
    /// A field at that offset. Only [`record!`] chooses offsets.
    pub(crate) const fn at(offset: usize) -> Self {
        Self { offset, of: PhantomData }
    }

    /// The offset behind the field.
    pub(crate) const fn end(self) -> usize {
        self.offset + size_of::<T>()
    }
}

/// Declares the fields of a record, one behind the other, and behind `=>` a name for the offset where they end: the
/// size of a record, or of the front of one that goes on with plain bytes.
macro_rules! record {
    (@at $at:expr; $(#[$meta:meta])* $vis:vis $name:ident: $type:ty, $($rest:tt)+) => {
        $(#[$meta])*
        $vis const $name: $crate::client::memory::Field<$type> = $crate::client::memory::Field::at($at);
        record! { @at $name.end(); $($rest)+ }
    };
    (@at $at:expr; $(#[$meta:meta])* => $vis:vis $end:ident) => {
        $(#[$meta])*
        $vis const $end: usize = $at;
    };
    ($($fields:tt)+) => {
        record! { @at 0; $($fields)+ }
    };
}

pub(crate) use record;

impl<T: Scalar> Field<T> {
    /// The field of a record.
    pub(crate) fn of(self, record: &[u8]) -> T {
        record.get(self.offset..).and_then(T::load).or_bug(NO_RECORD).unwrap_or_default()
    }

    /// Sets the field of a record.
    pub(crate) fn put(self, record: &mut [u8], value: T) {
        if let Some(bytes) = record.get_mut(self.offset..) {
            value.store(bytes);
        }
    }
}

/// Equal records one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    at: usize,
    stride: usize,
    count: u32,
}

impl Table {
    /// The same records where memory begins only at `base`.
    #[cfg(feature = "presence")]
    pub(crate) fn rebased(self, base: usize) -> Self {
        Self { at: self.at.saturating_sub(base), ..self }
    }

    /// The record of a place in a ring of all records, at most one round on.
    pub(crate) fn ring(&self, place: u32) -> u32 {
        if place >= self.count { place - self.count } else { place }
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes a record has from an offset on.
    pub(crate) fn bytes_from(&self, offset: usize) -> usize {
        self.stride - offset
    }

    /// A field of a record.
    pub(crate) fn get<T: Scalar>(&self, memory: &[u8], index: u32, field: Field<T>) -> T {
        let at = self.place(index) + field.offset;
        memory.get(at..).and_then(T::load).or_bug(NO_RECORD).unwrap_or_default()
    }

    /// Sets a field of a record.
    pub(crate) fn set<T: Scalar>(&self, memory: &mut [u8], index: u32, field: Field<T>, value: T) {
        let at = self.place(index) + field.offset;
        if let Some(bytes) = memory.get_mut(at..) {
            value.store(bytes);
        }
    }

    /// The front of a record, for fields that are looked at together: where it lies is looked up once. Zeros where there is no
    /// such record, which cannot be.
    pub(crate) fn record<'m, const N: usize>(&self, memory: &'m [u8], index: u32) -> &'m [u8; N] {
        memory.get(self.place(index)..).and_then(|bytes| bytes.first_chunk()).unwrap_or(&[0; N])
    }

    /// The same, to be written.
    pub(crate) fn record_mut<'m, const N: usize>(
        &self,
        memory: &'m mut [u8],
        index: u32,
    ) -> Option<&'m mut [u8; N]> {
        memory.get_mut(self.place(index)..).and_then(|bytes| bytes.first_chunk_mut())
    }

    /// Where the bytes of a record from an offset on lie in the block.
    pub(crate) fn range(&self, index: u32, offset: usize) -> Range<usize> {
        let at = self.place(index);
        at + offset..at + self.stride
    }

    /// The bytes of a record from an offset on.
    pub(crate) fn bytes<'m>(&self, memory: &'m [u8], index: u32, offset: usize) -> &'m [u8] {
        memory.get(self.range(index, offset)).or_bug(NO_RECORD).unwrap_or_default()
    }

    /// The same, to be written.
    pub(crate) fn bytes_mut<'m>(&self, memory: &'m mut [u8], index: u32, offset: usize) -> &'m mut [u8] {
        // While it is measured, no memory is there.
        memory.get_mut(self.range(index, offset)).unwrap_or_default()
    }

    fn place(&self, index: u32) -> usize {
        debug_assert!(index < self.count, "index {index} of {}", self.count);
        self.at + index as usize * self.stride
    }
}

/// A stretch of plain bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    at: usize,
    len: usize,
}

impl Region {
    /// The same bytes where memory begins only at `base`.
    pub(crate) fn rebased(self, base: usize) -> Self {
        Self { at: self.at.saturating_sub(base), ..self }
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where it lies in the block.
    pub(crate) fn range(&self) -> Range<usize> {
        self.at..self.at + self.len
    }

    /// Where a part of it lies.
    pub(crate) fn part(&self, at: usize, len: usize) -> Range<usize> {
        self.at + at..self.at + at + len
    }

    /// The bytes.
    pub(crate) fn bytes<'m>(&self, memory: &'m [u8]) -> &'m [u8] {
        memory.get(self.range()).or_bug(NO_RECORD).unwrap_or_default()
    }

    /// The bytes, to be written.
    pub(crate) fn bytes_mut<'m>(&self, memory: &'m mut [u8]) -> &'m mut [u8] {
        // While it is measured, no memory is there.
        memory.get_mut(self.range()).unwrap_or_default()
    }
}

/// Cuts a block into tables and regions, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    used: usize,
}

impl Cutter {
    /// Cuts a table.
    pub(crate) fn table(&mut self, stride: usize, count: u32) -> Table {
        let at = self.used;
        self.used = self.used.saturating_add(stride.saturating_mul(count as usize));
        Table { at, stride, count }
    }

    /// Cuts plain bytes.
    pub(crate) fn region(&mut self, len: usize) -> Region {
        let at = self.used;
        self.used = self.used.saturating_add(len);
        Region { at, len }
    }

    /// Cuts plain bytes behind as many others.
    pub(crate) fn second_region(&mut self, len: usize) -> Region {
        self.region(len);
        self.region(len)
    }

    /// How many bytes were cut so far.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        SMALL: u8,
        LARGE: u64,
        NAME: [u8; 16],
        => SIZE
    }

    #[test]
    fn a_field_changes_no_other_one_and_no_other_record() {
        let mut cutter = Cutter::default();
        let (front, table, behind) = (cutter.region(3), cutter.table(SIZE, 3), cutter.region(2));
        assert_eq!((SIZE, cutter.used()), (25, 3 + 3 * 25 + 2));
        let mut m = std::vec![0xee; cutter.used()];
        table.set(&mut m, 1, SMALL, 7);
        table.set(&mut m, 1, LARGE, u64::MAX - 1);
        NAME.put(table.record_mut::<SIZE>(&mut m, 1).unwrap(), [3; 16]);
        let record = table.record::<SIZE>(&m, 1);
        assert_eq!((SMALL.of(record), LARGE.of(record), NAME.of(record)), (7, u64::MAX - 1, [3; 16]));
        for untouched in [front.bytes(&m), table.bytes(&m, 0, 0), table.bytes(&m, 2, 0), behind.bytes(&m)] {
            assert!(untouched.iter().all(|&byte| byte == 0xee), "{untouched:?}");
        }
        assert_eq!([0, 2, 3, 5].map(|place| table.ring(place)), [0, 2, 0, 2]);
    }
}
