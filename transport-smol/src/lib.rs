//! e-pigeon over TCP, Unix sockets and serial lines, as futures for any executor.
//!
//! The protocol is in [`e_pigeon_core`], which knows no sockets; this crate knows nothing else. It brings a [`Client`], which
//! is a handle with a [`Driver`], and a [`Broker`], which is one future for all its links. Nothing is spawned here: you await
//! the futures, or spawn them on the executor that you have. The one thread that you did not start is the reactor of
//! [`async-io`](async_io), which waits for all sockets and timers of the process.
//!
//! ```
//! use e_pigeon_core::{BrokerConfig, ClientConfig, Close, Destination, Filter, Message, Receipt, Secret, Uuid, Value};
//! use e_pigeon_smol::{Broker, Event, client};
//! use std::net::SocketAddr;
//!
//! # fn random() -> u64 { 4 }
//! smol::block_on(async {
//!     let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
//!     let mut broker = Broker::bind(BrokerConfig::new(random()), random(), [any_port])?;
//!     let endpoint = broker.endpoints().next().expect("the one").clone();
//!     let shutdown_handle = broker.shutdown_handle();
//!     let broker = smol::spawn(async move { broker.run().await });
//!
//!     // In earnest these four are random numbers; whoever wants to be the same client tomorrow keeps the first two.
//!     let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), random(), random());
//!     let (alice, driver) = client(config, endpoint)?;
//!     let driver = smol::spawn(driver.run());
//!
//!     alice.set("room", Value::Str("lobby"))?;
//!     let lobby = Destination::from(Filter::all_of(&[("room", Value::Str("lobby"))])?);
//!     let answer = alice.send(&Message::new(&lobby, b"hello"))?;
//!     while let Some(event) = alice.next_event().await {
//!         if let Event::Message(message) = event {
//!             assert_eq!(&*message.payload, b"hello");
//!             break;
//!         }
//!     }
//!     // Asking for the next event, or closing, says that the message was taken; then its sender gets the receipt.
//!     let ((), receipt) = futures_lite::future::zip(async { while alice.next_event().await.is_some() {} }, async {
//!         let receipt = answer.await;
//!         alice.close(Close::EndSession).await;
//!         receipt
//!     })
//!     .await;
//!     assert!(matches!(receipt?, Receipt::Final { delivered: 1, recipients: 1, .. }));
//!
//!     driver.await;
//!     shutdown_handle.stop();
//!     broker.await;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who is here
//!
//! [`Client::watch`] asks for presence, which comes as events. After [`Client::keep_roster`] the client keeps it instead, also
//! while nobody takes events: [`Client::roster`] is who is here now, [`Client::roster_changed`] waits for a change.
//!
//! # Features
//!
//! - `typed`: payloads that are values, through serde and postcard: `Client::send_as`, `OwnedDelivery::decode`.
//!
//! # Cancelling
//!
//! Every future of this crate may be dropped at any time, so each may stand in a `select` or under a time-out. What
//! [`Client::next_event`] has not returned is still there, what [`Client::send_wait`] has not returned was not sent, and an
//! [`Delivered`] is about a message that goes its way in any case.
//!
//! # Where the broker is
//!
//! An [`Endpoint`] is an IP address with a port, the path of a Unix stream socket, or a line that may damage bytes: a tty
//! ([`Endpoint::serial`]) or something behind a TCP socket ([`Endpoint::Cobs`]). Clients and brokers take all of them; the
//! config of a client that connects to a line says so: [`ClientConfig::framing`](e_pigeon_core::ClientConfig) is
//! [`Endpoint::framing`]. A serial line has one client; a broker that lost it opens it again, after 100 ms at first and 5 s at
//! most. A
//! [`Resolver`] may be a function; it is called from the driver before each attempt to connect, and as long as it looks a
//! name up, that task does nothing else.
//!
//! # What it costs
//!
//! Bytes are read into one large buffer per driver or broker and handled where they lie; a link is written once per turn. There is
//! no system call per message; a client allocates the payload that it hands out, and the entry of a message that is
//! to be answered. A connection that is idle holds no buffer and costs no time: a turn of the broker looks only at sockets
//! that are ready.

mod alarm;
mod broker;
mod client;
mod connecting;
mod delivered;
mod driver;
mod event;
mod listening;
mod ready;
mod roster;
mod state;
mod stream;
#[cfg(feature = "typed")]
mod typed;
mod waiters;

pub use broker::{Broker, ShutdownHandle};
pub use client::{Client, client};
pub use delivered::{Delivered, InFlight};
pub use driver::Driver;
pub use e_pigeon_transport::{Clock, Endpoint, Resolver};
pub use event::{Event, OwnedDelivery, Presence};
