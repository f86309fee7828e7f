//! Values, attributes, filters and destinations as text: the grammar of the command line.
//!
//! | what | text |
//! | --- | --- |
//! | value | `true`, `false`; `0` or `-?[1-9][0-9]*` within an `i64` is an integer; anything else is a string |
//! | | `"…"` is a string too, with `\"`, `\\` and `\u{1b}` in it; `"\x00ff"` is bytes |
//! | attributes | `key=value,key2=value2`; a comma in a value belongs into quotes |
//! | filter | `everyone`, `key=value,…` (all of them) or `any:key=value,…`; a comma or `=` in a value belongs into quotes |
//! | destination | a UUID or a filter; before it `exclude-self:`, `only-connected:` or both, in this order |
//!
//! What `Display` writes, `FromStr` reads as the same. Neither needs an allocator.

use crate::data::attributes::{Attributes, AttributesRef};
use crate::data::destination::{Destination, DestinationRef, MAX_FILTER_PAIRS, Target};
use crate::data::filter::{Filter, FilterError, FilterRef};
use crate::data::value::{AttributeError, MAX_VALUE, Pairs, Value};
use core::fmt::{self, Display, Formatter, Write};
use core::str::{Chars, FromStr};
use uuid::Uuid;

errors! {
    /// Why a text is no value, no attributes, no filter or no destination. The fault is the caller's.
    pub enum TextError {
        /// A key without an equals sign and a value.
        NoEqualsSign => "a key has no equals sign; a comma in a value belongs into quotes",
        /// A quote is open at the end.
        NoClosingQuote => "there is no closing quote",
        /// In quotes a backslash stands before `"`, `\`, `u{…}` with the number of a character, or, as the first of it, before
        /// `x` and pairs of hex digits.
        BadEscape => r#"in quotes, only \", \\, \u{{…}} and, for bytes, \x at the beginning are escapes"#,
        /// Something other than a comma follows a value.
        AfterValue => "something follows a value; a comma or = belongs into quotes",
        /// A key or a value breaks a limit.
        Attribute(error: AttributeError) => "{error}",
        /// There can be no such filter.
        Filter(error: FilterError) => "{error}",
    }
}

impl From<AttributeError> for TextError {
    fn from(error: AttributeError) -> Self {
        Self::Attribute(error)
    }
}

impl From<FilterError> for TextError {
    fn from(error: FilterError) -> Self {
        Self::Filter(error)
    }
}

/// A [`Value`] that owns its text or bytes.
///
/// ```
/// use e_pigeon_core::{OwnedValue, Value};
///
/// assert_eq!("-7".parse::<OwnedValue>()?.as_value(), Value::Int(-7));
/// assert_eq!("\"-7\"".parse::<OwnedValue>()?.as_value(), Value::Str("-7"));
/// assert_eq!(Value::Str("a, b").to_string(), "\"a, b\"");
/// # Ok::<(), e_pigeon_core::TextError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedValue(Owned);

#[derive(Clone, PartialEq, Eq)]
enum Owned {
    Bool(bool),
    Int(i64),
    Str(heapless::String<MAX_VALUE>),
    Bytes(heapless::Vec<u8, MAX_VALUE>),
}

impl OwnedValue {
    /// The value, borrowed.
    pub fn as_value(&self) -> Value<'_> {
        match &self.0 {
            Owned::Bool(value) => Value::Bool(*value),
            Owned::Int(value) => Value::Int(*value),
            Owned::Str(value) => Value::Str(value),
            Owned::Bytes(value) => Value::Bytes(value),
        }
    }
}

impl TryFrom<Value<'_>> for OwnedValue {
    type Error = AttributeError;

    fn try_from(value: Value<'_>) -> Result<Self, AttributeError> {
        Ok(Self(match value {
            Value::Bool(value) => Owned::Bool(value),
            Value::Int(value) => Owned::Int(value),
            Value::Str(text) => {
                Owned::Str(heapless::String::try_from(text).map_err(|_| AttributeError::ValueTooLong)?)
            }
            Value::Bytes(bytes) => {
                Owned::Bytes(heapless::Vec::from_slice(bytes).map_err(|_| AttributeError::ValueTooLong)?)
            }
        }))
    }
}

