//! Getting a connection: names, the order of endpoints, and which of them is tried when. There are no sockets in it.
//!
//! An attempt of the client's is a *round* over all endpoints that the resolver knows. They are raced as RFC 8305 says: the
//! families of addresses take turns, an endpoint gets a quarter of a second before the next is tried beside it, and the first
//! that connects wins. An endpoint that connects and gives no session is passed over, and the round goes on with the others.
//! The client's back-off comes after the whole round.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};
use std::time::Duration;

use e_pigeon_core::{Client, Framing, Instant};

use crate::bug::bug;
use crate::endpoint::Endpoint;
use crate::resolver::Resolver;

#[cfg(test)]
mod tests;

/// How long names may take.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long an endpoint has for itself before the next is tried too.
const HEAD_START: Duration = Duration::from_millis(250);

/// So many endpoints are tried at once.
const AT_ONCE: usize = 8;

/// How long an endpoint that has connected may give no session where others are left. The last has as long as the client's
/// handshake may take.
const SILENCE: Duration = Duration::from_secs(3);

/// How far a round has come.
#[derive(Debug)]
pub enum Dial<S> {
    /// Something that was asked for will tell, or the [deadline](Dialer::deadline).
    Waiting,
    /// There is a connection.
    Connected(S, Endpoint),
    /// No endpoint is left; this is why the last could not be had. The client has to get `handle_disconnected`.
    Failed(io::Error),
}

/// Makes connections for a client: `A` is an adapter's attempt to connect that is under way.
///
/// [`begin`](Self::begin) where the client wants a connection, [`advance`](Self::advance) when something has happened or the
/// [`deadline`](Self::deadline) is over, [`note_session`](Self::note_session) when the client is established, and
/// [`note_lost`](Self::note_lost) when the connection is gone.
#[derive(Debug)]
pub struct Dialer<A> {
    resolver: Resolver,
    framing: Framing,
    timeout: Duration,
    phase: DialPhase,
    /// Endpoints of this round that were not tried yet.
    left: VecDeque<Endpoint>,
    trying: Vec<Trying<A>>,
    failure: Option<io::Error>,
    /// The endpoint that gave a session last: the next round begins with it.
    last_good: Option<Endpoint>,
}

#[derive(Debug)]
enum DialPhase {
    Idle,
    /// The resolver was asked, and may take until then.
    LookingUp(Instant),
    /// The next endpoint is tried then.
    Racing(Instant),
    /// That endpoint has connected, and should have given a session by then.
    Connected(Endpoint, Instant),
}

#[derive(Debug)]
struct Trying<A> {
    attempt: A,
    endpoint: Endpoint,
    deadline: Instant,
}

impl<A> Dialer<A> {
    /// Makes one for a client with that framing. Each endpoint has 10 seconds to answer.
    pub fn new(resolver: Resolver, framing: Framing) -> Self {
        Self {
            resolver,
            framing,
            timeout: Duration::from_secs(10),
            phase: DialPhase::Idle,
            left: VecDeque::new(),
            trying: Vec::new(),
            failure: None,
            last_good: None,
        }
    }

    /// Sets how long each endpoint may take to answer, from the next attempt on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Says whether names are being looked up elsewhere, or may be: [`advance`](Self::advance) needs a waker that works.
    pub fn needs_waker(&self) -> bool {
        matches!(self.phase, DialPhase::LookingUp(_)) && self.resolver.may_wait()
    }

    /// The connection is gone, and the client has got `handle_disconnected`: it tries the next endpoint of this round at
    /// once where it got no session on this one. Otherwise the round is over, and the client's back-off begins.
    pub fn note_lost<B: AsRef<[u8]> + AsMut<[u8]>>(&mut self, client: &mut Client<B>, now: Instant) {
        if !(self.goes_on() && client.try_elsewhere(now)) {
            self.give_up();
        }
    }

    /// The client wants a connection: goes on with the round where endpoints are left, or begins a new one.
    pub fn begin(&mut self, now: Instant) {
        self.phase =
            if self.left.is_empty() { DialPhase::LookingUp(now + LOOK_UP) } else { DialPhase::Racing(now) };
    }

    /// Drops what is under way: the next round begins with the names.
    pub fn give_up(&mut self) {
        self.phase = DialPhase::Idle;
        self.left.clear();
        self.trying.clear();
    }

