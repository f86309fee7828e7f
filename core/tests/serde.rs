//! What goes through serde comes back the same.
#![allow(clippy::unwrap_used)]

use core::fmt::Debug;
use core::time::Duration;
use e_pigeon_core::{
    AbortCode, Attributes, Broker, BrokerConfig, ClientConfig, Destination, Filter, MessageId, Receipt,
    RefusalReason, Secret, Uuid, Value,
};
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::Deserializer;

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(postcard::from_bytes::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn reports_and_addresses_come_back() {
    let (id, reason) = (MessageId(7), Some(RefusalReason::Expired));
    comes_back(&Receipt::accepted(id, 3, true));
    comes_back(&Receipt::ended(id, 1, 2, reason));
    comes_back(&AbortCode::ShuttingDown);
    comes_back(&Broker::new(BrokerConfig::new(0), 1).unwrap().stats());
    let mut attributes = Attributes::new();
    comes_back(&attributes);
    attributes.set("note", Value::Str("a, b")).unwrap();
    attributes.set("key", Value::Bytes(&[0, 255])).unwrap();
    comes_back(&attributes);
    let filter = Filter::any_of(&[("level", Value::Int(-3)), ("name", Value::Str("true"))]).unwrap();
    comes_back(&filter);
    comes_back(&Destination::from(filter).exclude_self());
}

#[test]
fn text_that_is_none_is_refused() {
    let bytes = postcard::to_stdvec("Room").unwrap();
    assert!(postcard::from_bytes::<Filter>(&bytes).is_err());
}

#[test]
fn configs_are_limits_by_name() {
    let broker = BrokerConfig::new(7).max_links(10).accept_delay(Duration::from_millis(20));
    let written = serde_json::to_string(&broker).unwrap();
    assert!(
        written.starts_with(r#"{"max_links":10,"#) && written.ends_with(r#""accept_delay":0.02}"#),
        "{written}"
    );
    let read = BrokerConfig::new(7).deserialize(&mut Deserializer::from_str(&written)).unwrap();
    assert_eq!(format!("{read:?}"), format!("{broker:?}"));

    let client = ClientConfig::new(Uuid::from_u128(1), Secret([2; 16]), 3, 4).watches(2).receives(false);
    let bytes = postcard::to_stdvec(&client).unwrap();
    let other = ClientConfig::new(Uuid::from_u128(1), Secret([2; 16]), 3, 4);
    let read = other.deserialize(&mut postcard::Deserializer::from_bytes(&bytes)).unwrap();
    assert_eq!(format!("{read:?}"), format!("{client:?}"));
}

#[test]
fn limits_that_are_not_given_stay() {
    let read = |text| BrokerConfig::new(7).max_links(10).deserialize(&mut Deserializer::from_str(text));
    let config = read(r#"{"session_ttl": 90}"#).unwrap();
    assert_eq!((config.max_links, config.session_ttl), (10, Duration::from_secs(90)));
    for wrong in [r#"{"hash_seed": 1}"#, r#"{"links": 1}"#, r#"{"settle": -1}"#, r#"{"max_links": 1.5}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
