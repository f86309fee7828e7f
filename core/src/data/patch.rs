//! Changes of attributes: keys that are set, and keys that are removed. (PROTOCOL.md, "Attributes")

use crate::bug::OrBug;
use crate::codec::{Malformed, Reader, Writer};
use crate::data::attributes::MAX_ATTRIBUTES;
#[cfg(feature = "alloc")]
use crate::data::attributes::{AttributesRef, change_in_place};
use crate::data::value::{AttributeError, MAX_PAIR, Value, check_pair, is_key, read_key, start_slice};
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

/// A change of attributes: keys that are set and keys that are removed, borrowed in its encoding.
///
/// A count, then for each key, ascending by its encoded bytes and no key twice: the key, and 0 to remove it or 1
/// and the value. (PROTOCOL.md, "Attributes")
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchRef<'a> {
    bytes: &'a [u8],
}

/// The most bytes that a change of one key is encoded in.
const MAX_SINGLE: usize = 2 + MAX_PAIR;

impl<'a> PatchRef<'a> {
    /// Reads a change; anything but its one encoding is refused.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = *reader;
        let count = reader.u64()?;
        if count == 0 || count > MAX_ATTRIBUTES as u64 {
            return Err(Malformed);
        }
        let mut last: Option<&str> = None;
        for _ in 0..count {
            let (key, _) = read_change(reader)?;
            if last.is_some_and(|last| (key.len(), key) <= (last.len(), last)) {
                return Err(Malformed);
            }
            last = Some(key);
        }
        Ok(Self { bytes: start_slice(start, reader) })
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The keys with their new values; `None` removes the key.
    pub fn changes(&self) -> impl Iterator<Item = (&'a str, Option<Value<'a>>)> + use<'a> {
        let changes = self.bytes.get(1..).or_bug("a patch has no count");
        let mut reader = Reader::new(changes.unwrap_or_default());
        core::iter::from_fn(move || read_change(&mut reader).ok())
    }

    /// The encoding of what it makes of these attributes; `None` if there would be more than `max`.
    #[cfg(feature = "alloc")]
    pub(crate) fn apply(&self, to: AttributesRef<'_>, max: usize) -> Option<Vec<u8>> {
        let mut length = to.as_bytes().len();
        // No more than the most pairs take is of use, and no more than there is.
        let room = (1 + max * MAX_PAIR).min(length + self.bytes.len()).max(length);
        let mut buffer = Vec::with_capacity(room);
        buffer.extend_from_slice(to.as_bytes());
        buffer.resize(room, 0);
        // What is removed makes room for what is set.
        for sets in [false, true] {
            for (key, value) in self.changes().filter(|change| change.1.is_some() == sets) {
                length = change_in_place(&mut buffer, length, key, value).ok()?;
            }
        }
        buffer.truncate(length);
        (AttributesRef::trusted(&buffer).len() <= max).then_some(buffer)
    }

    /// Encodes the change of one key.
    pub(crate) fn encode_single(
        key: &str,
        value: Option<Value<'_>>,
    ) -> Result<heapless::Vec<u8, MAX_SINGLE>, AttributeError> {
        match value {
            // Whatever a pair may be, a change may be too.
            Some(value) => check_pair(key, value)?,
            None if is_key(key.as_bytes()) => {}
            // No session could have it.
            None => return Err(AttributeError::BadKey),
        }
        let mut buffer = [0; MAX_SINGLE];
        let mut writer = Writer::new(&mut buffer, 0);
        writer.u8(1);
        writer.bytes(key.as_bytes());
        writer.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            value.write(&mut writer);
        }
        let length = writer.written();
        let bytes = buffer.get(..length).and_then(|bytes| heapless::Vec::from_slice(bytes).ok());
        Ok(bytes.or_bug("a change is longer than the longest").unwrap_or_default())
    }
}

fn read_change<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, Option<Value<'a>>), Malformed> {
    let key = read_key(reader)?;
    let value = if reader.bool()? { Some(Value::read(reader)?) } else { None };
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_one_key_reads_back() {
        for value in [None, Some(Value::Int(7)), Some(Value::Str("x"))] {
            let encoded = PatchRef::encode_single("key", value).unwrap();
            let mut reader = Reader::new(&encoded);
            let patch = PatchRef::read(&mut reader).unwrap();
            assert_eq!(reader.finish(), Ok(()));
            assert!(patch.changes().eq([("key", value)]));
        }
    }
}
