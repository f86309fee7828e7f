//! What a [`Dialer`] needs here: attempts to connect, and news of names that were looked up.

use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;

use e_pigeon_core::Instant;
use e_pigeon_transport::{Dial, Dialer, Endpoint};
use mio::{Registry, Token};

use crate::stream::Stream;

/// A socket that is on its way to be connected; none where it was handed out.
#[derive(Debug)]
pub(crate) struct Attempt(Option<Stream>);

impl Attempt {
    fn begin(endpoint: &Endpoint, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = Stream::connect(endpoint)?;
        stream.register(registry, token)?;
        Ok(Self(Some(stream)))
    }

    /// Looks whether the socket has connected.
    fn check(&mut self) -> Poll<io::Result<Stream>> {
        match self.0.as_ref().map_or(Ok(false), Stream::is_connected) {
            Ok(true) => self.0.take().map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream))),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Connects on: sockets and names tell of news on `token`.
pub(crate) fn advance(
    dialer: &mut Dialer<Attempt>,
    names: &mut Names,
    registry: &Registry,
    token: Token,
    now: Instant,
) -> Dial<Stream> {
    let waker = if dialer.needs_waker() { names.waker(registry, token) } else { Waker::noop().clone() };
    let dial =
        dialer.advance(now, &waker, |endpoint| Attempt::begin(endpoint, registry, token), Attempt::check);
    if !dialer.needs_waker() {
        names.forget();
    }
    dial
}

/// How often to look for names that nobody can tell of.
const LOOK: Duration = Duration::from_millis(10);

/// Wakes the loop when names were looked up. A `Poll` has one [`mio::Waker`], which may be somebody else's, so this is a pipe.
#[derive(Debug, Default)]
pub(crate) struct Names {
    #[cfg(unix)]
    pipe: Option<(mio::unix::pipe::Receiver, Waker)>,
    /// Without a pipe the driver looks again and again.
    looks: bool,
}

impl Names {
    /// What the thread that looks names up has to call.
    fn waker(&mut self, registry: &Registry, token: Token) -> Waker {
        #[cfg(unix)]
        {
            if self.pipe.is_none() {
                self.pipe = pipe::lay(registry, token).ok();
            }
            if let Some((_, waker)) = &self.pipe {
                return waker.clone();
            }
        }
        let _ = (registry, token);
        self.looks = true;
        Waker::noop().clone()
    }

    fn forget(&mut self) {
        *self = Self::default();
    }

    /// How long the loop may sleep.
    pub(crate) fn sleep(&self) -> Option<Duration> {
        self.looks.then_some(LOOK)
    }
}

#[cfg(unix)]
mod pipe {
    use std::io::{self, Write};
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use mio::unix::pipe::{Receiver, Sender, new};
    use mio::{Interest, Registry, Token};

    struct ChannelWaker(Sender);

    impl Wake for ChannelWaker {
        fn wake(self: Arc<Self>) {
            // Where nobody reads any more, the attempt is over.
            let _ = (&self.0).write(&[0]);
        }
    }

    pub(super) fn lay(registry: &Registry, token: Token) -> io::Result<(Receiver, Waker)> {
        let (sender, mut receiver) = new()?;
        registry.register(&mut receiver, token, Interest::READABLE)?;
        Ok((receiver, Waker::from(Arc::new(ChannelWaker(sender)))))
    }
}
