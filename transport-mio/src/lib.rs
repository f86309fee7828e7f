//! Client and broker of e-pigeon over TCP, Unix sockets and serial lines, in a [mio] event loop.
//!
//! Use it in a program with a [`mio::Poll`] of its own, or in a program without async that gives the crate a thread:
//! [`ClientLoop`] and [`BrokerLoop`] are ready-made loops. In an asynchronous program use `e-pigeon-smol`; on a
//! microcontroller `e-pigeon-embedded`. The protocol is in [`e_pigeon_core`], whose types are the arguments here.
//!
//! ```no_run
//! use e_pigeon_core::{ClientConfig, Close, Event, Secret, Uuid, Value};
//! use e_pigeon_mio::ClientLoop;
//!
//! # fn random() -> u64 { 4 }
//! // UUID, secret, boot and seed: random numbers. Keep the first two to be the same client tomorrow.
//! let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), random(), random());
//! let mut alice = ClientLoop::new(config, std::net::SocketAddr::from(([127, 0, 0, 1], 9999)))?;
//! let now = alice.driver().now();
//! alice.driver().client().set(now, "room", Value::Str("lobby"))?;
//! alice.run(Close::EndSession, &mut |event: Event<'_>| println!("{event:?}"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In your own loop
//!
//! A [`ClientDriver`] or a [`BrokerDriver`] registers its sockets in your `Poll` and starts no thread. A turn of the loop:
//!
//! 1. **Wait** for events, at most for the driver's [`poll_timeout`](ClientDriver::poll_timeout).
//! 2. Give each event that the driver owns to [`handle_ready`](ClientDriver::handle_ready).
//! 3. Call [`handle_deadline`](ClientDriver::handle_deadline): time-outs, and work that is left from the turn before.
//! 4. Use the **client**: poll its events until there is none, give it commands.
//! 5. Call [`flush`](ClientDriver::flush): all output of this turn goes out in one write.
//!
//! ```no_run
//! use e_pigeon_core::{ClientConfig, Close, Destination, Event, Filter, Message, Secret, Uuid, Value};
//! use e_pigeon_mio::ClientDriver;
//! use mio::{Events, Poll, Token};
//!
//! # fn random() -> u64 { 4 }
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(64);
//! let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), random(), random());
//! let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9999));
//! let mut driver = ClientDriver::new(config, address, poll.registry().try_clone()?, Token(0))?;
//!
//! let now = driver.now();
//! let lobby = Destination::from(Filter::all_of(&[("room", Value::Str("lobby"))])?);
//! driver.client().send(now, &Message::new(&lobby, b"hello"))?;
//! driver.flush();
//!
//! while !driver.client().is_closed() && !driver.is_broken() {
//!     poll.poll(&mut events, driver.poll_timeout())?;
//!     for event in &events {
//!         if driver.owns(event.token()) {
//!             driver.handle_ready(event);
//!         }
//!     }
//!     driver.handle_deadline();
//!
//!     let now = driver.now();
//!     let mut is_answered = false;
//!     while let Some(event) = driver.client().poll_event() {
//!         match event {
//!             Event::Message(message) => println!("{:?} from {}", message.payload, message.from),
//!             Event::Receipt(receipt) => is_answered = receipt.is_final(),
//!             _ => {}
//!         }
//!     }
//!     if is_answered {
//!         driver.client().close(now, Close::EndSession);
//!     }
//!     driver.flush();
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A broker has the same loop without the fourth step, see [`BrokerDriver`].
//!
//! # Presence
//!
//! [`Client::watch`](e_pigeon_core::Client::watch) asks for the sessions that match a filter; they come as events. After
//! [`ClientDriver::keep_roster`] the driver keeps them as a list, even if nobody takes events: [`ClientDriver::roster`].
//!
//! # Features
//!
//! - `typed`: payloads that are values, through serde and postcard: `Client::send_as`, `Delivery::decode`.
//!
//! # Endpoints
//!
//! An [`Endpoint`] is an IP address with a port or the path of a Unix stream socket; [`BrokerDriver::bind`] and the
//! [`Resolver`] of a client take both. The file of a listening socket gets the permissions that the umask leaves, and each
//! process that may write to it may connect. The broker removes it when it stops, and replaces a stale one when it binds.
//! On systems without Unix sockets (`cfg(not(unix))`) only TCP is left.
//!
//! [`Endpoint::serial`] is a tty, [`Endpoint::Cobs`] a line over a TCP socket; both may damage bytes. The config of a
//! client that connects to a line needs [`ClientConfig::framing`](e_pigeon_core::ClientConfig) = [`Endpoint::framing`]. A
//! serial line has one client, and both ends use it alone. [`BrokerDriver::bind`] opens it; if it is lost, the driver opens
//! it again, after 100 ms at first and 5 s at most.
//!
//! # Cost
//!
//! Bytes are read into one large buffer per driver and handled there; a link is written once per turn. There is no system
//! call and no allocation per message. An idle connection has no buffer; a connection that does not read holds at most 63
//! KiB of output here and some 190 KiB in the kernel, and the rest waits in the broker's queue under the broker's limits.
//! Input that the broker has not read is kept up to 16 KiB for each link, and 1 MiB besides.

mod broker;
mod client;
mod connecting;
mod listening;
mod run;
mod stream;
#[cfg(test)]
mod tests;

pub use broker::BrokerDriver;
pub use client::ClientDriver;
pub use e_pigeon_transport::{Clock, Endpoint, Resolver};
pub use run::{Application, BrokerLoop, ClientLoop, ShutdownHandle};
