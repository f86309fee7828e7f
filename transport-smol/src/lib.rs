//! Client and broker of e-pigeon over TCP, Unix sockets and serial lines, as futures for any executor.
//!
//! Use it in an asynchronous program. In a program with a mio event loop or without async use `e-pigeon-mio`; on a
//! microcontroller `e-pigeon-embedded`. The protocol is in [`e_pigeon_core`], whose types are the arguments here.
//!
//! ```
//! use e_pigeon_core::{BrokerConfig, ClientConfig, Close, Destination, Filter, Message, Receipt, Secret, Uuid};
//! use e_pigeon_smol::{Broker, client};
//! use std::net::SocketAddr;
//!
//! # fn random() -> u64 { 4 }
//! smol::block_on(async {
//!     let mut broker = Broker::bind(BrokerConfig::new(random()), random(), [SocketAddr::from(([127, 0, 0, 1], 0))])?;
//!     let (endpoint, shutdown) = (broker.endpoints().next().expect("one endpoint").clone(), broker.shutdown_handle());
//!     let broker = smol::spawn(async move { broker.run().await });
//!
//!     // UUID, secret, boot and seed: random numbers. Keep the first two to be the same client tomorrow.
//!     let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), random(), random());
//!     let (alice, driver) = client(config, endpoint)?;
//!     let driver = smol::spawn(driver.run());
//!
//!     alice.set("room", "lobby".into())?;
//!     let lobby = Destination::from(Filter::all_of(&[("room", "lobby".into())])?);
//!     let delivered = alice.send(&Message::new(&lobby, b"hello"))?;
//!     let reader = alice.clone();
//!     let reader = smol::spawn(async move {
//!         // Asking for the next event confirms that the one before was consumed.
//!         while let Some(event) = reader.next_event().await {
//!             println!("{event:?}");
//!         }
//!     });
//!     let receipt = delivered.await?;
//!     assert!(matches!(receipt, Receipt::Final { delivered: 1, recipients: 1, .. }));
//!
//!     alice.close(Close::EndSession).await;
//!     reader.await;
//!     driver.await;
//!     shutdown.stop();
//!     broker.await;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! [`client`] returns a handle, [`Client`], and a [`Driver`] with its I/O. A [`Broker`] is one future for all its links.
//! Nothing is spawned here: await the futures, or spawn them on your executor. The one thread that you did not start is the
//! reactor of [`async-io`](async_io), which waits for all sockets and timers of the process.
//!
//! **Commands** of [`Client`] ([`send`](Client::send), [`set`](Client::set), [`close`](Client::close) …) take effect at
//! once and never wait. **Futures** wait: [`next_event`](Client::next_event), [`send_wait`](Client::send_wait),
//! [`Delivered`]. **Getters** change nothing.
//!
//! # Presence
//!
//! [`Client::watch`] asks for the sessions that match a filter; they come as events. After [`Client::keep_roster`] the
//! client keeps them as a list, even if nobody takes events: [`Client::roster`] is that list, [`Client::roster_changed`]
//! waits for a change.
//!
//! # Features
//!
//! - `typed`: payloads that are values, through serde and postcard: `Client::send_as`, `OwnedDelivery::decode`.
//!
//! # Cancelling
//!
//! Every future of this crate may be dropped at any time, so each may be used in a `select` or under a time-out. An event
//! that [`Client::next_event`] has not returned is still there, and a message that [`Client::send_wait`] has not returned
//! was not sent. A message is on its way even if its [`Delivered`] is dropped.
//!
//! # Endpoints
//!
//! An [`Endpoint`] is an IP address with a port, the path of a Unix stream socket, or a line that may damage bytes: a tty
//! ([`Endpoint::serial`]), or COBS over a TCP socket ([`Endpoint::Cobs`]). The config of a client that connects to a line
//! needs [`ClientConfig::framing`](e_pigeon_core::ClientConfig) = [`Endpoint::framing`]. A serial line has one client; a
//! broker that lost the line opens it again, after 100 ms at first and 5 s at most. A [`Resolver`] may be a function, which
//! is called before each attempt to connect, on a thread.
//!
//! # Cost
//!
//! Bytes are read into one large buffer per driver or broker and handled there; a link is written once per turn. There is
//! no system call per message. A client allocates each payload that it returns, and an entry for each message that is in
//! flight. An idle connection has no buffer and takes no time: a turn of the broker looks only at sockets that are ready.

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
