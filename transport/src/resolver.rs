//! Where the broker is: asked anew before each attempt to connect.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::endpoint::Endpoint;

/// Yields the endpoints of the broker, each time that the client is about to connect.
///
/// Made from one [`Endpoint`] or [`SocketAddr`], from several, or with [`Resolver::new`] from a function, for
/// brokers that move while the client lives:
///
/// ```
/// use std::net::ToSocketAddrs;
/// use e_pigeon_transport::Resolver;
///
/// let resolver = Resolver::new(|| Ok("localhost:9999".to_socket_addrs()?.collect()));
/// # let _ = resolver;
/// ```
///
/// The function runs inside the event loop: as long as it looks a name up, nothing else happens there.
pub struct Resolver {
    look_up: Box<dyn FnMut() -> io::Result<Vec<Endpoint>> + Send>,
}

impl Resolver {
    /// Makes a resolver from a function that yields the endpoints in the order in which to try them.
    ///
    /// An error, or no endpoint at all, counts as a failed attempt: the client waits and asks again.
    pub fn new<E: Into<Endpoint>>(mut look_up: impl FnMut() -> io::Result<Vec<E>> + Send + 'static) -> Self {
        Self { look_up: Box::new(move || Ok(look_up()?.into_iter().map(Into::into).collect())) }
    }

    /// Asks for the endpoints, which are at least one.
    ///
    /// # Errors
    ///
    /// What the function says, or that there are none (`NotFound`).
    pub fn endpoints(&mut self) -> io::Result<Vec<Endpoint>> {
        let endpoints = (self.look_up)()?;
        if endpoints.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(endpoints)
    }
}

impl From<SocketAddr> for Resolver {
    fn from(address: SocketAddr) -> Self {
        Self::new(move || Ok(vec![address]))
    }
}

impl From<Endpoint> for Resolver {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(move || Ok(vec![endpoint.clone()]))
    }
}

impl<E: Into<Endpoint>> From<Vec<E>> for Resolver {
    fn from(endpoints: Vec<E>) -> Self {
        let endpoints: Vec<Endpoint> = endpoints.into_iter().map(Into::into).collect();
        Self::new(move || Ok(endpoints.clone()))
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
        let mut resolver = Resolver::from(Vec::<Endpoint>::new());
        assert_eq!(resolver.endpoints().expect_err("none").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_function_is_asked_each_time() {
        let mut port = 1;
        let mut resolver = Resolver::new(move || {
            port += 1;
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        });
        assert_eq!(resolver.endpoints().expect("one")[0].as_tcp().expect("TCP").port(), 2);
        assert_eq!(resolver.endpoints().expect("one")[0].as_tcp().expect("TCP").port(), 3);
    }
}
