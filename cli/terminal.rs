//! Text of others on a terminal, which takes control characters as commands.

use std::io::{self, Write};

/// Writes a payload. Control characters, except tabs and newlines, and bytes that are no text are escaped.
pub(crate) fn write_text(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    for chunk in payload.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' => write!(out, "{c}")?,
                c if c.is_control() => write!(out, "{}", c.escape_default())?,
                c => write!(out, "{c}")?,
            }
        }
        chunk.invalid().iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))?;
    }
    Ok(())
}

/// Writes a string as JSON. Of control characters JSON itself escapes only the first 32.
pub(crate) fn write_json(out: &mut impl Write, text: &str) -> io::Result<()> {
    for c in serde_json::to_string(text)?.chars() {
        if c.is_control() {
            write!(out, "\\u{:04x}", u32::from(c))?;
        } else {
            write!(out, "{c}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomer_12_no_control_character_gets_through() {
        let mut out = Vec::new();
        write_text(&mut out, b"a\tb\nred \x1b[31m \xc2\x9b1m \x07\x7f\r \x9b \xff na\xc3\xafve")
            .expect("a vector");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "a\tb\nred \\u{1b}[31m \\u{9b}1m \\u{7}\\u{7f}\\r \\x9b \\xff naïve");

        let mut out = Vec::new();
        let text = "\u{1b}]0;title\u{7} \u{9b}31m \u{7f} \"naïve\"\n";
        write_json(&mut out, text).expect("a vector");
        assert!(!out.iter().any(|byte| byte.is_ascii_control()));
        let json = String::from_utf8(out).expect("text");
        assert!(!json.contains(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
    }
}
