//! e-pigeon over TCP, Unix sockets and serial lines in a [mio] event loop.
//!
//! The protocol is in [`e_pigeon_core`], which knows no sockets; this crate knows nothing else. It has a driver for a
//! client and one for a broker. Both live in a [`mio::Poll`] that may hold other things too, and neither starts a thread.
//! [`ClientLoop`] and [`BrokerLoop`] are for those who have no loop of their own.
//!
//! # The loop
//!
//! 1. **Wait** for events, at most for the driver's [`poll_timeout`](ClientDriver::poll_timeout).
//! 2. Give each event that the driver owns to [`handle_ready`](ClientDriver::handle_ready).
//! 3. Call [`handle_deadline`](ClientDriver::handle_deadline): time-outs, and what was left from the turn before.
//! 4. Use the **client**: poll its events until there is none, give it commands.
//! 5. Call [`flush`](ClientDriver::flush): all that is ready by now goes out in one write.
//!
//! ```no_run
//! use e_pigeon_core::{ClientConfig, Close, Destination, Event, Filter, Message, Secret, Uuid, Value};
//! use e_pigeon_mio::ClientDriver;
//! use mio::{Events, Poll, Token};
//!
//! # fn random() -> u64 { 4 }
//! let mut poll = Poll::new()?;
//! let mut events = Events::with_capacity(64);
//!
//! // In earnest these four are random numbers; whoever wants to be the same client tomorrow keeps the first two.
//! let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), random(), random());
//! let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9999));
//! let registry = poll.registry().try_clone()?;
//! let mut driver = ClientDriver::new(config, address, registry, Token(0))?;
//!
//! let now = driver.now();
//! driver.client().set(now, "name", Value::Str("alice"))?;
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
//!     let mut answered = false;
//!     while let Some(event) = driver.client().poll_event() {
//!         match event {
//!             Event::Message(message) => println!("{:?} from {}", message.payload, message.from),
//!             Event::Receipt(receipt) => answered = receipt.is_final(),
//!             _ => {}
//!         }
//!     }
//!     if answered {
//!         driver.client().close(now, Close::EndSession);
//!     }
//!     driver.flush();
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A broker has the same loop without the fourth step, see [`BrokerDriver`].
//!
//! # Who is here
//!
//! [`Client::watch`](e_pigeon_core::Client::watch) asks for presence, which comes as events. After
//! [`ClientDriver::keep_roster`] the driver keeps it instead, also while nobody takes events:
//! [`ClientDriver::roster`] is who is here now.
//!
//! # Features
//!
//! - `typed`: payloads that are values, through serde and postcard: `Client::send_as`, `Delivery::decode`.
//!
//! # Unix sockets
//!
//! An [`Endpoint`] is an IP address with a port or the path of a Unix stream socket; [`BrokerDriver::bind`] and the
//! [`Resolver`] of a client take both, and everything else is the same for both. The file of a listening socket is made
//! with the permissions that the umask leaves, and whoever may write to it may connect. It is removed when the broker stops;
//! what a killed one leaves behind is replaced by the next that binds there. Where there are no Unix sockets
//! (`cfg(not(unix))`) only TCP is left.
//!
//! # Lines
//!
//! [`Endpoint::serial`] is a tty, [`Endpoint::Cobs`] a line behind a TCP socket; both may damage bytes. A client that connects
//! there says so in its config: [`ClientConfig::framing`](e_pigeon_core::ClientConfig) is [`Endpoint::framing`]. A serial line has
//! one client, and [`BrokerDriver::bind`] opens it; where it is lost, the driver opens it again, after 100 ms at first and 5 s at
//! most. Both ends have it for themselves.
//!
//! # What it costs
//!
//! Bytes are read into one large buffer per driver and handled where they lie; a link is written once per turn. There is
//! no system call and no allocation per message. A connection that is idle holds no buffer; one that does not read
//! holds at most 63 KiB of output here and some 190 KiB in the kernel, while the rest waits in the broker's queue under the
//! broker's limits. Input that the broker has not taken is kept up to 16 KiB for each link, and 1 MiB besides.

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
