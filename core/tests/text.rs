//! Values, attributes, filters and destinations as text: what is written is read as the same.

use e_pigeon_core::{Attributes, Destination, Filter, OwnedValue, TextError, Uuid, Value};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Any {
    Bool(bool),
    Int(i64),
    Str(String),
    Bytes(Vec<u8>),
}

impl Any {
    fn as_value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Str(value) => Value::Str(value),
            Self::Bytes(value) => Value::Bytes(value),
        }
    }
}

fn any_value() -> impl Strategy<Value = Any> {
    prop_oneof![
        any::<bool>().prop_map(Any::Bool),
        any::<i64>().prop_map(Any::Int),
        any::<i64>().prop_map(|number| Any::Str(number.to_string())),
        "[a-z0-9,=:\"\\\\ x-]{0,20}".prop_map(Any::Str),
        "\\PC{0,16}".prop_map(Any::Str),
        prop::collection::vec(any::<char>(), 0..16).prop_map(|letters| Any::Str(letters.iter().collect())),
        prop_oneof!["true", "false", "everyone", "any:a=1", ""].prop_map(Any::Str),
        prop::collection::vec(any::<u8>(), 0..=64).prop_map(Any::Bytes),
    ]
}

fn any_pairs() -> impl Strategy<Value = Vec<(String, Any)>> {
    prop::collection::vec(("[a-z0-9_.-]{1,32}", any_value()), 1..=8)
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written(value in any_value()) {
        let text = value.as_value().to_string();
        prop_assert!(!text.contains(char::is_control), "one line, and nothing for a terminal to obey: {:?}", text);
        let read: OwnedValue = text.parse().expect(&text);
        prop_assert_eq!(read.as_value(), value.as_value());
    }

    #[test]
    fn attributes_filters_and_destinations_are_read_as_they_were_written(
        pairs in any_pairs(),
        uuid in any::<u128>(),
        options in 0_u8..4,
    ) {
        let pairs: Vec<(&str, Value<'_>)> =
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_value())).collect();
        let mut attributes = Attributes::new();
        for (key, value) in &pairs {
            attributes.set(key, *value).expect("within the limits");
        }
        prop_assert_eq!(attributes.to_string().parse(), Ok(attributes));
        let mut filters = vec![Filter::everyone(), Filter::any_of(&pairs).expect("within the limits")];
        filters.extend(Filter::all_of(&pairs));
        for filter in &filters {
            prop_assert_eq!(filter.to_string().parse(), Ok(filter.clone()));
        }
        let mut destinations = vec![Destination::from(Uuid::from_u128(uuid))];
        destinations.extend(filters.into_iter().map(Destination::from));
        for mut destination in destinations {
            if options & 1 != 0 {
                destination = destination.exclude_self();
            }
            if options & 2 != 0 {
                destination = destination.only_connected();
            }
            prop_assert_eq!(destination.to_string().parse(), Ok(destination));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}", list in "[a-c=,\"\\\\xu{}:0-9]{0,40}") {
        for text in [text, list] {
            let _ = text.parse::<OwnedValue>();
            let _ = text.parse::<Attributes>();
            let _ = text.parse::<Destination>();
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, error) in [
        ("", TextError::NoEqualsSign),
        ("a=1,b", TextError::NoEqualsSign),
        ("a=\"b", TextError::NoClosingQuote),
        (r#"a="\n""#, TextError::BadEscape),
        (r#"a="\u{d800}""#, TextError::BadEscape),
        (r#"a="\u{+61}""#, TextError::BadEscape),
        (r#"a="\x0""#, TextError::BadEscape),
        ("a=1=2", TextError::AfterValue),
        ("only-connected:exclude-self:everyone", TextError::NoEqualsSign),
    ] {
        assert_eq!(text.parse::<Destination>(), Err(error), "{text}");
    }
    assert!(matches!("A=1".parse::<Filter>(), Err(TextError::Filter(_))));
    assert!(matches!("A=1".parse::<Attributes>(), Err(TextError::Attribute(_))));
    let nine = ["k=1"; 9].join(",");
    assert!(matches!(format!("any:{nine}").parse::<Filter>(), Err(TextError::Filter(_))));
    assert!("x".repeat(65).parse::<OwnedValue>().is_err());
}

#[test]
fn numbers_and_strings_become_values() {
    assert_eq!([Value::from(-1_i8), Value::from(7_u32)], [Value::Int(-1), Value::Int(7)]);
    assert_eq!(Value::try_from(7_usize), Ok(Value::Int(7)));
    assert!(Value::try_from(u64::MAX).is_err());
    assert_eq!(Value::from(&String::from("a")), Value::Str("a"));
    assert_eq!([Value::from(b"ab"), Value::from(&vec![97, 98])], [Value::Bytes(b"ab"); 2]);
}

#[test]
fn values_read_as_on_the_command_line() {
    for (text, value) in [
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("0", Value::Int(0)),
        ("-7", Value::Int(-7)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("-9223372036854775808", Value::Int(i64::MIN)),
        ("9223372036854775808", Value::Str("9223372036854775808")),
        ("-0", Value::Str("-0")),
        ("007", Value::Str("007")),
        ("+1", Value::Str("+1")),
        ("-", Value::Str("-")),
        ("1.5", Value::Str("1.5")),
        ("True", Value::Str("True")),
        ("", Value::Str("")),
        ("alice", Value::Str("alice")),
        ("5\" disk", Value::Str("5\" disk")),
        ("\"true\"", Value::Str("true")),
        ("\"7\"", Value::Str("7")),
        ("\"\"", Value::Str("")),
        (r#""say \"hi\", C:\\""#, Value::Str(r#"say "hi", C:\"#)),
    ] {
        assert_eq!(text.parse::<OwnedValue>().expect(text).as_value(), value, "{text}");
    }
    for text in ["\"open", "\"", "\"a\"b", r#""\n""#, "\"a\\"] {
        assert!(text.parse::<OwnedValue>().is_err(), "{text}");
    }
}

#[test]
fn lists_read_as_on_the_command_line() {
    let pairs = [("room", Value::Str("a,b=c")), ("level", Value::Int(3)), ("name", Value::Str("al"))];
    assert_eq!(r#"room="a,b=c",level=3,name=al"#.parse(), Ok(Filter::all_of(&pairs).expect("a filter")));
    assert_eq!("a=".parse(), Ok(Filter::all_of(&[("a", Value::Str(""))]).expect("an empty value")));
    for text in ["", "a", "a=1,", "a=1,b", "a=b=c", "a=\"x\"y", "a=\"x"] {
        assert!(text.parse::<Filter>().is_err(), "{text}");
    }
}
