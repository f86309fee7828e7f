//! A listening socket of either kind.

use std::io;
use std::net::SocketAddr;

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
pub(crate) enum Ear {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        _file: SocketFile,
        socket: UnixListener,
    },
}

impl Ear {
    /// Listens on `endpoint`; the loop tells of connections on `token`.
    pub(crate) fn bind(endpoint: Endpoint, registry: &Registry, token: Token) -> io::Result<Listener<Self>> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let mut socket = TcpListener::from_std(bind_tcp(address)?);
                registry.register(&mut socket, token, Interest::READABLE)?;
                let endpoint = Endpoint::Tcp(socket.local_addr()?);
                Ok(Listener::new(Self::Tcp(socket), endpoint))
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let (socket, file) = unix::bind(&path, BACKLOG)?;
                let mut socket = UnixListener::from_std(socket);
                registry.register(&mut socket, token, Interest::READABLE)?;
                Ok(Listener::new(Self::Unix { _file: file, socket }, Endpoint::Unix(path)))
            }
            // `Endpoint` may get more kinds.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Listening for Ear {
    type Socket = Stream;

    fn accept(&mut self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => socket.accept().map(|(stream, peer)| (Stream::Tcp(stream), Some(peer))),
            #[cfg(unix)]
            Self::Unix { socket, .. } => {
                unix::accept(socket).map(|stream| (Stream::Unix(UnixStream::from_std(stream)), None))
            }
        }
    }
}
