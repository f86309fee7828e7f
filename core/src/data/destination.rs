//! Destinations: where a message goes, in the one encoding. (PROTOCOL.md, "Filters and destinations")

use crate::codec::{Malformed, Reader};
use crate::data::attributes::AttributesRef;
use crate::data::value::{MAX_PAIR, Pairs, read_pairs};
use core::fmt;
use uuid::Uuid;

/// The most pairs that a filter may have.
pub const MAX_FILTER_PAIRS: usize = 8;
/// The most bytes that a destination is encoded in.
pub const MAX_DESTINATION_BYTES: usize = 2 + MAX_FILTER_PAIRS * MAX_PAIR;

const KIND_UUID: u8 = 0;
pub(crate) const KIND_ALL_OF: u8 = 1;
pub(crate) const KIND_ANY_OF: u8 = 2;
pub(crate) const KIND_EVERYONE: u8 = 3;
const KIND: u8 = 0x0f;
const WITHOUT_SENDER: u8 = 0x10;
const ONLY_CONNECTED: u8 = 0x20;

pub(crate) type Bytes = heapless::Vec<u8, MAX_DESTINATION_BYTES>;

/// Where a message goes: to one client, or to every session that matches.
///
/// ```
/// use e_pigeon_core::{Destination, Filter, Uuid, Value};
///
/// let one = Destination::from(Uuid::from_u128(7));
/// let others = Destination::from(Filter::all_of(&[("room", Value::Str("lobby"))])?).exclude_self();
/// # let _ = (one, others);
/// # Ok::<(), e_pigeon_core::FilterError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    bytes: Bytes,
}

impl Destination {
    /// Bytes that are a destination.
    pub(crate) fn trusted(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// The same, but never the sender itself.
    #[must_use]
    pub fn exclude_self(self) -> Self {
        self.with(WITHOUT_SENDER)
    }

    /// The same, but only sessions that are connected when the broker accepts the message. It never waits:
    /// where nobody is connected, the receipt says so at once.
    #[must_use]
    pub fn only_connected(self) -> Self {
        self.with(ONLY_CONNECTED)
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> DestinationRef<'_> {
        DestinationRef { bytes: &self.bytes }
    }

    fn with(mut self, option: u8) -> Self {
        if let Some(first) = self.bytes.first_mut() {
            *first |= option;
        }
        self
    }
}

impl From<Uuid> for Destination {
    fn from(uuid: Uuid) -> Self {
        let mut bytes = Bytes::new();
        let _ = bytes.push(KIND_UUID);
        let _ = bytes.extend_from_slice(uuid.as_bytes());
        Self { bytes }
    }
}

impl<'a> From<&'a Destination> for DestinationRef<'a> {
    fn from(destination: &'a Destination) -> Self {
        destination.as_ref()
    }
}

impl From<DestinationRef<'_>> for Destination {
    fn from(destination: DestinationRef<'_>) -> Self {
        // What was validated never has more bytes than the capacity.
        Self { bytes: Bytes::from_slice(destination.bytes).unwrap_or_default() }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// The sessions that a destination means.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// One client.
    Uuid(&'a Uuid),
    /// Sessions with every one of these pairs.
    AllOf(Pairs<'a>),
    /// Sessions with at least one of these pairs.
    AnyOf(Pairs<'a>),
    /// Every session.
    Everyone,
}

/// A destination, borrowed in its encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DestinationRef<'a> {
    /// One byte of kind and options, then 16 bytes of a UUID, or a count and the pairs, or nothing.
    bytes: &'a [u8],
}

impl<'a> DestinationRef<'a> {
    /// One client, encoded in `room`: for programs that cannot spare the 0.8 KB of a [`Destination`].
    pub fn uuid_in(room: &'a mut [u8; 17], uuid: Uuid) -> Self {
        let [kind, bytes @ ..] = &mut *room;
        (*kind, *bytes) = (KIND_UUID, uuid.into_bytes());
        Self { bytes: room }
    }

    /// Reads a destination; anything but its one encoding is refused.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut start = *reader;
        let before = reader.remaining();
        let first = reader.u8()?;
        if first & !(KIND | WITHOUT_SENDER | ONLY_CONNECTED) != 0 {
            return Err(Malformed);
        }
        match first & KIND {
            KIND_UUID => drop(reader.take(16)?),
            kind @ (KIND_ALL_OF | KIND_ANY_OF) => {
                let pairs = read_pairs(reader, MAX_FILTER_PAIRS, kind == KIND_ALL_OF)?;
                if pairs.first() == Some(&0) {
                    return Err(Malformed);
                }
            }
            KIND_EVERYONE => {}
            _ => return Err(Malformed),
        }
        Ok(Self { bytes: start.take(before - reader.remaining())? })
    }

    /// Bytes that [`DestinationRef::read`] accepted before.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// True if the sender itself is left out.
    pub fn exclude_self(&self) -> bool {
        self.first() & WITHOUT_SENDER != 0
    }

    /// True if only connected sessions are meant.
    pub fn only_connected(&self) -> bool {
        self.first() & ONLY_CONNECTED != 0
    }

    /// Whom it means.
    pub fn target(&self) -> Target<'a> {
        // Without pairs there may be nothing.
        let pairs = Pairs::new(self.bytes.get(2..).unwrap_or_default());
        match self.first() & KIND {
            KIND_UUID => {
                let uuid = self.bytes.get(1..).and_then(|rest| rest.first_chunk::<16>());
                // Where it lies: a copy would be waited for when it is hashed.
                Target::Uuid(Uuid::from_bytes_ref(uuid.unwrap_or(&[0; 16])))
            }
            KIND_ALL_OF => Target::AllOf(pairs),
            KIND_ANY_OF => Target::AnyOf(pairs),
            _ => Target::Everyone,
        }
    }

    /// True if a session of this UUID with these attributes is meant, its state and the sender left aside.
    pub fn matches(&self, uuid: Uuid, attributes: AttributesRef<'_>) -> bool {
        match self.target() {
            Target::Uuid(wanted) => *wanted == uuid,
            Target::AllOf(pairs) => pairs.encoded().all(|pair| has(attributes, pair)),
            Target::AnyOf(pairs) => pairs.encoded().any(|pair| has(attributes, pair)),
            Target::Everyone => true,
        }
    }

    fn first(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(KIND_EVERYONE)
    }
}

