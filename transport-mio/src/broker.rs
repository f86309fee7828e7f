//! A broker inside somebody's event loop.

use std::io;
use std::ops::Range;
use std::time::Duration;

use e_pigeon_core::{Broker, BrokerConfig, ConfigError, Instant, Stats};
use e_pigeon_transport::{Endpoint, Hub};
use mio::event::Event;
use mio::{Registry, Token};

use crate::listening::Acceptor;
use crate::stream::{Stream, note};

/// The first tokens of the range belong to the listeners.
const LISTENERS: usize = 16;

/// A [`Broker`] with its sockets, its clock and its buffers.
///
/// It lives in a [`mio::Poll`] of the caller's on a range of tokens and starts no thread. The loop has four steps:
/// wait, [`handle_ready`](Self::handle_ready) for each event that it [`owns`](Self::owns),
/// [`handle_deadline`](Self::handle_deadline), and [`flush`](Self::flush). Input is handled as the events come; the output of
/// all that goes out in `flush`, one write per link and turn.
#[derive(Debug)]
pub struct BrokerDriver {
    hub: Hub<Acceptor>,
    registry: Registry,
    base: usize,
}

impl BrokerDriver {
    /// Makes a driver that listens nowhere yet, see [`bind`](Self::bind).
    ///
    /// `epoch` is a number drawn for this life of the broker, never one that it had before. `registry` is a
    /// [`Registry::try_clone`] of the loop's; the tokens from `base` on, see [`tokens`](Self::tokens), must be the driver's alone.
    ///
    /// # Errors
    ///
    /// The config contradicts itself: the caller's fault.
    pub fn new(
        config: BrokerConfig,
        epoch: u64,
        registry: Registry,
        base: Token,
    ) -> Result<Self, ConfigError> {
        Ok(Self::with_broker(Broker::new(config, epoch)?, registry, base))
    }

    /// The same with a broker that you have made, for instance [with a policy](Broker::with_policy), and that has no
    /// links yet.
    #[must_use]
    pub fn with_broker(broker: Broker, registry: Registry, base: Token) -> Self {
        Self { hub: Hub::new(broker), registry, base: base.0 }
    }

    /// Listens on one more endpoint, and returns it with its real port.
    ///
    /// Connections are accepted from the next turn of the loop on; those that come before that wait.
    ///
    /// The file of a Unix socket that nobody accepts on any more is replaced. The driver removes its own in
    /// [`stop`](Self::stop) or when it is dropped, unless somebody else has put another there. Brokers that start in one
    /// directory take turns, so this may block for a second where a program keeps that directory locked.
    ///
    /// # Errors
    ///
    /// What the system says where the endpoint cannot be had (`AddrInUse` where somebody listens there), that what stands
    /// at the path is no socket (`AlreadyExists`), that no socket can have this path or that it is no serial line
    /// (`InvalidInput`), that another program uses the line (`ResourceBusy`), or that the broker has 16 listeners already.
    pub fn bind(&mut self, endpoint: impl Into<Endpoint>) -> io::Result<Endpoint> {
        let listeners = self.hub.endpoints().count();
        if listeners == LISTENERS {
            return Err(io::Error::other("a broker has at most 16 listeners"));
        }
        let listener = Acceptor::bind(endpoint.into(), &self.registry, Token(self.base + listeners))?;
        let endpoint = listener.endpoint().clone();
        self.hub.listen(listener);
        Ok(endpoint)
    }

    /// The endpoints that the broker listens on, in the order of binding; none after [`stop`](Self::stop).
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.hub.endpoints()
    }

    /// The tokens that are the driver's: as many as the config has links, and 48 more.
    #[must_use]
    pub fn tokens(&self) -> Range<usize> {
        self.base..(self.base + LISTENERS).saturating_add(self.hub.capacity())
    }

    /// Says whether events with this token are the driver's.
    #[must_use]
    pub fn owns(&self, token: Token) -> bool {
        self.tokens().contains(&token.0)
    }

    /// Handles an event of the loop: accepts, or reads once from the link that it is about.
    ///
    /// Events that the driver does not own are left alone.
    pub fn handle_ready(&mut self, event: &Event) {
        let token = event.token();
        if !self.owns(token) {
            return;
        }
        match token.0.checked_sub(self.base + LISTENERS) {
            None => {
                let prepare = prepare(&self.registry, self.base + LISTENERS);
                self.hub.note_listener(token.0 - self.base, prepare);
            }
            Some(key) => self.hub.note(key, |connection| note(connection, event)),
        }
    }

    /// Does what is due by now: deadlines, and what stopped early in the turn before. Cheap where there is nothing.
    pub fn handle_deadline(&mut self) {
        self.hub.handle_deadline(prepare(&self.registry, self.base + LISTENERS));
    }

    /// Writes what the broker has for its links, and closes those that it is done with.
    ///
    /// To be called once at the end of a turn: everything that is ready for a link by then goes out in one write.
    pub fn flush(&mut self) {
        self.hub.flush();
    }

    /// Says how long the loop may sleep; `None` for as long as there is no event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.hub.sleep()
    }

    /// The broker, for its events and its limits. [`flush`](Self::flush) after whatever changes it.
    pub fn broker(&mut self) -> &mut Broker {
        self.hub.broker()
    }

    /// Takes the broker's events, for applications that only log them: clients that come and go at level `info`, refusals at
    /// level `warn`, as one line with counts at most every ten seconds. To be called in each turn.
    pub fn log_events(&mut self) {
        self.hub.log_events();
    }

    /// What the broker has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    /// What is to be done where the broker finds [a bug in itself](Broker::is_broken): `make` makes another one, with a new
    /// epoch and no links, and clients come back to it as after a broker's death. Without this, or where `make` says `None`, the
    /// driver drops all connections, listens nowhere, and [`is_broken`](Self::is_broken).
    pub fn renew_with(&mut self, make: impl FnMut() -> Option<Broker> + Send + 'static) {
        self.hub.renew_with(make);
    }

    /// Says whether the broker has found a bug in itself, and there was no way to begin a new life.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.hub.is_broken()
    }

    /// How many bytes of input the driver keeps because the broker has not taken them: 16 KiB for each link at most, and 1 MiB
    /// besides. What is more stays in the sockets.
    #[must_use]
    pub fn untaken_bytes(&self) -> usize {
        self.hub.untaken_bytes()
    }

    /// Says how late it is by the driver's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.hub.now()
    }

    /// Stops listening and tells every client that the broker goes away.
    ///
    /// The loop has to go on until [`is_stopped`](Self::is_stopped): that takes as long as the last words need to
    /// arrive, a second more where somebody does not close, and the handshake time-out more where somebody's socket is
    /// full and stays so.
    pub fn stop(&mut self) {
        self.hub.stop();
    }

    /// Says whether the driver listens nowhere and has no connection left.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.hub.is_stopped()
    }
}

/// Registers new connections on the tokens from `links` on.
fn prepare(registry: &Registry, links: usize) -> impl FnMut(&mut Stream, usize) -> io::Result<()> {
    move |stream, key| stream.register(registry, Token(links + key))
}
