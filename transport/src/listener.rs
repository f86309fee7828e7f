//! A listening socket: accepting, and waiting where that fails.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use e_pigeon_core::Instant;
use socket2::{Domain, Protocol, Type};

use crate::endpoint::Endpoint;
use crate::socket::Listening;

/// How many connections the kernel may keep until they are accepted.
pub const BACKLOG: i32 = 4096;

/// How long to wait after accepting failed, mostly for want of descriptors: the adapter may tell of waiting
/// connections once and not again when there is room.
const RETRY: Duration = Duration::from_millis(100);

/// A line that is lost or cannot be opened is tried again after `RETRY`; each time after twice as long as before, but no
/// longer than this. One that was there for as long begins anew.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// A listening socket with its latch: the adapter tells of a change once. Or a line: it is opened here, and again when it
/// is [`lost`](Self::lost).
#[derive(Debug)]
pub struct Listener<L> {
    socket: L,
    endpoint: Endpoint,
    /// Connections may be waiting.
    ready: bool,
    /// When to try again after accepting failed.
    retry_at: Option<Instant>,
    /// How long to wait for that.
    retry_after: Duration,
    /// When the line was opened.
    opened_at: Instant,
}

impl<L: Listening> Listener<L> {
    /// Takes a socket that listens on `endpoint`, where connections may be waiting already.
    pub fn new(socket: L, endpoint: Endpoint) -> Self {
        Self {
            socket,
            endpoint,
            ready: true,
            retry_at: None,
            retry_after: RETRY,
            opened_at: Instant::from_micros(0),
        }
    }

    /// Remembers that connections may be waiting.
    pub fn note(&mut self) {
        // Whoever has a line is not told of another.
        self.ready |= !self.endpoint.is_line();
    }

    /// The line that was accepted is gone, or nothing can be done with it: it is opened again after a while.
    pub fn lost(&mut self, now: Instant) {
        if self.endpoint.is_line() {
            if now.saturating_duration_since(self.opened_at) >= LONGEST_RETRY {
                self.retry_after = RETRY;
            }
            tracing::warn!(line = %self.endpoint, "line lost, opening it again");
            self.ready = true;
            self.retry_later(now);
        }
    }

    fn retry_later(&mut self, now: Instant) {
        self.retry_at = Some(now + self.retry_after);
        if self.endpoint.is_line() {
            self.retry_after = (2 * self.retry_after).min(LONGEST_RETRY);
        }
    }

    /// Where it listens, with the port that was given where it was asked for any.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes one waiting connection, and whom it is from; `None` where there is none, or where it has to wait.
    pub fn accept(&mut self, now: Instant) -> Option<(L::Socket, Endpoint)> {
        if !self.ready || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        loop {
            match self.take() {
                Ok(accepted) => {
                    if self.endpoint.is_line() {
                        tracing::info!(line = %self.endpoint, "opened");
                        (self.ready, self.opened_at) = (false, now);
                    }
                    self.retry_at = None;
                    return Some(accepted);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock if !self.endpoint.is_line() => {
                        self.ready = false;
                        self.retry_at = None;
                        return None;
                    }
                    // Somebody who came and went.
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset => {}
                    _ => {
                        if self.endpoint.is_line() {
                            tracing::debug!(line = %self.endpoint, %error, "cannot open the line yet");
                        } else if self.retry_at.is_none() {
                            tracing::warn!(%error, "cannot accept connections yet, trying again");
                        }
                        self.retry_later(now);
                        return None;
                    }
                },
            }
        }
    }

    /// When to call [`accept`](Self::accept) again without an event.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.ready.then(|| self.retry_at.unwrap_or(now))
    }

    /// A peer without an address is told by where it came.
    fn take(&mut self) -> io::Result<(L::Socket, Endpoint)> {
        let (socket, peer) = self.socket.accept()?;
        let peer = match (peer, &self.endpoint) {
            (Some(address), Endpoint::Cobs(_)) => Endpoint::Cobs(address),
            (Some(address), _) => Endpoint::Tcp(address),
            (None, endpoint) => endpoint.clone(),
        };
        Ok((socket, peer))
    }
}

/// Listens on an address, with a socket that does not block.
///
/// # Errors
///
/// What the system says where the address cannot be had (`AddrInUse` where somebody listens there).
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A broker that is started again must not wait for the connections of the one before. On Windows the
    // option means something else, and it is not needed.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
