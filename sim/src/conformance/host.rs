//! A broker whose sockets are driven by hand, on a thread of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use e_pigeon_core::{Broker, BrokerConfig, LinkId, Ready, Stats};

use super::place::Address;
use super::socket::{Acceptor, Got, Socket};
use super::waiting::until;

/// How long its thread sleeps where nothing happens.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// How the broker treats its connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// The largest piece that is read at a time; 0: it does not read.
    pub(super) read_piece: usize,
    /// The largest piece that is written at a time; 0: it does not write.
    pub(super) write_piece: usize,
    /// Every connection is closed as soon as it is accepted.
    pub(super) slams: bool,
}

impl Manners {
    pub(super) const GOOD: Self = Self { read_piece: 1 << 16, write_piece: 1 << 16, slams: false };
    pub(super) const STALLED: Self = Self { read_piece: 0, write_piece: 0, slams: false };
}

/// What happens to all connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// They are closed, whatever is unread or unsent.
    Cut,
    /// Nothing more is written on them.
    Finish,
}

#[derive(Debug)]
struct Shared {
    manners: Mutex<Manners>,
    blow: Mutex<Option<Blow>>,
    stats: Mutex<Stats>,
    accepted: AtomicUsize,
    turns: AtomicUsize,
    stop: AtomicBool,
}

