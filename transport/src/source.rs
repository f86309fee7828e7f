//! Where a connection comes from, as a number for the broker's limits per source.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::Endpoint;

/// Numbers from here on are no networks of IPv6: this block is for addresses that lead nowhere (RFC 6666).
const OTHERS: u64 = 0x0100 << 48;
/// Which kind of them a number is.
const V4: u64 = 0;
const UNIX: u64 = 1;
const LINE: u64 = 2;

/// Where a connection comes from: one number for all connections that one party can make as many of as it likes.
///
/// - an IPv4 address is a source, also where it is written as an IPv6 address;
/// - a network of IPv6 with 64 bits is one: a peer that has an address there has most often all of them;
/// - all Unix sockets together are one: their peers are programs of this machine;
/// - each serial line is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(u64);

impl Source {
    /// The source of a connection from `peer` to the listener with that index.
    #[must_use]
    pub fn of(peer: &Endpoint, listener: usize) -> Self {
        match peer {
            Endpoint::Tcp(address) | Endpoint::Cobs(address) => Self::of_address(address.ip()),
            #[cfg(unix)]
            Endpoint::Unix(_) => Self::other(UNIX, 0),
            // There are hardly ever more than a few listeners.
            #[cfg(unix)]
            Endpoint::Serial(_) => Self::other(LINE, listener as u32),
        }
    }

    fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::other(V4, address.to_bits()),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }

    fn other(kind: u64, which: u32) -> Self {
        Self(OTHERS | kind << 32 | u64::from(which))
    }

    /// The number that the broker gets.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// From the number that the broker names in its events.
impl From<u64> for Source {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.0 as u32;
        match (self.0 & !0xffff_ffff) ^ OTHERS {
            kind if kind == V4 << 32 => Ipv4Addr::from_bits(low).fmt(f),
            kind if kind == UNIX << 32 => f.write_str("a Unix socket"),
            kind if kind == LINE << 32 => write!(f, "the line of listener {low}"),
            _ => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(self.0) << 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn of(address: &str) -> Source {
        let address: IpAddr = address.parse().expect("an address");
        Source::of(&SocketAddr::new(address, 1).into(), 3)
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        assert_eq!(of("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:7::1"), of("2001:db8:0:7:ffff::2"));
        assert_eq!(of("2001:db8:0:7::1").to_string(), "2001:db8:0:7::/64");
        assert_ne!(of("2001:db8:0:7::1"), of("2001:db8:0:8::1"));
        assert_eq!(of("::1").to_string(), "::/64");
        assert_eq!(Source::from(of("192.0.2.1").number()), of("192.0.2.1"));
    }

    #[cfg(unix)]
    #[test]
    fn each_line_is_a_source_and_all_unix_sockets_are_one() {
        let line = Endpoint::serial("/dev/ttyS0", 115_200).expect("a line");
        assert_eq!(Source::of(&line, 2).to_string(), "the line of listener 2");
        assert_ne!(Source::of(&line, 2), Source::of(&line, 3));
        let unix = Endpoint::unix("/run/x.sock").expect("a path");
        assert_eq!(
            (Source::of(&unix, 2), Source::of(&unix, 2).to_string()),
            (Source::of(&unix, 3), "a Unix socket".to_owned())
        );
    }
}
