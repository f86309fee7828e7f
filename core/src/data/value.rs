//! Keys and values, and pairs of them in their one encoding: what attributes, their changes and filters are made of.
//! (PROTOCOL.md, "Attributes")

use crate::bug::OrBug;
use crate::codec::{Malformed, Reader, Writer, unzigzag, zigzag};
use core::num::TryFromIntError;

/// The most bytes that a key may have.
pub const MAX_KEY: usize = 32;
/// The most bytes that a string or bytes value may have.
pub const MAX_VALUE: usize = 64;
/// The most bytes that one pair of key and value is encoded in.
pub(crate) const MAX_PAIR: usize = 1 + MAX_KEY + 1 + 1 + MAX_VALUE;

const TAG_BOOL: u8 = 0;
const TAG_INT: u8 = 1;
const TAG_STR: u8 = 2;
const TAG_BYTES: u8 = 3;

/// The value of an attribute. Values are equal when type and value are equal: `1`, `"1"` and `true` all differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text of at most [`MAX_VALUE`] bytes.
    Str(&'a str),
    /// Any bytes, at most [`MAX_VALUE`].
    Bytes(&'a [u8]),
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// All integers that an `i64` can have.
macro_rules! from_integers {
    ($($small:ty)*; $($large:ty)*) => {
        $(impl From<$small> for Value<'_> {
            fn from(value: $small) -> Self {
                Self::Int(value.into())
            }
        })*
        $(impl TryFrom<$large> for Value<'_> {
            type Error = TryFromIntError;

            fn try_from(value: $large) -> Result<Self, TryFromIntError> {
                value.try_into().map(Self::Int)
            }
        })*
    };
}

from_integers!(i8 i16 i32 i64 u8 u16 u32; isize i128 u64 usize u128);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Str(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Bytes(value)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a alloc::string::String> for Value<'a> {
    fn from(value: &'a alloc::string::String) -> Self {
        Self::Str(value)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a alloc::vec::Vec<u8>> for Value<'a> {
    fn from(value: &'a alloc::vec::Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

errors! {
    /// Why an attribute cannot be set. The fault is the caller's.
    pub enum AttributeError {
        /// A key has 1 to 32 bytes of `a-z`, `0-9`, `_`, `.`, `-`.
        BadKey => "a key has 1 to 32 characters of a-z, 0-9, '_', '.' and '-'",
        /// A string or bytes value has at most 64 bytes.
        ValueTooLong => "a string or bytes value has at most 64 bytes",
        /// A session has at most 16 attributes, and no more than its memory holds.
        TooMany => "too many attributes: remove one of the 16",
    }
}

/// One key with its value, borrowed from where it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair<'a> {
    /// The canonical encoding of the pair.
    pub raw: &'a [u8],
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Pair<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = *reader;
        let key = read_key(reader)?;
        let value = Value::read(reader)?;
        let raw = Reader::new(start_slice(start, reader)).rest();
        Ok(Self { raw, key, value })
    }
}

/// What `later` has read since `start`.
pub(crate) fn start_slice<'a>(mut start: Reader<'a>, later: &Reader<'a>) -> &'a [u8] {
    let read = start.take(start.remaining() - later.remaining()).ok();
    read.or_bug("more is left than there was").unwrap_or_default()
}

pub(crate) fn read_key<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    core::str::from_utf8(read_raw_key(reader)?).map_err(|_| Malformed)
}

/// A key, as bytes: those of a key are ASCII.
fn read_raw_key<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let key = reader.bytes(MAX_KEY)?;
    if is_key(key) { Ok(key) } else { Err(Malformed) }
}

pub(crate) fn is_key(key: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    (1..=MAX_KEY).contains(&key.len()) && key.iter().all(fits)
}

impl<'a> Value<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            TAG_BOOL => Self::Bool(reader.bool()?),
            TAG_INT => Self::Int(unzigzag(reader.u64()?)),
            TAG_STR => Self::Str(core::str::from_utf8(reader.bytes(MAX_VALUE)?).map_err(|_| Malformed)?),
            TAG_BYTES => Self::Bytes(reader.bytes(MAX_VALUE)?),
            _ => return Err(Malformed),
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match *self {
            Self::Bool(value) => {
                writer.u8(TAG_BOOL);
                writer.u8(u8::from(value));
            }
            Self::Int(value) => {
                writer.u8(TAG_INT);
                writer.u64(zigzag(value));
            }
            Self::Str(value) => {
                writer.u8(TAG_STR);
                writer.bytes(value.as_bytes());
            }
            Self::Bytes(value) => {
                writer.u8(TAG_BYTES);
                writer.bytes(value);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bool(_) | Self::Int(_) => 0,
            Self::Str(value) => value.len(),
            Self::Bytes(value) => value.len(),
        }
    }
}

