//! A broker that is one future.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use e_pigeon_core::{BrokerConfig, Instant, Stats};
use e_pigeon_transport::{Endpoint, FAREWELL, Hub};

use crate::alarm::Alarm;
use crate::listening::Acceptor;
use crate::ready::{ReadyList, Source};
use crate::stream::{Stream, note};

/// A broker with its sockets, its clock and its buffers.
///
/// Everything it does, it does in [`run`](Self::run), which is one future for all its links. Each socket has a waker of
/// its own, and a turn looks only at those that were called: ten thousand idle links cost nothing. Nothing is spawned.
///
/// ```
/// use e_pigeon_core::BrokerConfig;
/// use e_pigeon_smol::Broker;
/// use std::net::SocketAddr;
///
/// let (hash_seed, epoch) = (23, 42); // In a program of your own: random numbers.
/// let mut broker = Broker::bind(BrokerConfig::new(hash_seed), epoch, [SocketAddr::from(([127, 0, 0, 1], 0))])?;
/// let shutdown_handle = broker.shutdown_handle();
/// println!("listening on {}", broker.endpoints().next().expect("the one"));
/// let task = smol::spawn(async move { broker.run().await });
/// shutdown_handle.stop();
/// smol::block_on(task);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    hub: Hub<Acceptor>,
    ready: Arc<ReadyList>,
    alarm: Alarm,
    outside: Arc<Outside>,
    /// When the broker stops waiting for its clients.
    farewell: Option<Instant>,
}

/// What a broker shares with its handles.
#[derive(Debug, Default)]
struct Outside {
    stop: AtomicBool,
    stats: Mutex<Stats>,
}

/// Ends a [`Broker`] from another task or thread, and returns its counters.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    ready: Arc<ReadyList>,
    outside: Arc<Outside>,
}

impl ShutdownHandle {
    /// Asks the broker to say goodbye and to end. Returns at once; [`Broker::run`] returns when it is done.
    pub fn stop(&self) {
        self.outside.stop.store(true, Ordering::Release);
        self.ready.wake();
    }

    /// What the broker had counted at the end of its last turn.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.outside.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Makes a broker that listens on `endpoints`; connections wait until it [`run`](Self::run)s.
    ///
    /// `epoch` is a number drawn for this life of the broker, never one that it had before. About 320 KiB of buffers are
    /// allocated here, for all links together.
    ///
    /// # Errors
    ///
    /// The config contradicts itself (`InvalidInput`), or what [`listen`](Self::listen) says.
    pub fn bind<E: Into<Endpoint>>(
        config: BrokerConfig,
        epoch: u64,
        endpoints: impl IntoIterator<Item = E>,
    ) -> io::Result<Self> {
        let broker = e_pigeon_core::Broker::new(config, epoch);
        let broker = broker.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Self::with_broker(broker, endpoints)
    }

    /// The same with a broker that you have made, for instance [with a policy](e_pigeon_core::Broker::with_policy), and
    /// that has no links yet.
    ///
    /// # Errors
    ///
    /// What [`listen`](Self::listen) says.
    pub fn with_broker<E: Into<Endpoint>>(
        broker: e_pigeon_core::Broker,
        endpoints: impl IntoIterator<Item = E>,
    ) -> io::Result<Self> {
        let hub = Hub::new(broker);
        let mut broker =
            Self { hub, ready: Arc::default(), alarm: Alarm::new(), outside: Arc::default(), farewell: None };
        for endpoint in endpoints {
            broker.listen(endpoint)?;
        }
        Ok(broker)
    }

    /// Listens on one more endpoint, and returns it with its real port.
    ///
    /// The file of a Unix socket that nobody accepts on any more is replaced. The broker removes its own when it is
    /// stopped or dropped, unless somebody else has put another there. Brokers that start in one directory take turns,
    /// so this may block for a second where a program keeps that directory locked.
    ///
    /// # Errors
    ///
    /// What the system says where the endpoint cannot be had (`AddrInUse` where somebody listens there), that what stands
    /// at the path is no socket (`AlreadyExists`), that no socket can have this path or that it is no serial line
    /// (`InvalidInput`), or that another program uses the line (`ResourceBusy`).
    pub fn listen(&mut self, endpoint: impl Into<Endpoint>) -> io::Result<Endpoint> {
        let index = self.hub.endpoints().count();
        let listener = Acceptor::bind(endpoint.into(), self.ready.waker(Source::Listener(index)))?;
        let endpoint = listener.endpoint().clone();
        self.hub.listen(listener);
        Ok(endpoint)
    }

    /// The endpoints that the broker listens on, with their real ports, in the order of binding; none after a stop.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.hub.endpoints()
    }

    /// A handle that ends the broker from another task or thread.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle { ready: self.ready.clone(), outside: self.outside.clone() }
    }

    /// The counters. Use [`ShutdownHandle::stats`] while the broker runs.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hub.stats()
    }

    /// What is to be done where the broker finds [a bug in itself](e_pigeon_core::Broker::is_broken): `make` makes another one,
    /// with a new epoch and no links, and clients come back to it as after a broker's death. Without this, or where `make` says
    /// `None`, [`run`](Self::run) returns, and [`is_broken`](Self::is_broken).
    pub fn renew_with(&mut self, make: impl FnMut() -> Option<e_pigeon_core::Broker> + Send + 'static) {
        self.hub.renew_with(make);
    }

    /// Says whether the broker has found a bug in itself, and there was no way to begin a new life.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.hub.is_broken()
    }

    /// How many bytes of input it keeps because the broker has not taken them: 16 KiB for each link at most, and 1 MiB besides.
    /// What is more stays in the sockets.
    #[must_use]
    pub fn untaken_bytes(&self) -> usize {
        self.hub.untaken_bytes()
    }

    /// Runs until a [`ShutdownHandle`] ends it: then it listens no longer, tells its clients, and returns when they have heard it,
    /// after 5 seconds at most; or at once where the broker [is broken](Self::is_broken). What the broker reports goes to
    /// `tracing` on the way.
    ///
    /// The future may be dropped at any time, and another one goes on where it stopped. A connection that breaks is no
    /// error; where accepting fails, connections wait.
    pub async fn run(&mut self) {
        poll_fn(|context| self.turn(context)).await;
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { hub, ready, .. } = self;
        ready.register(context.waker());
        ready.take(|source| match source {
            Source::Listener(index) => hub.note_listener(index, prepare(ready)),
            Source::Connection(key) => hub.note(key, note),
        });
        hub.handle_deadline(prepare(ready));
        if self.farewell.is_none() && self.outside.stop.load(Ordering::Acquire) {
            hub.stop();
            self.farewell = Some(hub.now() + FAREWELL);
        }
        hub.flush();
        hub.log_events();
        *self.outside.stats.lock().unwrap_or_else(PoisonError::into_inner) = hub.stats();
        let farewell = self.farewell.map(|at| at.saturating_duration_since(hub.now()));
        if hub.is_broken() || farewell.is_some_and(|left| hub.is_stopped() || left.is_zero()) {
            return Poll::Ready(());
        }
        let sleep = [hub.sleep(), farewell].into_iter().flatten().min();
        if self.alarm.is_over(context, sleep) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Gives each new connection its waker, and asks for news of it.
fn prepare(ready: &Arc<ReadyList>) -> impl FnMut(&mut Stream, usize) -> io::Result<()> {
    move |stream, key| {
        stream.set_waker(&ready.waker(Source::Connection(key)));
        match stream.poll_readable() {
            Poll::Ready(result) => result.map(|()| ready.waker(Source::Connection(key)).wake()),
            Poll::Pending => Ok(()),
        }
    }
}
