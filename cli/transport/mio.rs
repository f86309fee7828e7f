//! Clients and brokers in an event loop of mio's.

use std::io;
use std::sync::Arc;
use std::time::{self, Duration};

use e_pigeon_core::{
    BrokerConfig, ClientConfig, Close, Event, Filter, Instant, Message, MessageId, SendError, SetError,
    Value, WatchError, WatchId,
};
use e_pigeon_mio::{BrokerDriver, ClientDriver, Endpoint, Resolver};
use mio::{Events, Poll, Waker};

use super::ending::{Asked, Ending, FAREWELL};
use super::task::{self, Next, Task, Turn};
use crate::address::Address;
use crate::failure::{Failure, plain};
use crate::limits;
use crate::lives::Lives;
use crate::wake::Wake;

const WAKE: mio::Token = mio::Token(0);
/// A broker's tokens go on from here.
pub(super) const DRIVER: mio::Token = mio::Token(1);

/// What both loops have.
pub(super) struct Base {
    poll: Poll,
    pub(super) events: Events,
    /// Held here too: a waker that its thread drops takes the call that is under way with it.
    waker: Arc<Waker>,
}

impl Base {
    pub(super) fn new(capacity: usize) -> Result<Self, Failure> {
        let system = |error: io::Error| Failure::system("start the event loop", &error);
        let poll = Poll::new().map_err(system)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(system)?);
        Ok(Self { poll, events: Events::with_capacity(capacity), waker })
    }

    pub(super) fn registry(&self) -> Result<mio::Registry, Failure> {
        self.poll.registry().try_clone().map_err(|error| Failure::system("start the event loop", &error))
    }

    pub(super) fn wake(&self) -> Wake {
        let waker = Arc::clone(&self.waker);
        // A loop that cannot be woken is at its end.
        Arc::new(move || drop(waker.wake()))
    }

    /// Waits for events; a signal only ends the wait early.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Failure> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(Failure::system("wait for events", &error)),
            Ok(()) => {}
        }
        Ok(())
    }
}

pub(crate) struct ClientLoop {
    base: Base,
    driver: ClientDriver,
}

impl ClientLoop {
    pub(super) fn new(config: ClientConfig, broker: Address) -> Result<Self, Failure> {
        let base = Base::new(16)?;
        let resolver = Resolver::new(move || broker.resolve());
        let driver =
            ClientDriver::new(config, resolver, base.registry()?, DRIVER).map_err(limits::explain)?;
        Ok(Self { base, driver })
    }

    pub(super) fn wake(&self) -> Wake {
        self.base.wake()
    }

    pub(super) fn run(&mut self, task: &mut dyn Task) -> Result<u8, Failure> {
        let driver = &mut self.driver;
        loop {
            let trouble = driver.last_error().map(plain);
            let now = driver.now();
            let (wanted, takes_events) = match task.turn(&mut Turn { client: driver, now, trouble })? {
                Next::Wait(wanted) => (wanted, true),
                Next::Hold(wanted) => (wanted, false),
                Next::Done(code) => return Ok(code),
            };
            driver.flush();
            if driver.is_broken() {
                return Err(Failure::broken("client"));
            }
            let limit = wanted.map(|at| at.saturating_duration_since(driver.now()));
            let due = if takes_events { driver.poll_timeout() } else { driver.poll_timeout_without_events() };
            self.base.wait([due, limit].into_iter().flatten().min())?;
            for event in &self.base.events {
                // The driver leaves alone what is not its own.
                driver.handle_ready(event);
            }
            driver.handle_deadline();
        }
    }
}

impl task::Client for ClientDriver {
    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        let now = self.now();
        self.client().set(now, key, value)
    }

    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        let now = self.now();
        self.client().send(now, message)
    }

    fn watch(&mut self, filter: &Filter) -> Result<WatchId, WatchError> {
        let now = self.now();
        self.client().watch(now, filter)
    }

    fn acknowledge(&mut self, up_to: e_pigeon_core::AckToken) {
        self.client().acknowledge(up_to);
    }

    fn close(&mut self, how: Close) {
        let now = self.now();
        self.client().close(now, how);
    }

    fn poll_event(&mut self) -> Option<Event<'_>> {
        self.client().poll_event()
    }

    fn is_established(&mut self) -> bool {
        self.client().is_established()
    }

    fn reconnect(&mut self) {
        ClientDriver::reconnect(self);
    }

    fn unanswered(&mut self) -> Vec<MessageId> {
        self.client().unanswered().collect()
    }
}

pub(crate) struct BrokerLoop {
    base: Base,
    driver: BrokerDriver,
}

impl BrokerLoop {
    pub(super) fn new(config: BrokerConfig, epoch: u64) -> Result<Self, Failure> {
        let base = Base::new(1024)?;
        let mut lives = Lives::new(config.clone());
        let mut driver =
            BrokerDriver::new(config, epoch, base.registry()?, DRIVER).map_err(limits::explain)?;
        driver.renew_with(move || lives.next(time::Instant::now()));
        Ok(Self { base, driver })
    }

    pub(super) fn bind(&mut self, endpoint: Endpoint) -> io::Result<Endpoint> {
        self.driver.bind(endpoint)
    }

    pub(super) fn wake(&self) -> Wake {
        self.base.wake()
    }

    pub(super) fn run(mut self, ending: Asked<'_>) -> Result<(), Failure> {
        let driver = &mut self.driver;
        let mut farewell: Option<Instant> = None;
        loop {
            let left = farewell.map(|at| at.saturating_duration_since(driver.now()));
            self.base.wait([driver.poll_timeout(), left].into_iter().flatten().min())?;
            for event in &self.base.events {
                driver.handle_ready(event);
            }
            driver.handle_deadline();
            match ending(&|| driver.stats()) {
                Some(Ending::Sudden) => return Ok(()),
                Some(Ending::Orderly) if farewell.is_none() => {
                    driver.stop();
                    farewell = Some(driver.now() + FAREWELL);
                }
                _ => {}
            }
            driver.flush();
            driver.log_events();
            if driver.is_broken() {
                return Err(Failure::broken("broker"));
            }
            if farewell.is_some_and(|at| driver.is_stopped() || at <= driver.now()) {
                return Ok(());
            }
        }
    }
}
