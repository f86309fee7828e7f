//! Getting a connection: every endpoint of the broker in turn, each with a time-out.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use e_pigeon_core::{Framing, Instant};
use e_pigeon_transport::{Endpoint, Resolver, Socket};
use mio::{Registry, Token};

use crate::stream::Stream;

/// How far an attempt has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// An event or the deadline will tell.
    Waiting,
    /// There is a connection.
    Connected(Stream, Endpoint),
    /// None of the endpoints answered; this is why the last did not.
    Failed(io::Error),
}

/// One attempt: the endpoints still to be tried, and the socket of the one that is being tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    left: VecDeque<Endpoint>,
    trying: Option<(Stream, Endpoint)>,
    deadline: Instant,
    limits: Limits,
}

/// What holds for every endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long it may take to answer.
    pub(crate) timeout: Duration,
    /// How the client is configured.
    pub(crate) framing: Framing,
}

impl Attempt {
    /// Asks for the endpoints and begins with the first.
    pub(crate) fn begin(
        resolver: &mut Resolver,
        registry: &Registry,
        token: Token,
        limits: Limits,
        now: Instant,
    ) -> (Self, Progress) {
        let mut attempt =
            Self { left: VecDeque::new(), trying: None, deadline: now + limits.timeout, limits };
        match resolver.endpoints() {
            Ok(endpoints) => attempt.left = endpoints.into(),
            Err(error) => return (attempt, Progress::Failed(error)),
        }
        let nowhere = io::Error::from(io::ErrorKind::NotFound);
        let progress = attempt.next(registry, token, now, nowhere);
        (attempt, progress)
    }

    /// When the endpoint that is being tried has had its time.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Looks whether the socket has connected; to be called after each of its events and at the deadline.
    pub(crate) fn check(&mut self, registry: &Registry, token: Token, now: Instant) -> Progress {
        let Some((stream, endpoint)) = self.trying.take() else { return Progress::Waiting };
        let failure = match stream.is_connected() {
            Ok(true) => return Progress::Connected(stream, endpoint),
            Ok(false) if now < self.deadline => {
                self.trying = Some((stream, endpoint));
                return Progress::Waiting;
            }
            Ok(false) => io::Error::new(io::ErrorKind::TimedOut, "no answer to the attempt to connect"),
            Err(error) => error,
        };
        drop(stream);
        self.next(registry, token, now, failure)
    }

    /// Goes to the next endpoint that can be tried; `failure` is why the one before could not.
    fn next(&mut self, registry: &Registry, token: Token, now: Instant, failure: io::Error) -> Progress {
        let mut failure = failure;
        while let Some(endpoint) = self.left.pop_front() {
            let started = endpoint.check_framing(self.limits.framing).and_then(|()| {
                let mut stream = Stream::connect(&endpoint)?;
                stream.register(registry, token)?;
                Ok(stream)
            });
            match started {
                // Nobody has to answer.
                Ok(stream) if stream.is_line() => return Progress::Connected(stream, endpoint),
                Ok(stream) => {
                    self.deadline = now + self.limits.timeout;
                    self.trying = Some((stream, endpoint));
                    return Progress::Waiting;
                }
                Err(error) => failure = error,
            }
        }
        Progress::Failed(failure)
    }
}
