//! A listening socket of either kind, or a line, that wakes its task by itself.

#[cfg(unix)]
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::task::{Context, Poll, Waker};

use async_io::Async;
#[cfg(unix)]
use e_pigeon_transport::serial::{self, SerialLine};
#[cfg(unix)]
use e_pigeon_transport::unix::{self, SocketFile};
use e_pigeon_transport::{BACKLOG, Endpoint, Listener, Listening, bind_tcp};

use crate::stream::Stream;

/// A listening socket. When it says `WouldBlock`, its waker is called once somebody comes.
#[derive(Debug)]
pub(crate) struct Acceptor {
    kind: Kind,
    waker: Waker,
}

#[derive(Debug)]
enum Kind {
    Tcp(Async<TcpListener>),
    /// With the file of the socket, which goes first.
    #[cfg(unix)]
    Unix {
        _file: SocketFile,
        socket: Async<UnixListener>,
    },
    /// Opened once already, where that is still to be accepted.
    #[cfg(unix)]
    Serial {
        line: SerialLine,
        opened: Option<File>,
    },
}

impl Acceptor {
    /// Listens on `endpoint`.
    pub(crate) fn bind(endpoint: Endpoint, waker: Waker) -> io::Result<Listener<Self>> {
        let (kind, endpoint) = match endpoint {
            Endpoint::Tcp(address) => {
                let (kind, address) = Kind::bind_tcp(address)?;
                (kind, Endpoint::Tcp(address))
            }
            Endpoint::Cobs(address) => {
                let (kind, address) = Kind::bind_tcp(address)?;
                (kind, Endpoint::Cobs(address))
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let (socket, file) = unix::bind(&path, BACKLOG)?;
                let socket = Async::new_nonblocking(socket)?;
                (Kind::Unix { _file: file, socket }, Endpoint::Unix(path))
            }
            #[cfg(unix)]
            Endpoint::Serial(line) => {
                let opened = Some(serial::open(&line)?);
                (Kind::Serial { line: line.clone(), opened }, Endpoint::Serial(line))
            }
            // `Endpoint` may get more kinds.
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Listener::new(Self { kind, waker }, endpoint))
    }

    fn poll_readable(&self) -> Poll<io::Result<()>> {
        let mut context = Context::from_waker(&self.waker);
        match &self.kind {
            Kind::Tcp(socket) => socket.poll_readable(&mut context),
            #[cfg(unix)]
            Kind::Unix { socket, .. } => socket.poll_readable(&mut context),
            #[cfg(unix)]
            Kind::Serial { .. } => Poll::Pending,
        }
    }
}

impl Kind {
    fn bind_tcp(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = bind_tcp(address)?;
        let address = socket.local_addr()?;
        Ok((Self::Tcp(Async::new_nonblocking(socket)?), address))
    }

    fn take(&mut self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.get_ref().accept()?;
                Ok((Stream::tcp(Async::new(stream)?), Some(peer)))
            }
            #[cfg(unix)]
            Self::Unix { socket, .. } => Ok((Stream::unix(unix::accept(socket)?)?, None)),
            #[cfg(unix)]
            Self::Serial { line, opened } => {
                let file = opened.take().map_or_else(|| serial::open(line), Ok)?;
                Ok((Stream::serial(file)?, None))
            }
        }
    }
}

impl Listening for Acceptor {
    type Socket = Stream;

    fn accept(&mut self) -> io::Result<(Stream, Option<SocketAddr>)> {
        loop {
            match self.kind.take() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.poll_readable() {
                    Poll::Ready(ready) => ready?,
                    Poll::Pending => return Err(error),
                },
                result => return result,
            }
        }
    }
}