    /// When to call [`advance`](Self::advance) though nothing has happened; or, where there is a connection, when it counts as
    /// [silent](Self::is_silent).
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            DialPhase::Idle => None,
            DialPhase::LookingUp(until) => Some(*until),
            DialPhase::Racing(next) => {
                let next = Some(*next).filter(|_| self.may_try_another());
                self.trying.iter().map(|trying| trying.deadline).chain(next).min()
            }
            DialPhase::Connected(_, until) => Some(*until).filter(|_| !self.left.is_empty()),
        }
    }

    /// Goes on. `start` begins to connect to an endpoint, `check` says whether that has come to an end; `waker` is called when
    /// the names are there.
    pub fn advance<S>(
        &mut self,
        now: Instant,
        waker: &Waker,
        mut start: impl FnMut(&Endpoint) -> io::Result<A>,
        mut check: impl FnMut(&mut A) -> Poll<io::Result<S>>,
    ) -> Dial<S> {
        if let DialPhase::LookingUp(until) = self.phase {
            match self.resolver.poll(waker) {
                Poll::Ready(Ok(endpoints)) => {
                    self.left = in_order(endpoints, self.last_good.as_ref());
                    self.phase = DialPhase::Racing(now);
                }
                Poll::Ready(Err(error)) => return self.failed(error),
                Poll::Pending if now < until => return Dial::Waiting,
                Poll::Pending => {
                    let error = io::Error::new(io::ErrorKind::TimedOut, "the look-up of the name timed out");
                    return self.failed(error);
                }
            }
        }
        while let DialPhase::Racing(next) = self.phase {
            if let Some((stream, endpoint)) = self.look(now, &mut check) {
                return self.connected(now, stream, endpoint);
            }
            let next = if self.trying.is_empty() { now } else { next };
            if next > now || !self.may_try_another() {
                break;
            }
            let Some(endpoint) = self.left.pop_front() else {
                bug!("an endpoint is left where another may be tried");
                break;
            };
            match endpoint.check_framing(self.framing).and_then(|()| start(&endpoint)) {
                Ok(attempt) => {
                    self.trying.push(Trying { attempt, endpoint, deadline: now + self.timeout });
                    self.phase = DialPhase::Racing(now + HEAD_START);
                }
                Err(error) => self.failure = Some(error),
            }
        }
        if matches!(self.phase, DialPhase::Racing(_)) && self.trying.is_empty() && self.left.is_empty() {
            let failure = self.failure.take().unwrap_or_else(|| io::ErrorKind::NotFound.into());
            return self.failed(failure);
        }
        Dial::Waiting
    }

    /// The client is established: the endpoint is a good one, and the round is over.
    pub fn note_session(&mut self) {
        if let DialPhase::Connected(endpoint, _) = &self.phase {
            self.last_good = Some(endpoint.clone());
            self.give_up();
        }
    }

    /// Says whether the connection has given no session for so long that another endpoint should be tried: it is to be
    /// dropped, as if it had broken.
    pub fn is_silent(&self, now: Instant) -> bool {
        matches!(self.phase, DialPhase::Connected(..)) && self.deadline().is_some_and(|until| until <= now)
    }

    /// Says whether a connection that ends now has given no session, and the round has other endpoints.
    fn goes_on(&self) -> bool {
        matches!(self.phase, DialPhase::Connected(..)) && !self.left.is_empty()
    }

    fn may_try_another(&self) -> bool {
        !self.left.is_empty() && self.trying.len() < AT_ONCE
    }

    /// Looks at what is under way, and returns the first that has connected.
    fn look<S>(
        &mut self,
        now: Instant,
        check: &mut impl FnMut(&mut A) -> Poll<io::Result<S>>,
    ) -> Option<(S, Endpoint)> {
        let mut index = 0;
        while let Some(trying) = self.trying.get_mut(index) {
            let error = match check(&mut trying.attempt) {
                Poll::Ready(Ok(stream)) => return Some((stream, self.trying.remove(index).endpoint)),
                Poll::Ready(Err(error)) => error,
                Poll::Pending if trying.deadline <= now => {
                    io::Error::new(io::ErrorKind::TimedOut, "the attempt to connect timed out")
                }
                Poll::Pending => {
                    index += 1;
                    continue;
                }
            };
            tracing::debug!(endpoint = %trying.endpoint, %error, "cannot connect");
            self.failure = Some(error);
            self.trying.remove(index);
            self.phase = DialPhase::Racing(now);
        }
        None
    }

    /// The others that are under way are tried again where this one gives no session.
    fn connected<S>(&mut self, now: Instant, stream: S, endpoint: Endpoint) -> Dial<S> {
        for trying in self.trying.drain(..).rev() {
            self.left.push_front(trying.endpoint);
        }
        self.phase = DialPhase::Connected(endpoint.clone(), now + SILENCE);
        Dial::Connected(stream, endpoint)
    }

    fn failed<S>(&mut self, error: io::Error) -> Dial<S> {
        self.give_up();
        Dial::Failed(error)
    }
}

/// The endpoint that was good before comes first. Of the others the families take turns, beginning with that of the first.
fn in_order(mut endpoints: Vec<Endpoint>, last_good: Option<&Endpoint>) -> VecDeque<Endpoint> {
    let good = endpoints.iter().position(|endpoint| Some(endpoint) == last_good);
    let good = good.map(|index| endpoints.remove(index));
    let is_v6 = |endpoint: &Endpoint| matches!(endpoint.as_tcp(), Some(SocketAddr::V6(_)));
    let first = endpoints.first().is_some_and(is_v6);
    let (same, other): (Vec<_>, Vec<_>) =
        endpoints.into_iter().partition(|endpoint| is_v6(endpoint) == first);
    let mut ordered: VecDeque<_> = good.into_iter().collect();
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    loop {
        let before = ordered.len();
        ordered.extend(same.next());
        ordered.extend(other.next());
        if ordered.len() == before {
            return ordered;
        }
    }
}
