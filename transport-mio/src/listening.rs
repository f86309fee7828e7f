//! A listening socket of either kind, or a line.

#[cfg(unix)]
use std::fs::File;
use std::io;
use std::net::SocketAddr;

#[cfg(unix)]
use e_pigeon_transport::serial::{self, SerialLine};
#[cfg(unix)]
use e_pigeon_transport::unix::{self, SocketFile};
use e_pigeon_transport::{BACKLOG, Endpoint, Listener, Listening, bind_tcp};
use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};

use crate::stream::Stream;

/// A listening socket; with that of a Unix socket goes its file.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        _file: SocketFile,
        socket: UnixListener,
    },
    /// Opened once already, where that is still to be accepted.
    #[cfg(unix)]
    Serial {
        line: SerialLine,
        opened: Option<File>,
    },
}

impl Acceptor {
    /// Listens on `endpoint`; the loop tells of connections on `token`.
    pub(crate) fn bind(endpoint: Endpoint, registry: &Registry, token: Token) -> io::Result<Listener<Self>> {
        match endpoint {
            Endpoint::Tcp(address) => Self::bind_tcp(address, Endpoint::Tcp, registry, token),
            Endpoint::Cobs(address) => Self::bind_tcp(address, Endpoint::Cobs, registry, token),
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let (socket, file) = unix::bind(&path, BACKLOG)?;
                let mut socket = UnixListener::from_std(socket);
                registry.register(&mut socket, token, Interest::READABLE)?;
                Ok(Listener::new(Self::Unix { _file: file, socket }, Endpoint::Unix(path)))
            }
            #[cfg(unix)]
            Endpoint::Serial(line) => {
                let opened = Some(serial::open(&line)?);
                Ok(Listener::new(Self::Serial { line: line.clone(), opened }, Endpoint::Serial(line)))
            }
            // `Endpoint` may get more kinds.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn bind_tcp(
        address: SocketAddr,
        kind: fn(SocketAddr) -> Endpoint,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Listener<Self>> {
        let mut socket = TcpListener::from_std(bind_tcp(address)?);
        registry.register(&mut socket, token, Interest::READABLE)?;
        let endpoint = kind(socket.local_addr()?);
        Ok(Listener::new(Self::Tcp(socket), endpoint))
    }
}

impl Listening for Acceptor {
    type Socket = Stream;

    fn accept(&mut self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => socket.accept().map(|(stream, peer)| (Stream::Tcp(stream), Some(peer))),
            #[cfg(unix)]
            Self::Unix { socket, .. } => {
                unix::accept(socket).map(|stream| (Stream::Unix(UnixStream::from_std(stream)), None))
            }
            #[cfg(unix)]
            Self::Serial { line, opened } => {
                let file = opened.take().map_or_else(|| serial::open(line), Ok)?;
                Ok((Stream::Serial(file), None))
            }
        }
    }
}