/// It runs until it is dropped; that kills it.
#[derive(Debug)]
pub(super) struct Host {
    shared: Arc<Shared>,
    address: Address,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub(super) fn start(config: BrokerConfig, epoch: u64, at: &Address) -> Self {
        let (acceptor, address) = Acceptor::bind(at).expect("a free address");
        let shared = Arc::new(Shared {
            manners: Mutex::new(Manners::GOOD),
            blow: Mutex::new(None),
            stats: Mutex::default(),
            accepted: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let mut desk = Desk {
            broker: Broker::new(config, epoch).expect("a config that works"),
            origin: Instant::now(),
            acceptor,
            lines: Vec::new(),
            shared: shared.clone(),
        };
        let thread = thread::spawn(move || desk.run());
        Self { shared, address, thread: Some(thread) }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Treats its connections so from now on: the turn in which it did not know of that yet is over.
    pub(super) fn behave(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
        let now = self.shared.turns.load(Ordering::Acquire);
        until("the turn is over", || self.shared.turns.load(Ordering::Acquire) > now + 1);
    }

    /// Strikes all connections, and returns when that is done.
    pub(super) fn strike(&self, blow: Blow) {
        *lock(&self.shared.blow) = Some(blow);
        until("the blow is struck", || lock(&self.shared.blow).is_none());
    }

    pub(super) fn stats(&self) -> Stats {
        *lock(&self.shared.stats)
    }

    /// How many connections were accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed, and this one may be unwinding already.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread works on.
struct Desk {
    broker: Broker,
    origin: Instant,
    acceptor: Acceptor,
    lines: Vec<Line>,
    shared: Arc<Shared>,
}

/// One connection.
struct Line {
    socket: Socket,
    /// `None` where the broker is done with it: the rest is written, and the end of it awaited.
    link: Option<LinkId>,
    untaken: Vec<u8>,
    unsent: Vec<u8>,
    is_finished: bool,
    is_over: bool,
}

impl Desk {
    fn run(&mut self) {
        let mut pause = Duration::ZERO;
        while !self.shared.stop.load(Ordering::Acquire) {
            // It looks less and less often while nothing happens, so that it is idle where that is measured.
            pause = if self.turn() {
                Duration::ZERO
            } else {
                (pause + pause / 4).clamp(Duration::from_micros(100), LONGEST_PAUSE)
            };
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }

    fn now(&self) -> e_pigeon_core::Instant {
        e_pigeon_core::Instant::from_micros(self.origin.elapsed().as_micros() as u64)
    }

    /// Does what can be done now; true where that was something.
    fn turn(&mut self) -> bool {
        let manners = *lock(&self.shared.manners);
        let now = self.now();
        self.broker.handle_timeout(now);
        let mut moved = self.strike(now) | self.accept(now, manners);
        for line in &mut self.lines {
            moved |= line.read(&mut self.broker, now, manners.read_piece);
        }
        self.end_what_is_closed();
        for line in &mut self.lines {
            moved |= line.write(&mut self.broker, now, manners.write_piece);
        }
        for line in self.lines.iter().filter(|line| line.is_over) {
            line.link.inspect(|link| self.broker.handle_disconnected(now, *link));
        }
        self.lines.retain(|line| !line.is_over);
        while self.broker.poll_event().is_some() {}
        *lock(&self.shared.stats) = self.broker.stats();
        self.shared.turns.fetch_add(1, Ordering::AcqRel);
        moved
    }

    fn strike(&mut self, now: e_pigeon_core::Instant) -> bool {
        let mut blow = lock(&self.shared.blow);
        match *blow {
            None => return false,
            Some(Blow::Cut) => {
                for line in self.lines.drain(..) {
                    line.link.inspect(|link| self.broker.handle_disconnected(now, *link));
                }
            }
            Some(Blow::Finish) => {
                for line in &mut self.lines {
                    line.socket.finish();
                    line.is_finished = true;
                }
            }
        }
        *blow = None;
        true
    }

    fn accept(&mut self, now: e_pigeon_core::Instant, manners: Manners) -> bool {
        let mut any = false;
        while let Some(socket) = self.acceptor.accept() {
            any = true;
            self.shared.accepted.fetch_add(1, Ordering::AcqRel);
            if manners.slams {
                continue;
            }
            let link = self.broker.handle_connected(now, 0).expect("room for a link");
            let (untaken, unsent) = (Vec::new(), Vec::new());
            let line = Line { socket, link: Some(link), untaken, unsent, is_finished: false, is_over: false };
            self.lines.push(line);
        }
        any
    }

    /// Takes the last words of the links that the broker is done with.
    fn end_what_is_closed(&mut self) {
        let now = self.now();
        while let Some(ready) = self.broker.poll_ready() {
            let Ready::Close(link) = ready else { continue };
            if let Some(line) = self.lines.iter_mut().find(|line| line.link == Some(link)) {
                line.fill(&mut self.broker, now, usize::MAX);
                line.link = None;
            }
            self.broker.handle_disconnected(now, link);
        }
    }
}

impl Line {
    fn read(&mut self, broker: &mut Broker, now: e_pigeon_core::Instant, piece: usize) -> bool {
        if self.untaken.is_empty() && piece > 0 {
            let mut buffer = [0; 1 << 16];
            let piece = piece.min(buffer.len());
            match self.socket.read(&mut buffer[..piece]) {
                Got::Bytes(count) => self.untaken.extend_from_slice(&buffer[..count]),
                Got::Nothing => return false,
                Got::End | Got::Broken => {
                    self.is_over = true;
                    return true;
                }
            }
        }
        let Some(link) = self.link else {
            self.untaken.clear();
            return false;
        };
        let taken = broker.handle_input(now, link, &self.untaken).unwrap_or(self.untaken.len());
        self.untaken.drain(..taken);
        taken > 0
    }

    fn write(&mut self, broker: &mut Broker, now: e_pigeon_core::Instant, piece: usize) -> bool {
        if piece == 0 || self.is_finished {
            return false;
        }
        if self.unsent.is_empty() {
            self.fill(broker, now, piece.max(1 << 16));
        }
        if self.unsent.is_empty() {
            if self.link.is_none() {
                self.socket.finish();
                self.is_finished = true;
            }
            return false;
        }
        let piece = piece.min(self.unsent.len());
        // A connection that is gone is found by reading.
        let count = self.socket.write(&self.unsent[..piece]).unwrap_or(piece);
        self.unsent.drain(..count);
        count > 0
    }

    /// Takes what the broker has to say, up to about so many bytes.
    fn fill(&mut self, broker: &mut Broker, now: e_pigeon_core::Instant, most: usize) {
        let Some(link) = self.link else { return };
        let mut buffer = [0; 1 << 14];
        while self.unsent.len() < most {
            match broker.poll_transmit(now, link, &mut buffer) {
                Ok(count @ 1..) => self.unsent.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
    }
}
