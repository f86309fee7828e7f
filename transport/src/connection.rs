//! One socket in an edge-triggered loop: what it is ready for, and what it has not taken yet.

use std::io::{self, Read, Write};

use mio::event::Event;

use crate::stream::Stream;

/// What a read brought.
#[derive(Debug)]
pub(crate) enum Input {
    /// So many bytes are in the buffer.
    Bytes(usize),
    /// There is nothing now; an event will tell.
    Nothing,
    /// The peer has closed (`None`) or the connection broke. Nothing comes any more.
    Over(Option<io::Error>),
}

/// A connected socket with its latches.
///
/// The loop tells of a change once, so the latches remember it until a call to the socket would block.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    readable: bool,
    writable: bool,
    /// The peer has said that nothing follows: read on to the end, for there is no further event.
    ending: bool,
    /// Why writing failed. What the peer said before that can still be read.
    broken: Option<io::Error>,
    unsent: Vec<u8>,
    unsent_from: usize,
}

impl Connection {
    /// Takes a connected and registered stream.
    pub(crate) fn new(stream: Stream) -> Self {
        stream.do_not_delay();
        Self {
            stream,
            readable: false,
            writable: true,
            ending: false,
            broken: None,
            unsent: Vec::new(),
            unsent_from: 0,
        }
    }

    /// Remembers what an event said. A stale event only makes a call that would block.
    pub(crate) fn note(&mut self, event: &Event) {
        let ending = event.is_read_closed() || event.is_error();
        self.ending |= ending;
        self.readable |= event.is_readable() || ending;
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Says whether a read may bring something.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Says whether a write may take something.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable && self.broken.is_none()
    }

    /// Says whether bytes wait here that the socket has not taken.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent_from < self.unsent.len()
    }

    /// Reads once into `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Input {
        if !self.readable {
            return Input::Nothing;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Input::Over(self.broken.take()),
                Ok(taken) => {
                    // With epoll a read that came short has emptied the socket, and whatever comes later is
                    // an event of its own; elsewhere only "would block" arms the next event. (Descriptors that a
                    // peer passes along shorten the read of a Unix socket too: it delays itself, nobody else.)
                    if taken < buffer.len()
                        && cfg!(target_os = "linux")
                        && !self.ending
                        && self.broken.is_none()
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
    pub(crate) fn flush(&mut self) -> bool {
        if self.has_unsent() {
            let kept = std::mem::take(&mut self.unsent);
            let from = std::mem::take(&mut self.unsent_from);
            let to = from + self.push(&kept[from..]);
            // What is empty gives its memory back: an idle connection costs next to nothing.
            if to < kept.len() && self.broken.is_none() {
                self.unsent = kept;
                self.unsent_from = to;
            }
        }
        self.is_writable()
    }

    /// Takes all of `bytes`: writes them, and keeps what the socket did not take.
    ///
    /// After a failed write it drops them, and the next read finds the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let written = if self.flush() { self.push(bytes) } else { 0 };
        if written < bytes.len() && self.broken.is_none() {
            self.unsent.extend_from_slice(&bytes[written..]);
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn finish(&mut self) {
        // Where the connection is gone there is nobody to tell.
        let _ = self.stream.finish();
    }

    fn push(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() && self.writable {
            match self.stream.write(&bytes[written..]) {
                Ok(0) => self.writable = false,
                Ok(taken) => written += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => {
                    self.broken = Some(error);
                    self.readable = true;
                    self.unsent = Vec::new();
                    self.unsent_from = 0;
                    break;
                }
            }
        }
        written
    }
}
