//! The kit that every adapter is put through.
#![allow(missing_docs)]

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e_pigeon_core::{
    AckToken, BrokerConfig, ClientConfig, Close, Message, MessageId, SendError, SetError, Stats, Value,
};
use e_pigeon_sim::conformance::dropping::renewed;
use e_pigeon_sim::conformance::{
    Address, Addresses, BrokerAdapter, ClientAdapter, Heard, RunningBroker, RunningClient, Transport,
    check_broker, check_client,
};
use e_pigeon_smol::{Broker, Client, Endpoint, Resolver, ShutdownHandle, client};
use futures_lite::FutureExt;
use futures_lite::future::poll_once;
use smol::Timer;
use smol::channel::Sender;

/// The adapter, as the kit sees it.
struct Smol {
    /// After so many polls each future is dropped, and another one takes its place.
    polls: u32,
}

const PATIENT: Smol = Smol { polls: u32::MAX };
const RESTLESS: Smol = Smol { polls: 1 };

fn endpoint(address: &Address) -> Endpoint {
    match address {
        Address::Tcp(address) => (*address).into(),
        #[cfg(unix)]
        Address::Unix(path) => Endpoint::unix(path).expect("a short path"),
    }
}

/// A future on a thread of its own, which is dropped where it stands when this is.
struct Task {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Task {
    /// `run` gives the future, which need not be one that can change threads.
    fn start<F: Future<Output = ()>>(run: impl FnOnce() -> F + Send + 'static) -> Self {
        let (end, ended) = smol::channel::bounded(1);
        let until_ended = async move {
            let _ = ended.recv().await;
        };
        let thread = thread::spawn(move || smol::block_on(run().or(until_ended)));
        Self { end: Some(end), thread: Some(thread) }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Where it has panicked, that was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.end = None;
        self.join();
    }
}

struct Running {
    address: Address,
    shutdown_handle: ShutdownHandle,
    task: Task,
}

impl BrokerAdapter for Smol {
    type Broker = Running;

    fn start_broker(&self, config: BrokerConfig, epoch: u64, at: &Address) -> io::Result<Running> {
        let mut broker = Broker::bind(config, epoch, [endpoint(at)])?;
        let address = match broker.endpoints().next().expect("the one") {
            Endpoint::Tcp(address) => Address::Tcp(*address),
            #[cfg(unix)]
            Endpoint::Unix(path) => Address::Unix(path.clone()),
            other => panic!("the kit knows no {other}"),
        };
        let (shutdown_handle, polls) = (broker.shutdown_handle(), self.polls);
        let task = Task::start(move || async move { renewed(polls, async || broker.run().await).await });
        Ok(Running { address, shutdown_handle, task })
    }
}

impl RunningBroker for Running {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn stats(&self) -> Stats {
        self.shutdown_handle.stats()
    }

    fn stop(mut self) {
        self.shutdown_handle.stop();
        self.task.join();
    }
}

struct Member {
    client: Client,
    polls: u32,
    _driver: Task,
}

impl ClientAdapter for Smol {
    type Client = Member;

    fn start_client(&self, config: ClientConfig, at: &Address) -> Member {
        self.start(config, endpoint(at))
    }

    fn start_client_by(&self, config: ClientConfig, mut addresses: Addresses) -> Option<Member> {
        let look_up = move || Ok(addresses()?.iter().map(endpoint).collect::<Vec<_>>());
        Some(self.start(config, Resolver::new(look_up)))
    }
}

impl Smol {
    fn start(&self, config: ClientConfig, resolver: impl Into<Resolver>) -> Member {
        let (client, mut driver) = client(config, resolver).expect("a config that works");
        let polls = self.polls;
        let driver = Task::start(move || async move { renewed(polls, async || (&mut driver).await).await });
        Member { client, polls, _driver: driver }
    }
}

impl RunningClient for Member {
    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        let answer = self.client.send(message)?;
        let id = answer.id();
        answer.into_event();
        Ok(id)
    }

    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        self.client.set(key, value)
    }

    fn next(&mut self, within: Duration) -> Option<Heard> {
        let next = renewed(self.polls, async || self.client.next_event().await);
        let event = if within.is_zero() {
            smol::block_on(poll_once(next))?
        } else {
            let late = async {
                Timer::after(within).await;
                None
            };
            smol::block_on(next.or(late))
        };
        event.map(|event| Heard::from(event.lend(e_pigeon_core::Instant::default())))
    }

    fn acknowledge(&mut self, up_to: AckToken) {
        self.client.acknowledge(up_to);
    }

    fn close(&mut self, how: Close) {
        drop(self.client.close(how));
    }
}

#[test]
fn a_broker_over_tcp() {
    check_broker(&PATIENT, Transport::Tcp);
}

#[test]
fn a_client_over_tcp() {
    check_client(&PATIENT, Transport::Tcp);
}

#[cfg(unix)]
#[test]
fn a_broker_over_unix_sockets() {
    check_broker(&PATIENT, Transport::Unix);
}

#[cfg(unix)]
#[test]
fn a_client_over_unix_sockets() {
    check_client(&PATIENT, Transport::Unix);
}

#[test]
fn a_broker_whose_future_is_dropped_at_every_wake_up() {
    check_broker(&RESTLESS, Transport::Tcp);
}

#[test]
fn a_client_whose_futures_are_dropped_at_every_wake_up() {
    check_client(&RESTLESS, Transport::Tcp);
}
