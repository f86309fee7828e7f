//! One connection through the proxy: two threads that forward bytes, one per direction, and the faults on the way.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::counters::count;
use super::faults::{Direction, Fault, Faults};
use super::shared::Shared;

/// After this time without bytes a thread looks whether the connection still stands.
const TICK: Duration = Duration::from_millis(20);
/// How long an orderly end waits for the other side's.
const LINGER: Duration = Duration::from_millis(300);
/// How long the sockets of a half-open connection stay open: "several seconds", many keep-alive intervals of the tests.
const HALF_OPEN: Duration = Duration::from_secs(5);
/// A connection goes half-open only when it has carried this much, so that it is past its handshake.
const PAST_HANDSHAKE: u64 = 4096;
/// The pause between single bytes: long enough for the reader to see them singly now and then.
const BETWEEN_BYTES: Duration = Duration::from_micros(20);
const BUFFER: usize = 16 * 1024;

const OPEN: u8 = 0;
const DROPPED: u8 = 1;
const ENDING: u8 = 2;
const SILENT: u8 = 3;

/// Both sockets of one connection. The last thread to let go of it closes them.
pub(super) struct Link {
    client: Socket,
    broker: Socket,
    number: u64,
    state: AtomicU8,
    carried: AtomicU64,
    shared: Arc<Shared>,
}

impl Link {
    /// A connection whose two ends are there.
    pub(super) fn new(client: Socket, broker: Socket, number: u64, shared: Arc<Shared>) -> Self {
        count(&shared.counters.connections);
        Self { client, broker, number, state: AtomicU8::new(OPEN), carried: AtomicU64::new(0), shared }
    }

    /// Forwards until the connection is over.
    pub(super) fn run(self) {
        for socket in [&self.client, &self.broker] {
            let prepared = self
                .shared
                .broker
                .say_at_once(socket)
                .and_then(|()| socket.set_read_timeout(Some(TICK)))
                .and_then(|()| socket.set_write_timeout(Some(TICK)));
            if prepared.is_err() {
                return;
            }
        }
        let link = Arc::new(self);
        let other = Arc::clone(&link);
        thread::spawn(move || other.pump(Direction::ToClient));
        link.pump(Direction::ToBroker);
    }

    /// Forwards one direction.
    fn pump(&self, direction: Direction) {
        let (mut from, to) = match direction {
            Direction::ToBroker => (&self.client, &self.broker),
            Direction::ToClient => (&self.broker, &self.client),
        };
        let mut faults = Faults::new(&self.shared.plan, self.number, direction);
        let mut buffer = [0; BUFFER];
        let mut single = 0;
        let end = if direction == Direction::ToBroker { 0 } else { 1 };
        let mut damaging =
            self.shared.damage.as_ref().map(|damage| damage.of_direction(2 * self.number + end));
        while self.stands() {
            let faulty = self.shared.is_faulty();
            // What lies behind a cut is not even read.
            let room = if faulty {
                usize::try_from(faults.distance()).unwrap_or(BUFFER).min(BUFFER)
            } else {
                BUFFER
            };
            if room == 0 {
                let so_far = self.shared.counters.faults.fetch_add(1, Ordering::SeqCst);
                let half_opens = self.shared.counters.half_opens.load(Ordering::SeqCst);
                let may_half_open = self.carried.load(Ordering::SeqCst) >= PAST_HANDSHAKE;
                let fault = faults.take(&self.shared.plan, so_far, half_opens, may_half_open);
                single += self.suffer(fault, direction);
                continue;
            }
            let read = match from.read(&mut buffer[..room]) {
                Ok(0) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(read) => read,
                Err(error) if is_pause(&error) => continue,
                Err(_) => return self.become_state(DROPPED),
            };
            if self.shared.is_mute() {
                continue;
            }
            if let (Some(damage), Some(damaging)) = (self.shared.damage(), &mut damaging) {
                let mut damaged = Vec::with_capacity(read + 16);
                damaging.pass(damage, &buffer[..read], &mut damaged);
                if !self.forward(to, &damaged, 0) {
                    return;
                }
                continue;
            }
            let singly = read.min(single);
            single -= singly;
            if !self.forward(to, &buffer[..read], singly) {
                return;
            }
            let read = u64::try_from(read).unwrap_or(u64::MAX);
            self.carried.fetch_add(read, Ordering::SeqCst);
            faults.advance(read);
        }
        self.leave(direction);
    }

