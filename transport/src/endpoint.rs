//! Where a broker listens and a client connects.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use e_pigeon_core::Framing;

#[cfg(unix)]
use crate::serial::SerialLine;

/// One end of the way to a broker: an IP address with a port, the file of a Unix stream socket, or a serial line.
///
/// Made from a [`SocketAddr`], from text, or with [`Endpoint::unix`] or [`Endpoint::serial`]. Its text is that of the program's
/// command line; names of hosts have to be looked up first:
///
/// ```
/// use e_pigeon_transport::Endpoint;
/// use std::net::SocketAddr;
///
/// let tcp = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 9999)));
/// assert_eq!(tcp.to_string(), "127.0.0.1:9999");
/// # #[cfg(unix)]
/// assert_eq!(Endpoint::unix("/run/e-pigeon.sock")?.to_string(), "unix:/run/e-pigeon.sock");
/// # #[cfg(unix)]
/// assert_eq!(Endpoint::serial("/dev/ttyS0", 115_200)?.to_string(), "serial:/dev/ttyS0@115200");
/// for text in ["127.0.0.1:9999", "[::1]:9999", "cobs:127.0.0.1:9999"] {
///     assert_eq!(text.parse::<Endpoint>()?.to_string(), text);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// An IP address and a port, where frames go as on a line that damages bytes: something that only passes bytes on, such as
    /// the server of a serial line, is on the way.
    Cobs(SocketAddr),
    /// The file of a Unix stream socket.
    #[cfg(unix)]
    Unix(PathBuf),
    /// A serial line. It has two ends, so a broker has one client on it.
    #[cfg(unix)]
    Serial(SerialLine),
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
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this system has no Unix sockets: {}", path.display()),
        ))
    }

    /// Takes the path of a tty and its rate in bits per second, after checking that there is such a rate. Both ends have to
    /// agree on it, and on eight bits without parity.
    ///
    /// # Errors
    ///
    /// The path is empty or the rate is none that terminals know (`InvalidInput`), or this system has no terminals
    /// (`Unsupported`).
    pub fn serial(path: impl Into<PathBuf>, baud: u32) -> io::Result<Self> {
        let path = path.into();
        #[cfg(unix)]
        return SerialLine::new(path, baud).map(Self::Serial);
        #[cfg(not(unix))]
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("this system has no serial lines: {}@{baud}", path.display()),
        ))
    }

    /// The address of an endpoint that has one.
    #[must_use]
    pub fn as_tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Cobs(address) => Some(*address),
            #[cfg(unix)]
            Self::Unix(_) | Self::Serial(_) => None,
        }
    }

    /// How frames go over it: what the config of a client that connects there has to say.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self::Tcp(_) => Framing::Length,
            Self::Cobs(_) => Framing::Cobs,
            #[cfg(unix)]
            Self::Unix(_) => Framing::Length,
            #[cfg(unix)]
            Self::Serial(_) => Framing::Cobs,
        }
    }

    /// Says whether a client with that framing can connect there.
    ///
    /// # Errors
    ///
    /// It cannot (`InvalidInput`): the caller's fault.
    pub fn check_framing(&self, framing: Framing) -> io::Result<()> {
        if self.framing() == framing {
            return Ok(());
        }
        let told = format!(
            "the framing in the config of the client does not fit: {self} needs {:?}",
            self.framing()
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, told))
    }

    /// Says whether it is a line, which is opened and has nobody to accept.
    pub(crate) fn is_line(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Cobs(_) => false,
            #[cfg(unix)]
            Self::Unix(_) => false,
            #[cfg(unix)]
            Self::Serial(_) => true,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// Reads what [`Display`](fmt::Display) writes, and `tcp:` in front of an address.
///
/// # Errors
///
/// This is no endpoint (`InvalidInput`), or none of this system (`Unsupported`).
impl FromStr for Endpoint {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let wrong = || {
            let forms = "IP:PORT, cobs:IP:PORT, unix:PATH or serial:DEVICE@BAUD";
            io::Error::new(io::ErrorKind::InvalidInput, format!("{text} is not an endpoint: give {forms}"))
        };
        let address = |text: &str| text.parse::<SocketAddr>().map_err(|_| wrong());
        match text.split_once(':') {
            Some(("tcp", text)) => address(text).map(Self::Tcp),
            Some(("cobs", text)) => address(text).map(Self::Cobs),
            Some(("unix", path)) => Self::unix(path),
            Some(("serial", line)) => {
                let wrong = |said: &str| io::Error::new(io::ErrorKind::InvalidInput, said);
                let (path, baud) =
                    line.rsplit_once('@').ok_or_else(|| wrong("the rate of the line is missing"))?;
                // A sign is fine for a number and wrong for a rate.
                if baud.is_empty() || !baud.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(wrong("the rate after the @ is not a number"));
                }
                // A number that does not fit is no rate either.
                Self::serial(path, baud.parse().unwrap_or(u32::MAX))
            }
            _ => address(text).map(Self::Tcp),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Cobs(address) => write!(f, "cobs:{address}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            #[cfg(unix)]
            Self::Serial(line) => line.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn the_text_of_an_endpoint_is_read_back_and_anything_else_is_refused() {
        for text in
            ["127.0.0.1:9999", "[::1]:0", "cobs:10.0.0.1:1", "unix:/run/a:b@c", "serial:/dev/ttyS0@115200"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("tcp:127.0.0.1:1".parse::<Endpoint>().unwrap().to_string(), "127.0.0.1:1");
        for text in ["", "localhost:1", "127.0.0.1", "127.0.0.1:70000", "cobs:", "unix:"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
        }
        for (line, told) in [
            ("/dev/ttyS0", "the rate of the line is missing"),
            ("a@", "the rate after the @ is not a number"),
            ("a@+9600", "the rate after the @ is not a number"),
            ("a@99999999999", "there is no rate of 4294967295 baud"),
            ("@9600", "the path of the device is missing"),
        ] {
            let error = format!("serial:{line}").parse::<Endpoint>().unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::InvalidInput, told));
        }
    }
}
