//! A broker with its listeners and its links, for whichever way an adapter has to wait.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use e_pigeon_core::{Broker, Instant, Ready, Stats};

use crate::clock::Clock;
use crate::closing::LINGER;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::journal::Journal;
use crate::links::Links;
use crate::listener::Listener;
use crate::socket::Listening;

#[cfg(test)]
mod tests;

/// How long a stop may take before the connections are dropped.
pub const FAREWELL: Duration = Duration::from_secs(5);

/// Besides the links there may be so many connections that are on their way out. Where there are more, the one that has been
/// longest makes room: a newcomer does not wait for it. With 16 listeners and what a program has open besides, that is within 64
/// descriptors.
const LEAVING: usize = 32;
/// So many connections are accepted in a row, then the others get their turn.
const ACCEPTS: usize = 64;

/// A [`Broker`] with its sockets, its clock and its buffers.
///
/// Connections go by *keys*, listeners by their place in the order of listening. A turn has three steps:
/// [`note`](Self::note) or [`note_listener`](Self::note_listener) for what is ready, [`handle_deadline`](Self::handle_deadline),
/// and [`flush`](Self::flush). Then the adapter waits, for [`sleep`](Self::sleep) at most. Its cost is that of what is ready.
#[derive(Debug)]
pub struct Hub<L: Listening> {
    broker: Broker,
    clock: Clock,
    listeners: Vec<Listener<L>>,
    links: Links<L::Socket>,
    /// Sockets that stopped early for the sake of the others.
    again: VecDeque<usize>,
    /// When the connections that are on their way out have had their time; in order, as all have the same.
    leaving: VecDeque<(Instant, usize)>,
    journal: Journal,
    next_life: Option<NextLife>,
    is_broken: bool,
}

/// Makes the broker of the next life.
struct NextLife(Box<dyn FnMut() -> Option<Broker> + Send>);

impl fmt::Debug for NextLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextLife")
    }
}

impl<L: Listening> Hub<L> {
    /// Makes one that listens nowhere yet.
    pub fn new(mut broker: Broker) -> Self {
        let max_links = broker.config().max_links;
        let capacity = usize::try_from(max_links).unwrap_or(usize::MAX).saturating_add(LEAVING);
        let clock = Clock::start();
        // Its life begins now, not with the first that comes.
        broker.handle_timeout(clock.now());
        Self {
            broker,
            clock,
            listeners: Vec::new(),
            links: Links::new(capacity),
            again: VecDeque::new(),
            leaving: VecDeque::new(),
            journal: Journal::default(),
            next_life: None,
            is_broken: false,
        }
    }

    /// What is to be done where the broker finds [a bug in itself](Broker::is_broken): `make` makes another one, with a new
    /// epoch and no links, and clients come back to it as after a broker's death. Without this, or where `make` says `None`, the
    /// hub stops, and says that it [is broken](Self::is_broken).
    pub fn renew_with(&mut self, make: impl FnMut() -> Option<Broker> + Send + 'static) {
        self.next_life = Some(NextLife(Box::new(make)));
    }

    /// Says whether the broker has found a bug in itself, and there was no way to begin a new life: all connections are dropped,
    /// and it listens nowhere.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Ends the life of a broken broker.
    fn end_life(&mut self) {
        self.links.drop_all();
        self.again.clear();
        self.leaving.clear();
        if self.is_broken {
            return;
        }
        if let Some(broker) = self.next_life.as_mut().and_then(|NextLife(make)| make()) {
            tracing::error!(
                "internal error of the broker, which starts again without its state; please report it"
            );
            self.broker = broker;
            self.broker.handle_timeout(self.clock.now());
        } else {
            tracing::error!("internal error of the broker, which stops; please report it");
            self.listeners.clear();
            self.is_broken = true;
        }
    }

    /// Accepts what comes to one more listener, from the next turn on.
    pub fn listen(&mut self, listener: Listener<L>) {
        self.listeners.push(listener);
    }

