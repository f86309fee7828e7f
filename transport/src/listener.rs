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

/// A listening socket with its latch: the adapter tells of a change once.
#[derive(Debug)]
pub struct Listener<L> {
    socket: L,
    endpoint: Endpoint,
    /// Connections may be waiting.
    ready: bool,
    /// When to try again after accepting failed.
    retry_at: Option<Instant>,
}

impl<L: Listening> Listener<L> {
    /// Takes a socket that listens on `endpoint`, where connections may be waiting already.
    pub fn new(socket: L, endpoint: Endpoint) -> Self {
        Self { socket, endpoint, ready: true, retry_at: None }
    }

    /// Remembers that connections may be waiting.
    pub fn note(&mut self) {
        self.ready = true;
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
                    self.retry_at = None;
                    return Some(accepted);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.ready = false;
                        self.retry_at = None;
                        return None;
                    }
                    // Somebody who came and went.
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset => {}
                    _ => {
                        if self.retry_at.is_none() {
                            tracing::warn!(%error, "cannot accept connections for now; they wait");
                        }
                        self.retry_at = Some(now + RETRY);
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
        Ok((socket, peer.map_or_else(|| self.endpoint.clone(), Endpoint::Tcp)))
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
