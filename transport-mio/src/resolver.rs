//! Where the broker is: asked anew before each attempt to connect.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Yields the addresses of the broker, each time that the client is about to connect.
///
/// Made from one [`SocketAddr`], from several, or with [`Resolver::new`] from a function, for brokers that
/// move while the client lives:
///
/// ```
/// use std::net::ToSocketAddrs;
/// use e_pigeon_mio::Resolver;
///
/// let resolver = Resolver::new(|| Ok("localhost:9999".to_socket_addrs()?.collect()));
/// # let _ = resolver;
/// ```
///
/// The function runs inside the event loop: as long as it looks a name up, nothing else happens there.
pub struct Resolver {
    look_up: Box<dyn FnMut() -> io::Result<Vec<SocketAddr>> + Send>,
}

impl Resolver {
    /// Makes a resolver from a function that yields the addresses in the order in which to try them.
    ///
    /// An error, or no address at all, counts as a failed attempt: the client waits and asks again.
    pub fn new(look_up: impl FnMut() -> io::Result<Vec<SocketAddr>> + Send + 'static) -> Self {
        Self { look_up: Box::new(look_up) }
    }

    /// Asks for the addresses, which are at least one.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<SocketAddr>> {
        let addresses = (self.look_up)()?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

impl From<SocketAddr> for Resolver {
    fn from(address: SocketAddr) -> Self {
        Self::new(move || Ok(vec![address]))
    }
}

impl From<Vec<SocketAddr>> for Resolver {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self::new(move || Ok(addresses.clone()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_an_error() {
        let mut resolver = Resolver::from(Vec::new());
        assert_eq!(resolver.addresses().expect_err("none").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_function_is_asked_each_time() {
        let mut port = 1;
        let mut resolver = Resolver::new(move || {
            port += 1;
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        });
        assert_eq!(resolver.addresses().expect("one")[0].port(), 2);
        assert_eq!(resolver.addresses().expect("one")[0].port(), 3);
    }
}
