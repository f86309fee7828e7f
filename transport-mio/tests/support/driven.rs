//! Drivers, each in a `Poll` on a thread of its own, that others may use behind a lock.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use e_pigeon_core::{
    BrokerConfig, ClientConfig, Close, Message, MessageId, SendError, SetError, Stats, Value,
};
use e_pigeon_mio::{BrokerDriver, ClientDriver, Endpoint, Resolver};
use e_pigeon_sim::conformance::{
    Address, Addresses, BrokerAdapter, ClientAdapter, Heard, RunningBroker, RunningClient,
};
use mio::event::Event;
use mio::{Events, Poll, Registry, Token, Waker};

const WAKE: Token = Token(0);
const DRIVER: Token = Token(1);

/// The adapter, as the kit sees it.
pub(crate) struct Mio;

/// What both drivers have.
pub(crate) trait Driver: Send + 'static {
    fn ready(&mut self, event: &Event);
    fn turn(&mut self);
    fn timeout(&self) -> Option<Duration>;
}

impl Driver for BrokerDriver {
    fn ready(&mut self, event: &Event) {
        self.handle_ready(event);
    }

    fn turn(&mut self) {
        self.handle_deadline();
        self.flush();
        while self.broker().poll_event().is_some() {}
    }

    fn timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }
}

impl Driver for ClientDriver {
    fn ready(&mut self, event: &Event) {
        self.handle_ready(event);
    }

    fn turn(&mut self) {
        self.handle_deadline();
        self.flush();
    }

    fn timeout(&self) -> Option<Duration> {
        // It is zero while an event waits for the application, which takes its time here.
        self.poll_timeout().map(|timeout| timeout.max(Duration::from_millis(2)))
    }
}

/// A driver that runs.
pub(crate) struct Driven<D> {
    shared: Arc<Shared<D>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<D> {
    driver: Mutex<D>,
    /// A turn is over.
    turned: Condvar,
    waker: Waker,
    end: AtomicBool,
}

impl<D: Driver> Driven<D> {
    fn start(make: impl FnOnce(Registry) -> io::Result<D>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let driver = Mutex::new(make(poll.registry().try_clone()?)?);
        let shared = Arc::new(Shared { driver, turned: Condvar::new(), waker, end: AtomicBool::new(false) });
        let thread = thread::spawn({
            let shared = shared.clone();
            move || shared.run(poll)
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    fn lock(&self) -> MutexGuard<'_, D> {
        self.shared.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the driver, and lets the loop see what has come of it.
    fn with<T>(&self, act: impl FnOnce(&mut D) -> T) -> T {
        let result = act(&mut self.lock());
        self.shared.waker.wake().expect("woken");
        result
    }
}

impl<D: Driver> Shared<D> {
    fn run(&self, mut poll: Poll) {
        let mut events = Events::with_capacity(64);
        loop {
            let timeout = self.driver.lock().unwrap_or_else(PoisonError::into_inner).timeout();
            poll.poll(&mut events, timeout).expect("polled");
            if self.end.load(Ordering::Acquire) {
                return;
            }
            let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
            events.iter().for_each(|event| driver.ready(event));
            driver.turn();
            drop(driver);
            self.turned.notify_all();
        }
    }
}

impl<D> Drop for Driven<D> {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        self.shared.waker.wake().expect("woken");
        if let Some(thread) = self.thread.take() {
            // Where it has panicked, that was printed.
            let _ = thread.join();
        }
    }
}

fn endpoint(address: &Address) -> Endpoint {
    match address {
        Address::Tcp(address) => (*address).into(),
        #[cfg(unix)]
        Address::Unix(path) => Endpoint::unix(path).expect("a short path"),
    }
}

impl BrokerAdapter for Mio {
    type Broker = Driven<BrokerDriver>;

    fn start_broker(&self, config: BrokerConfig, epoch: u64, at: &Address) -> io::Result<Self::Broker> {
        Driven::start(|registry| {
            let mut driver = BrokerDriver::new(config, epoch, registry, DRIVER).expect("a config that works");
            driver.bind(endpoint(at))?;
            Ok(driver)
        })
    }
}

impl RunningBroker for Driven<BrokerDriver> {
    fn address(&self) -> Address {
        match self.lock().endpoints().next().expect("it listens") {
            Endpoint::Tcp(address) => Address::Tcp(*address),
            #[cfg(unix)]
            Endpoint::Unix(path) => Address::Unix(path.clone()),
            other => panic!("the kit knows no {other}"),
        }
    }

    fn stats(&self) -> Stats {
        self.lock().stats()
    }

    fn stop(self) {
        self.with(BrokerDriver::stop);
        let driver = self.lock();
        let limit = Duration::from_secs(5);
        let stopped = self.shared.turned.wait_timeout_while(driver, limit, |driver| !driver.is_stopped());
        drop(stopped.unwrap_or_else(PoisonError::into_inner));
    }
}

impl ClientAdapter for Mio {
    type Client = Driven<ClientDriver>;

    fn start_client(&self, config: ClientConfig, at: &Address) -> Self::Client {
        Driven::<ClientDriver>::client(config, endpoint(at))
    }

    fn start_client_by(&self, config: ClientConfig, mut addresses: Addresses) -> Option<Self::Client> {
        let look_up = move || Ok(addresses()?.iter().map(endpoint).collect::<Vec<_>>());
        Some(Driven::<ClientDriver>::client(config, Resolver::new(look_up)))
    }
}

impl Driven<ClientDriver> {
    fn client(config: ClientConfig, resolver: impl Into<Resolver>) -> Self {
        let driven = Driven::start(|registry| {
            Ok(ClientDriver::new(config, resolver, registry, DRIVER).expect("a config that works"))
        });
        let driven = driven.expect("a loop");
        driven.with(ClientDriver::flush);
        driven
    }

    /// A command, with what comes of it.
    fn command<T>(&self, act: impl FnOnce(&mut ClientDriver) -> T) -> T {
        self.with(|driver| {
            let result = act(driver);
            driver.flush();
            result
        })
    }
}

impl RunningClient for Driven<ClientDriver> {
    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        self.command(|driver| {
            let now = driver.now();
            driver.client().send(now, message)
        })
    }

    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        self.command(|driver| {
            let now = driver.now();
            driver.client().set(now, key, value)
        })
    }

    fn next(&mut self, within: Duration) -> Option<Heard> {
        let begun = Instant::now();
        let mut driver = self.lock();
        loop {
            let heard = driver.client().poll_event().map(Heard::from);
            // What was taken before is acknowledged by that.
            driver.flush();
            let left = within.saturating_sub(begun.elapsed());
            if heard.is_some() || left.is_zero() {
                return heard;
            }
            let waited = self.shared.turned.wait_timeout(driver, left);
            driver = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn acknowledge(&mut self, up_to: e_pigeon_core::AckToken) {
        self.command(|driver| driver.client().acknowledge(up_to));
    }

    fn close(&mut self, how: Close) {
        self.command(|driver| {
            let now = driver.now();
            driver.client().close(now, how);
        });
    }
}
