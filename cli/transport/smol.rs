//! Clients and brokers as futures, each on the thread that runs it.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{self, Duration};

use e_pigeon_core::{
    Broker, BrokerConfig, ClientConfig, Close, Event, Filter, Instant, Message, MessageId, SendError,
    SetError, Value, WatchError, WatchId,
};
use e_pigeon_mio::{Endpoint, Resolver};
use e_pigeon_smol as adapter;
use smol::channel::{Receiver, Sender, bounded};
use smol::future::or;

use super::ending::{Asked, Ending, FAREWELL};
use super::task::{self, Next, Task, Turn};
use crate::address::Address;
use crate::failure::{Failure, plain};
use crate::limits;
use crate::lives::Lives;
use crate::wake::Wake;

/// Wakes a loop; several calls before it looks are one.
pub(super) struct WakeSignal {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl WakeSignal {
    pub(super) fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self { sender, receiver }
    }

    pub(super) fn notify(&self) {
        // Where it is full, the loop has not looked since the last time.
        let _ = self.sender.try_send(());
    }

    pub(super) fn wake(&self) -> Wake {
        let sender = self.sender.clone();
        // Where it is full, the loop has not looked since the last time.
        Arc::new(move || {
            let _ = sender.try_send(());
        })
    }

    pub(super) async fn notified(&self) {
        // This end keeps the channel open.
        let _ = self.receiver.recv().await;
    }
}

pub(crate) struct ClientLoop {
    client: Client,
    driver: Option<adapter::Driver>,
    signal: WakeSignal,
}

impl ClientLoop {
    pub(super) fn new(config: ClientConfig, broker: Address) -> Result<Self, Failure> {
        let resolver = Resolver::new(move || broker.resolve());
        let (inner, driver) = adapter::client(config, resolver).map_err(limits::explain)?;
        let client = Client::new(inner);
        Ok(Self { client, driver: Some(driver), signal: WakeSignal::new() })
    }

    pub(super) fn wake(&self) -> Wake {
        self.signal.wake()
    }

    pub(super) fn run(&mut self, task: &mut dyn Task) -> Result<u8, Failure> {
        let Self { client, driver, signal } = self;
        let (driver, watched) = (driver.take(), client.inner.clone());
        smol::block_on(or(
            async {
                loop {
                    let trouble = client.inner.last_error().map(|error| plain(&error));
                    let now = client.now();
                    let (wanted, takes_events) = match task.turn(&mut Turn { client, now, trouble })? {
                        Next::Wait(wanted) => (wanted, true),
                        Next::Hold(wanted) => (wanted, false),
                        Next::Done(code) => return Ok(code),
                    };
                    let left = wanted.map(|at| at.saturating_duration_since(client.now()));
                    let others = or(signal.notified(), sleep(left));
                    if takes_events {
                        or(client.has_event(), others).await;
                    } else {
                        others.await;
                    }
                }
            },
            async {
                if let Some(driver) = driver {
                    driver.run().await;
                }
                // A task that holds its events would not see it.
                if watched.is_broken() {
                    return Err(Failure::broken("client"));
                }
                // The task has the last word.
                smol::future::pending().await
            },
        ))
    }
}

pub(super) async fn sleep(left: Option<Duration>) {
    match left {
        Some(left) => drop(smol::Timer::after(left).await),
        None => smol::future::pending().await,
    }
}

/// The adapter's client, whose events are lent as the core lends them.
pub(super) struct Client {
    inner: adapter::Client,
    start: time::Instant,
    /// The event that was waited for.
    next: Option<adapter::Event>,
    /// The event that the task has.
    lent: Option<adapter::Event>,
    is_over: bool,
}

impl Client {
    pub(super) fn new(inner: adapter::Client) -> Self {
        Self { inner, start: time::Instant::now(), next: None, lent: None, is_over: false }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.inner.is_broken()
    }

    fn now(&self) -> Instant {
        // Microseconds of half a million years.
        Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) async fn has_event(&mut self) {
        if self.is_over {
            smol::future::pending::<()>().await;
        }
        if self.next.is_none() {
            self.next = self.inner.next_event().await;
            self.is_over = self.next.is_none();
        }
    }
}

impl task::Client for Client {
    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        self.inner.set(key, value)
    }

    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        let answer = self.inner.send(message)?;
        let id = answer.id();
        answer.into_event();
        Ok(id)
    }

    fn watch(&mut self, filter: &Filter) -> Result<WatchId, WatchError> {
        self.inner.watch(filter)
    }

    fn acknowledge(&mut self, up_to: e_pigeon_core::AckToken) {
        self.inner.acknowledge(up_to);
    }

    fn close(&mut self, how: Close) {
        // The event tells when the broker has confirmed it.
        drop(self.inner.close(how));
    }

    fn poll_event(&mut self) -> Option<Event<'_>> {
        self.lent = self.next.take();
        if self.lent.is_none() {
            let next = pin!(self.inner.next_event());
            if let Poll::Ready(event) = next.poll(&mut Context::from_waker(Waker::noop())) {
                self.lent = event;
            }
        }
        let now = self.now();
        self.lent.as_ref().map(|event| event.lend(now))
    }

    fn is_established(&mut self) -> bool {
        self.inner.is_established()
    }

    fn reconnect(&mut self) {
        self.inner.reconnect();
    }

    fn unanswered(&mut self) -> Vec<MessageId> {
        self.inner.unanswered()
    }
}

pub(crate) struct BrokerLoop {
    broker: adapter::Broker,
    signal: WakeSignal,
}

impl BrokerLoop {
    pub(super) fn new(config: BrokerConfig, epoch: u64) -> Result<Self, Failure> {
        let mut lives = Lives::new(config.clone());
        let broker = Broker::new(config, epoch).map_err(limits::explain)?;
        let broker = adapter::Broker::with_broker::<Endpoint>(broker, []);
        let mut broker = broker.map_err(|error| Failure::system("start the broker", &error))?;
        broker.renew_with(move || lives.next(time::Instant::now()));
        Ok(Self { broker, signal: WakeSignal::new() })
    }

    pub(super) fn bind(&mut self, endpoint: Endpoint) -> io::Result<Endpoint> {
        self.broker.listen(endpoint)
    }

    pub(super) fn wake(&self) -> Wake {
        self.signal.wake()
    }

    pub(super) fn run(mut self, ending: Asked<'_>) -> Result<(), Failure> {
        let shutdown_handle = self.broker.shutdown_handle();
        let signal = &self.signal;
        smol::block_on(or(self.broker.run(), async {
            loop {
                match ending(&|| shutdown_handle.stats()) {
                    Some(Ending::Sudden) => return,
                    Some(Ending::Orderly) => break shutdown_handle.stop(),
                    None => signal.notified().await,
                }
            }
            let again = async {
                while ending(&|| shutdown_handle.stats()) != Some(Ending::Sudden) {
                    signal.notified().await;
                }
            };
            or(sleep(Some(FAREWELL)), again).await;
        }));
        if self.broker.is_broken() { Err(Failure::broken("broker")) } else { Ok(()) }
    }
}
