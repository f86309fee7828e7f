//! Clients and payloads that go by a number.

use e_pigeon_core::{ClientConfig, Destination, Secret, Uuid};

/// A client's config with a number for a name, and memory for what a check needs.
pub(super) fn config(number: u128) -> ClientConfig {
    let uuid = Uuid::from_u128(number);
    ClientConfig::new(uuid, Secret([7; 16]), 1, number as u64)
}

pub(super) fn to(number: u128) -> Destination {
    Uuid::from_u128(number).into()
}

/// A payload that can be told from the others and from damaged ones.
pub(super) fn numbered(number: u32, size: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; size.max(4)];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    payload
}
