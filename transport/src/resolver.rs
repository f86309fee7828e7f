//! Where the broker is: asked anew before each attempt to connect.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use crate::endpoint::Endpoint;
use crate::lookup::{Function, Lookup};

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
/// The function runs on a thread of its own, so it may take its time: 5 seconds, then the attempt to connect counts as failed.
/// A function that takes longer is not called a second time meanwhile; its answer serves the next attempt.
pub struct Resolver(Kind);

enum Kind {
    Fixed(Vec<Endpoint>),
    Immediate(Function),
    Slow(Lookup),
}

impl Resolver {
    /// Makes a resolver from a function that yields the endpoints in the order of preference. It may block: it runs on a
    /// thread.
    ///
    /// An error, or no endpoint at all, counts as a failed attempt: the client waits and asks again.
    pub fn new<E: Into<Endpoint>>(look_up: impl FnMut() -> io::Result<Vec<E>> + Send + 'static) -> Self {
        Self(Kind::Slow(Lookup::new(boxed(look_up))))
    }

    /// The same for a function that never blocks: it is called in the event loop, without a thread.
    pub fn immediate<E: Into<Endpoint>>(
        look_up: impl FnMut() -> io::Result<Vec<E>> + Send + 'static,
    ) -> Self {
        Self(Kind::Immediate(boxed(look_up)))
    }

    /// Says whether [`poll`](Self::poll) may be pending.
    pub(crate) fn may_wait(&self) -> bool {
        matches!(self.0, Kind::Slow(_))
    }

    /// Asks for the endpoints, which are at least one. While the answer is pending, `waker` is called when it is there.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<io::Result<Vec<Endpoint>>> {
        let answer = match &mut self.0 {
            Kind::Fixed(endpoints) => Ok(endpoints.clone()),
            Kind::Immediate(look_up) => look_up(),
            Kind::Slow(lookup) => match lookup.poll(waker) {
                Poll::Ready(answer) => answer,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(match answer {
            Ok(endpoints) if endpoints.is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            }
            answer => answer,
        })
    }
}

fn boxed<E: Into<Endpoint>>(mut look_up: impl FnMut() -> io::Result<Vec<E>> + Send + 'static) -> Function {
    Box::new(move || Ok(look_up()?.into_iter().map(Into::into).collect()))
}

impl From<SocketAddr> for Resolver {
    fn from(address: SocketAddr) -> Self {
        Self(Kind::Fixed(vec![address.into()]))
    }
}

impl From<Endpoint> for Resolver {
    fn from(endpoint: Endpoint) -> Self {
        Self(Kind::Fixed(vec![endpoint]))
    }
}

impl<E: Into<Endpoint>> From<Vec<E>> for Resolver {
    fn from(endpoints: Vec<E>) -> Self {
        Self(Kind::Fixed(endpoints.into_iter().map(Into::into).collect()))
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

    fn poll(resolver: &mut Resolver) -> io::Result<Vec<Endpoint>> {
        match resolver.poll(Waker::noop()) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    }

    #[test]
    fn no_address_is_an_error() {
        let mut resolver = Resolver::from(Vec::<Endpoint>::new());
        assert_eq!(poll(&mut resolver).expect_err("none").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_function_is_asked_each_time() {
        let mut port = 1;
        let mut resolver = Resolver::immediate(move || {
            port += 1;
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        });
        assert_eq!(poll(&mut resolver).expect("one")[0].as_tcp().expect("TCP").port(), 2);
        assert_eq!(poll(&mut resolver).expect("one")[0].as_tcp().expect("TCP").port(), 3);
    }
}
