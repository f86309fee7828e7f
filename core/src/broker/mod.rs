//! The broker: a state machine that an embedder feeds with bytes and time, and asks for bytes and links to serve.

mod admission;
mod bounds;
mod capacity;
mod counts;
mod deliveries;
mod destinations;
mod ending;
mod errors;
mod event;
mod expiry;
mod fit;
mod gate;
mod hello;
mod holding;
mod index;
mod input;
mod inspect;
mod jobs;
mod ledger;
mod links;
mod log;
mod lookahead;
#[cfg_attr(not(feature = "lossy"), path = "no_lossy.rs")]
mod lossy;
#[cfg_attr(not(feature = "lossy"), path = "no_lossy_io.rs")]
mod lossy_io;
mod messages;
mod ordered;
mod outcome;
mod policy;
mod pool;
#[cfg_attr(not(feature = "presence"), path = "no_presence.rs")]
mod presence;
mod queue;
mod reach;
mod ready;
mod receipts;
mod receive;
mod router;
mod senders;
mod sessions;
mod shares;
mod sharing;
mod sources;
mod state;
mod sweep;
mod timers;
mod transmit;
mod turns;
#[cfg_attr(not(feature = "presence"), path = "no_watches.rs")]
mod watches;
mod work;

pub use errors::{TooManyLinks, UnknownLink};
pub use event::BrokerEvent;
pub use fit::TooLittleMemory;
pub use inspect::{LinkInfo, LinkState, SessionInfo};
pub use ledger::Stats;
pub use policy::{Policy, Requester};
pub use ready::{LinkId, Ready};
pub use sources::Limit;
pub use state::Broker;

use crate::config::broker::BrokerConfig;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::control::Abort;
use crate::wire::frame::Framing;
use crate::wire::kind;
use jobs::Job;
use uuid::Uuid;

impl Broker {
    /// The frame that a transport is to be told when [`handle_connected`](Self::handle_connected) has no place for it.
    pub const FULL: &'static [u8] = &[3, kind::ABORT, AbortCode::Full as u8, 0];

    // Handlers: what a transport or the clock did.

    /// A transport is connected. `source` is a number of the embedder's choice for where it comes from: the same for all
    /// connections that one party can make as many of as it likes, such as those from one address. Limits per source, and
    /// the choice of which link makes way for another, go by it. Where there is no such difference, any number will do.
    /// (PROTOCOL.md, "Resources")
    ///
    /// # Errors
    ///
    /// There are as many links as there may be: write [`Broker::FULL`] to the transport and close it.
    pub fn handle_connected(&mut self, now: Instant, source: u64) -> Result<LinkId, TooManyLinks> {
        self.handle_connected_over(now, source, Framing::Length)
    }

    /// The same over a transport with that framing. On a line that has no beginning and no end the link goes on when its
    /// client, or another one, says hello again; where [`Ready::Close`] comes, connect the line anew.
    /// (PROTOCOL.md, "Lossy framed transports")
    ///
    /// # Errors
    ///
    /// There are as many links as there may be, or as many of that kind. On a lossy framed transport nothing can be said
    /// about that.
    pub fn handle_connected_over(
        &mut self,
        now: Instant,
        source: u64,
        framing: Framing,
    ) -> Result<LinkId, TooManyLinks> {
        self.guarded(now, |broker, now| broker.connected(now, source, framing))
    }

    fn connected(&mut self, now: Instant, source: u64, framing: Framing) -> Result<LinkId, TooManyLinks> {
        if let Err(limit) = self.make_place(source, framing) {
            self.push_event(BrokerEvent::Refused { source, limit });
            return Err(TooManyLinks);
        }
        let until = now + self.config.handshake_timeout;
        let source = self.sources.join(source);
        let id = self.links.insert(framing, source, until);
        self.ready.add_link(id);
        // There are at most 2^30.
        let index = id.index() as u32;
        self.await_hello(index, until);
        self.arm_link(index);
        Ok(id)
    }

    /// Bytes came from a client, cut anywhere; or one whole datagram, where the framing is that. Returns how many were taken:
    /// one call takes no more than 256 messages, and fewer where they are for many. Where that is not all, keep the others and
    /// offer them again when [`Ready::Resume`] names the link.
    ///
    /// # Errors
    ///
    /// There is no such link.
    pub fn handle_input(&mut self, now: Instant, link: LinkId, bytes: &[u8]) -> Result<usize, UnknownLink> {
        self.guarded(now, |broker, now| broker.input(now, link, bytes))
    }

    /// The connection of a link has ended behind what was read from it so far. A HELLO in that is not judged when
    /// [`handle_input`](Self::handle_input) gets it: it may be that of a client that has died since, and would displace one that
    /// lives. Everything else goes on until [`handle_disconnected`](Self::handle_disconnected). Harmless where the link is gone.
    pub fn handle_end_of_input(&mut self, link: LinkId) {
        // The broker may have closed it already.
        if let Some(link) = self.links.find(link).and_then(|index| self.links.get_mut(index)) {
            link.has_ended = true;
        }
    }

