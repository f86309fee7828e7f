//! The kit that every adapter is put through, on embassy's executor and real sockets.
#![allow(missing_docs)]

mod support;

use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_io::{Async, IoSafe};
use e_pigeon_core::{
    AckToken, Client, ClientConfig, Close, Destination, Message, MessageId, SendError, SetError, Value,
};
use e_pigeon_embedded::{Stream, idle, now};
use e_pigeon_sim::conformance::dropping::renewed;
use e_pigeon_sim::conformance::{Address, ClientAdapter, Heard, RunningClient, Transport, check_client};
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embedded_io_adapters::futures_03::FromFutures;
use support::block_on;

/// What the application of a client wants of the task that has it.
type Wish = Box<dyn FnOnce(&mut Client<Vec<u8>>) + Send>;
type Wishes = Channel<CriticalSectionRawMutex, Option<Wish>, 4>;

/// The adapter, as the kit sees it. After so many polls each future is dropped, and another one takes its place.
struct Embedded {
    polls: u32,
}

const PATIENT: Embedded = Embedded { polls: u32::MAX };
const RESTLESS: Embedded = Embedded { polls: 1 };

/// The task of a client, and what its application hands it.
struct Member {
    wishes: &'static Wishes,
    task: Option<JoinHandle<()>>,
}

impl ClientAdapter for Embedded {
    type Client = Member;

    fn start_client(&self, config: ClientConfig, at: &Address) -> Member {
        let wishes: &'static Wishes = Box::leak(Box::new(Channel::new()));
        let (at, polls) = (at.clone(), self.polls);
        let task = thread::spawn(move || block_on(live(config, at, wishes, polls)));
        Member { wishes, task: Some(task) }
    }
}

/// Keeps a client connected, and does what its application wants, until that is gone.
async fn live(config: ClientConfig, at: Address, wishes: &'static Wishes, polls: u32) {
    let mut client = support::make(config);
    loop {
        if !client.wants_connection() {
            let idle = renewed(polls, async || idle(&mut client).await);
            match select(idle, wishes.receive()).await {
                Either::First(()) => {}
                Either::Second(Some(wish)) => wish(&mut client),
                Either::Second(None) => return,
            }
            continue;
        }
        let is_wanted = match &at {
            Address::Tcp(address) => match Async::<TcpStream>::connect(*address).await {
                Ok(socket) => talk(&mut client, &socket, wishes, polls).await,
                Err(_) => lost(&mut client),
            },
            #[cfg(unix)]
            Address::Unix(path) => match Async::<UnixStream>::connect(path).await {
                Ok(socket) => talk(&mut client, &socket, wishes, polls).await,
                Err(_) => lost(&mut client),
            },
        };
        if !is_wanted {
            return;
        }
    }
}

fn lost(client: &mut Client<Vec<u8>>) -> bool {
    client.handle_disconnected(now());
    true
}

/// One connection; false where its application is gone.
async fn talk<S: IoSafe>(client: &mut Client<Vec<u8>>, socket: &Async<S>, wishes: &Wishes, polls: u32) -> bool
where
    for<'a> &'a Async<S>: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
{
    let (mut input, mut output) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let (reader, writer) = (FromFutures::new(socket), FromFutures::new(socket));
    let mut stream = Stream::new(client, reader, writer, &mut input, &mut output);
    loop {
        let turn = renewed(polls, async || stream.turn().await);
        match select(turn, wishes.receive()).await {
            Either::First(Ok(())) => {}
            Either::First(Err(_)) => return true,
            Either::Second(Some(wish)) => wish(stream.client()),
            Either::Second(None) => return false,
        }
    }
}

impl Member {
    /// Has something done by the task, and waits for the result.
    fn ask<T: Send + 'static>(&self, act: impl FnOnce(&mut Client<Vec<u8>>) -> T + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        self.put(Some(Box::new(move |client| {
            // Whoever asked is waiting.
            let _ = sender.send(act(client));
        })));
        receiver.recv().expect("the task of the client is there")
    }

    fn put(&self, mut wish: Option<Wish>) {
        // There is room again when the task has had its turn.
        while let Err(embassy_sync::channel::TrySendError::Full(back)) = self.wishes.try_send(wish) {
            wish = back;
            thread::yield_now();
        }
    }
}

impl RunningClient for Member {
    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        let (to, payload) = (Destination::from(message.get_to()), message.get_payload().to_vec());
        let (time_to_live, retain) = (message.get_time_to_live(), message.get_retain());
        self.ask(move |client| {
            let message = Message::to(&to).payload(&payload).time_to_live(time_to_live).retain(retain);
            client.send(now(), &message)
        })
    }

    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        let Value::Str(text) = value else { panic!("the kit sets no {value:?}") };
        let (key, text) = (key.to_owned(), text.to_owned());
        self.ask(move |client| client.set(now(), &key, Value::Str(&text)))
    }

    fn next(&mut self, within: Duration) -> Option<Heard> {
        let begun = std::time::Instant::now();
        loop {
            let heard = self.ask(|client| client.poll_event().map(Heard::from));
            if heard.is_some() || begun.elapsed() >= within {
                return heard;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn acknowledge(&mut self, up_to: AckToken) {
        self.ask(move |client| client.acknowledge(up_to));
    }

    fn close(&mut self, how: Close) {
        self.ask(move |client| client.close(now(), how));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.put(None);
        if let Some(task) = self.task.take() {
            // Where it has panicked, that was printed.
            let _ = task.join();
        }
    }
}

#[test]
fn a_client_over_tcp() {
    check_client(&PATIENT, Transport::Tcp);
}

#[cfg(unix)]
#[test]
fn a_client_over_unix_sockets() {
    check_client(&PATIENT, Transport::Unix);
}

#[test]
fn a_client_whose_futures_are_dropped_at_every_wake_up() {
    check_client(&RESTLESS, Transport::Tcp);
}
