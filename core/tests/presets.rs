//! The limits of a client for a kind of program make sense, and take the memory that their documentation says.
#![allow(clippy::unwrap_used)]

use e_pigeon_core::{Client, ClientConfig, Secret, Uuid};

/// Makes a client with these limits; its memory has at most so many bytes, and no less than nine tenths of these.
fn takes(most: usize, limits: impl Fn(ClientConfig) -> ClientConfig) {
    let config = limits(ClientConfig::new(Uuid::from_u128(1), Secret([1; 16]), 1, 1));
    let needed = config.memory_needed();
    println!("measured: {needed} of {most}");
    assert!(needed <= most && needed > most / 10 * 9, "{needed} bytes, and {most} are said");
    assert!(Client::new(config, vec![0; needed]).is_ok());
}

#[test]
fn a_small_client_takes_two_kilobytes() {
    takes(2_200, ClientConfig::small);
}

#[test]
fn a_client_of_a_page_takes_little_more_than_a_megabyte() {
    takes(1_300_000, ClientConfig::browser);
}

#[test]
fn a_client_of_a_service_takes_seventy_two_megabytes() {
    takes(72_000_000, ClientConfig::server);
}

#[test]
fn a_client_without_a_kind_takes_nine_megabytes() {
    takes(9_500_000, |config| config);
}
