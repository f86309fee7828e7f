//! A broker inside somebody's event loop.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::Duration;

use e_pigeon_core::{Broker, BrokerConfig, ConfigError, Instant, Ready, Stats};
use mio::event::Event;
use mio::{Registry, Token};

use crate::clock::Clock;
use crate::closing::LINGER;
use crate::endpoint::Endpoint;
use crate::links::Links;
use crate::listener::Listener;

/// The first tokens of the range belong to the listeners.
const LISTENERS: usize = 16;
/// Besides the links there may be so many connections that are on their way out.
const LEAVING: usize = 1024;
/// So many connections are accepted in a row, then the others get their turn.
const ACCEPTS: usize = 64;

/// A [`Broker`] with its sockets, its clock and its buffers.
///
/// It lives in a [`mio::Poll`] of the caller's on a range of tokens and starts no thread. The loop has four steps:
/// wait, [`handle_ready`](Self::handle_ready) for each event that it [`owns`](Self::owns),
/// [`handle_deadline`](Self::handle_deadline), and [`flush`](Self::flush). Input is handled as the events come; the output of
/// all that goes out in `flush`, one write per link and turn.
#[derive(Debug)]
pub struct BrokerDriver {
    broker: Broker,
    clock: Clock,
    registry: Registry,
    base: usize,
    listeners: Vec<Listener>,
    links: Links,
    /// Sockets that stopped early for the sake of the others.
    again: VecDeque<usize>,
    /// When the connections that are on their way out have had their time; in order, as all have the same.
    leaving: VecDeque<(Instant, usize)>,
}

impl BrokerDriver {
    /// Makes a driver that listens nowhere yet, see [`bind`](Self::bind).
    ///
    /// `epoch` is a number drawn for this life of the broker, never one that it had before. `registry` is a
    /// [`Registry::try_clone`] of the loop's; the tokens from `base` on, see [`tokens`](Self::tokens), must be the driver's alone.
    ///
    /// # Errors
    ///
    /// The config contradicts itself: the caller's fault.
    pub fn new(
        config: BrokerConfig,
        epoch: u64,
        registry: Registry,
        base: Token,
    ) -> Result<Self, ConfigError> {
        let capacity = usize::try_from(config.max_links).unwrap_or(usize::MAX).saturating_add(LEAVING);
        let mut broker = Broker::new(config, epoch)?;
        let clock = Clock::start();
        // Its life begins now, not with the first that comes.
        broker.handle_timeout(clock.now());
        Ok(Self {
            broker,
            clock,
            registry,
            base: base.0,
            listeners: Vec::new(),
            links: Links::new(base.0 + LISTENERS, capacity),
            again: VecDeque::new(),
            leaving: VecDeque::new(),
        })
    }

    /// Listens on one more endpoint, and returns it with its real port.
    ///
    /// Connections are accepted from the next turn of the loop on; those that come before that wait.
    ///
    /// The file of a Unix socket that nobody accepts on any more is replaced. The driver removes its own in
    /// [`stop`](Self::stop) or when it is dropped, unless somebody else has put another there. Brokers that start in one
    /// directory take turns, so this may block for a second where a program keeps that directory locked.
    ///
    /// # Errors
    ///
    /// What the system says where the endpoint cannot be had (`AddrInUse` where somebody listens there), that what stands
    /// at the path is no socket (`AlreadyExists`), that no socket can have this path (`InvalidInput`), or that there are
    /// 16 listeners already.
    pub fn bind(&mut self, endpoint: impl Into<Endpoint>) -> io::Result<Endpoint> {
        if self.listeners.len() == LISTENERS {
            return Err(io::Error::other("there are 16 listeners already"));
        }
        let token = Token(self.base + self.listeners.len());
        let listener = Listener::bind(endpoint.into(), &self.registry, token)?;
        let endpoint = listener.endpoint().clone();
        self.listeners.push(listener);
        Ok(endpoint)
    }

