//! A connected socket of either kind: the only place that asks which.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use crate::endpoint::Endpoint;

/// A stream of bytes to a peer.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Does the same with whichever socket it is.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Unix($socket) => $call,
        }
    };
}

impl Stream {
    /// Begins to connect.
    pub(crate) fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => TcpStream::connect(*address).map(Self::Tcp),
            #[cfg(unix)]
            Endpoint::Unix(path) => match UnixStream::connect(path) {
                // Here this does not mean "not yet": the queue of the listener is full, and the attempt is over.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(io::Error::new(error.kind(), "too many wait for the broker to accept them"))
                }
                result => result.map(Self::Unix),
            },
        }
    }

    /// Lets the loop tell of this socket on `token`.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        either!(self, socket => registry.register(socket, token, Interest::READABLE | Interest::WRITABLE))
    }

    /// Says whether the socket is connected (`true`), is not yet, or never will be.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = either!(self, socket => socket.take_error())? {
            return Err(error);
        }
        match either!(self, socket => socket.peer_addr().map(drop)) {
            Ok(()) => Ok(true),
            // Not every system says "not connected" here; they all mean "not yet" as long as there is no error.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for each write to leave at once: batches are made here, not in the kernel.
    ///
    /// A socket that cannot do it is slower and right.
    pub(crate) fn do_not_delay(&self) {
        match self {
            Self::Tcp(socket) => drop(socket.set_nodelay(true)),
            // It never delays.
            #[cfg(unix)]
            Self::Unix(_) => {}
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn finish(&self) -> io::Result<()> {
        either!(self, socket => socket.shutdown(Shutdown::Write))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => socket.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, socket => socket.flush())
    }
}
