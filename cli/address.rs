//! Where a broker is, or is to be: `[tcp:]HOST:PORT`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// The schemes that an address may name; all but the first are for later.
const OTHERS: [&str; 3] = ["unix:", "cobs:", "serial:"];

/// An address, not resolved yet: a name may mean something else tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an IP address, without brackets.
    host: String,
    port: u16,
}

impl Address {
    /// Reads an address to connect to.
    pub(crate) fn parse_connect(text: &str) -> Result<Self, String> {
        let address = Self::parse_listen(text)?;
        if address.port == 0 {
            return Err("port 0 is nowhere to connect to, for example 127.0.0.1:9999".into());
        }
        Ok(address)
    }

    /// Reads an address to listen on, where port 0 means any.
    pub(crate) fn parse_listen(text: &str) -> Result<Self, String> {
        if OTHERS.iter().any(|scheme| text.starts_with(scheme)) {
            return Err("this build carries tcp: addresses only, for example tcp:127.0.0.1:9999".into());
        }
        let wrong =
            || "not an address, for example 127.0.0.1:9999, [::1]:9999 or tcp:localhost:9999".to_owned();
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
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }

    /// Asks the system what the name means now.
    pub(crate) fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
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
            "unix:/run/x",
            "serial:/dev/tty@9600",
            "cobs:x:1",
        ] {
            let error = Address::parse_connect(text).expect_err(text);
            assert!(error.contains("127.0.0.1:9999"), "{text}: {error}");
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
