//! Where brokers and proxies of the tests are: TCP ports and the files of Unix sockets, which must not make a difference.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

/// More than any test has waiting.
const BACKLOG: i32 = 1024;

/// An address on this machine, as the program writes it and as its clients take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(&'static Path),
}

impl Address {
    /// The file of a Unix socket. A test has few of them, so that its path is never given back.
    pub(crate) fn unix(path: &Path) -> Self {
        Self::Unix(Box::leak(path.into()))
    }

    /// What makes `serve` listen there.
    pub(crate) fn serve_option(self) -> [String; 2] {
        match self {
            Self::Tcp(address) => ["--listen".into(), address.to_string()],
            Self::Unix(path) => ["--unix".into(), path.display().to_string()],
        }
    }

    /// A socket that is connected to whoever listens there.
    pub(crate) fn connect(self) -> io::Result<Socket> {
        let (domain, address) = self.for_system();
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.connect(&address)?;
        self.say_at_once(&socket)?;
        Ok(socket)
    }

    /// A socket that listens at a new address of the same kind, with that address.
    pub(crate) fn listen_beside(self) -> (Socket, Self) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let place = match self {
            Self::Tcp(address) => Self::Tcp(SocketAddr::new(address.ip(), 0)),
            Self::Unix(path) => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                Self::unix(&path.with_extension(format!("beside-{number}")))
            }
        };
        let (domain, address) = place.for_system();
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        socket.bind(&address).expect("a free address");
        socket.listen(BACKLOG).expect("listen");
        let bound = socket.local_addr().expect("bound").as_socket();
        (socket, bound.map_or(place, Self::Tcp))
    }

    /// Single bytes have to go out one by one.
    pub(crate) fn say_at_once(self, socket: &Socket) -> io::Result<()> {
        match self {
            Self::Tcp(_) => socket.set_tcp_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }

    fn for_system(self) -> (Domain, SockAddr) {
        match self {
            Self::Tcp(address) => (Domain::for_address(address), address.into()),
            Self::Unix(path) => (Domain::UNIX, SockAddr::unix(path).expect("a short path")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
