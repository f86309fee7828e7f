//! What adapters of e-pigeon have in common: endpoints, dialing, accepting and the connections of a broker, without an
//! event loop.
//!
//! Use it to write an adapter for another event loop; `docs/ADAPTERS.md` of the repository shows how, and how to test it.
//! Programs use `e-pigeon-smol` or `e-pigeon-mio`. The protocol is in [`e_pigeon_core`], which has no sockets.
//!
//! ```
//! use e_pigeon_transport::{Endpoint, bind_tcp};
//!
//! let socket = bind_tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?;
//! println!("listening on {}", Endpoint::from(socket.local_addr()?));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - **names**: an [`Endpoint`] is where a broker listens, a [`Resolver`] finds it, a [`Clock`] tells the time;
//! - **connecting**: a [`Dialer`] chooses which endpoint to try when, and passes over endpoints that give no session;
//! - **sockets** that do not block: a [`Connection`] around an adapter's [`Socket`] remembers what it is ready for and what
//!   it has not taken yet, and [`Closing`] ends it so that its final frames arrive;
//! - **listening**: [`bind_tcp`] and [`unix`] make the sockets, a [`Listener`] accepts, and pauses if that fails; a
//!   [`serial`] line is opened, and opened again after it was lost;
//! - **a broker's connections**: a [`Hub`] is a broker with its listeners and its links. The adapter reports what is ready,
//!   and waits as long as the hub says.

mod backlog;
mod buffers;
mod bug;
mod clock;
mod closing;
mod connection;
mod dialing;
mod endpoint;
mod hub;
mod journal;
mod links;
mod listener;
mod lookup;
mod resolver;
#[cfg(unix)]
pub mod serial;
mod socket;
mod source;
mod tuning;
#[cfg(unix)]
pub mod unix;

pub use buffers::{INPUT, OUTPUT, fill};
pub use bug::broken;
pub use clock::Clock;
pub use closing::Closing;
pub use connection::{Connection, Input};
pub use dialing::{Dial, Dialer};
pub use endpoint::Endpoint;
pub use hub::{FAREWELL, Hub};
pub use listener::{BACKLOG, Listener, bind_tcp};
pub use resolver::Resolver;
pub use socket::{Listening, Socket};
pub use source::Source;
pub use tuning::tune_tcp;
#[cfg(unix)]
pub use tuning::tune_unix;
