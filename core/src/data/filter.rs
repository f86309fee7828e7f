//! Filters, which sessions match or not: each is a [`Destination`] without options that is not a UUID.
//! (PROTOCOL.md, "Filters and destinations")

use crate::bug::OrBug;
use crate::codec::{Malformed, Reader, shift};
use crate::data::destination::{
    Bytes, Destination, DestinationRef, KIND_ALL_OF, KIND_ANY_OF, KIND_EVERYONE, MAX_DESTINATION_BYTES,
    MAX_FILTER_PAIRS, Target,
};
use crate::data::value::{AttributeError, RawPairs, Value, encode_pair};
use core::fmt;

errors! {
    /// Why there can be no such filter. The fault is the caller's.
    pub enum FilterError {
        /// A filter without pairs says nothing; everyone is [`Filter::everyone`].
        Empty => "a filter needs at least one key=value",
        /// A filter has at most 8 pairs.
        TooMany => "a filter has at most 8 pairs",
        /// All of `a = 1` and `a = 2` can match no session.
        KeyTwice => "a key occurs twice, and no session can match both values",
        /// A key or a value breaks a limit.
        Attribute(error: AttributeError) => "{error}",
        /// It has more bytes than where it is to be encoded.
        NoRoom => "the buffer has no room for the filter",
    }
}

/// A condition on the attributes of a session.
///
/// ```
/// use e_pigeon_core::{Filter, Value};
///
/// let lobby = Filter::all_of(&[("room", Value::Str("lobby"))])?;
/// let admins = Filter::any_of(&[("role", Value::Str("admin")), ("root", Value::Bool(true))])?;
/// assert_ne!(lobby, admins);
/// # Ok::<(), e_pigeon_core::FilterError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    destination: Destination,
}

impl Filter {
    /// Sessions that have every one of these attributes.
    ///
    /// # Errors
    ///
    /// No pair, too many, a key twice, or a pair that no session could have.
    pub fn all_of(pairs: &[(&str, Value<'_>)]) -> Result<Self, FilterError> {
        Self::build(KIND_ALL_OF, pairs)
    }

    /// Sessions that have at least one of these attributes.
    ///
    /// # Errors
    ///
    /// No pair, too many, or a pair that no session could have.
    pub fn any_of(pairs: &[(&str, Value<'_>)]) -> Result<Self, FilterError> {
        Self::build(KIND_ANY_OF, pairs)
    }

    /// Every session.
    pub fn everyone() -> Self {
        let bytes = Bytes::from_slice(&[KIND_EVERYONE]).ok().or_bug("one byte has no room");
        Self { destination: Destination::trusted(bytes.unwrap_or_default()) }
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> FilterRef<'_> {
        FilterRef { destination: self.destination.as_ref() }
    }

    fn build(kind: u8, pairs: &[(&str, Value<'_>)]) -> Result<Self, FilterError> {
        let mut bytes = Bytes::new();
        // Growing to its own capacity always succeeds, and that is the room of the most and longest pairs.
        let _ = bytes.resize_default(MAX_DESTINATION_BYTES);
        let length = encode(&mut bytes, kind, pairs)?;
        bytes.truncate(length);
        Ok(Self { destination: Destination::trusted(bytes) })
    }
}

/// Encodes a filter at the front of `room`, and returns how many bytes it has.
fn encode(room: &mut [u8], kind: u8, pairs: &[(&str, Value<'_>)]) -> Result<usize, FilterError> {
    if pairs.is_empty() {
        return Err(FilterError::Empty);
    }
    if pairs.len() > MAX_FILTER_PAIRS {
        return Err(FilterError::TooMany);
    }
    let (mut count, mut length) = (0, 2);
    'pairs: for &(key, value) in pairs {
        let pair = encode_pair(key, value).map_err(FilterError::Attribute)?;
        let (mut place, mut at) = (length, 2);
        // That the room is too short is found below.
        for (other, raw) in RawPairs::new(room.get(2..length).unwrap_or_default()) {
            if kind == KIND_ALL_OF && other == key.as_bytes() {
                return Err(FilterError::KeyTwice);
            }
            if raw == pair.as_slice() {
                // The same condition once more changes nothing.
                continue 'pairs;
            }
            if raw > pair.as_slice() {
                place = place.min(at);
            }
            at += raw.len();
        }
        if length + pair.len() > room.len() {
            return Err(FilterError::NoRoom);
        }
        shift(room, place..length, place + pair.len());
        if let Some(hole) = room.get_mut(place..place + pair.len()) {
            hole.copy_from_slice(&pair);
        }
        (count, length) = (count + 1, length + pair.len());
    }
    if let Some(head) = room.first_chunk_mut() {
        *head = [kind, count];
    }
    Ok(length)
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// A filter, borrowed in its encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FilterRef<'a> {
    destination: DestinationRef<'a>,
}

impl<'a> FilterRef<'a> {
    /// As [`Filter::all_of`], encoded in `room`: for programs that cannot spare the 0.8 KB of a [`Filter`] for one that has
    /// some dozen bytes.
    ///
    /// ```
    /// use e_pigeon_core::{DestinationRef, FilterRef, Message, Value};
    ///
    /// let mut room = [0; 32];
    /// let lobby = FilterRef::all_of_in(&mut room, &[("room", Value::Str("lobby"))])?;
    /// let outgoing = Message::to(lobby).payload(b"hello");
    /// # let _ = outgoing;
    /// # Ok::<(), e_pigeon_core::FilterError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The same, or `room` is too small.
    pub fn all_of_in(room: &'a mut [u8], pairs: &[(&str, Value<'_>)]) -> Result<Self, FilterError> {
        Self::build_in(room, KIND_ALL_OF, pairs)
    }

    /// As [`Filter::any_of`], encoded in `room`.
    ///
    /// # Errors
    ///
    /// The same, or `room` is too small.
    pub fn any_of_in(room: &'a mut [u8], pairs: &[(&str, Value<'_>)]) -> Result<Self, FilterError> {
        Self::build_in(room, KIND_ANY_OF, pairs)
    }

    fn build_in(room: &'a mut [u8], kind: u8, pairs: &[(&str, Value<'_>)]) -> Result<Self, FilterError> {
        let length = encode(room, kind, pairs)?;
        let bytes = room.get(..length).or_bug("a filter lies outside its room");
        Ok(Self { destination: DestinationRef::trusted(bytes.unwrap_or_default()) })
    }

    /// Reads a filter; anything but its one encoding is refused.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let destination = DestinationRef::read(reader)?;
        if destination.exclude_self() || destination.only_connected() {
            return Err(Malformed);
        }
        match destination.target() {
            Target::Uuid(_) => Err(Malformed),
            _ => Ok(Self { destination }),
        }
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.destination.as_bytes()
    }
}

