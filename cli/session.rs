//! What all clients of the program share: the loop, the driver, the signals, and the lines about the connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use e_pigeon_core::{ClientConfig, Close, Event, SetError};
use e_pigeon_mio::{ClientDriver, Resolver};
use mio::{Events, Poll, Token, Waker};

use crate::args;
use crate::failure::{Failure, plain};
use crate::identity::{Identity, random};
use crate::limits;
use crate::report::Report;
use crate::signals::{Signal, Signals};

const DRIVER: Token = Token(0);
const SIGNALS: Token = Token(1);
const INPUT: Token = Token(2);

/// A client in its loop.
pub(crate) struct Session {
    poll: Poll,
    events: Events,
    signals: Signals,
    /// Held here too: a waker that its thread drops takes the call that is under way with it.
    waker: Arc<Waker>,
    pub(crate) driver: ClientDriver,
    pub(crate) report: Report,
    /// How the session is to be closed in the end.
    pub(crate) goodbye: Close,
}

impl Session {
    /// Makes a client with the identity and the attributes that the command line names.
    ///
    /// `adapt` sets what this kind of client needs besides.
    pub(crate) fn open(
        arguments: &args::Client,
        adapt: impl FnOnce(&mut ClientConfig),
    ) -> Result<Self, Failure> {
        let (identity, goodbye) = match &arguments.identity {
            Some(path) => (Identity::load_or_create(path)?, Close::Leave),
            // Nobody can come back to it, so it should not stay.
            None => (Identity::fresh()?, Close::End),
        };
        let boot = u64::from_ne_bytes(random()?);
        let seed = u64::from_ne_bytes(random()?);
        let mut config = ClientConfig::new(identity.uuid, identity.secret, boot, seed);
        adapt(&mut config);

        let system = |error: io::Error| Failure::system("start the event loop", &error);
        let poll = Poll::new().map_err(system)?;
        let signals = Signals::catch(poll.registry(), SIGNALS)?;
        let waker = Arc::new(Waker::new(poll.registry(), INPUT).map_err(system)?);
        let address = arguments.connect.clone();
        let report = Report::new(&address, identity.uuid);
        let resolver = Resolver::new(move || address.resolve());
        let registry = poll.registry().try_clone().map_err(system)?;
        let mut driver = ClientDriver::new(config, resolver, registry, DRIVER).map_err(limits::explain)?;
        for pair in &arguments.set {
            let now = driver.now();
            driver.client().set(now, &pair.key, pair.value.as_value()).map_err(|error| match error {
                SetError::Attribute(error) => Failure::usage(format_args!("--set {}: {error}", pair.key)),
                other => Failure::failed(other),
            })?;
        }
        driver.flush();
        Ok(Self { poll, events: Events::with_capacity(16), signals, waker, driver, report, goodbye })
    }

    /// A handle that wakes the loop.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Sleeps until there is something to do, at most for `limit`, and handles what the socket and the clock have.
    ///
    /// Returns the signal that has come, if one has.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> Result<Option<Signal>, Failure> {
        let timeout = [self.driver.poll_timeout(), limit].into_iter().flatten().min();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(Failure::system("wait for events", &error)),
            Ok(()) => {}
        }
        let mut signal = None;
        for event in &self.events {
            match event.token() {
                DRIVER => self.driver.handle_ready(event),
                SIGNALS => signal = self.signals.take(),
                _ => {}
            }
        }
        self.driver.handle_deadline();
        Ok(signal)
    }

    /// Says goodbye; `Event::Closed` follows.
    pub(crate) fn close(&mut self) {
        let now = self.driver.now();
        self.driver.client().close(now, self.goodbye);
    }

    /// Tells people about a change of the connection.
    pub(crate) fn tell(&mut self, link: Option<Link>) {
        match link {
            Some(Link::Up) => self.report.connected(),
            // What the system says is more to the point than that there is no connection.
            Some(Link::Down(reason)) => match self.driver.last_error() {
                Some(error) => self.report.waiting(plain(error)),
                None => self.report.waiting(reason),
            },
            None => {}
        }
    }
}

/// A change of the connection.
pub(crate) enum Link {
    Up,
    Down(String),
}

impl Link {
    /// Picks out what an event says about the connection; the event itself holds on to the client.
    pub(crate) fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Established(_) => Some(Self::Up),
            // Without a next attempt the client has ended, and that is told by itself.
            Event::Disconnected { reason, retry_at: Some(_) } => Some(Self::Down(reason.to_string())),
            _ => None,
        }
    }
}
