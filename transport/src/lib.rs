//! What the adapters of e-pigeon share. There is no event loop in it.
//!
//! The protocol is in [`e_pigeon_core`], which knows no sockets. An adapter brings sockets, the time and a way to wait; what
//! it does with them is the same for all, and is here:
//!
//! - **names**: an [`Endpoint`] is where a broker listens, a [`Resolver`] says where it is now, a [`Clock`] how late it is;
//! - **connecting**: a [`Dialer`] says which of the endpoints to try when, and passes over those that give no session;
//! - **sockets** that do not block: whatever an adapter's [`Socket`] is, a [`Connection`] remembers what it is ready for and
//!   what it has not taken yet, and [`Closing`] ends it so that its last words arrive;
//! - **listening**: [`bind_tcp`] and [`unix`] make the sockets, a [`Listener`] accepts, and waits where that fails; a
//!   [`serial`] line is opened, and opened again when it is lost;
//! - **a broker's connections**: a [`Hub`] is a broker with its listeners and its links. The adapter tells it what is ready
//!   and sleeps as long as it says.
//!
//! Who writes a program uses `e-pigeon-smol` or `e-pigeon-mio`; this is for those who write another adapter:
//! `docs/ADAPTERS.md` of the repository shows how, and how to find out whether it works.

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
