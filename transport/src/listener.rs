//! A listening socket in an edge-triggered loop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use e_pigeon_core::Instant;
use mio::event::Source;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Type};

use crate::endpoint::Endpoint;
use crate::stream::Stream;
#[cfg(unix)]
use crate::unix::UnixSocket;

/// How many connections the kernel may keep until they are accepted.
const BACKLOG: i32 = 4096;

/// How long to wait after accepting failed, mostly for want of descriptors: the loop tells of waiting
/// connections once and not again when there is room.
const RETRY: Duration = Duration::from_millis(100);

/// A listening socket with its latch.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    /// Connections may be waiting.
    pub(crate) ready: bool,
    /// When to try again after accepting failed.
    retry_at: Option<Instant>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixSocket),
}

impl Listener {
    /// Listens on `endpoint`.
    pub(crate) fn bind(endpoint: Endpoint, registry: &Registry, token: Token) -> io::Result<Self> {
        let (socket, endpoint) = match endpoint {
            Endpoint::Tcp(address) => {
                let mut socket = bind_tcp(address)?;
                socket.register(registry, token, Interest::READABLE)?;
                let address = socket.local_addr()?;
                (Socket::Tcp(socket), Endpoint::Tcp(address))
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let mut socket = UnixSocket::bind(&path, BACKLOG)?;
                socket.register(registry, token)?;
                (Socket::Unix(socket), Endpoint::Unix(path))
            }
        };
        Ok(Self { socket, endpoint, ready: false, retry_at: None })
    }

    /// Where it listens, with the port that was given where it was asked for any.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes one waiting connection, and whom it is from; `None` where there is none, or where it has to wait.
    pub(crate) fn accept(&mut self, now: Instant) -> Option<(Stream, Endpoint)> {
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
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.ready.then(|| self.retry_at.unwrap_or(now))
    }

    fn take(&self) -> io::Result<(Stream, Endpoint)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                socket.accept().map(|(stream, peer)| (Stream::Tcp(stream), Endpoint::Tcp(peer)))
            }
            // Its peers have no names, so they are told by where they came.
            #[cfg(unix)]
            Socket::Unix(socket) => {
                socket.accept().map(|stream| (Stream::Unix(stream), self.endpoint.clone()))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A broker that is started again must not wait for the connections of the one before. On Windows the
    // option means something else, and it is not needed.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}
