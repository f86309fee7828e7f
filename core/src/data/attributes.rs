//! Attributes of a session: keys with values, kept in their one canonical encoding.
//!
//! A set of attributes is a count and that many pairs, ascending by their encoded bytes, no key twice. The same
//! bytes are stored, compared, hashed and sent, so nothing is ever translated. (PROTOCOL.md, "Attributes")

use crate::bug::OrBug;
use crate::codec::{Malformed, Reader, shift};
use crate::data::value::{
    AttributeError, EncodedPair, MAX_PAIR, Pairs, RawPairs, Value, encode_pair, is_key, read_pairs,
};
use core::fmt;

/// The most attributes that a session may have.
pub const MAX_ATTRIBUTES: usize = 16;
/// The most bytes that a whole set of attributes is encoded in.
pub const MAX_ATTRIBUTE_BYTES: usize = 1 + MAX_ATTRIBUTES * MAX_PAIR;

/// A set of attributes, borrowed in its encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttributesRef<'a> {
    /// A count and the pairs; at most [`MAX_ATTRIBUTE_BYTES`], so the count has one byte.
    bytes: &'a [u8],
}

const NO_COUNT: &str = "attributes have no count";

impl<'a> AttributesRef<'a> {
    /// No attributes at all.
    pub const EMPTY: AttributesRef<'static> = AttributesRef { bytes: &[0] };

    /// Reads a set of attributes; anything but its one encoding is refused.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        read_pairs(reader, MAX_ATTRIBUTES, true).map(|bytes| Self { bytes })
    }

    /// Bytes that [`AttributesRef::read`] accepted before.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The pairs in the order of their encoding.
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs::new(self.bytes.get(1..).or_bug(NO_COUNT).unwrap_or_default())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.pairs().find(|pair| pair.key == key).map(|pair| pair.value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.bytes.first().copied().unwrap_or(0))
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values in the order of their encoding.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        self.pairs().map(|pair| (pair.key, pair.value))
    }
}

impl fmt::Debug for AttributesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A set of attributes with room for as many as the protocol allows.
///
/// ```
/// use e_pigeon_core::{Attributes, Value};
///
/// let mut attributes = Attributes::new();
/// attributes.set("room", Value::Str("lobby"))?;
/// attributes.set("level", Value::Int(3))?;
/// assert_eq!(attributes.get("room"), Some(Value::Str("lobby")));
/// # Ok::<(), e_pigeon_core::AttributeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Attributes {
    bytes: heapless::Vec<u8, MAX_ATTRIBUTE_BYTES>,
}

impl Attributes {
    /// No attributes.
    pub fn new() -> Self {
        let mut bytes = heapless::Vec::new();
        // There is room for one byte in a vector of that capacity.
        let _ = bytes.push(0);
        Self { bytes }
    }

    /// Sets one attribute, in place of an older value of the same key.
    ///
    /// # Errors
    ///
    /// The key or the value breaks a limit, or there are too many attributes; nothing has changed then.
    pub fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), AttributeError> {
        self.change(key, Some(value))
    }

    /// Removes one attribute; false if there was none of that key.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.len();
        self.change(key, None).is_ok() && self.len() < before
    }

    /// Sets a key, or removes it.
    pub(crate) fn change(&mut self, key: &str, value: Option<Value<'_>>) -> Result<(), AttributeError> {
        let length = self.bytes.len();
        // Growing to its own capacity always succeeds.
        let _ = self.bytes.resize_default(MAX_ATTRIBUTE_BYTES);
        let changed = change_in_place(&mut self.bytes, length, key, value);
        self.bytes.truncate(*changed.as_ref().unwrap_or(&length));
        changed.map(|_| ())
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> AttributesRef<'_> {
        AttributesRef { bytes: &self.bytes }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        self.as_ref().get(key)
    }

    /// Keys and values in the order of their encoding.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.as_ref().iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.as_ref().is_empty()
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl From<AttributesRef<'_>> for Attributes {
    fn from(attributes: AttributesRef<'_>) -> Self {
        // What was validated never has more bytes than the capacity.
        Self { bytes: heapless::Vec::from_slice(attributes.bytes).unwrap_or_default() }
    }
}

