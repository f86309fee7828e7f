//! A client or a broker for those who have no event loop of their own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e_pigeon_core::{Broker, BrokerConfig, ClientConfig, Close, Event, Instant};
use e_pigeon_transport::{Endpoint, FAREWELL, Resolver, broken};
use mio::{Events, Poll, Token, Waker};

use crate::broker::BrokerDriver;
use crate::client::ClientDriver;

const WAKE: Token = Token(0);
const DRIVER: Token = Token(1);

/// Ends a loop from another thread, and wakes it for anything else that it should look at.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
}

impl ShutdownHandle {
    fn new(poll: &Poll) -> io::Result<Self> {
        Ok(Self {
            waker: Arc::new(Waker::new(poll.registry(), WAKE)?),
            stop: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Asks the loop to say goodbye and to end. Returns at once; the loop's `run` returns when it is done.
    ///
    /// # Errors
    ///
    /// What the system says where the loop cannot be woken; it then ends at its next event.
    pub fn stop(&self) -> io::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake()
    }

    /// Lets the loop go round once, for instance because an [`Application`] has new work.
    ///
    /// # Errors
    ///
    /// What the system says where the loop cannot be woken.
    pub fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    fn is_asked(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// What a [`ClientLoop`] calls.
///
/// A closure that takes an [`Event`] is an application that only listens.
pub trait Application {
    /// Something has happened. A payload that was lent is acknowledged with the next event, or when there is none.
    fn event(&mut self, event: Event<'_>);

    /// All events of this turn are handled: the time for commands, such as
    /// [`Client::send`](e_pigeon_core::Client::send) through [`ClientDriver::client`].
    ///
    /// They go out together when this returns. It is called once per turn, also for [`ShutdownHandle::wake`].
    fn commands(&mut self, driver: &mut ClientDriver) {
        let _ = driver;
    }
}

impl<F: FnMut(Event<'_>)> Application for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// A [`ClientDriver`] with a loop.
///
/// ```no_run
/// use e_pigeon_core::{Close, Event};
/// use e_pigeon_mio::ClientLoop;
/// # fn config() -> e_pigeon_core::ClientConfig { panic!("this example is only compiled") }
///
/// let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9999));
/// let mut client = ClientLoop::new(config(), address)?;
/// client.run(Close::EndSession, &mut |event: Event<'_>| {
///     if let Event::Message(message) = event {
///         println!("{}", String::from_utf8_lossy(message.payload));
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ClientLoop {
    poll: Poll,
    driver: ClientDriver,
    shutdown_handle: ShutdownHandle,
}

impl ClientLoop {
    /// Makes a client and its loop; it connects when it [`run`](Self::run)s.
    ///
    /// # Errors
    ///
    /// The system has no more descriptors, or (`InvalidInput`) the config contradicts itself.
    pub fn new(config: ClientConfig, resolver: impl Into<Resolver>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let shutdown_handle = ShutdownHandle::new(&poll)?;
        let driver = ClientDriver::new(config, resolver, poll.registry().try_clone()?, DRIVER)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Self { poll, driver, shutdown_handle })
    }

    /// A handle that ends the loop from elsewhere.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.shutdown_handle.clone()
    }

    /// The driver, for what is to be done before the loop runs.
    pub fn driver(&mut self) -> &mut ClientDriver {
        &mut self.driver
    }

    /// Runs until the client is closed: by a [`ShutdownHandle`], which ends the session as `goodbye` says and waits 5 seconds at
    /// most, by a command of the application, or because the broker refuses this client for good.
    ///
    /// # Errors
    ///
    /// What the system says where the loop cannot wait for events, or that the client [is broken](ClientDriver::is_broken). A
    /// connection that breaks is no error.
    pub fn run(&mut self, goodbye: Close, application: &mut impl Application) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        let mut farewell: Option<Instant> = None;
        self.driver.flush();
        loop {
            let mut timeout = self.driver.poll_timeout();
            if let Some(at) = farewell {
                let left = at.saturating_duration_since(self.driver.now());
                timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
            }
            wait(&mut self.poll, &mut events, timeout)?;
            for event in &events {
                self.driver.handle_ready(event);
            }
            self.driver.handle_deadline();
            while let Some(event) = self.driver.client().poll_event() {
                application.event(event);
            }
            if farewell.is_none() {
                application.commands(&mut self.driver);
            }
            if self.shutdown_handle.is_asked() && farewell.is_none() {
                let now = self.driver.now();
                self.driver.client().close(now, goodbye);
                farewell = Some(now + FAREWELL);
            }
            self.driver.flush();
            if self.driver.is_broken() {
                return Err(broken("client"));
            }
            let late = farewell.is_some_and(|at| at <= self.driver.now());
            if late || (self.driver.client().is_closed() && !self.driver.client().has_event()) {
                return Ok(());
            }
        }
    }
}

/// A [`BrokerDriver`] with a loop.
///
/// ```no_run
/// use e_pigeon_core::BrokerConfig;
/// use e_pigeon_mio::BrokerLoop;
///
/// let (hash_seed, epoch) = (23, 42); // In a program of your own: random numbers.
/// let mut broker = BrokerLoop::new(BrokerConfig::new(hash_seed), epoch)?;
/// let address = broker.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?;
/// let shutdown_handle = broker.shutdown_handle();
/// let thread = std::thread::spawn(move || broker.run());
/// println!("listening on {address}");
/// shutdown_handle.stop()?;
/// thread.join().expect("the broker does not panic")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct BrokerLoop {
    poll: Poll,
    driver: BrokerDriver,
    shutdown_handle: ShutdownHandle,
}

impl BrokerLoop {
    /// Makes a broker and its loop. `epoch` is a number drawn at random for this life of the broker.
    ///
    /// # Errors
    ///
    /// The system has no more descriptors, or (`InvalidInput`) the config contradicts itself.
    pub fn new(config: BrokerConfig, epoch: u64) -> io::Result<Self> {
        let broker = Broker::new(config, epoch);
        Self::with_broker(broker.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?)
    }

    /// The same with a broker that you have made, for instance [with a policy](Broker::with_policy).
    ///
    /// # Errors
    ///
    /// The system has no more descriptors.
    pub fn with_broker(broker: Broker) -> io::Result<Self> {
        let poll = Poll::new()?;
        let shutdown_handle = ShutdownHandle::new(&poll)?;
        let driver = BrokerDriver::with_broker(broker, poll.registry().try_clone()?, DRIVER);
        Ok(Self { poll, driver, shutdown_handle })
    }

    /// Listens on one more endpoint, and returns it with its real port.
    ///
    /// # Errors
    ///
    /// As [`BrokerDriver::bind`].
    pub fn bind(&mut self, endpoint: impl Into<Endpoint>) -> io::Result<Endpoint> {
        self.driver.bind(endpoint)
    }

    /// A handle that ends the loop from elsewhere.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.shutdown_handle.clone()
    }

    /// The driver, for its endpoints and its figures.
    pub fn driver(&mut self) -> &mut BrokerDriver {
        &mut self.driver
    }

    /// Runs until a [`ShutdownHandle`] ends it: then it listens no longer, tells its clients, and returns when they
    /// have heard it, after 5 seconds at most. What the broker reports goes to `tracing` on the way.
    ///
    /// # Errors
    ///
    /// What the system says where the loop cannot wait for events, or that the broker [is broken](BrokerDriver::is_broken). A
    /// connection that breaks is no error.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut farewell: Option<Instant> = None;
        loop {
            let mut timeout = self.driver.poll_timeout();
            if let Some(at) = farewell {
                let left = at.saturating_duration_since(self.driver.now());
                timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
            }
            wait(&mut self.poll, &mut events, timeout)?;
            for event in &events {
                self.driver.handle_ready(event);
            }
            self.driver.handle_deadline();
            if self.shutdown_handle.is_asked() && farewell.is_none() {
                self.driver.stop();
                farewell = Some(self.driver.now() + FAREWELL);
            }
            self.driver.flush();
            while let Some(event) = self.driver.broker().poll_event() {
                tracing::info!("{event}");
            }
            if self.driver.is_broken() {
                return Err(broken("broker"));
            }
            if farewell.is_some_and(|at| self.driver.is_stopped() || at <= self.driver.now()) {
                return Ok(());
            }
        }
    }
}

/// Waits for events; a signal only ends the wait early.
fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}
