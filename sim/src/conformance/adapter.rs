//! How an adapter shows itself to the kit.

use std::io;
use std::time::Duration;

use e_pigeon_core::{
    AckToken, BrokerConfig, ClientConfig, Close, Message, MessageId, SendError, SetError, Stats, Value,
};

use super::log::Heard;
use super::place::Address;

/// An adapter that can run a broker.
pub trait BrokerAdapter {
    /// A broker that runs.
    type Broker: RunningBroker;

    /// Starts a broker that listens at `at`; port 0 is any port. It runs by itself from then on.
    ///
    /// # Errors
    ///
    /// What the system says where it cannot listen there.
    fn start_broker(&self, config: BrokerConfig, epoch: u64, at: &Address) -> io::Result<Self::Broker>;
}

/// A broker that an adapter runs. Where it is dropped it ends at once, as if it was killed.
pub trait RunningBroker: Send + 'static {
    /// Where it listens, with its real port.
    fn address(&self) -> Address;

    /// What the broker counts, not much older than now.
    fn stats(&self) -> Stats;

    /// Lets the broker tell its clients, and waits until it has ended.
    fn stop(self);
}

/// An adapter that can run clients.
pub trait ClientAdapter {
    /// A client that runs.
    type Client: RunningClient;

    /// Starts a client of the broker at `at`, whether or not there is one. It runs by itself from then on.
    fn start_client(&self, config: ClientConfig, at: &Address) -> Self::Client;

    /// The same for a broker whose addresses are asked for before each attempt to connect, by a function that may take its
    /// time. `None` from an adapter that does not look names up: then nothing of that is asked of it.
    fn start_client_by(&self, config: ClientConfig, addresses: Addresses) -> Option<Self::Client> {
        let _ = (config, addresses);
        None
    }
}

/// Yields the addresses of a broker, in the order of preference.
pub type Addresses = Box<dyn FnMut() -> io::Result<Vec<Address>> + Send>;

/// A client that an adapter runs. Where it is dropped it ends at once, as if the program was killed.
pub trait RunningClient: Send + 'static {
    /// Sends a message, without waiting for anything.
    ///
    /// # Errors
    ///
    /// What the core says.
    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError>;

    /// Sets an attribute, without waiting for anything.
    ///
    /// # Errors
    ///
    /// What the core says.
    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError>;

    /// Takes the next event, and waits for it so long; with no time at all, takes what is there.
    ///
    /// An event is taken from the core only here, because a client whose application does not read has to hold its sender
    /// back. Asking for an event acknowledges the message before, unless the config wants that to be done by hand.
    fn next(&mut self, within: Duration) -> Option<Heard>;

    /// Acknowledges all messages up to this one.
    fn acknowledge(&mut self, up_to: AckToken);

    /// Leaves, without waiting for it. [`Heard::Closed`] comes when that is done.
    fn close(&mut self, how: Close);
}
