//! Getting a connection: every address of the broker in turn, each with a time-out.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use e_pigeon_core::Instant;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::resolver::Resolver;

/// How far an attempt has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// An event or the deadline will tell.
    Waiting,
    /// There is a connection.
    Connected(TcpStream, SocketAddr),
    /// None of the addresses answered; this is why the last did not.
    Failed(io::Error),
}

/// One attempt: the addresses still to be tried, and the socket of the one that is being tried.
#[derive(Debug)]
pub(crate) struct Attempt {
    left: VecDeque<SocketAddr>,
    trying: Option<(TcpStream, SocketAddr)>,
    deadline: Instant,
    timeout: Duration,
}

impl Attempt {
    /// Asks for the addresses and begins with the first.
    pub(crate) fn begin(
        resolver: &mut Resolver,
        registry: &Registry,
        token: Token,
        timeout: Duration,
        now: Instant,
    ) -> (Self, Progress) {
        let mut attempt = Self { left: VecDeque::new(), trying: None, deadline: now + timeout, timeout };
        match resolver.addresses() {
            Ok(addresses) => attempt.left = addresses.into(),
            Err(error) => return (attempt, Progress::Failed(error)),
        }
        let nowhere = io::Error::from(io::ErrorKind::NotFound);
        let progress = attempt.next(registry, token, now, nowhere);
        (attempt, progress)
    }

    /// When the address that is being tried has had its time.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Looks whether the socket has connected; to be called after each of its events and at the deadline.
    pub(crate) fn check(&mut self, registry: &Registry, token: Token, now: Instant) -> Progress {
        let Some((stream, address)) = self.trying.take() else { return Progress::Waiting };
        let failure = match outcome(&stream) {
            Ok(true) => return Progress::Connected(stream, address),
            Ok(false) if now < self.deadline => {
                self.trying = Some((stream, address));
                return Progress::Waiting;
            }
            Ok(false) => io::Error::new(io::ErrorKind::TimedOut, "no answer to the attempt to connect"),
            Err(error) => error,
        };
        drop(stream);
        self.next(registry, token, now, failure)
    }

    /// Goes to the next address that can be tried; `failure` is why the one before could not.
    fn next(&mut self, registry: &Registry, token: Token, now: Instant, failure: io::Error) -> Progress {
        let mut failure = failure;
        while let Some(address) = self.left.pop_front() {
            let started = TcpStream::connect(address).and_then(|mut stream| {
                registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                Ok(stream)
            });
            match started {
                Ok(stream) => {
                    self.deadline = now + self.timeout;
                    self.trying = Some((stream, address));
                    return Progress::Waiting;
                }
                Err(error) => failure = error,
            }
        }
        Progress::Failed(failure)
    }
}

/// Says whether the socket is connected (`true`), is not yet, or never will be.
fn outcome(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        // Not every system says "not connected" here; they all mean "not yet" as long as there is no error.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