    /// A transport is gone. Harmless where the link is.
    pub fn handle_disconnected(&mut self, now: Instant, link: LinkId) {
        self.guarded(now, |broker, _| {
            // The broker may have closed it already.
            if let Some(index) = broker.links.find(link) {
                broker.leave(index);
                broker.drop_link(index);
            }
            broker.give_back();
        });
    }

    /// Time has passed. To be called when [`poll_timeout`](Self::poll_timeout) says so; harmless at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.guarded(now, Self::expire);
    }

    // Commands.

    /// Ends all links, and tells clients why. [`Ready::Close`] follows for each.
    pub fn close(&mut self, now: Instant) {
        self.guarded(now, |broker, _| broker.shut_down());
    }

    /// Ends the link of a client; false if it has no session or is away. The session stays, and the client comes back after
    /// its back-off.
    ///
    /// The client receives [`AbortCode::ShuttingDown`]: of the codes that tell a client to connect again it is the only one
    /// that blames neither end.
    pub fn disconnect(&mut self, now: Instant, uuid: Uuid) -> bool {
        self.guarded(now, |broker, _| broker.send_away(&uuid))
    }

    fn send_away(&mut self, uuid: &Uuid) -> bool {
        let session = self.sessions.find(uuid).and_then(|session| self.sessions.get(session));
        // It has no session, or is away.
        let Some(link) = session.and_then(|session| session.link).and_then(|link| self.links.find(link))
        else {
            return false;
        };
        self.abort(link, Abort { code: AbortCode::ShuttingDown, detail: 0 });
        true
    }

    fn shut_down(&mut self) {
        // There are at most 2^30.
        let end = self.links.places() as u32;
        self.begin_job(Job::Close { next: 0, end });
    }

    // Polls: what comes out.

    /// The next link that wants something, if any. Each is named once until something new happens to it.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        self.ready.pop()
    }

    /// Writes what a link is to be sent to the front of `out` and returns how many bytes; 0 where there is nothing
    /// now. Any size of `out` will do: a frame that does not fit goes on with the next call. Where the framing is datagrams,
    /// each call writes one whole datagram. It waits, and 0 bytes are written, where `out` is too small for it: as many as
    /// [`BrokerConfig::max_datagram`] says are always enough.
    ///
    /// # Errors
    ///
    /// There is no such link.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        link: LinkId,
        out: &mut [u8],
    ) -> Result<usize, UnknownLink> {
        self.guarded(now, |broker, now| {
            let index = broker.links.find(link).ok_or(UnknownLink)?;
            Ok(broker.transmit(index, now, out))
        })
    }

    /// The next thing that whoever runs the broker may want to know.
    pub fn poll_event(&mut self) -> Option<BrokerEvent> {
        self.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` for never, as things are.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let young = self.messages.grows_up_at(self.config.accept_delay);
        let sweep = self.is_sweep_due().then_some(self.now);
        // What is left of earlier calls goes on at once.
        let jobs = (!self.jobs.is_empty() || !self.cramped.is_empty()).then_some(self.now);
        [young, self.timers.first(), self.settles_at, sweep, jobs, self.gives_back_at]
            .into_iter()
            .flatten()
            .min()
    }

    // Getters.

    /// True where a bug of this crate was found: an invariant of this broker is broken. End all links, and begin a new life: a
    /// new `Broker` with a new epoch. Clients and their messages survive that as they survive a broker's death.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The limits.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// The sessions, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo<'_>> {
        self.sessions.iter().map(SessionInfo::of)
    }

    /// The links, in no order.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        LinkInfo::all(&self.links, &self.sessions, &self.sources)
    }

    /// What was done and is held.
    pub fn stats(&self) -> Stats {
        Stats {
            open: self.messages.open() as u64,
            waiting: u64::from(self.holding.len()),
            // At most 2^30 each.
            links: self.links.len() as u32,
            sessions: self.sessions.len() as u32,
            connected: self.sessions.connected,
            payload_bytes: self.pool.used_bytes(),
            kept: self.messages.len() as u64,
            senders: self.messages.senders() as u64,
            destinations: self.messages.destinations() as u64,
            offers: self.holding.offers() as u64,
            ..self.stats
        }
    }

    /// How many units of work the last call has done, as the [meter](work) counts them. It is spent at 32,768, and ends what
    /// it is at then: a message goes to all its recipients at once, at a unit each.
    #[doc(hidden)]
    pub fn work_of_last_call(&self) -> u32 {
        self.work.done()
    }

    /// Gives each call fewer units than that, so that tests see much of what goes on in a later one.
    #[doc(hidden)]
    pub fn set_budget(&mut self, units: u32) {
        self.work.set_budget(units);
    }
}
