//! Where a broker is, or is to be: `HOST:PORT`, `tcp:HOST:PORT`, `cobs:HOST:PORT`, `unix:PATH` or `serial:DEVICE@BAUD`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use e_pigeon_core::Framing;
use e_pigeon_mio::Endpoint;

use crate::failure::plain;

/// An address, not resolved yet: a name may mean something else tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        port: u16,
    },
    /// The same for a socket that a line is behind.
    Cobs { host: String, port: u16 },
    /// A path stays what it is.
    Unix(Endpoint),
    /// A device too.
    Serial(Endpoint),
}

impl Address {
    /// Reads an address to connect to.
    pub(crate) fn parse_connect(text: &str) -> Result<Self, String> {
        let address = Self::parse(text)?;
        if matches!(address, Self::Tcp { port: 0, .. } | Self::Cobs { port: 0, .. }) {
            return Err("port 0 is not a port to connect to, for example 127.0.0.1:9999".into());
        }
        Ok(address)
    }

    /// Reads an address to listen on, where port 0 picks one.
    pub(crate) fn parse_listen(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        for scheme in ["tcp", "cobs", "unix", "serial"] {
            let Some(rest) = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(':')) else {
                continue;
            };
            // `tcp://` is the same as `tcp:`, and `unix:///run/x` is the path `/run/x`.
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            return match scheme {
                "unix" => Self::from_path(rest.into()),
                "serial" => Self::parse_serial(rest),
                _ => Self::parse_socket(rest, scheme == "cobs"),
            };
        }
        Self::parse_socket(text, false)
    }

    /// Reads the device of a serial line and its rate.
    pub(crate) fn parse_serial(text: &str) -> Result<Self, String> {
        let explain = |error: io::Error| format!("{}, for example /dev/ttyUSB0@115200", plain(&error));
        format!("serial:{text}").parse().map(Self::Serial).map_err(explain)
    }

    /// Takes the path of a Unix socket.
    pub(crate) fn from_path(path: PathBuf) -> Result<Self, String> {
        let explain =
            |error: io::Error| format!("{}; choose another, for example /run/e-pigeon.sock", plain(&error));
        Endpoint::unix(path).map(Self::Unix).map_err(explain)
    }

    fn parse_socket(text: &str, is_cobs: bool) -> Result<Self, String> {
        let wrong = || match is_cobs {
            true => "not an address with a port, for example cobs:127.0.0.1:9999".to_owned(),
            false => {
                "not an address, for example 127.0.0.1:9999, [::1]:9999 or unix:/run/e-pigeon.sock".to_owned()
            }
        };
        let example = if is_cobs { "cobs:127.0.0.1:9999" } else { "127.0.0.1:9999" };
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!(
                "unknown scheme {scheme}, choose tcp, cobs, unix or serial, for example tcp://127.0.0.1:9999"
            ));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
            let missing = !text.is_empty() && !text.contains(['/', ' ']);
            return Err(if missing {
                format!("the port is missing, for example {example}")
            } else {
                wrong()
            });
        };
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match in_brackets {
            Some(host) if host.contains(':') => host,
            None if !host.contains([':', '[', ']', '/']) => host,
            _ => return Err(wrong()),
        };
        // A sign is fine for a number and wrong for a port.
        if host.is_empty()
            || host.contains(char::is_whitespace)
            || !port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(wrong());
        }
        if port.is_empty() {
            return Err(format!("the port is missing, for example {example}"));
        }
        let above = |_| format!("port {port} is above 65535, for example {example}");
        let (host, port) = (host.to_owned(), port.parse().map_err(above)?);
        Ok(if is_cobs { Self::Cobs { host, port } } else { Self::Tcp { host, port } })
    }

    /// How frames go there.
    pub(crate) fn framing(&self) -> Framing {
        match self {
            Self::Tcp { .. } => Framing::Length,
            Self::Cobs { .. } => Framing::Cobs,
            Self::Unix(endpoint) | Self::Serial(endpoint) => endpoint.framing(),
        }
    }

    /// Asks the system what the name means now.
    pub(crate) fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        match self {
            Self::Tcp { host, port } => Ok(look_up(host, *port)?.map(Endpoint::from).collect()),
            Self::Cobs { host, port } => Ok(look_up(host, *port)?.map(Endpoint::Cobs).collect()),
            Self::Unix(endpoint) | Self::Serial(endpoint) => Ok(vec![endpoint.clone()]),
        }
    }
}

#[cfg(not(test))]
fn look_up(host: &str, port: u16) -> io::Result<impl Iterator<Item = SocketAddr>> {
    (host, port).to_socket_addrs()
}

/// Tests may say what a name means.
#[cfg(test)]
fn look_up(host: &str, port: u16) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    match names::meaning(host) {
        Some(address) => Ok(vec![address].into_iter()),
        None => (host, port).to_socket_addrs(),
    }
}

