//! What goes through serde comes back the same.
#![allow(clippy::unwrap_used)]

use core::fmt::Debug;
use e_pigeon_core::{
    AbortCode, Attributes, Broker, BrokerConfig, Destination, Filter, MessageId, Receipt, RefusalReason,
    Value,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(postcard::from_bytes::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn reports_and_addresses_come_back() {
    let (id, reason) = (MessageId(7), Some(RefusalReason::Expired));
    comes_back(&Receipt::Accepted { id, recipients: 3, last: true });
    comes_back(&Receipt::Final { id, delivered: 1, recipients: 2, reason });
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