    /// The endpoints that the broker listens on, in the order of listening; none after [`stop`](Self::stop).
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(Listener::endpoint)
    }

    /// The most connections there can be; all keys are below.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.links.capacity()
    }

    /// Handles that connections may be waiting at a listener. `prepare` makes the adapter tell of a new one by its key.
    pub fn note_listener(
        &mut self,
        index: usize,
        prepare: impl FnMut(&mut L::Socket, usize) -> io::Result<()>,
    ) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.note();
        }
        self.accept(self.clock.now(), prepare);
    }

    /// Handles that a connection is ready for something, which `note` tells it; reads once. Harmless where there is none.
    pub fn note(&mut self, key: usize, note: impl FnOnce(&mut Connection<L::Socket>)) {
        self.links.note(key, note);
        self.serve(key, self.clock.now());
    }

    /// Does what is due by now: deadlines, and what stopped early in the turn before. Cheap where there is nothing.
    pub fn handle_deadline(&mut self, prepare: impl FnMut(&mut L::Socket, usize) -> io::Result<()>) {
        let now = self.clock.now();
        if self.broker.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.broker.handle_timeout(now);
        }
        while self.leaving.front().is_some_and(|(deadline, _)| *deadline <= now) {
            if let Some((deadline, key)) = self.leaving.pop_front() {
                self.links.drop_leaving(key, deadline);
            }
        }
        self.accept(now, prepare);
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
            let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
            let Some(key) = self.links.key_of_link(link) else {
                // Its connection ended while this waited.
                continue;
            };
            match ready {
                Ready::Transmit(_) => self.links.transmit(key, &mut self.broker, now),
                Ready::Resume(_) => self.links.resume(key),
                Ready::Close(_) => {
                    let goes_on = !self.listeners.is_empty();
                    if self.links.close(key, &mut self.broker, now, goes_on) {
                        self.leaving.push_back((now + LINGER, key));
                    }
                }
            }
            self.requeue(key);
        }
        if self.broker.is_broken() {
            self.end_life();
        }
        self.open_again(now);
    }

    /// Says how long the adapter may sleep; `None` for as long as nothing is ready.
    #[must_use]
    pub fn sleep(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let accepting = self.listeners.iter().filter_map(|listener| listener.deadline(now)).min();
        let leaving = self.leaving.front().map(|(deadline, _)| *deadline);
        let journal = self.journal.deadline(now);
        let next = [self.broker.poll_timeout(), accepting, leaving, journal].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }

    /// The broker, for its events and its limits. [`flush`](Self::flush) after whatever changes it.
    pub fn broker(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// Takes the broker's events, for applications that only log them: clients that come and go at level `info`, refusals at
    /// level `warn`, as one line with counts at most every ten seconds. To be called in each turn.
    pub fn log_events(&mut self) {
        while let Some(event) = self.broker.poll_event() {
            self.journal.note(&event);
        }
        self.journal.write(self.clock.now());
    }

    /// What the broker has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.broker.stats()
    }

    /// How many bytes of input the links keep because the broker has not taken them.
    #[must_use]
    pub fn untaken_bytes(&self) -> usize {
        self.links.untaken()
    }

    /// How much memory the hub of a broker with so many links can come to need, without that of the broker
    /// ([`BrokerConfig::worst_case_bytes`](e_pigeon_core::BrokerConfig::worst_case_bytes)) and of the kernel: for each link 16 KiB
    /// of input that the broker has not taken and 63 KiB of output that its socket has not taken, and buffers that all share.
    #[must_use]
    pub fn worst_case_bytes(max_links: u32) -> usize {
        let links = usize::try_from(max_links).unwrap_or(usize::MAX);
        Links::<L::Socket>::worst_case_bytes(links.saturating_add(LEAVING))
    }

    /// Says how late it is by the broker's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Stops listening and tells every client that the broker goes away.
    ///
    /// The turns have to go on until [`is_stopped`](Self::is_stopped): that takes as long as the last words need to
    /// arrive, a second more where somebody does not close, and the handshake time-out more where somebody's socket is
    /// full and stays so.
    pub fn stop(&mut self) {
        self.listeners.clear();
        self.broker.close(self.clock.now());
        self.flush();
    }

    /// Says whether it listens nowhere and has no connection left.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.listeners.is_empty() && self.links.is_empty()
    }

    fn accept(&mut self, now: Instant, mut prepare: impl FnMut(&mut L::Socket, usize) -> io::Result<()>) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            for _ in 0..ACCEPTS {
                let Some((socket, peer)) = listener.accept(now) else { break }; // Nobody waits.
                while self.links.is_full()
                    && let Some((deadline, key)) = self.leaving.pop_front()
                {
                    self.links.drop_leaving(key, deadline);
                }
                match self.links.adopt(socket, (&peer, index), &mut prepare, &mut self.broker, now) {
                    // A refused one is on its way out from the beginning.
                    Ok((key, false)) => self.leaving.push_back((now + LINGER, key)),
                    Ok((_, true)) => {}
                    Err(error) => {
                        tracing::debug!(%peer, %error, "connection dropped");
                        listener.lost(now);
                    }
                }
            }
        }
    }

    fn serve(&mut self, key: usize, now: Instant) {
        self.links.serve(key, &mut self.broker, now);
        self.requeue(key);
    }

    /// Lines that are over are opened again, each after a while.
    fn open_again(&mut self, now: Instant) {
        while let Some(index) = self.links.take_lost() {
            if let Some(listener) = self.listeners.get_mut(index) {
                listener.lost(now);
            }
        }
    }

    fn requeue(&mut self, key: usize) {
        if self.links.ask_for_turn(key) {
            self.again.push_back(key);
        }
    }
}
