//! For whom a message is, as it stands on the command line.

use e_pigeon_core::{Destination, Filter, Uuid, Value};

use crate::value::Pair;

/// Reads a UUID, `everyone`, `key=value,…` (all of them) or `any:key=value,…`.
pub(crate) fn parse(text: &str) -> Result<Destination, String> {
    if text == "everyone" {
        return Ok(Filter::everyone().into());
    }
    if let Ok(uuid) = Uuid::parse_str(text) {
        return Ok(uuid.into());
    }
    let (list, any) = match text.strip_prefix("any:") {
        Some(list) => (list, true),
        None => (text, false),
    };
    filter(list, any).map(Destination::from).map_err(|error| {
        format!(
            "{error}; give a UUID, everyone, name=alice,room=lobby (all of them) or any:name=alice,name=bob"
        )
    })
}

fn filter(list: &str, any: bool) -> Result<Filter, String> {
    let pairs = Pair::parse_list(list)?;
    let pairs: Vec<(&str, Value<'_>)> =
        pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_value())).collect();
    let filter = if any { Filter::any_of(&pairs) } else { Filter::all_of(&pairs) };
    filter.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
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
    fn anything_else_is_an_error_with_an_example() {
        for text in [
            "",
            "alice",
            "any:",
            "any:everyone",
            "name=a=b",
            "Name=x",
            "name=a,name=b",
            "67e55044-10b1",
            "a=1,",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("name=alice,room=lobby"), "{text}: {error}");
        }
        let many: Vec<String> = (0..9).map(|n| format!("k{n}=1")).collect();
        assert!(parse(&many.join(",")).is_err());
    }
}
