//! Where brokers listen.

use std::fmt;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix stream socket.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Which sockets a check uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, on loopback.
    Tcp,
    /// Unix stream sockets, in a folder that the kit makes and removes.
    #[cfg(unix)]
    Unix,
}

/// Where the sockets of one check are.
pub(super) struct Place {
    transport: Transport,
    /// Removed when the check is over.
    #[cfg(unix)]
    folder: tempfile::TempDir,
    /// So many other addresses were given.
    #[cfg(unix)]
    others: std::cell::Cell<u32>,
}

impl Place {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            #[cfg(unix)]
            folder: tempfile::tempdir().expect("a folder for sockets"),
            #[cfg(unix)]
            others: std::cell::Cell::new(0),
        }
    }

    /// An address that nobody listens at yet.
    pub(super) fn address(&self) -> Address {
        match self.transport {
            Transport::Tcp => Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            #[cfg(unix)]
            Transport::Unix => Address::Unix(self.folder.path().join("broker")),
        }
    }

    /// One that is not that.
    pub(super) fn another_address(&self) -> Address {
        match self.transport {
            Transport::Tcp => self.address(),
            #[cfg(unix)]
            Transport::Unix => {
                let number = self.others.get();
                self.others.set(number + 1);
                Address::Unix(self.folder.path().join(format!("other-{number}")))
            }
        }
    }
}