/// One pair in its canonical encoding.
pub(crate) type EncodedPair = heapless::Vec<u8, MAX_PAIR>;

/// Says what is wrong with a pair.
pub(crate) fn check_pair(key: &str, value: Value<'_>) -> Result<(), AttributeError> {
    if !is_key(key.as_bytes()) {
        return Err(AttributeError::BadKey);
    }
    if value.len() > MAX_VALUE { Err(AttributeError::ValueTooLong) } else { Ok(()) }
}

/// Encodes a pair, or says what is wrong with it.
pub(crate) fn encode_pair(key: &str, value: Value<'_>) -> Result<EncodedPair, AttributeError> {
    check_pair(key, value)?;
    let mut buffer = [0; MAX_PAIR];
    let mut writer = Writer::new(&mut buffer, 0);
    writer.bytes(key.as_bytes());
    value.write(&mut writer);
    let length = writer.written();
    EncodedPair::from_slice(
        buffer.get(..length).or_bug("a pair is longer than the longest").unwrap_or_default(),
    )
    .map_err(|_| AttributeError::ValueTooLong)
}

/// Goes through encoded pairs, in order.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    reader: Reader<'a>,
}

impl<'a> Pairs<'a> {
    /// Pairs in `bytes`, which were validated before.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }

    /// The same as they are encoded, for comparing: what was checked before is not checked again.
    pub(crate) fn encoded(mut self) -> impl Iterator<Item = &'a [u8]> + Clone {
        RawPairs::new(self.reader.rest()).map(|(_, raw)| raw)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        Pair::read(&mut self.reader).ok()
    }
}

/// Goes through encoded pairs that were validated before, without a look at what they say: gives the bytes of the key, and
/// those of the whole pair.
#[derive(Clone)]
pub(crate) struct RawPairs<'a> {
    bytes: &'a [u8],
}

impl<'a> RawPairs<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

impl<'a> Iterator for RawPairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Lengths of keys and values have one byte.
        let (&length, rest) = self.bytes.split_first()?;
        let (key, rest) = rest.split_at_checked(usize::from(length))?;
        let (&tag, value) = rest.split_first()?;
        let size = match tag {
            TAG_BOOL => 1,
            TAG_INT => 1 + value.iter().take_while(|&&byte| byte >= 0x80).count(),
            _ => 1 + usize::from(*value.first()?),
        };
        let (raw, rest) = self.bytes.split_at_checked(1 + key.len() + 1 + size)?;
        self.bytes = rest;
        Some((key, raw))
    }
}

/// Reads a count and that many pairs, strictly ascending by their bytes; no key twice if `unique`.
pub(crate) fn read_pairs<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    unique: bool,
) -> Result<&'a [u8], Malformed> {
    let start = *reader;
    let count = reader.u64()?;
    if count > max as u64 {
        return Err(Malformed);
    }
    let mut last: Option<(&[u8], &[u8])> = None;
    for _ in 0..count {
        let start = *reader;
        let key = read_raw_key(reader)?;
        Value::read(reader)?;
        let raw = start_slice(start, reader);
        if last.is_some_and(|last| raw <= last.1 || (unique && key == last.0)) {
            return Err(Malformed);
        }
        last = Some((key, raw));
    }
    Ok(start_slice(start, reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_told_apart_without_a_look_at_what_they_say() {
        let long = "x".repeat(MAX_VALUE);
        let values = [
            Value::Bool(true),
            Value::Int(0),
            Value::Int(-64),
            Value::Int(64),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Str(""),
            Value::Str(&long),
            Value::Bytes(&[0x80; 3]),
        ];
        let mut bytes = std::vec::Vec::new();
        for value in values {
            bytes.extend_from_slice(&encode_pair("key", value).unwrap());
        }
        let read: std::vec::Vec<_> = Pairs::new(&bytes).map(|pair| (pair.key.as_bytes(), pair.raw)).collect();
        assert_eq!(read.len(), values.len());
        assert_eq!(RawPairs::new(&bytes).collect::<std::vec::Vec<_>>(), read);
    }
}