fn has(attributes: AttributesRef<'_>, wanted: &[u8]) -> bool {
    attributes.pairs().encoded().any(|pair| pair == wanted)
}

impl fmt::Debug for DestinationRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = |f: &mut fmt::Formatter<'_>, pairs: Pairs<'_>| {
            f.debug_map().entries(pairs.map(|pair| (pair.key, pair.value))).finish()
        };
        match self.target() {
            Target::Uuid(uuid) => fmt::Display::fmt(uuid, f)?,
            Target::AllOf(pairs) => {
                f.write_str("all of ")?;
                map(f, pairs)?;
            }
            Target::AnyOf(pairs) => {
                f.write_str("any of ")?;
                map(f, pairs)?;
            }
            Target::Everyone => f.write_str("everyone")?,
        }
        if self.exclude_self() {
            f.write_str(" without the sender")?;
        }
        if self.only_connected() {
            f.write_str(" of those connected")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Filter, Value};

    fn session() -> Attributes {
        let mut attributes = Attributes::new();
        attributes.set("room", Value::Str("lobby")).unwrap();
        attributes.set("level", Value::Int(3)).unwrap();
        attributes
    }

    fn reads_back(destination: &Destination) -> bool {
        let bytes = destination.as_ref().as_bytes();
        let mut reader = Reader::new(bytes);
        DestinationRef::read(&mut reader) == Ok(destination.as_ref()) && reader.remaining() == 0
    }

    #[test]
    fn all_of_any_of_everyone_and_one() {
        let session = session();
        let uuid = Uuid::from_u128(1);
        let matches = |destination: &Destination| {
            assert!(reads_back(destination));
            destination.as_ref().matches(uuid, session.as_ref())
        };
        let lobby = ("room", Value::Str("lobby"));
        assert!(matches(&Filter::all_of(&[lobby, ("level", Value::Int(3))]).unwrap().into()));
        assert!(!matches(&Filter::all_of(&[lobby, ("level", Value::Str("3"))]).unwrap().into()));
        assert!(matches(&Filter::any_of(&[lobby, ("level", Value::Str("3"))]).unwrap().into()));
        assert!(!matches(&Filter::any_of(&[("x", Value::Bool(true))]).unwrap().into()));
        assert!(matches(&Filter::everyone().into()));
        assert!(matches(&uuid.into()));
        assert!(!matches(&Uuid::from_u128(2).into()));
        let options = Destination::from(Filter::everyone()).exclude_self().only_connected();
        assert!(reads_back(&options) && options.as_ref().exclude_self() && options.as_ref().only_connected());
    }

    #[test]
    fn a_uuid_in_room_of_the_callers_is_the_same() {
        let mut room = [0; 17];
        let uuid = Uuid::from_u128(7);
        let borrowed = DestinationRef::uuid_in(&mut room, uuid);
        assert_eq!(borrowed, Destination::from(uuid).as_ref());
        assert_eq!(Destination::from(borrowed), Destination::from(uuid));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let read = |bytes: &[u8]| DestinationRef::read(&mut Reader::new(bytes)).is_ok();
        assert!(read(&[3]) && read(&[0x33]));
        assert!(!read(&[4]) && !read(&[0x43]) && !read(&[1, 0]) && !read(&[0, 1, 2]));
        assert!(read(&[2, 2, 1, b'a', 1, 2, 1, b'a', 1, 4]));
        assert!(!read(&[1, 2, 1, b'a', 1, 2, 1, b'a', 1, 4]), "all of one key with two values");
        assert!(!read(&[2, 2, 1, b'a', 1, 4, 1, b'a', 1, 2]), "not ascending");
    }
}
