//! The e-pigeon protocol as state machines: a [`Client`] and a [`Broker`] that do no I/O.
//!
//! e-pigeon carries messages between programs through a broker. Each program is a client with a UUID and a *session*,
//! a small map of [attributes](Attributes) such as `room = "lobby"`. A message goes to one UUID or to everyone whose
//! session [matches](Filter); it arrives once, in order, and the sender is told when it has, whatever happens to the
//! connections or to the broker.
//!
//! This crate is a function: no sockets, no clock, no threads, no randomness. Bytes, time and seeds come in as
//! arguments; bytes and events come out. The client needs no allocator and lives in one block of memory that you hand
//! it; the broker needs `alloc`. Neither needs `std`.
//!
//! # The run loop
//!
//! Both machines have four kinds of methods, named by kind:
//!
//! - **handlers** `handle_*`: what the transport or the clock did. You call them when it happens.
//! - **commands** (`send`, `set`, `close` …): what the application wants.
//! - **polls** `poll_*`: what comes out: events, bytes to write, when to call `handle_timeout`.
//! - **getters**: questions that change nothing.
//!
//! A `Result` means that *your call* cannot be done. An [`Event`] means that the peer, the network or the clock did
//! something. No order of calls is wrong: what you forget to poll costs latency, never correctness.
//!
//! So a run loop, whatever it is built on, goes round these steps:
//!
//! 1. Where [`wants_connection`](Client::wants_connection), connect, and say
//!    [`handle_connected`](Client::handle_connected) or, where that failed,
//!    [`handle_disconnected`](Client::handle_disconnected).
//! 2. Give what was read to [`handle_input`](Client::handle_input).
//! 3. Take events from [`poll_event`](Client::poll_event), and give commands.
//! 4. Write what [`poll_transmit`](Client::poll_transmit) gives, until it gives nothing.
//! 5. Where [`wants_disconnect`](Client::wants_disconnect), close the transport and say `handle_disconnected`.
//! 6. Wait for input, room to write, or the time of [`poll_timeout`](Client::poll_timeout), then call
//!    [`handle_timeout`](Client::handle_timeout).
//!
//! Here it is with a broker in the same process, and slices of bytes for a network:
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use e_pigeon_core::{
//!     Broker, BrokerConfig, Client, ClientConfig, Destination, Event, Filter, Instant, Message, Ready, Receipt,
//!     Secret, Uuid, Value,
//! };
//!
//! // Identity, boot and seeds come from you: a file, a random number generator, a serial number.
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
//! let (mut link, mut heard, mut answered) = (None, false, false);
//! while !(heard && answered) {
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
//!             Event::Message(message) => heard = message.payload == b"hello",
//!             Event::Receipt(Receipt::Final { id: of, delivered: 1, .. }) => answered = of == id,
//!             _ => {}
//!         }
//!     }
//!     while let written @ 1.. = client.poll_transmit(now, &mut buffer) {
//!         broker.handle_input(now, link, &buffer[..written])?; // step 4
//!     }
//!     let due = [client.poll_timeout(), broker.poll_timeout()]; // step 6
//!     if let Some(next) = due.into_iter().flatten().min() {
//!         now = now.max(next);
//!     }
//!     client.handle_timeout(now);
//!     broker.handle_timeout(now);
//! }
//! assert!(heard && answered);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `std` (default): implies `alloc`, `lossy` and `presence`; nothing else changes.
//! - `tracing`: tells what goes on inside to the crate of that name, under the targets `e_pigeon::client` and
//!   `e_pigeon::broker`: changes of links and sessions as `debug`, messages as `trace`. Never secrets or payloads.
//! - `typed`: payloads that are values, through serde and postcard: `Client::send_as`, `Delivery::decode`.
//! - `serde`: [`Receipt`], [`RefusalReason`], [`AbortCode`] and `Stats` through serde, and [`Attributes`], [`Filter`] and
//!   [`Destination`] as the text that their `Display` writes. A config is written as its limits by name, times in seconds, and
//!   reads, as a `DeserializeSeed`, those that are given. Identities, secrets and seeds have no such form.
//! - `alloc`: the [`Broker`]. Without it the crate is the client alone.
//! - `lossy`: links that lose frames, over COBS or datagrams. Without it there is no [`Framing`] but that of streams.
//! - `presence`: who is here: `Client::watch` and what comes of it. Without it a client watches nothing, and a broker refuses
//!   each watch.
//! - `strict`: a broken invariant of this crate panics, as with debug assertions; for simulators and fuzzers. Without it the
//!   machine is marked as broken.
//!
//! # The protocol
//!
//! `docs/PROTOCOL.md` of the repository is normative; the documentation of each item here names its section. The
//! wire format itself is in the hidden modules `wire` and `codec`, for tools and tests.
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
#[macro_use]
mod texts;
#[cfg(canary)]
#[macro_use]
pub mod canary;
#[cfg(not(canary))]
#[macro_use]
mod canary;

#[cfg(feature = "alloc")]
pub mod broker;
pub mod client;
#[doc(hidden)]
pub mod codec;
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
    TooLittleMemory, TooManyLinks, UnknownLink,
};
pub use client::{
    AckToken, Client, Close, CloseReason, Delivery, DisconnectReason, Established, Event, Presence, WatchId,
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
pub use data::message::{Past, Taken};
pub use data::patch::PatchRef;
pub use data::text::{OwnedValue, TextError};
pub use data::value::{AttributeError, MAX_KEY, MAX_VALUE, Pair, Pairs, Value};
pub use error::{AbortCode, Bound, ConfigError, SendError, SetError, WatchError};
#[cfg(all(feature = "alloc", feature = "presence"))]
pub use roster::{Peer, Roster, RosterChange};
pub use time::Instant;
pub use uuid::Uuid;
pub use wire::frame::Framing;
pub use wire::item::PresenceState;
