//! One socket: what it is ready for, and what it has not taken yet.

use std::io;

use crate::backlog::Backlog;
use crate::buffers::{LINE_OUTPUT, OUTPUT};
use crate::socket::Socket;

/// What a read brought.
#[derive(Debug)]
pub enum Input {
    /// So many bytes are in the buffer.
    Bytes(usize),
    /// There is nothing now; the adapter will tell.
    Nothing,
    /// The peer has closed (`None`) or the connection broke. Nothing comes any more.
    Over(Option<io::Error>),
}

/// A connected socket with its latches.
///
/// The adapter tells of a change once, so the latches remember it until a call to the socket would block.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    readable: bool,
    writable: bool,
    /// The peer has said that nothing follows: read on to the end, for there is no further event.
    ending: bool,
    /// Why writing failed. What the peer said before that can still be read.
    broken: Option<io::Error>,
    unsent: Backlog,
}

impl<S: Socket> Connection<S> {
    /// Takes a connected socket, which is expected to take something and to have nothing yet.
    pub fn new(socket: S) -> Self {
        socket.tune();
        Self {
            socket,
            readable: false,
            writable: true,
            ending: false,
            broken: None,
            unsent: Backlog::default(),
        }
    }

    /// The socket itself, to make known who waits for it.
    pub fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Remembers that a read may bring something. Where that is not so, it only makes a call that would block.
    pub fn note_readable(&mut self) {
        self.readable = true;
    }

    /// Remembers that a write may take something. Where that is not so, it only makes a call that would block.
    pub fn note_writable(&mut self) {
        self.writable = true;
    }

    /// Remembers that nothing more will be told of reading: everything there is has to be read now.
    pub fn note_ending(&mut self) {
        self.ending = true;
        self.readable = true;
    }

    /// Says whether a read may bring something.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Says whether a write may take something.
    pub fn is_writable(&self) -> bool {
        self.writable && self.broken.is_none()
    }

    /// Says whether it is a line: nobody at its other end hears that it is closed.
    pub fn is_line(&self) -> bool {
        self.socket.is_line()
    }

    /// How many bytes one write should have at most.
    pub fn batch(&self) -> usize {
        if self.is_line() { LINE_OUTPUT } else { OUTPUT }
    }

    /// Says whether bytes wait here that the socket has not taken.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads once into `buffer`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Input {
        if !self.readable {
            return Input::Nothing;
        }
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Input::Over(self.broken.take()),
                Ok(taken) => {
                    if taken < buffer.len()
                        && !self.ending
                        && self.broken.is_none()
                        && self.socket.is_emptied_by_short_read()
                    {
                        self.readable = false;
                    }
                    return Input::Bytes(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return match self.broken.take() {
                        Some(broken) => Input::Over(Some(broken)),
                        None => Input::Nothing,
                    };
                }
                Err(error) => return Input::Over(Some(error)),
            }
        }
    }

    /// Writes what was kept, and returns whether the socket can take more.
    pub fn flush(&mut self) -> bool {
        if self.has_unsent() {
            let mut unsent = std::mem::take(&mut self.unsent);
            unsent.advance(self.push(unsent.bytes()));
            if self.broken.is_none() {
                self.unsent = unsent;
            }
        }
        self.is_writable()
    }

    /// Takes all of `bytes`: writes them, and keeps what the socket did not take.
    ///
    /// After a failed write it drops them, and the next read finds the end.
    pub fn write(&mut self, bytes: &[u8]) {
        let written = if self.flush() { self.push(bytes) } else { 0 };
        if written < bytes.len() && self.broken.is_none() {
            self.unsent.push(&bytes[written..]);
        }
    }

    /// Tells the peer that nothing follows.
    pub fn finish(&mut self) {
        // Where the connection is gone there is nobody to tell.
        let _ = self.socket.finish();
    }

    fn push(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() && self.writable {
            match self.socket.write(&bytes[written..]) {
                Ok(0) => self.writable = false,
                Ok(taken) => written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => {
                    self.broken = Some(error);
                    self.readable = true;
                    self.unsent = Backlog::default();
                    break;
                }
            }
        }
        written
    }
}