impl fmt::Debug for FilterRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.destination.fmt(f)
    }
}

impl From<Filter> for Destination {
    fn from(filter: Filter) -> Self {
        filter.destination
    }
}

impl<'a> From<&'a Filter> for DestinationRef<'a> {
    fn from(filter: &'a Filter) -> Self {
        filter.destination.as_ref()
    }
}

impl<'a> From<FilterRef<'a>> for DestinationRef<'a> {
    fn from(filter: FilterRef<'a>) -> Self {
        filter.destination
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_makes_no_sense_is_an_error() {
        let a1 = ("a", Value::Int(1));
        assert_eq!(Filter::all_of(&[]).err(), Some(FilterError::Empty));
        assert_eq!(Filter::all_of(&[a1, ("a", Value::Int(2))]).err(), Some(FilterError::KeyTwice));
        assert_eq!(Filter::any_of(&[a1; 9]).err(), Some(FilterError::TooMany));
        assert_eq!(Filter::any_of(&[a1, a1]).unwrap(), Filter::any_of(&[a1]).unwrap());
        assert!(Filter::any_of(&[a1, ("a", Value::Int(2))]).is_ok());
    }

    #[test]
    fn what_is_encoded_in_room_of_the_callers_is_the_same() {
        let pairs =
            [("b", Value::Int(1)), ("a", Value::Str("x")), ("b", Value::Int(1)), ("c", Value::Bool(true))];
        let any = Filter::any_of(&pairs).unwrap();
        for size in 0..40 {
            let mut room = std::vec![0xaa; size];
            match FilterRef::any_of_in(&mut room, &pairs) {
                Ok(filter) => assert!(filter == any.as_ref() && size >= filter.as_bytes().len()),
                Err(error) => assert!(error == FilterError::NoRoom && size < any.as_ref().as_bytes().len()),
            }
        }
    }
}
