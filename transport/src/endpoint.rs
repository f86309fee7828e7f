//! Where a broker listens and a client connects.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One end of the way to a broker: an IP address with a port, or the file of a Unix stream socket.
///
/// Made from a [`SocketAddr`], or with [`Endpoint::unix`]. It is told as the program's command line takes it:
///
/// ```
/// use e_pigeon_transport::Endpoint;
/// use std::net::SocketAddr;
///
/// let tcp = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 9999)));
/// assert_eq!(tcp.to_string(), "127.0.0.1:9999");
/// # #[cfg(unix)]
/// assert_eq!(Endpoint::unix("/run/e-pigeon.sock")?.to_string(), "unix:/run/e-pigeon.sock");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The file of a Unix stream socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Endpoint {
    /// Takes a path for a Unix socket, after checking that a socket can have it.
    ///
    /// # Errors
    ///
    /// The path is empty, holds a NUL or is too long (`InvalidInput`; Linux has room for 107 bytes), or this system has no
    /// Unix sockets (`Unsupported`).
    pub fn unix(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        #[cfg(unix)]
        return crate::unix::check(&path).map(|()| Self::Unix(path));
        #[cfg(not(unix))]
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("no Unix sockets here: {}", path.display())))
    }

    /// The address of an endpoint that has one.
    #[must_use]
    pub fn as_tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
