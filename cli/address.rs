//! Where a broker is, or is to be: `[tcp:]HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use e_pigeon_mio::Endpoint;

use crate::failure::plain;

/// The schemes that are for later.
const OTHERS: [&str; 2] = ["cobs:", "serial:"];

/// An address, not resolved yet: a name may mean something else tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        port: u16,
    },
    /// A path stays what it is.
    Unix(Endpoint),
}

impl Address {
    /// Reads an address to connect to.
    pub(crate) fn parse_connect(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::from_path(path.into());
        }
        let address = Self::parse_tcp(text, "127.0.0.1:9999, [::1]:9999 or unix:/run/e-pigeon.sock")?;
        if matches!(address, Self::Tcp { port: 0, .. }) {
            return Err("port 0 is nowhere to connect to, for example 127.0.0.1:9999".into());
        }
        Ok(address)
    }

    /// Reads a TCP address to listen on, where port 0 means any.
    pub(crate) fn parse_listen(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Err(format!(
                "not for --listen, give --unix {path}; HOST:PORT is 127.0.0.1:9999, for example"
            ));
        }
        Self::parse_tcp(text, "127.0.0.1:9999 or [::1]:9999")
    }

    /// Takes the path of a Unix socket.
    pub(crate) fn from_path(path: PathBuf) -> Result<Self, String> {
        let explain =
            |error: io::Error| format!("{}; choose another, for example /run/e-pigeon.sock", plain(&error));
        Endpoint::unix(path).map(Self::Unix).map_err(explain)
    }

    fn parse_tcp(text: &str, examples: &str) -> Result<Self, String> {
        if OTHERS.iter().any(|scheme| text.starts_with(scheme)) {
            return Err("this build carries tcp: and unix: only, for example tcp:127.0.0.1:9999".into());
        }
        let wrong = || format!("not an address, for example {examples}");
        let (host, port) = text.strip_prefix("tcp:").unwrap_or(text).rsplit_once(':').ok_or_else(wrong)?;
        let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match in_brackets {
            Some(host) if host.contains(':') => host,
            None if !host.contains([':', '[', ']']) => host,
            _ => return Err(wrong()),
        };
        // A sign is fine for a number and wrong for a port.
        if host.is_empty()
            || host.contains(char::is_whitespace)
            || !port.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(wrong());
        }
        Ok(Self::Tcp { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }

    /// Asks the system what the name means now.
    pub(crate) fn resolve(&self) -> io::Result<Vec<Endpoint>> {
        match self {
            Self::Tcp { host, port } => {
                Ok((host.as_str(), *port).to_socket_addrs()?.map(Endpoint::from).collect())
            }
            Self::Unix(endpoint) => Ok(vec![endpoint.clone()]),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(endpoint) => endpoint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_they_were_given() {
        for (text, told) in [
            ("127.0.0.1:9999", "127.0.0.1:9999"),
            ("tcp:localhost:1", "localhost:1"),
            ("[::1]:9999", "[::1]:9999"),
            ("tcp:[::1]:65535", "[::1]:65535"),
            ("unix:/run/x", "unix:/run/x"),
            ("unix:here:9999", "unix:here:9999"),
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
            "serial:/dev/tty@9600",
            "cobs:x:1",
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
        let error = Address::parse_listen("localhost").expect_err("no port");
        assert!(
            error.contains("127.0.0.1:9999") && !error.contains("unix:"),
            "it has an option of its own: {error}"
        );
        let error = Address::parse_listen("unix:/run/x").expect_err("the other option");
        assert!(error.contains("--unix /run/x") && error.contains("127.0.0.1:9999"), "{error}");
    }

    #[test]
    fn names_resolve() {
        assert_eq!(
            Address::parse_connect("127.0.0.1:80").expect("an address").resolve().expect("no look-up").len(),
            1
        );
    }
}