/// Changes one key of the attributes that are encoded in the first `length` bytes of `buffer`, and returns their
/// new length. What does not fit into `buffer` is [`AttributeError::TooMany`], and changes nothing.
pub(crate) fn change_in_place(
    buffer: &mut [u8],
    length: usize,
    key: &str,
    value: Option<Value<'_>>,
) -> Result<usize, AttributeError> {
    let pair = match value {
        Some(value) => encode_pair(key, value)?,
        None if is_key(key.as_bytes()) => EncodedPair::new(),
        // No session could have it.
        None => return Err(AttributeError::BadKey),
    };
    let current = buffer.get(..length).or_bug("attributes lie outside their room");
    let current = AttributesRef { bytes: current.unwrap_or_default() };
    // Where the old pair of this key is, and where the new one belongs once the old one is gone.
    let (mut old, mut place, mut at) = (None, None, 1);
    for (other, raw) in RawPairs::new(current.bytes.get(1..).or_bug(NO_COUNT).unwrap_or_default()) {
        if other == key.as_bytes() {
            old = Some(at..at + raw.len());
        } else if place.is_none() && raw > pair.as_slice() {
            place = Some(at);
        }
        at += raw.len();
    }
    let place = place.unwrap_or(at);
    let old = old.unwrap_or(place..place);
    let count = current.len() + usize::from(!pair.is_empty()) - usize::from(!old.is_empty());
    let new_length = length + pair.len() - old.len();
    if count > MAX_ATTRIBUTES || new_length > buffer.len() {
        return Err(AttributeError::TooMany);
    }
    shift(buffer, old.end..length, old.start);
    let length = length - old.len();
    let place = if place > old.start { place - old.len() } else { place };
    shift(buffer, place..length, place + pair.len());
    if let Some(hole) = buffer.get_mut(place..place + pair.len()) {
        hole.copy_from_slice(&pair);
    }
    if let Some(first) = buffer.first_mut() {
        // At most MAX_ATTRIBUTES, checked above.
        *first = count as u8;
    }
    Ok(new_length)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Attributes {
        /// Attributes for tests of the whole crate: each letter is a key that is true.
        #[cfg(feature = "alloc")]
        pub(crate) fn flags(keys: &str) -> Self {
            let mut attributes = Self::new();
            for key in keys.chars() {
                attributes.set(key.encode_utf8(&mut [0; 4]), true.into()).unwrap();
            }
            attributes
        }
    }

    #[test]
    fn the_same_attributes_are_the_same_bytes_in_whatever_order_they_are_set() {
        let pairs = [
            ("room", Value::Str("lobby")),
            ("a", Value::Bool(true)),
            ("level", Value::Int(-3)),
            ("b", Value::Bytes(b"x")),
        ];
        let mut forward = Attributes::new();
        let mut backward = Attributes::new();
        for (key, value) in pairs {
            forward.set(key, value).unwrap();
        }
        for (key, value) in pairs.into_iter().rev() {
            backward.set(key, Value::Int(0)).unwrap();
            backward.set(key, value).unwrap();
        }
        assert_eq!(forward, backward);
        let mut reader = Reader::new(forward.as_ref().as_bytes());
        assert_eq!(AttributesRef::read(&mut reader), Ok(forward.as_ref()));
        assert_eq!(reader.finish(), Ok(()));
        assert!(backward.remove("level") && !backward.remove("level"));
        assert_eq!(backward.len(), 3);
        assert_eq!(backward.get("level"), None);
        assert_eq!(backward.get("room"), Some(Value::Str("lobby")));
    }

    #[test]
    fn limits_are_errors_and_change_nothing() {
        let mut attributes = Attributes::new();
        assert_eq!(attributes.set("", Value::Int(1)), Err(AttributeError::BadKey));
        assert_eq!(attributes.set("Room", Value::Int(1)), Err(AttributeError::BadKey));
        let long = std::string::String::from_utf8(std::vec![b'x'; 65]).unwrap();
        assert_eq!(attributes.set("a", Value::Str(&long)), Err(AttributeError::ValueTooLong));
        for n in 0..MAX_ATTRIBUTES {
            let key = std::format!("{n:032}");
            attributes.set(&key, Value::Str(&long[..64])).unwrap();
        }
        assert_eq!(attributes.as_ref().as_bytes().len(), MAX_ATTRIBUTE_BYTES);
        let before = attributes.clone();
        assert_eq!(attributes.set("more", Value::Int(1)), Err(AttributeError::TooMany));
        assert_eq!(attributes, before);
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            AttributesRef::read(&mut reader).and_then(|_| reader.finish())
        };
        assert_eq!(read(&[1, 1, b'a', 0, 1]), Ok(()));
        assert_eq!(read(&[1, 1, b'a', 0, 2]), Err(Malformed), "a bool that is neither 0 nor 1");
        assert_eq!(read(&[1, 1, b'A', 0, 1]), Err(Malformed), "a key in capitals");
        assert_eq!(read(&[2, 1, b'b', 0, 1, 1, b'a', 0, 1]), Err(Malformed), "not ascending");
        assert_eq!(read(&[2, 1, b'a', 0, 0, 1, b'a', 0, 1]), Err(Malformed), "a key twice");
        assert_eq!(read(&[1, 1, b'a', 1, 0x80, 0]), Err(Malformed), "a long zero");
        assert_eq!(read(&[1, 1, b'a', 2, 1, 0xff]), Err(Malformed), "not UTF-8");
        assert_eq!(read(&[17]), Err(Malformed), "too many");
    }
}
