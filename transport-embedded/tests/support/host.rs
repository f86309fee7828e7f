//! A broker at the other ends of pipes, in the same task.

use std::cell::RefCell;
use std::rc::Rc;

use e_pigeon_core::{Broker, BrokerConfig, Framing, LinkId, Ready, Stats};
use e_pigeon_embedded::now;
use embassy_futures::yield_now;
use embassy_time::Timer;

use super::pipe::Pipe;

/// It works as long as [`Host::run`] is polled.
#[derive(Clone)]
pub struct Host(Rc<RefCell<Desk>>);

struct Desk {
    broker: Broker,
    ends: Vec<End>,
}

/// One connection.
struct End {
    up: Pipe,
    down: Pipe,
    framing: Framing,
    link: Option<LinkId>,
    /// The broker is done with it: the rest is written.
    is_over: bool,
    untaken: Vec<u8>,
    unsent: Vec<u8>,
    damage: Damage,
}

/// Damages bytes that go by, seldom and at odd places.
#[derive(Debug, Default)]
struct Damage {
    every: usize,
    count: usize,
}

impl Damage {
    fn pass(&mut self, bytes: &mut Vec<u8>) {
        if self.every == 0 {
            return;
        }
        let mut passed = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes.iter() {
            self.count += 1;
            match (self.count % self.every, self.count / self.every % 3) {
                (0, 0) => passed.push(byte ^ 0x10),
                (0, 1) => {}
                (0, _) => passed.extend([byte, 0xa5]),
                _ => passed.push(byte),
            }
        }
        *bytes = passed;
    }
}

impl Host {
    pub fn new(config: BrokerConfig) -> Self {
        Self(Rc::new(RefCell::new(Desk {
            broker: Broker::new(config, 1).expect("a config that works"),
            ends: Vec::new(),
        })))
    }

    /// Another broker takes its place, and knows nothing; streams are cut, lines go on.
    pub fn replace(&self, config: BrokerConfig, epoch: u64) {
        let mut desk = self.0.borrow_mut();
        desk.broker = Broker::new(config, epoch).expect("a config that works");
        for end in &mut desk.ends {
            (end.link, end.untaken, end.unsent) = (None, Vec::new(), Vec::new());
            end.is_over = false;
            if end.framing == Framing::Length {
                end.up.cut(Ok(()));
                end.down.cut(Ok(()));
            }
        }
    }

    /// A stream to it: where a client reads, and where it writes.
    pub fn connect(&self, room: usize, piece: usize) -> (Pipe, Pipe) {
        self.attach(Framing::Length, room, piece, 0)
    }

    /// A line to it, that damages each so many bytes; 0 for none.
    pub fn line(&self, room: usize, piece: usize, damage: usize) -> (Pipe, Pipe) {
        self.attach(Framing::Cobs, room, piece, damage)
    }

    fn attach(&self, framing: Framing, room: usize, piece: usize, every: usize) -> (Pipe, Pipe) {
        // What the client writes is seen when it has flushed.
        let (up, down) = (Pipe::new(room, piece).holding(), Pipe::new(room, piece));
        self.0.borrow_mut().ends.push(End {
            up: up.clone(),
            down: down.clone(),
            framing,
            link: None,
            is_over: false,
            untaken: Vec::new(),
            unsent: Vec::new(),
            damage: Damage { every, count: 0 },
        });
        (down, up)
    }

    pub fn stats(&self) -> Stats {
        self.0.borrow().broker.stats()
    }

    /// Runs for ever.
    pub async fn run(self) {
        loop {
            let has_moved = self.0.borrow_mut().turn();
            if has_moved {
                yield_now().await;
            } else {
                Timer::after_micros(200).await;
            }
        }
    }
}

impl Desk {
    /// Does what can be done now; true where that was something.
    fn turn(&mut self) -> bool {
        let now = now();
        let Self { broker, ends } = self;
        broker.handle_timeout(now);
        let mut has_moved = false;
        ends.retain(|end| {
            let is_cut = end.up.is_cut() || end.down.is_cut();
            if is_cut && !end.is_over {
                // Both directions are one connection.
                end.up.cut(Ok(()));
                end.down.cut(Ok(()));
            }
            if let Some(link) = end.link.filter(|_| is_cut) {
                broker.handle_disconnected(now, link);
            }
            !is_cut
        });
        for end in ends.iter_mut() {
            if end.link.is_none() && !end.is_over {
                end.link = broker.handle_connected_over(now, 0, end.framing).ok();
            }
            let mut input = end.up.take_all();
            has_moved |= !input.is_empty();
            end.damage.pass(&mut input);
            end.untaken.extend(input);
            if let Some(link) = end.link {
                let taken = broker.handle_input(now, link, &end.untaken).unwrap_or(0);
                end.untaken.drain(..taken);
            }
        }
        while let Some(ready) = broker.poll_ready() {
            let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
            let Some(end) = ends.iter_mut().find(|end| end.link == Some(link)) else { continue };
            let mut out = vec![0; 600];
            while let Ok(count @ 1..) = broker.poll_transmit(now, link, &mut out) {
                let mut output = out[..count].to_vec();
                end.damage.pass(&mut output);
                end.unsent.extend(output);
            }
            if let Ready::Close(_) = ready {
                broker.handle_disconnected(now, link);
                end.link = None;
                end.is_over = end.framing == Framing::Length;
            }
            has_moved = true;
        }
        for end in ends.iter_mut() {
            let count = end.down.put(&end.unsent);
            end.unsent.drain(..count);
            has_moved |= count > 0;
            if end.is_over && end.unsent.is_empty() {
                end.down.finish();
            }
        }
        while broker.poll_event().is_some() {}
        has_moved
    }
}
