//! Attributes on the command line, and values in what it prints.

use std::io::{self, Write};

use e_pigeon_core::{Attributes, TextError, Value};

/// Reads what one `--set` sets.
pub(crate) fn attributes(text: &str) -> Result<Attributes, String> {
    let read = if text.is_empty() { Err(TextError::NoEqualsSign) } else { text.parse() };
    read.map_err(|error| format!("{error}, for example name=alice or level=3,note=\"a, b\""))
}

/// Writes a value as it would stand on the command line, in one line. Bytes as `0x…`.
pub(crate) fn write_value(out: &mut impl Write, value: Value<'_>) -> io::Result<()> {
    match value {
        Value::Bytes(bytes) => {
            out.write_all(b"0x")?;
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        value => write!(out, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomer_4_set_takes_several_pairs() {
        for (text, pairs) in [
            ("room=lobby,name=anna", vec![("room", Value::Str("lobby")), ("name", Value::Str("anna"))]),
            ("note=\"a,b\",level=3", vec![("note", Value::Str("a,b")), ("level", Value::Int(3))]),
            ("note=a=b", vec![("note", Value::Str("a=b"))]),
        ] {
            let read = attributes(text).expect(text);
            assert_eq!(read.len(), pairs.len(), "{text}");
            for (key, value) in pairs {
                assert_eq!(read.get(key), Some(value), "{text}");
            }
        }
        assert!(attributes("note=hello,world").expect_err("a comma").contains("belongs into quotes"));
        let long = format!("key={}", "x".repeat(65));
        for text in ["", "note", "=1", "Note=1", "a b=1", "a=1,", "a=1,Note=2", long.as_str()] {
            assert!(attributes(text).expect_err(text).contains("for example"), "{text}");
        }
    }
}
