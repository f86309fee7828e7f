//! A broker and clients on an executor of the test's own, with a deadline for everything.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use e_pigeon_core::{
    BrokerConfig, ClientConfig, Destination, Established, Filter, Message, MessageId, Receipt, Secret, Stats,
    Uuid,
};
use e_pigeon_smol::{Broker, Client, Endpoint, Event, OwnedDelivery, ShutdownHandle, client};
use futures_lite::FutureExt;
use smol::{Task, Timer};

/// Less than the keep-alive, which would bring to light what was forgotten.
pub const LIMIT: Duration = Duration::from_secs(8);

/// Waits for something that must not take long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let late = async {
        Timer::after(LIMIT).await;
        panic!("not within {LIMIT:?}: {what}")
    };
    future.or(late).await
}

/// Looks again and again until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            Timer::after(Duration::from_millis(1)).await;
        }
    })
    .await;
}

pub fn any_port() -> Endpoint {
    SocketAddr::from(([127, 0, 0, 1], 0)).into()
}

/// Runs a test over TCP and over a Unix socket: it must not make a difference.
pub fn over_each<F: Future<Output = ()>>(test: impl Fn(Endpoint) -> F) {
    smol::block_on(test(any_port()));
    #[cfg(unix)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoint = Endpoint::unix(folder.path().join("broker")).expect("a short path");
        smol::block_on(test(endpoint));
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("the folder").count(),
            0,
            "nothing is left behind"
        );
    }
}

/// A broker that runs.
pub struct Running {
    pub endpoint: Endpoint,
    pub shutdown_handle: ShutdownHandle,
    task: Task<()>,
}

impl Running {
    pub fn start(config: BrokerConfig, epoch: u64, endpoint: Endpoint) -> Self {
        let mut broker = Broker::bind(config, epoch, [endpoint]).expect("bound");
        let endpoint = broker.endpoints().next().expect("the one").clone();
        let shutdown_handle = broker.shutdown_handle();
        Self { endpoint, shutdown_handle, task: smol::spawn(async move { broker.run().await }) }
    }

    pub fn stats(&self) -> Stats {
        self.shutdown_handle.stats()
    }

    /// Drops it where it stands.
    pub async fn kill(self) {
        self.task.cancel().await;
    }

    pub async fn stop(self) {
        self.shutdown_handle.stop();
        soon("the broker stops", self.task).await;
    }
}

pub fn config(number: u128) -> ClientConfig {
    ClientConfig::new(Uuid::from_u128(number), Secret([7; 16]), 1, number as u64)
}

/// What the client of a boot says first.
pub fn hello(number: u128, boot: u64) -> Vec<u8> {
    let config = ClientConfig::new(Uuid::from_u128(number), Secret([7; 16]), boot, 1);
    e_pigeon_sim::frames::hello(config).expect("a config that works")
}

/// A client whose driver runs by itself.
pub fn join(number: u128, endpoint: &Endpoint) -> Client {
    join_as(config(number), endpoint)
}

pub fn join_as(config: ClientConfig, endpoint: &Endpoint) -> Client {
    let (client, driver) = client(config, endpoint.clone()).expect("a config that works");
    smol::spawn(driver.run()).detach();
    client
}

/// Takes events until the session is there.
pub async fn established(client: &Client) -> Established {
    loop {
        match soon("a session", client.next_event()).await.expect("not closed") {
            Event::Established(how) => return how,
            Event::Connected | Event::Disconnected { .. } => {}
            other => panic!("{other:?} before the session"),
        }
    }
}

/// Takes events until there is a message.
pub async fn message(client: &Client) -> OwnedDelivery {
    loop {
        if let Event::Message(message) = soon("a message", client.next_event()).await.expect("not closed") {
            return message;
        }
    }
}

/// Takes what comes for ever.
pub async fn read(client: Client) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = client.next_event().await {
        events.push(event);
    }
    events
}

pub fn everyone_else() -> Destination {
    Destination::from(Filter::everyone()).exclude_self()
}

pub fn to(number: u128) -> Destination {
    Uuid::from_u128(number).into()
}

pub fn outgoing<'a>(to: &'a Destination, payload: &'a [u8]) -> Message<'a> {
    Message::new(to, payload)
}

pub fn delivered(id: MessageId, count: u32) -> Receipt {
    Receipt::ended(id, count, count, None)
}