    /// Whether bytes may still pass.
    fn stands(&self) -> bool {
        if self.shared.is_closed() {
            self.become_state(DROPPED);
        }
        self.state.load(Ordering::SeqCst) == OPEN
    }

    /// The first fault that ends a connection decides how.
    fn become_state(&self, state: u8) {
        let _ = self.state.compare_exchange(OPEN, state, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Carries out a fault; returns how many bytes are to be written singly from now on.
    fn suffer(&self, fault: Fault, direction: Direction) -> usize {
        let counters = &self.shared.counters;
        let cuts = match direction {
            Direction::ToBroker => &counters.cuts_to_broker,
            Direction::ToClient => &counters.cuts_to_client,
        };
        match fault {
            Fault::CutHard => {
                count(cuts);
                if self.has_unread(direction) {
                    count(&counters.resets);
                }
                self.become_state(DROPPED);
            }
            Fault::CutOrderly => {
                count(cuts);
                count(&counters.orderly);
                self.become_state(ENDING);
                let _ = self.client.shutdown(Shutdown::Write);
                let _ = self.broker.shutdown(Shutdown::Write);
            }
            Fault::Stall(pause) => {
                count(&counters.stalls);
                thread::sleep(pause);
            }
            Fault::Stretch(bytes) => {
                count(&counters.stretches);
                return bytes;
            }
            Fault::HalfOpen => {
                count(&counters.half_opens);
                self.become_state(SILENT);
                self.hold_open();
            }
        }
        0
    }

    /// Whether more has come from where this direction's bytes come from: a close then is a reset. Waits a tick for it.
    fn has_unread(&self, direction: Direction) -> bool {
        let from = match direction {
            Direction::ToBroker => &self.client,
            Direction::ToClient => &self.broker,
        };
        matches!(from.peek(&mut [MaybeUninit::uninit()]), Ok(1))
    }

    /// Writes all of it, the first `singly` bytes one by one. False where the connection is over.
    fn forward(&self, to: &Socket, bytes: &[u8], singly: usize) -> bool {
        let (slowly, at_once) = bytes.split_at(singly);
        for byte in slowly.chunks(1) {
            if !self.write(to, byte) {
                return false;
            }
            thread::sleep(BETWEEN_BYTES);
        }
        self.write(to, at_once)
    }

    /// Writes all of it, however long the other side takes. False where the connection is over.
    fn write(&self, mut to: &Socket, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_pause(&error) => {}
                Err(_) => self.become_state(DROPPED),
            }
            if !self.stands() {
                return false;
            }
        }
        true
    }

    /// The end of one direction's thread after a fault.
    fn leave(&self, direction: Direction) {
        if self.state.load(Ordering::SeqCst) != ENDING {
            return;
        }
        // The end was announced; until the peer has answered, what it still says goes nowhere.
        let mut from = if direction == Direction::ToBroker { &self.client } else { &self.broker };
        let until = Instant::now() + LINGER;
        let mut nowhere = [0; BUFFER];
        while Instant::now() < until {
            match from.read(&mut nowhere) {
                Ok(0) => return,
                Err(error) if !is_pause(&error) => return,
                _ => {}
            }
        }
    }

    /// Keeps both sockets open and mute for seconds, then finds out whether both ends have noticed by themselves.
    fn hold_open(&self) {
        let until = Instant::now() + HALF_OPEN;
        while Instant::now() < until && !self.shared.is_closed() {
            thread::sleep(TICK);
        }
        let noticed = peer_has_left(&self.client) && peer_has_left(&self.broker);
        let counters = &self.shared.counters;
        if noticed {
            count(&counters.half_opens_noticed);
        }
        count(&counters.half_opens_over);
    }
}

/// Whether the other end of this socket has closed it, behind whatever it had sent before.
fn peer_has_left(mut socket: &Socket) -> bool {
    let mut nowhere = [0; BUFFER];
    loop {
        match socket.read(&mut nowhere) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !is_pause(&error),
        }
    }
}

/// Whether the error only says that nothing happened for a tick.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
