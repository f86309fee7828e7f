//! For whom a message is, as it stands on the command line.

use e_pigeon_core::{Destination, Filter, Uuid};

/// Where `--to` sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) destination: Destination,
    /// A value has a `*` in it, which is a plain character here.
    pub(crate) has_star: bool,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { destination: parse(text)?, has_star: text.contains('*') })
    }
}

/// Reads a UUID, `everyone`, `key=value,…` (all of them) or `any:key=value,…`.
fn parse(text: &str) -> Result<Destination, String> {
    if let Ok(uuid) = Uuid::parse_str(text) {
        return Ok(uuid.into());
    }
    if let Some(problem) = mistyped_uuid(text) {
        return Err(format!("{problem}, for example 67e55044-10b1-426f-9247-bb680e5fe0c8"));
    }
    text.parse::<Filter>().map(Destination::from).map_err(|error| {
        format!(
            "{error}; give a UUID, everyone, name=alice,room=lobby (all of them) or any:name=alice,name=bob"
        )
    })
}

/// What is wrong with a text that can only be meant as a UUID.
fn mistyped_uuid(text: &str) -> Option<String> {
    let is_near = text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    // `all` and `everybody` are no UUIDs; digits and hyphens, or twenty letters of them, are.
    if !is_near || !(text.contains('-') && digits >= 8 || digits >= 20) {
        return None;
    }
    match text.bytes().find(|byte| *byte != b'-' && !byte.is_ascii_hexdigit()) {
        Some(byte) => Some(format!("not a UUID: {:?} is not a hex digit", char::from(byte))),
        None if digits != 32 => Some(format!("not a UUID: it has {digits} hex digits and needs 32")),
        None => Some("not a UUID: its hyphens are in the wrong places".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use e_pigeon_core::Value;

    use super::*;

    #[test]
    fn all_four_kinds() {
        assert_eq!(parse("everyone"), Ok(Filter::everyone().into()));
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(parse(uuid), Ok(Uuid::parse_str(uuid).expect("a UUID").into()));
        let pairs = [("name", Value::Str("alice")), ("level", Value::Int(3))];
        assert_eq!(parse("name=alice,level=3"), Ok(Filter::all_of(&pairs).expect("a filter").into()));
        assert_eq!(parse("any:name=alice,level=3"), Ok(Filter::any_of(&pairs).expect("a filter").into()));
        let text = [("everyone", Value::Str("any:x"))];
        assert_eq!(parse("everyone=any:x"), Ok(Filter::all_of(&text).expect("a filter").into()));
    }

    #[test]
    fn newcomer_10_a_mistyped_uuid_is_called_that() {
        for (text, problem) in [
            ("67e55044-10b1", "it has 12 hex digits and needs 32"),
            ("67e55044-10b1-426f-9247-bb680e5fe0c", "it has 31 hex digits and needs 32"),
            ("67e5504410b1426f9247bb680e5fe0c", "it has 31 hex digits and needs 32"),
            ("67e55044-10b1-426f-9247-bb680e5feOc8", "'O' is not a hex digit"),
            ("67e5504-410b1-426f-9247-bb680e5fe0c8", "its hyphens are in the wrong places"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with("not a UUID: ") && error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn anything_else_is_an_error_with_an_example() {
        for text in [
            "",
            "alice",
            "any:",
            "any:everyone",
            "name=a=b",
            "Name=x",
            "name=a,name=b",
            "all",
            "*",
            "everybody",
            "a=1,",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("name=alice,room=lobby"), "{text}: {error}");
        }
        let many: Vec<String> = (0..9).map(|n| format!("k{n}=1")).collect();
        assert!(parse(&many.join(",")).is_err());
    }
}
