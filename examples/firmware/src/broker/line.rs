//! One serial line with its channels: each is a link of the broker, while somebody is there.

use crate::board::uart::Uart;
use crate::mux::{HEAD, Piece, Reader};
use e_pigeon_core::{Broker, Instant, LinkId};

/// Links on one line.
const CHANNELS: usize = 4;
/// As much as the FIFO of the line takes at once.
const STAGED: usize = 16;

/// What is on a channel.
#[derive(Clone, Copy)]
enum Channel {
    /// Nobody.
    Free,
    /// A link, which may have something to write, and which the broker may be done with.
    Open { link: LinkId, writes: bool, closes: bool },
    /// Somebody for whom there is no link. That is to be said, and then the end.
    Refused { told: bool },
    /// The far end has left; that this one has noticed is still to be said.
    Left,
    /// This end has ended the link. Until the far end has, too, what comes goes nowhere.
    Ended,
}

/// A line.
pub struct Line {
    uart: &'static Uart,
    reader: Reader,
    channels: [Channel; CHANNELS],
    /// Whose turn it is to write.
    next: usize,
    /// A piece that goes out, and how much of it has.
    staged: [u8; STAGED],
    length: usize,
    out: usize,
}

impl Line {
    /// Starts it.
    pub fn start(uart: &'static Uart) -> Self {
        uart.start();
        let channels = [Channel::Free; CHANNELS];
        Self { uart, reader: Reader::new(), channels, next: 0, staged: [0; STAGED], length: 0, out: 0 }
    }

    /// True where something came in.
    pub fn has_input(&self) -> bool {
        self.uart.has_input()
    }

    /// Gives the broker what came in.
    pub fn read(&mut self, now: Instant, broker: &mut Broker) {
        let mut buffer = [0; 32];
        let mut input = self.uart.read(&mut buffer);
        while let Some(piece) = self.reader.take(&mut input) {
            match piece {
                Piece::Bytes(number, bytes) => self.take(now, broker, number, bytes),
                Piece::End(number) => self.end(now, broker, number),
            }
        }
    }

    fn take(&mut self, now: Instant, broker: &mut Broker, number: u8, mut bytes: &[u8]) {
        // There is no such channel: whoever is there does not know this program.
        let Some(channel) = self.channels.get_mut(usize::from(number)) else { return };
        if let Channel::Free = channel {
            *channel = match broker.handle_connected(now, number.into()) {
                Ok(link) => Channel::Open { link, writes: false, closes: false },
                Err(_) => Channel::Refused { told: false },
            };
        }
        let Channel::Open { link, .. } = *channel else { return };
        // Where it takes a part, that is for others to have their turn; here all links together are short.
        while let Ok(taken @ 1..) = broker.handle_input(now, link, bytes) {
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    fn end(&mut self, now: Instant, broker: &mut Broker, number: u8) {
        let Some(channel) = self.channels.get_mut(usize::from(number)) else { return };
        *channel = match *channel {
            Channel::Open { link, .. } => {
                broker.handle_disconnected(now, link);
                Channel::Left
            }
            Channel::Refused { .. } | Channel::Left => Channel::Left,
            Channel::Free | Channel::Ended => Channel::Free,
        };
    }

    /// The broker has something for a link; false where that is not on this line.
    pub fn note(&mut self, of: LinkId, is_over: bool) -> bool {
        for channel in &mut self.channels {
            if let Channel::Open { link, writes, closes } = channel
                && *link == of
            {
                *writes = true;
                *closes |= is_over;
                return true;
            }
        }
        false
    }

    /// Writes what the line takes now. Where that is not all, an interrupt tells when it takes more.
    pub fn write(&mut self, now: Instant, broker: &mut Broker) {
        loop {
            while self.out < self.length {
                let count = self.uart.room().min(self.length - self.out);
                if count == 0 {
                    return;
                }
                self.uart.write(self.staged.get(self.out..self.out + count).unwrap_or_default());
                self.out += count;
            }
            (self.length, self.out) = (0, 0);
            for _ in 0..CHANNELS {
                self.next = (self.next + 1) % CHANNELS;
                self.stage(now, broker, self.next);
                if self.length > 0 {
                    break;
                }
            }
            if self.length == 0 {
                return;
            }
        }
    }

    /// Makes the next piece of a channel, if it has any.
    fn stage(&mut self, now: Instant, broker: &mut Broker, number: usize) {
        let Some(channel) = self.channels.get_mut(number) else { return };
        let Some((head, body)) = self.staged.split_first_chunk_mut::<HEAD>() else { return };
        // There are few channels, and a piece is short.
        head[0] = number as u8;
        let mut length = 0;
        match *channel {
            Channel::Free | Channel::Ended => return,
            Channel::Left => *channel = Channel::Free,
            Channel::Refused { told: true } => *channel = Channel::Ended,
            Channel::Refused { told: false } => {
                length = Broker::FULL.len().min(body.len());
                for (to, from) in body.iter_mut().zip(Broker::FULL) {
                    *to = *from;
                }
                *channel = Channel::Refused { told: true };
            }
            Channel::Open { writes: false, .. } => return,
            Channel::Open { link, closes, .. } => {
                length = broker.poll_transmit(now, link, body).unwrap_or(0);
                if length == 0 && closes {
                    broker.handle_disconnected(now, link);
                    *channel = Channel::Ended;
                } else if length == 0 {
                    *channel = Channel::Open { link, writes: false, closes };
                    return;
                }
            }
        }
        head[1] = length as u8;
        self.length = HEAD + length;
    }
}
