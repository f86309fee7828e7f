//! An executor of embassy's for each test, pipes in memory, and a broker at their other ends.
#![allow(dead_code, unreachable_pub)]

pub mod host;
pub mod pipe;

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

use e_pigeon_core::{
    Client, ClientConfig, Destination, Event, Message, MessageId, Receipt, Secret, SendError, Uuid,
};
use e_pigeon_embedded::{Error, Line, Stream, now};
use embassy_executor::Executor;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use embedded_io_async::{Read, Write};

/// Less than the keep-alive, which would bring to light what was forgotten.
const LIMIT: Duration = Duration::from_secs(8);

#[embassy_executor::task(pool_size = 512)]
async fn task(future: Pin<Box<dyn Future<Output = ()>>>) {
    future.await;
}

/// Runs a future to its end on an executor of its own, on this thread.
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    block_on_beside(std::future::ready(()), future)
}

/// The same beside another one, each in a task of its own: so neither is polled because the other one was woken.
pub fn block_on_beside<T: 'static>(
    other: impl Future<Output = ()> + 'static,
    future: impl Future<Output = T> + 'static,
) -> T {
    // An executor lives for ever; one per test is no loss.
    let executor = Box::leak(Box::new(Executor::new()));
    let result = Rc::new(RefCell::new(None));
    let place = result.clone();
    let keep = async move {
        let value = future.await;
        *place.borrow_mut() = Some(value);
    };
    executor.run_until(
        |spawner| {
            spawner.spawn(task(Box::pin(other)).expect("room for a task"));
            spawner.spawn(task(Box::pin(keep)).expect("room for a task"));
        },
        || result.borrow().is_some(),
    );
    result.take().expect("the value")
}

/// Waits for something that must not take long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match select(future, Timer::after(LIMIT)).await {
        Either::First(value) => value,
        Either::Second(()) => panic!("not within {LIMIT:?}: {what}"),
    }
}

pub fn config(number: u128) -> ClientConfig {
    ClientConfig::new(Uuid::from_u128(number), Secret([7; 16]), 1, number as u64)
        .max_payload(512)
        .outbox_messages(8)
        .outbox_bytes(4096)
        .inbox_messages(4)
        .inbox_bytes(2048)
        .senders(4)
        .seen_window(64)
        .watches(0)
        .presence_items(0)
        .reconnect_min(std::time::Duration::from_millis(5))
        .reconnect_max(std::time::Duration::from_millis(50))
}

pub fn make(config: ClientConfig) -> Client<Vec<u8>> {
    let memory = vec![0; config.memory_needed()];
    Client::new(config, memory).expect("a config that works")
}

pub fn to(number: u128) -> Destination {
    Uuid::from_u128(number).into()
}

/// A stream or a line, for those who need not know which.
pub trait Link {
    async fn turn(&mut self) -> Result<(), Error<pipe::Fault>>;
    fn client(&mut self) -> &mut Client<Vec<u8>>;
}

impl<R, W> Link for Stream<'_, Vec<u8>, R, W>
where
    R: Read<Error = pipe::Fault>,
    W: Write<Error = pipe::Fault>,
{
    async fn turn(&mut self) -> Result<(), Error<pipe::Fault>> {
        Stream::turn(self).await
    }

    fn client(&mut self) -> &mut Client<Vec<u8>> {
        Stream::client(self)
    }
}

impl<R, W> Link for Line<'_, Vec<u8>, R, W>
where
    R: Read<Error = pipe::Fault>,
    W: Write<Error = pipe::Fault>,
{
    async fn turn(&mut self) -> Result<(), Error<pipe::Fault>> {
        Line::turn(self).await
    }

    fn client(&mut self) -> &mut Client<Vec<u8>> {
        Line::client(self)
    }
}

/// An application that sends numbers to somebody, and notes the numbers and the answers that it gets.
#[derive(Debug)]
pub struct Application {
    pub to: u128,
    pub count: u32,
    sent: u32,
    pub heard: Vec<u32>,
    pub finals: Vec<Receipt>,
    pub links: usize,
    pub is_closed: bool,
}

impl Application {
    pub fn new(to: u128, count: u32) -> Self {
        Self { to, count, sent: 0, heard: Vec::new(), finals: Vec::new(), links: 0, is_closed: false }
    }

    /// Takes what is there, and sends what there is room for.
    pub fn act(&mut self, client: &mut Client<Vec<u8>>) {
        while let Some(event) = client.poll_event() {
            match event {
                Event::Message(message) => {
                    let (number, rest) = message.payload.split_first_chunk().expect("a number");
                    let number = u32::from_le_bytes(*number);
                    assert!(rest.iter().all(|&byte| byte == number as u8), "{number} is damaged");
                    self.heard.push(number);
                }
                Event::Receipt(receipt) if receipt.is_final() => self.finals.push(receipt),
                Event::Established(_) => self.links += 1,
                Event::Closed(_) => self.is_closed = true,
                _ => {}
            }
        }
        while self.sent < self.count {
            let number = self.sent;
            let mut payload = vec![number as u8; 4 + number as usize * 7 % 200];
            payload[..4].copy_from_slice(&number.to_le_bytes());
            match client.send(now(), &Message::new(&to(self.to), &payload)) {
                Ok(id) => assert_eq!(id, MessageId(u64::from(number) + 1)),
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            self.sent += 1;
        }
    }

    /// True where all was sent and is answered, and so many numbers have come.
    pub fn is_done(&self, heard: u32) -> bool {
        self.finals.len() == self.count as usize && self.heard.len() >= heard as usize
    }

    /// Everything has come once and in order, and was answered so.
    pub fn assert_all(&self, heard: u32) {
        assert!(self.heard.iter().copied().eq(0..heard), "not 0 to {heard}: {:?}", self.heard);
        // They may come in another order than that of sending, where links have ended.
        let mut finals = self.finals.clone();
        finals.sort_by_key(Receipt::id);
        for (receipt, id) in finals.iter().zip(1..) {
            let id = MessageId(id);
            assert_eq!(*receipt, Receipt::ended(id, 1, 1, None));
        }
    }
}

/// Counts how often a future is polled.
pub async fn counted<T>(polls: &mut usize, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        *polls += 1;
        future.as_mut().poll(context)
    })
    .await
}
