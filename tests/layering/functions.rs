//! How long functions are.

use crate::tokens::{behind_item, tokens};

/// The name of each function with a body, its first line, and how many lines it has.
pub(crate) fn functions(source: &str) -> Vec<(&str, usize, usize)> {
    let tokens = tokens(source);
    let line = |at: usize| 1 + source[..at].matches('\n').count();
    let mut found = Vec::new();
    for (place, pair) in tokens.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        // A pointer to a function has no name.
        let is_name = name.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if keyword.text != "fn" || !is_name {
            continue;
        }
        let Some(last) = tokens.get(behind_item(&tokens, place).saturating_sub(1)) else { continue };
        if last.text == "}" {
            let (first, last) = (line(keyword.at), line(last.at));
            found.push((name.text, first, last + 1 - first));
        }
    }
    found
}
