//! The e-pigeon protocol as state machines.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod attributes;
#[cfg(feature = "alloc")]
pub mod broker;
pub mod client;
pub mod codec;
mod config;
mod error;
mod filter;
pub mod framing;
mod handshake;
mod link;
mod message;
mod patch;
mod time;
pub mod wire;

pub use attributes::{
    AttributeError, Attributes, AttributesRef, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_KEY, MAX_VALUE, Pair,
    Pairs, Value,
};
#[cfg(feature = "alloc")]
pub use broker::{Broker, BrokerEvent, Full, LinkId, Ready, Stats, UnknownLink};
pub use client::{Client, Close, CloseReason, DisconnectReason, Established, Event, Received, Token};
pub use config::{BrokerConfig, ClientConfig, Secret};
pub use error::{Code, ConfigError, SendError, SetError};
pub use filter::{
    Destination, DestinationRef, Filter, FilterError, FilterRef, MAX_DESTINATION_BYTES, MAX_FILTER_PAIRS,
    Target,
};
pub use message::{MessageId, Outgoing, Past, Reason, Receipt, Taken, Until};
pub use patch::PatchRef;
pub use time::Instant;
pub use uuid::Uuid;
