//! A client whose socket is driven by hand.

use std::time::{Duration, Instant};

use e_pigeon_core::{Client, ClientConfig, Close, Destination, Message};

use super::log::{Heard, Log};
use super::numbers::numbered;
use super::place::Address;
use super::socket::{Got, Socket};

/// Reads and writes happen only in [`turn`](Self::turn), in pieces of a size of the check's choice.
pub(super) struct Peer {
    client: Client<Vec<u8>>,
    origin: Instant,
    socket: Option<Socket>,
    unsent: Vec<u8>,
    /// The largest piece that is read at a time; 0: it does not read.
    pub(super) read_piece: usize,
    /// The largest piece that is written at a time.
    pub(super) write_piece: usize,
    /// It says no more than it has said already.
    is_silent: bool,
    /// The broker has closed the connection.
    pub(super) is_over: bool,
    pub(super) log: Log,
}

impl Peer {
    /// One that has a connection and has said nothing yet.
    pub(super) fn dial(config: ClientConfig, at: &Address) -> Self {
        let memory = vec![0; config.memory_needed()];
        let mut peer = Self {
            client: Client::new(config, memory).expect("a config that works"),
            origin: Instant::now(),
            socket: None,
            unsent: Vec::new(),
            read_piece: 1 << 16,
            write_piece: 1 << 16,
            is_silent: false,
            is_over: false,
            log: Log::default(),
        };
        peer.redial(at);
        peer
    }

    /// Gets another connection in place of the one before.
    pub(super) fn redial(&mut self, at: &Address) {
        self.cut();
        self.socket = Some(Socket::dial(at).expect("the broker accepts connections"));
        self.is_over = false;
        let now = self.now();
        self.client.handle_connected(now);
    }

    /// Drops the connection without a word.
    pub(super) fn cut(&mut self) {
        self.unsent.clear();
        if self.socket.take().is_some() {
            let now = self.now();
            self.client.handle_disconnected(now);
        }
    }

    /// Says that nothing more will come, and goes on reading.
    pub(super) fn finish(&mut self) {
        if let Some(socket) = &self.socket {
            socket.finish();
        }
    }

    /// Says whether its connection has a session.
    pub(super) fn is_established(&self) -> bool {
        self.client.is_established()
    }

    pub(super) fn send(&mut self, to: &Destination, payload: &[u8]) {
        self.send_for(to, payload, Duration::from_secs(3600));
    }

    /// Sends a message that may wait so long for its recipients.
    pub(super) fn send_for(&mut self, to: &Destination, payload: &[u8], time_to_live: Duration) {
        let now = self.now();
        let outgoing = Message::new(to, payload).time_to_live(time_to_live);
        self.client.send(now, &outgoing).expect("room for a message");
    }

    /// Leaves for good.
    pub(super) fn close(&mut self) {
        let now = self.now();
        self.client.close(now, Close::EndSession);
    }

    /// Sends messages with the numbers from 0 on.
    pub(super) fn send_numbered(&mut self, to: &Destination, count: u32, size: usize) {
        for number in 0..count {
            self.send(to, &numbered(number, size));
        }
    }

    /// Writes all that it has to say in one go, and not a byte after that.
    pub(super) fn say_all_and_fall_silent(&mut self) {
        self.fill(usize::MAX);
        self.is_silent = true;
        let unsent = std::mem::take(&mut self.unsent);
        self.socket.as_mut().expect("connected").write_all(&unsent);
    }

    /// Does what can be done now; true where that was something.
    pub(super) fn turn(&mut self) -> bool {
        let now = self.now();
        if self.client.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.client.handle_timeout(now);
        }
        let mut moved = self.write();
        moved |= self.read();
        while let Some(event) = self.client.poll_event() {
            self.log.note(Heard::from(event));
        }
        moved | self.write()
    }

    /// Goes on until there is nothing to do now.
    pub(super) fn turns(&mut self) {
        // A check looks at other things too.
        for _ in 0..1000 {
            if !self.turn() {
                break;
            }
        }
    }

    fn read(&mut self) -> bool {
        let now = self.now();
        let mut buffer = [0; 1 << 16];
        let piece = self.read_piece.min(buffer.len());
        let Some(socket) = self.socket.as_mut().filter(|_| piece > 0 && !self.is_over) else { return false };
        match socket.read(&mut buffer[..piece]) {
            Got::Bytes(count) => {
                self.client.handle_input(now, &buffer[..count]);
                true
            }
            Got::Nothing => false,
            Got::End | Got::Broken => {
                self.is_over = true;
                self.client.handle_disconnected(now);
                true
            }
        }
    }

    fn write(&mut self) -> bool {
        if self.unsent.is_empty() {
            self.fill(1 << 16);
        }
        let piece = self.write_piece.min(self.unsent.len());
        let Some(socket) = self.socket.as_mut().filter(|_| piece > 0) else { return false };
        // A connection that is gone is found by reading.
        let count = socket.write(&self.unsent[..piece]).unwrap_or(piece);
        self.unsent.drain(..count);
        count > 0
    }

    /// Takes what the client has to say, up to about so many bytes.
    fn fill(&mut self, most: usize) {
        let now = self.now();
        let mut buffer = [0; 1 << 14];
        while !self.is_silent && self.unsent.len() < most {
            match self.client.poll_transmit(now, &mut buffer).unwrap_or(0) {
                0 => break,
                count => self.unsent.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn now(&self) -> e_pigeon_core::Instant {
        e_pigeon_core::Instant::from_micros(self.origin.elapsed().as_micros() as u64)
    }
}
