//! An attempt to connect, for the [`Dialer`](e_pigeon_transport::Dialer).

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use e_pigeon_transport::Endpoint;

use crate::stream::Stream;

/// A connection on its way.
pub(crate) struct Attempt(Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>);

impl Attempt {
    pub(crate) fn begin(endpoint: &Endpoint) -> Self {
        let endpoint = endpoint.clone();
        Self(Box::pin(async move { Stream::connect(&endpoint).await }))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}
