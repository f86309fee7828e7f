//! Attribute values and `key=value` pairs as they stand on the command line.

use std::io::{self, Write};

use e_pigeon_core::{Attributes, Value};

/// A value that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Bool(bool),
    Int(i64),
    Str(String),
}

impl Owned {
    /// Reads a whole text: `true`, `false`, an integer, `"…"`, and anything else is a string as it stands.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('"') {
            let (value, rest) = quoted(text)?;
            if !rest.is_empty() {
                return Err(format!("unexpected {rest:?} after the closing quote"));
            }
            return Ok(Self::Str(value));
        }
        Ok(match text {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => integer(text).map_or_else(|| Self::Str(text.to_owned()), Self::Int),
        })
    }

    /// The value as the protocol knows it.
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Str(value) => Value::Str(value),
        }
    }
}

/// Writes a value as it would stand on the command line, in one line. Bytes, which cannot be given there, as `0x…`.
pub(crate) fn write_value(out: &mut impl Write, value: Value<'_>) -> io::Result<()> {
    match value {
        Value::Bool(value) => write!(out, "{value}"),
        Value::Int(value) => write!(out, "{value}"),
        Value::Str(text) => {
            let is_plain = |c: char| c.is_alphanumeric() || "-_.:/@+".contains(c);
            let reads_back = Owned::parse(text) == Ok(Owned::Str(text.to_owned()));
            if reads_back && !text.is_empty() && text.chars().all(is_plain) {
                return out.write_all(text.as_bytes());
            }
            out.write_all(b"\"")?;
            for c in text.chars() {
                match c {
                    '"' | '\\' => write!(out, "\\{c}")?,
                    c if c.is_control() => write!(out, "{}", c.escape_default())?,
                    c => write!(out, "{c}")?,
                }
            }
            out.write_all(b"\"")
        }
        Value::Bytes(bytes) => {
            out.write_all(b"0x")?;
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
    }
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: Owned,
}

/// What one `--set` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<Pair>);

impl Pairs {
    /// Reads `KEY=VALUE,…`, and holds each pair against the limits of attributes. Only a comma belongs into quotes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let example = "for example name=alice or level=3,note=\"a, b\"";
        let pairs = Pair::parse_with(text, &[',']).map_err(|error| format!("{error}, {example}"))?;
        for Pair { key, value } in &pairs {
            Attributes::new().set(key, value.as_value()).map_err(|error| format!("{error}, {example}"))?;
        }
        Ok(Self(pairs))
    }
}

impl Pair {
    /// Reads `key=value,key2=value2`, where a comma or an equals sign belongs into quotes.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        Self::parse_with(text, &[',', '='])
    }

    /// Reads pairs; these letters belong into quotes if they are in a value.
    fn parse_with(text: &str, special: &[char]) -> Result<Vec<Self>, String> {
        let mut pairs = Vec::new();
        let mut left = text;
        loop {
            let (key, after) = left.split_once('=').ok_or_else(|| {
                let after_a_comma =
                    if pairs.is_empty() { "" } else { "; put a value with a comma in quotes" };
                format!("{left:?} has no equals sign{after_a_comma}")
            })?;
            let (value, rest) = if after.starts_with('"') {
                let (value, rest) = quoted(after)?;
                (Owned::Str(value), rest)
            } else {
                let end = after.find(special).unwrap_or(after.len());
                (Owned::parse(&after[..end])?, &after[end..])
            };
            pairs.push(Self { key: key.to_owned(), value });
            if rest.is_empty() {
                return Ok(pairs);
            }
            left = rest.strip_prefix(',').ok_or(format!(
                "unexpected {rest:?} after a value; put a value with a comma or = in quotes"
            ))?;
        }
    }
}

/// Reads `0` or `-?[1-9][0-9]*` as far as it fits; anything else is no integer.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain || text == "0" { text.parse().ok() } else { None }
}

/// Reads a string in quotes from the front of `text`, and returns what follows it too.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err(format!("in {text}, only \\\" and \\\\ may follow a backslash")),
            },
            other => value.push(other),
        }
    }
    Err(format!("{text} has no closing quote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Owned {
        Owned::Str(text.into())
    }

    #[test]
    fn values() {
        for (text, value) in [
            ("true", Owned::Bool(true)),
            ("false", Owned::Bool(false)),
            ("0", Owned::Int(0)),
            ("-7", Owned::Int(-7)),
            ("9223372036854775807", Owned::Int(i64::MAX)),
            ("-9223372036854775808", Owned::Int(i64::MIN)),
            ("9223372036854775808", string("9223372036854775808")),
            ("-0", string("-0")),
            ("007", string("007")),
            ("+1", string("+1")),
            ("-", string("-")),
            ("1.5", string("1.5")),
            ("True", string("True")),
            ("", string("")),
            ("alice", string("alice")),
            ("5\" disk", string("5\" disk")),
            ("\"true\"", string("true")),
            ("\"7\"", string("7")),
            ("\"\"", string("")),
            (r#""say \"hi\", C:\\""#, string(r#"say "hi", C:\"#)),
        ] {
            assert_eq!(Owned::parse(text).expect(text), value, "{text}");
        }
        for text in ["\"open", "\"", "\"a\"b", r#""\n""#, "\"a\\"] {
            assert!(Owned::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn newcomer_4_set_takes_several_pairs() {
        let pair = |key: &str, value| Pair { key: key.into(), value };
        for (text, pairs) in [
            ("room=lobby,name=anna", vec![pair("room", string("lobby")), pair("name", string("anna"))]),
            ("note=\"a,b\",level=3", vec![pair("note", string("a,b")), pair("level", Owned::Int(3))]),
            ("note=a=b", vec![pair("note", string("a=b"))]),
        ] {
            assert_eq!(Pairs::parse(text), Ok(Pairs(pairs)), "{text}");
        }
        assert!(
            Pairs::parse("note=hello,world")
                .expect_err("a comma")
                .contains("put a value with a comma in quotes")
        );
        let long = format!("key={}", "x".repeat(65));
        for text in ["note", "=1", "Note=1", "a b=1", "a=1,", "a=1,Note=2", long.as_str()] {
            assert!(Pairs::parse(text).expect_err(text).contains("for example"), "{text}");
        }
    }

    #[test]
    fn lists() {
        let pairs = Pair::parse_list(r#"room="a,b=c",level=3,name=al"#).expect("a list");
        let expected = [("room", string("a,b=c")), ("level", Owned::Int(3)), ("name", string("al"))];
        assert_eq!(pairs.len(), 3);
        for (pair, (key, value)) in pairs.iter().zip(expected) {
            assert_eq!((pair.key.as_str(), &pair.value), (key, &value));
        }
        assert_eq!(Pair::parse_list("a=").expect("an empty value")[0].value, string(""));
        for text in ["", "a", "a=1,", "a=1,b", "a=b=c", "a=\"x\"y", "a=\"x"] {
            assert!(Pair::parse_list(text).is_err(), "{text}");
        }
    }
}
