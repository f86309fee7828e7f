//! Rust source as tokens: words, `::` and single characters. Comments, strings and characters are left out.

/// One token, and the place of its first byte in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckToken<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// The tokens of a source file, in order.
pub(crate) fn tokens(source: &str) -> Vec<AckToken<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        if let Some(length) = skipped(&source[at..]) {
            at += length;
            continue;
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            source[at..].find(|c| !is_word(c)).unwrap_or(source.len() - at)
        } else if source[at..].starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            tokens.push(AckToken { text: &source[at..at + length], at });
        }
        at += length;
    }
    tokens
}

/// The length of the comment, the string or the character at the front, if there is one.
fn skipped(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    match bytes {
        [b'/', b'/', ..] => Some(source.find('\n').unwrap_or(source.len())),
        [b'/', b'*', ..] => Some(block_comment(bytes)),
        [b'"', ..] => Some(closed_by(bytes, 1, b'"')),
        [b'r', b'"' | b'#', ..] => {
            let hashes = bytes[1..].iter().take_while(|&&byte| byte == b'#').count();
            if bytes.get(1 + hashes) != Some(&b'"') {
                // A raw identifier.
                return None;
            }
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = 2 + hashes;
            Some(source[inside..].find(&end).map_or(source.len(), |found| inside + found + end.len()))
        }
        [b'\'', b'\\', ..] => Some(closed_by(bytes, 1, b'\'')),
        // A character, and no lifetime.
        [b'\'', ..] => {
            let character = source[1..].chars().next()?;
            let end = 1 + character.len_utf8();
            (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
        }
        _ => None,
    }
}

/// The length up to the first `close` from that place on that has no backslash before it.
fn closed_by(bytes: &[u8], from: usize, close: u8) -> usize {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if byte == close => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn block_comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at + 1 < bytes.len() {
        match [bytes[at], bytes[at + 1]] {
            [b'/', b'*'] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/'] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// The place behind the bracket that closes the one at `open`.
pub(crate) fn behind_closing(tokens: &[AckToken<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The place behind the item that begins at `from`: its block, or its semicolon.
pub(crate) fn behind_item(tokens: &[AckToken<'_>], from: usize) -> usize {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "(" | "[" => at = behind_closing(tokens, at),
            "{" => return behind_closing(tokens, at),
            // The end of a field, or of the block around it.
            ";" | "," => return at + 1,
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}