    /// The endpoints that the broker listens on, in the order of binding; none after [`stop`](Self::stop).
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(Listener::endpoint)
    }

    /// The tokens that are the driver's: as many as the config has links, and 1,040 more.
    #[must_use]
    pub fn tokens(&self) -> Range<usize> {
        self.base..self.links.tokens().end
    }

    /// Says whether events with this token are the driver's.
    #[must_use]
    pub fn owns(&self, token: Token) -> bool {
        self.tokens().contains(&token.0)
    }

    /// Handles an event of the loop: accepts, or reads once from the link that it is about.
    ///
    /// Events that the driver does not own are left alone.
    pub fn handle_ready(&mut self, event: &Event) {
        let token = event.token();
        if !self.owns(token) {
            return;
        }
        let now = self.clock.now();
        match self.links.key_of(token) {
            None => {
                if let Some(listener) = self.listeners.get_mut(token.0 - self.base) {
                    listener.ready = true;
                }
                self.accept(now);
            }
            Some(key) => {
                self.links.note(key, event);
                self.serve(key, now);
            }
        }
    }

    /// Does what is due by now: deadlines, and what stopped early in the turn before. Cheap where there is nothing.
    pub fn handle_deadline(&mut self) {
        let now = self.clock.now();
        if self.broker.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.broker.handle_timeout(now);
        }
        while self.leaving.front().is_some_and(|(deadline, _)| *deadline <= now) {
            if let Some((_, key)) = self.leaving.pop_front() {
                self.links.drop_overdue(key, now);
            }
        }
        self.accept(now);
        for _ in 0..self.again.len() {
            if let Some(key) = self.again.pop_front() {
                self.links.begin_turn(key);
                self.serve(key, now);
            }
        }
    }

    /// Writes what the broker has for its links, and closes those that it is done with.
    ///
    /// To be called once at the end of a turn: everything that is ready for a link by then goes out in one write.
    pub fn flush(&mut self) {
        let now = self.clock.now();
        while let Some(ready) = self.broker.poll_ready() {
            match ready {
                Ready::Transmit(link) => {
                    if let Some(key) = self.links.key_of_link(link) {
                        self.links.transmit(key, &mut self.broker, now);
                        self.requeue(key);
                    }
                }
                Ready::Resume(link) => {
                    if let Some(key) = self.links.key_of_link(link) {
                        self.links.resume(key);
                        self.requeue(key);
                    }
                }
                Ready::Close(link) => {
                    if let Some(key) = self.links.key_of_link(link) {
                        self.links.close(key, &mut self.broker, now);
                        self.leaving.push_back((now + LINGER, key));
                    }
                }
            }
        }
    }

    /// Says how long the loop may sleep; `None` for as long as there is no event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let accepting = self.listeners.iter().filter_map(|listener| listener.deadline(now)).min();
        let leaving = self.leaving.front().map(|(deadline, _)| *deadline);
        let next = [self.broker.poll_timeout(), accepting, leaving].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// The broker, for its events and its limits. [`flush`](Self::flush) after whatever changes it.
    pub fn broker(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// What the broker has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.broker.stats()
    }

    /// Says how late it is by the driver's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Stops listening and tells every client that the broker goes away.
    ///
    /// The loop has to go on until [`is_stopped`](Self::is_stopped): that takes as long as the last words need to
    /// arrive, a second more where somebody does not close, and the handshake time-out more where somebody's socket is
    /// full and stays so.
    pub fn stop(&mut self) {
        self.listeners.clear();
        self.broker.close(self.clock.now());
        self.flush();
    }

    /// Says whether the driver listens nowhere and has no connection left.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.listeners.is_empty() && self.links.is_empty()
    }

    fn accept(&mut self, now: Instant) {
        for listener in &mut self.listeners {
            for _ in 0..ACCEPTS {
                let Some((stream, peer)) = listener.accept(now) else { break };
                match self.links.adopt(stream, &peer, &self.registry, &mut self.broker, now) {
                    // A refused one is on its way out from the beginning.
                    Ok((key, false)) => self.leaving.push_back((now + LINGER, key)),
                    Ok((_, true)) => {}
                    Err(error) => tracing::debug!(%peer, %error, "dropped at once"),
                }
            }
        }
    }

    fn serve(&mut self, key: usize, now: Instant) {
        self.links.serve(key, &mut self.broker, now);
        self.requeue(key);
    }

    fn requeue(&mut self, key: usize) {
        if self.links.ask_for_turn(key) {
            self.again.push_back(key);
        }
    }
}
