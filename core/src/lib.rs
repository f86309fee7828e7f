//! Client and broker of the e-pigeon protocol as state machines without I/O: bytes, time and seeds go in, bytes and events
//! come out.
//!
//! e-pigeon carries messages between programs through a broker. Each program is a client with a UUID and a *session*, a
//! small map of [attributes](Attributes) such as `room = "lobby"`. A message goes to one UUID or to every session that
//! [matches](Filter). It arrives once and in order, and the sender gets a [receipt](Receipt), even if connections break or
//! the broker restarts.
//!
//! Use this crate if you bring your own sockets, event loop or simulator. Programs are easier to write with `e-pigeon-smol`
//! (futures), `e-pigeon-mio` (an event loop) or `e-pigeon-embedded` (embassy), which drive it over TCP, Unix sockets and
//! serial lines. The [`Client`] needs no allocator and uses one block of memory that you supply; the [`Broker`] needs
//! `alloc`. Neither needs `std`, and nothing is stored on disk.
//!
//! # The run loop
//!
//! Both machines have four kinds of methods:
//!
//! - **handlers** `handle_*` report what the transport or the clock did. Call them when it happens.
//! - **commands** (`send`, `set`, `close` …) are what the application wants.
//! - **polls** `poll_*` return events, bytes to write, and the time of the next `handle_timeout`.
//! - **getters** change nothing.
//!
//! An `Err` means that *your call* cannot be done. An [`Event`] means that the peer, the network or the clock did
//! something. Every order of calls is allowed: a poll that you forget costs latency, never correctness. A run loop repeats
//! these steps:
//!
//! 1. If [`wants_connection`](Client::wants_connection), connect, and call [`handle_connected`](Client::handle_connected),
//!    or [`handle_disconnected`](Client::handle_disconnected) if that failed.
//! 2. Give the bytes that were read to [`handle_input`](Client::handle_input).
//! 3. Take events from [`poll_event`](Client::poll_event), and give commands.
//! 4. Write the bytes of [`poll_transmit`](Client::poll_transmit), until it returns 0.
//! 5. If [`wants_disconnect`](Client::wants_disconnect), close the transport and call `handle_disconnected`.
//! 6. Wait for input, for room to write, or until [`poll_timeout`](Client::poll_timeout); then call
//!    [`handle_timeout`](Client::handle_timeout).
//!
//! A client and a broker in one process, with slices of bytes as the network:
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use e_pigeon_core::{
//!     Broker, BrokerConfig, Client, ClientConfig, Destination, Event, Filter, Instant, Message, Ready, Receipt,
//!     Secret, Uuid, Value,
//! };
//!
//! // Identity, boot and seeds come from you: from a file, a random number generator or a serial number.
//! let config = ClientConfig::new(Uuid::from_u128(1), Secret([7; 16]), 1, 1);
//! let memory = vec![0; config.memory_needed()];
//! let mut client = Client::new(config, memory)?;
//! let mut broker = Broker::new(BrokerConfig::new(5), 1)?;
//!
//! let mut now = Instant::from_micros(0);
//! client.set(now, "room", Value::Str("lobby"))?;
//! let lobby: Destination = Filter::all_of(&[("room", Value::Str("lobby"))])?.into();
//! let id = client.send(now, &Message::new(&lobby, b"hello"))?;
//!
//! let (mut link, mut received, mut answered) = (None, false, false);
//! while !(received && answered) {
//!     if client.wants_connection() {
//!         link = Some(broker.handle_connected(now, 0)?); // step 1
//!         client.handle_connected(now);
//!     }
//!     let Some(link) = link else { break };
//!     let mut buffer = [0; 512];
//!     while let Some(ready) = broker.poll_ready() {
//!         if let Ready::Transmit(link) = ready {
//!             while let written @ 1.. = broker.poll_transmit(now, link, &mut buffer)? {
//!                 client.handle_input(now, &buffer[..written]); // step 2
//!             }
//!         }
//!     }
//!     while let Some(event) = client.poll_event() {
//!         match event {
//!             // step 3
//!             Event::Message(message) => received = message.payload == b"hello",
//!             Event::Receipt(Receipt::Final { id: of, delivered: 1, .. }) => answered = of == id,
//!             _ => {}
//!         }
//!     }
//!     while let Ok(written @ 1..) = client.poll_transmit(now, &mut buffer) {
//!         broker.handle_input(now, link, &buffer[..written])?; // step 4
//!     }
//!     let due = [client.poll_timeout(), broker.poll_timeout()]; // step 6
//!     if let Some(next) = due.into_iter().flatten().min() {
//!         now = now.max(next);
//!     }
//!     client.handle_timeout(now);
//!     broker.handle_timeout(now);
//! }
//! assert!(received && answered);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `std` (default): implies `alloc`, `lossy` and `presence`, and adds `std` traits.
//! - `alloc`: the [`Broker`]. Without it the crate is the client alone.
//! - `lossy`: links that lose frames, over COBS or datagrams. Without it, [`Framing`] is that of streams.
//! - `presence`: `Client::watch` and its events. Without it a client watches nothing, and a broker refuses each watch.
//! - `typed`: payloads that are values, through serde and postcard: `Client::send_as`, `Delivery::decode`.
//! - `serde`: [`Receipt`], [`RefusalReason`], [`AbortCode`] and `Stats` through serde, and [`Attributes`], [`Filter`] and
//!   [`Destination`] as the text that their `Display` writes. A config is written as its limits by name, times in seconds,
//!   and reads, as a `DeserializeSeed`, those that are given. Identities, secrets and seeds have no such form.
//! - `tracing`: logs changes of links and sessions as `debug` and messages as `trace`, under the targets `e_pigeon::client`
//!   and `e_pigeon::broker`; never secrets or payloads.
//! - `strict`: a broken invariant of this crate panics, for simulators and fuzzers. Without it the machine is marked as
//!   broken.
//!
//! # The protocol
//!
//! `docs/PROTOCOL.md` of the repository is normative; the documentation of each item names its section. The wire format is
//! in the hidden modules `wire` and `codec`, for tools and tests.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

// Before all others, which use its macros.
#[macro_use]
mod trace;
#[macro_use]
mod bug;
#[doc(hidden)]
#[macro_use]
pub mod codec;
#[macro_use]
mod texts;

#[cfg(feature = "alloc")]
pub mod broker;
pub mod client;
mod config;
mod data;
mod error;
mod handshake;
mod link;
#[cfg(all(feature = "alloc", feature = "presence"))]
mod roster;
mod time;
#[doc(hidden)]
pub mod wire;

#[cfg(feature = "alloc")]
pub use broker::{
    Broker, BrokerEvent, Limit, LinkId, LinkInfo, LinkState, Policy, Ready, Requester, SessionInfo, Stats,
    TooLittleMemory, TooManyLinks, TransmitError, UnknownLink,
};
pub use client::{
    AckToken, Client, Close, CloseReason, Delivery, DisconnectReason, Established, Event, EventFilter,
    Presence, WatchId,
};
#[cfg(feature = "typed")]
pub use client::{DecodeError, SendAsError};
#[cfg(feature = "alloc")]
pub use config::broker::BrokerConfig;
pub use config::client::{ClientConfig, Secret};
pub use data::attributes::{Attributes, AttributesRef, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES};
pub use data::destination::{Destination, DestinationRef, MAX_DESTINATION_BYTES, MAX_FILTER_PAIRS, Target};
pub use data::filter::{Filter, FilterError, FilterRef};
pub use data::message::{Message, MessageId, Receipt, RefusalReason, Retain};
#[doc(hidden)]
pub use data::message::{Outcome, Past, Taken};
pub use data::patch::PatchRef;
pub use data::text::{OwnedValue, TextError};
pub use data::value::{AttributeError, MAX_KEY, MAX_VALUE, Pair, Pairs, Value};
pub use error::{AbortCode, Bound, BufferTooSmall, ConfigError, SendError, SetError, WatchError};
#[cfg(all(feature = "alloc", feature = "presence"))]
pub use roster::{Peer, Roster, RosterChange};
pub use time::Instant;
pub use uuid::Uuid;
pub use wire::frame::Framing;
pub use wire::item::PresenceState;
