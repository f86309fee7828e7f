//! A listening socket in an edge-triggered loop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use e_pigeon_core::Instant;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// How many connections the kernel may keep until they are accepted.
const BACKLOG: i32 = 4096;

/// How long to wait after accepting failed, mostly for want of descriptors: the loop tells of waiting
/// connections once and not again when there is room.
const RETRY: Duration = Duration::from_millis(100);

/// A listening socket with its latch.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    /// Connections may be waiting.
    pub(crate) ready: bool,
    /// When to try again after accepting failed.
    retry_at: Option<Instant>,
}

impl Listener {
    /// Listens on `address`.
    pub(crate) fn bind(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A broker that is started again must not wait for the connections of the one before. On Windows the
        // option means something else, and it is not needed.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let mut socket = TcpListener::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self { socket, ready: false, retry_at: None })
    }

    /// The address, with the port that was given where it was asked for any.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes one waiting connection; `None` where there is none, or where it has to wait.
    pub(crate) fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        if !self.ready || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        loop {
            match self.socket.accept() {
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
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.ready.then(|| self.retry_at.unwrap_or(now))
    }
}