impl fmt::Debug for OwnedValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_value(), f)
    }
}

impl FromStr for OwnedValue {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match value(text, &[])? {
            (value, "") => Ok(value),
            _ => Err(TextError::AfterValue),
        }
    }
}

impl FromStr for Attributes {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let mut attributes = Self::new();
        if !text.is_empty() {
            pairs(text, &[','], |key, value| Ok(attributes.set(key, value.as_value())?))?;
        }
        Ok(attributes)
    }
}

impl FromStr for Filter {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text == EVERYONE {
            return Ok(Self::everyone());
        }
        let (list, is_any) = strip(text, ANY);
        let mut owned = heapless::Vec::<_, MAX_FILTER_PAIRS>::new();
        pairs(list, &[',', '='], |key, value| {
            owned.push((key, value)).map_err(|_| FilterError::TooMany.into())
        })?;
        let borrowed: heapless::Vec<_, MAX_FILTER_PAIRS> =
            owned.iter().map(|(key, value)| (*key, value.as_value())).collect();
        Ok(if is_any { Self::any_of(&borrowed)? } else { Self::all_of(&borrowed)? })
    }
}

impl FromStr for Destination {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (text, exclude_self) = strip(text, EXCLUDE_SELF);
        let (text, only_connected) = strip(text, ONLY_CONNECTED);
        let mut destination = match Uuid::try_parse(text) {
            Ok(uuid) => uuid.into(),
            Err(_) => Self::from(text.parse::<Filter>()?),
        };
        if exclude_self {
            destination = destination.exclude_self();
        }
        Ok(if only_connected { destination.only_connected() } else { destination })
    }
}

const EVERYONE: &str = "everyone";
const ANY: &str = "any:";
const EXCLUDE_SELF: &str = "exclude-self:";
const ONLY_CONNECTED: &str = "only-connected:";

fn strip<'t>(text: &'t str, prefix: &str) -> (&'t str, bool) {
    text.strip_prefix(prefix).map_or((text, false), |rest| (rest, true))
}

/// Reads pairs up to the end; a value without quotes has none of the letters `special`.
fn pairs<'t>(
    text: &'t str,
    special: &[char],
    mut each: impl FnMut(&'t str, OwnedValue) -> Result<(), TextError>,
) -> Result<(), TextError> {
    let mut left = text;
    loop {
        let (key, after) = left.split_once('=').ok_or(TextError::NoEqualsSign)?;
        let (value, rest) = value(after, special)?;
        each(key, value)?;
        if rest.is_empty() {
            return Ok(());
        }
        left = rest.strip_prefix(',').ok_or(TextError::AfterValue)?;
    }
}

/// Reads a value, in quotes or up to one of the letters `special`, and returns the text behind it too.
fn value<'t>(text: &'t str, special: &[char]) -> Result<(OwnedValue, &'t str), TextError> {
    if let Some(text) = text.strip_prefix('"') {
        return quoted(text);
    }
    let end = text.find(special).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let value = match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => integer(word).map_or(Value::Str(word), Value::Int),
    };
    Ok((OwnedValue::try_from(value)?, rest))
}

/// Reads `0` or `-?[1-9][0-9]*` as far as it fits; anything else is no integer.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain || text == "0" { text.parse().ok() } else { None }
}