#[cfg(test)]
pub(crate) mod names {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::{Mutex, PoisonError};

    static GIVEN: Mutex<BTreeMap<String, SocketAddr>> = Mutex::new(BTreeMap::new());

    pub(crate) fn give(name: &str, meaning: SocketAddr) {
        GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), meaning);
    }

    pub(super) fn meaning(name: &str) -> Option<SocketAddr> {
        GIVEN.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Cobs { host, port } if host.contains(':') => write!(f, "cobs:[{host}]:{port}"),
            Self::Cobs { host, port } => write!(f, "cobs:{host}:{port}"),
            Self::Unix(endpoint) | Self::Serial(endpoint) => endpoint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomer_5_addresses_are_shown_as_they_were_given_and_schemes_may_have_slashes() {
        for (text, told) in [
            ("127.0.0.1:9999", "127.0.0.1:9999"),
            ("tcp:localhost:1", "localhost:1"),
            ("[::1]:9999", "[::1]:9999"),
            ("tcp:[::1]:65535", "[::1]:65535"),
            ("unix:/run/x", "unix:/run/x"),
            ("unix:here:9999", "unix:here:9999"),
            ("cobs:localhost:1", "cobs:localhost:1"),
            ("cobs:[::1]:9999", "cobs:[::1]:9999"),
            ("serial:/dev/ttyS0@9600", "serial:/dev/ttyS0@9600"),
            ("serial:/dev/at@home@115200", "serial:/dev/at@home@115200"),
            ("tcp://127.0.0.1:9998", "127.0.0.1:9998"),
            ("cobs://[::1]:9999", "cobs:[::1]:9999"),
            ("unix:///run/x", "unix:/run/x"),
            ("serial:///dev/ttyS0@9600", "serial:/dev/ttyS0@9600"),
        ] {
            assert_eq!(Address::parse_connect(text).expect(text).to_string(), told);
        }
        assert_eq!(Address::parse_listen("0.0.0.0:0").expect("any port").to_string(), "0.0.0.0:0");
    }

    #[test]
    fn anything_else_is_an_error_with_an_example() {
        for text in [
            "",
            ":",
            "localhost",
            ":9999",
            "localhost:",
            "localhost:port",
            "localhost:65536",
            "localhost:+1",
            "::1:9999",
            "[::1]",
            "[localhost]:1",
            "tcp:",
            "a b:1",
            "localhost:0",
            "cobs:",
            "cobs:localhost",
            "cobs:127.0.0.1:0",
            "cobs:tcp:127.0.0.1:1",
            "//127.0.0.1:9998",
            "http://127.0.0.1:9998",
            "nats://localhost:4222",
            "tcp://localhost",
            "tcp:///run/x:1",
        ] {
            let error = Address::parse_connect(text).expect_err(text);
            assert!(error.contains("127.0.0.1:9999"), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_an_error_that_says_so() {
        assert!(Address::parse_connect("unix:").expect_err("empty").contains("for example /"));
        let longest = format!("unix:{}", "x".repeat(103));
        assert!(Address::parse_connect(&longest).is_ok());
        let error = Address::parse_connect(&format!("unix:{}", "x".repeat(108))).expect_err("too long");
        assert!(error.contains("has 108 bytes, a socket has room for 10"), "{error}");
    }

    #[test]
    fn newcomer_6_a_broker_listens_on_every_kind_of_address() {
        for text in ["0.0.0.0:0", "unix:/run/x", "serial:/dev/ttyS0@9600", "cobs:localhost:1"] {
            assert_eq!(Address::parse_listen(text).expect(text).to_string(), text);
        }
        assert!(Address::parse_listen("localhost").expect_err("no port").contains("127.0.0.1:9999"));
    }

    #[test]
    fn a_line_that_cannot_be_is_an_error_with_an_example() {
        for (text, told) in [
            ("/dev/ttyS0", "the rate of the line is missing"),
            ("", "the rate of the line is missing"),
            ("/dev/ttyS0@", "the rate after the @ is not a number"),
            ("/dev/ttyS0@fast", "the rate after the @ is not a number"),
            ("/dev/ttyS0@-9600", "the rate after the @ is not a number"),
            ("/dev/ttyS0@0", "there is no rate of 0 baud"),
            ("/dev/ttyS0@99999999999", "there is no rate of"),
            ("@9600", "the path of the device is missing"),
        ] {
            let error = Address::parse_connect(&format!("serial:{text}")).expect_err(text);
            assert!(error.starts_with(told) && error.ends_with("for example /dev/ttyUSB0@115200"), "{error}");
        }
    }

    #[test]
    fn names_resolve() {
        assert_eq!(
            Address::parse_connect("127.0.0.1:80").expect("an address").resolve().expect("no look-up").len(),
            1
        );
    }
}
