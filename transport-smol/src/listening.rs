//! A listening socket of either kind that wakes its task by itself.

use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::task::{Context, Poll, Waker};

use async_io::Async;
#[cfg(unix)]
use e_pigeon_transport::unix::{self, SocketFile};
use e_pigeon_transport::{BACKLOG, Endpoint, Listener, Listening, bind_tcp};

use crate::stream::Stream;

/// A listening socket. When it says `WouldBlock`, its waker is called once somebody comes.
#[derive(Debug)]
pub(crate) struct Ear {
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
}

impl Ear {
    /// Listens on `endpoint`.
    pub(crate) fn bind(endpoint: Endpoint, waker: Waker) -> io::Result<Listener<Self>> {
        let (kind, endpoint) = match endpoint {
            Endpoint::Tcp(address) => {
                let socket = bind_tcp(address)?;
                let endpoint = Endpoint::Tcp(socket.local_addr()?);
                (Kind::Tcp(Async::new_nonblocking(socket)?), endpoint)
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let (socket, file) = unix::bind(&path, BACKLOG)?;
                let socket = Async::new_nonblocking(socket)?;
                (Kind::Unix { _file: file, socket }, Endpoint::Unix(path))
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
        }
    }

    fn take(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.kind {
            Kind::Tcp(socket) => {
                let (stream, peer) = socket.get_ref().accept()?;
                Ok((Stream::tcp(Async::new(stream)?), Some(peer)))
            }
            #[cfg(unix)]
            Kind::Unix { socket, .. } => Ok((Stream::unix(unix::accept(socket)?)?, None)),
        }
    }
}

impl Listening for Ear {
    type Socket = Stream;

    fn accept(&mut self) -> io::Result<(Stream, Option<SocketAddr>)> {
        crate::stream::attempt(|| self.take(), || self.poll_readable())
    }
}
