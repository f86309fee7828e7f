//! A kit that any adapter can be put through, on real sockets.
//!
//! An adapter carries the machines of [`e_pigeon_core`] over sockets. It has no rule of the protocol in it, and yet there is
//! much that it can get wrong: input that it is told of once and forgets, a write that was taken in part, a peer that
//! does not read, a deadline that nobody wakes it for. The kit brings the peers that bring such faults to light, and drives
//! them by hand: pieces of one byte, bursts and then silence, stalls, half-closed connections, cuts, crowds.
//!
//! Show the kit how your adapter starts a broker ([`BrokerAdapter`]), a client ([`ClientAdapter`]), or both; then call
//! [`check_broker`] and [`check_client`] from tests. Each check has a name, which a failure tells. `docs/ADAPTERS.md` of the
//! repository shows how an adapter is written. Where an adapter's interface is made of futures, [`dropping`] helps to
//! show that they may be dropped.
//!
//! Tests may call the kit from several threads. Only the checks that measure what the process does while there is nothing
//! to do wait until they are alone.

mod brokers;
mod clients;
pub mod dropping;
mod host;
mod limits;
mod log;
mod peer;
mod socket;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use e_pigeon_core::{
    BrokerConfig, ClientConfig, Close, Destination, MessageId, Outgoing, SendError, SetError, Stats, Token,
    Value,
};

pub use log::Heard;

/// How long anything may take that should take no time. Less than the keep-alive interval of the default config, which
/// would bring to light what an adapter has forgotten.
const LIMIT: Duration = Duration::from_secs(8);

/// Held by each check that runs; wholly by one that has to be alone.
static RUNNING: RwLock<()> = RwLock::new(());

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix stream socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Which sockets a check uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, on loopback.
    Tcp,
    /// Unix stream sockets, in a folder that the kit makes and removes.
    #[cfg(unix)]
    Unix,
}

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
    fn send(&mut self, message: &Outgoing<'_>) -> Result<MessageId, SendError>;

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
    fn acknowledge(&mut self, up_to: Token);

    /// Leaves, without waiting for it. [`Heard::Closed`] comes when that is done.
    fn close(&mut self, how: Close);
}

/// One thing that every adapter has to get right.
pub struct Check<A: ?Sized> {
    name: &'static str,
    run: fn(&A, &Place),
    /// It measures the whole process.
    is_alone: bool,
}

impl<A: ?Sized> Check<A> {
    /// What has to be so.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it, and returns how long it took.
    ///
    /// # Panics
    ///
    /// The adapter does not get it right; the message says what was expected.
    pub fn run(&self, adapter: &A, transport: Transport) -> Duration {
        limits::raise_descriptors();
        let measure = || {
            let start = Instant::now();
            (self.run)(adapter, &Place::new(transport));
            start.elapsed()
        };
        if self.is_alone {
            let _all = RUNNING.write().unwrap_or_else(PoisonError::into_inner);
            measure()
        } else {
            let _one = RUNNING.read().unwrap_or_else(PoisonError::into_inner);
            measure()
        }
    }
}

/// The name of a check is that of its function.
macro_rules! checks {
    ($($module:ident :: $check:ident),*; alone: $($alone_module:ident :: $alone:ident),*) => {
        vec![
            $(Check { name: stringify!($check), run: $module::$check, is_alone: false },)*
            $(Check { name: stringify!($alone), run: $alone_module::$alone, is_alone: true }),*
        ]
    };
}
use checks;

/// All that is asked of an adapter that runs brokers.
#[must_use]
pub fn broker_checks<A: BrokerAdapter>() -> Vec<Check<A>> {
    brokers::all()
}

/// All that is asked of an adapter that runs clients.
#[must_use]
pub fn client_checks<A: ClientAdapter>() -> Vec<Check<A>> {
    clients::all()
}

/// Puts an adapter's broker through all checks, and tells what each took.
///
/// # Panics
///
/// Some of the checks failed; the message names them.
pub fn check_broker<A: BrokerAdapter>(adapter: &A, transport: Transport) {
    run_all(broker_checks(), adapter, transport);
}

/// Puts an adapter's client through all checks, and tells what each took.
///
/// # Panics
///
/// Some of the checks failed; the message names them.
pub fn check_client<A: ClientAdapter>(adapter: &A, transport: Transport) {
    run_all(client_checks(), adapter, transport);
}

fn run_all<A>(checks: Vec<Check<A>>, adapter: &A, transport: Transport) {
    let mut failed = Vec::new();
    for check in checks {
        // The adapter is only looked at again by checks that start anew.
        match catch_unwind(AssertUnwindSafe(|| check.run(adapter, transport))) {
            Ok(took) => println!("{transport:?} {:<55} {:>5} ms", check.name, took.as_millis()),
            Err(_) => {
                println!("{transport:?} {:<55} FAILED", check.name);
                failed.push(check.name);
            }
        }
    }
    assert!(failed.is_empty(), "over {transport:?} the adapter fails: {failed:?}");
}

/// Where the sockets of one check are.
struct Place {
    transport: Transport,
    /// Removed when the check is over.
    #[cfg(unix)]
    folder: tempfile::TempDir,
    /// So many other addresses were given.
    #[cfg(unix)]
    others: std::cell::Cell<u32>,
}

impl Place {
    fn new(transport: Transport) -> Self {
        Self {
            transport,
            #[cfg(unix)]
            folder: tempfile::tempdir().expect("a folder for sockets"),
            #[cfg(unix)]
            others: std::cell::Cell::new(0),
        }
    }

    /// An address that nobody listens at yet.
    fn address(&self) -> Address {
        match self.transport {
            Transport::Tcp => Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            #[cfg(unix)]
            Transport::Unix => Address::Unix(self.folder.path().join("broker")),
        }
    }

    /// One that is not that.
    fn another_address(&self) -> Address {
        match self.transport {
            Transport::Tcp => self.address(),
            #[cfg(unix)]
            Transport::Unix => {
                let number = self.others.get();
                self.others.set(number + 1);
                Address::Unix(self.folder.path().join(format!("other-{number}")))
            }
        }
    }
}

/// Looks again and again until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Does something elsewhere that must not take long.
fn soon<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

/// A client's config with a number for a name, and memory for what a check needs.
fn config(number: u128) -> ClientConfig {
    let uuid = e_pigeon_core::Uuid::from_u128(number);
    ClientConfig::new(uuid, e_pigeon_core::Secret([7; 16]), 1, number as u64)
}

fn to(number: u128) -> Destination {
    e_pigeon_core::Uuid::from_u128(number).into()
}

/// A payload that can be told from the others and from damaged ones.
fn numbered(number: u32, size: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; size.max(4)];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    payload
}

/// The page is tested with the kit that it is about.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../../../docs/ADAPTERS.md")]
struct Page;