/// Reads a string or bytes behind an opening quote, and returns the text behind the closing quote too.
fn quoted(text: &str) -> Result<(OwnedValue, &str), TextError> {
    if let Some(digits) = text.strip_prefix(r"\x") {
        return hex(digits);
    }
    let mut value = heapless::String::new();
    let mut letters = text.chars();
    loop {
        let letter = match letters.next().ok_or(TextError::NoClosingQuote)? {
            '"' => return Ok((OwnedValue(Owned::Str(value)), letters.as_str())),
            '\\' => match letters.next() {
                Some(escaped @ ('"' | '\\')) => escaped,
                Some('u') => unicode(&mut letters)?,
                _ => return Err(TextError::BadEscape),
            },
            other => other,
        };
        value.push(letter).map_err(|_| AttributeError::ValueTooLong)?;
    }
}

/// Reads the number of a character in braces.
fn unicode(letters: &mut Chars<'_>) -> Result<char, TextError> {
    let braces = letters.as_str().strip_prefix('{').and_then(|text| text.split_once('}'));
    let (digits, rest) = braces.ok_or(TextError::BadEscape)?;
    *letters = rest.chars();
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    number.and_then(char::from_u32).ok_or(TextError::BadEscape)
}

/// Reads pairs of hex digits up to the closing quote.
fn hex(text: &str) -> Result<(OwnedValue, &str), TextError> {
    let (digits, rest) = text.split_once('"').ok_or(TextError::NoClosingQuote)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut value = heapless::Vec::new();
    for pair in digits.as_bytes().chunks(2) {
        let byte = match *pair {
            [high, low] => digit(high).zip(digit(low)).map(|(high, low)| (high << 4 | low) as u8),
            _ => None,
        };
        value.push(byte.ok_or(TextError::BadEscape)?).map_err(|_| AttributeError::ValueTooLong)?;
    }
    Ok((OwnedValue(Owned::Bytes(value)), rest))
}

/// In one line, whatever is in it.
impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Str(text) if is_plain(text) => f.write_str(text),
            Self::Str(text) => {
                f.write_char('"')?;
                for letter in text.chars() {
                    match letter {
                        '"' | '\\' => write!(f, "\\{letter}")?,
                        letter if letter.is_control() => write!(f, "\\u{{{:x}}}", u32::from(letter))?,
                        letter => f.write_char(letter)?,
                    }
                }
                f.write_char('"')
            }
            Self::Bytes(bytes) => {
                f.write_str("\"\\x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_char('"')
            }
        }
    }
}

/// True if a text is that string without quotes, in a list too.
fn is_plain(text: &str) -> bool {
    let is_string = !matches!(text, "" | "true" | "false") && integer(text).is_none();
    is_string && text.chars().all(|letter| letter.is_alphanumeric() || "-_.:/@+".contains(letter))
}

fn write_pairs(f: &mut Formatter<'_>, pairs: Pairs<'_>) -> fmt::Result {
    for (place, pair) in pairs.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(f, "{comma}{}={}", pair.key, pair.value)?;
    }
    Ok(())
}

impl Display for OwnedValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.as_value().fmt(f)
    }
}

impl Display for AttributesRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_pairs(f, self.pairs())
    }
}

impl Display for Attributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl Display for DestinationRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.exclude_self() {
            f.write_str(EXCLUDE_SELF)?;
        }
        if self.only_connected() {
            f.write_str(ONLY_CONNECTED)?;
        }
        match self.target() {
            Target::Uuid(uuid) => uuid.fmt(f),
            Target::AllOf(pairs) => write_pairs(f, pairs),
            Target::AnyOf(pairs) => {
                f.write_str(ANY)?;
                write_pairs(f, pairs)
            }
            Target::Everyone => f.write_str(EVERYONE),
        }
    }
}

impl Display for Destination {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl Display for FilterRef<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        DestinationRef::from(*self).fmt(f)
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Through serde: the same text.
#[cfg(feature = "serde")]
mod through_serde {
    use super::{Attributes, Destination, Filter, FromStr};
    use core::fmt;
    use core::marker::PhantomData;
    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde::ser::{Serialize, Serializer};

    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text as on the command line")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    macro_rules! as_text {
        ($($name:ty)*) => {
            $(impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(Text(PhantomData))
                }
            })*
        };
    }

    as_text!(Attributes Filter Destination);
}
