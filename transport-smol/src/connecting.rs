//! Getting a connection: every endpoint of the broker in turn, each with a time-out.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::Timer;
use e_pigeon_core::Framing;
use e_pigeon_transport::Endpoint;

use crate::stream::Stream;

type Outcome = io::Result<(Stream, Endpoint)>;

/// An attempt on its way.
pub(crate) struct Attempt(Pin<Box<dyn Future<Output = Outcome> + Send>>);

impl Attempt {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}

/// Begins an attempt of a client with that framing, which fails with the reason why the last of the endpoints did not answer.
pub(crate) fn connect(endpoints: Vec<Endpoint>, framing: Framing, timeout: Duration) -> Attempt {
    Attempt(Box::pin(async move {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for endpoint in endpoints {
            if let Err(error) = endpoint.check_framing(framing) {
                failure = error;
                continue;
            }
            match within(timeout, Stream::connect(&endpoint)).await {
                Ok(stream) => return Ok((stream, endpoint)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }))
}

async fn within<T>(timeout: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let mut future = pin!(future);
    let mut timer = Timer::after(timeout);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending if Pin::new(&mut timer).poll(context).is_ready() => {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the attempt to connect")))
        }
        result => result,
    })
    .await
}
