//! The broker: a state machine that an embedder feeds with bytes and time, and asks for bytes and links to serve.

mod bounds;
mod errors;
mod fit;
mod inspect;
mod links;
mod memory;
mod routing;
mod state;
mod store;

pub use errors::{TooManyLinks, TransmitError, UnknownLink};
pub use fit::TooLittleMemory;
pub use inspect::{LinkInfo, LinkState, SessionInfo};
pub use state::Broker;
pub use store::event::{BrokerEvent, Limit};
pub use store::policy::{Policy, Requester};
pub use store::ready::{LinkId, Ready};
pub use store::stats::Stats;

use crate::config::broker::BrokerConfig;
use crate::data::message::{Message, MessageId};
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::control::Abort;
use crate::wire::frame::Framing;
use crate::wire::kind;
use links::{admission, due, ending, input, table::Link, transmit};
use routing::{accept, sweep};
use store::jobs::Job;
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
        self.call(now, |broker, _| admission::connected(broker, source, framing))
    }

    /// Bytes came from a client, cut anywhere; or one whole datagram, where the framing is that. Returns how many were taken:
    /// one call takes no more than 256 messages, and fewer where they are for many. Where that is not all, keep the others and
    /// offer them again when [`Ready::Resume`] names the link.
    ///
    /// # Errors
    ///
    /// There is no such link.
    pub fn handle_input(&mut self, now: Instant, link: LinkId, bytes: &[u8]) -> Result<usize, UnknownLink> {
        self.call(now, |broker, now| input::input(broker, now, link, bytes))
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
        self.call(now, |broker, _| {
            // The broker may have closed it already.
            if let Some(index) = broker.links.find(link) {
                ending::leave(broker, index);
                ending::drop_link(broker, index);
            }
            memory::give_back(broker);
        });
    }

    /// Time has passed. To be called when [`poll_timeout`](Self::poll_timeout) says so; harmless at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.call(now, due::expire);
    }

    // Commands.

    /// Ends all links, and tells clients why. [`Ready::Close`] follows for each.
    pub fn close(&mut self, now: Instant) {
        self.call(now, |broker, _| ending::close_all(broker));
    }

    /// Sends a message of the broker itself: recipients see the nil UUID as its sender, which no client can have. The policy is
    /// not asked. [`BrokerEvent::Receipt`] says what became of it. It survives everything but the end of this broker, which
    /// alone keeps it. (PROTOCOL.md, "Broker")
    ///
    /// ```
    /// use e_pigeon_core::{Broker, BrokerConfig, BrokerEvent, Destination, Filter, Instant, Message, Receipt, RefusalReason};
    ///
    /// let mut broker = Broker::new(BrokerConfig::new(5), 1)?;
    /// let everyone = Destination::from(Filter::everyone()).only_connected();
    /// let id = broker.send(Instant::default(), &Message::new(&everyone, b"maintenance at noon"));
    /// let ended = Receipt::ended(id, 0, 0, Some(RefusalReason::Nobody));
    /// assert_eq!(broker.poll_event(), Some(BrokerEvent::Receipt(ended)));
    /// # Ok::<(), e_pigeon_core::ConfigError>(())
    /// ```
    pub fn send(&mut self, now: Instant, message: &Message<'_>) -> MessageId {
        self.call(now, |broker, _| accept::originate(&mut broker.store, message))
    }

    /// Ends the link of a client; false if it has no session or is away. The session stays, and the client comes back after
    /// its back-off.
    ///
    /// The client receives [`AbortCode::ShuttingDown`]: of the codes that tell a client to connect again it is the only one
    /// that blames neither end.
    pub fn disconnect(&mut self, now: Instant, uuid: Uuid) -> bool {
        self.call(now, |broker, _| {
            let session = broker.store.sessions.find(&uuid).and_then(|at| broker.store.sessions.get(at));
            let link = session.and_then(|session| session.link).and_then(|link| broker.links.find(link));
            if let Some(link) = link {
                ending::abort(broker, link, Abort { code: AbortCode::ShuttingDown, detail: 0 });
            }
            link.is_some()
        })
    }

    // Polls: what comes out.

    /// The next link that wants something, if any. Each is named once until something new happens to it.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        self.store.ready.pop()
    }

    /// Writes what a link is to be sent to the front of `out` and returns the number of bytes; 0 if there is nothing now.
    ///
    /// Any size of `out` will do: a frame that does not fit goes on with the next call. If the framing is datagrams, each call
    /// writes one whole datagram.
    ///
    /// # Errors
    ///
    /// There is no such link; or a datagram does not fit `out`, and waits.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        link: LinkId,
        out: &mut [u8],
    ) -> Result<usize, TransmitError> {
        self.call(now, |broker, now| {
            let index = broker.links.find(link).ok_or(TransmitError::UnknownLink)?;
            transmit::transmit(broker, index, now, out).map_err(TransmitError::BufferTooSmall)
        })
    }

    /// The next thing that whoever runs the broker may want to know.
    pub fn poll_event(&mut self) -> Option<BrokerEvent> {
        self.store.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` for never, as things are.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let store = &self.store;
        let accept = store.messages.accept_due_at(store.config.accept_delay);
        let is_behind = !store.jobs.is_empty() || !store.cramped.is_empty() || sweep::is_sweep_due(store);
        // What is left of earlier calls goes on at once.
        let at_once = is_behind.then_some(store.now);
        [accept, store.timers.first(), self.settles_at, at_once, self.gives_back_at]
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
        &self.store.config
    }

    /// The sessions, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo<'_>> {
        self.store.sessions.iter().map(SessionInfo::of)
    }

    /// The links, in no order.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        LinkInfo::all(&self.links, &self.store.sessions, &self.sources)
    }

    /// What was done and is held.
    pub fn stats(&self) -> Stats {
        // At most 2^30.
        Stats { links: self.links.len() as u32, ..self.store.stats() }
    }

    /// How many units of work the last call has done, as the meter counts them. It is spent at 32,768, and ends what
    /// it is at then: a message goes to all its recipients at once, at a unit each.
    #[doc(hidden)]
    pub fn work_of_last_call(&self) -> u32 {
        self.store.work.done()
    }

    /// Gives each call fewer units than that, so that tests see much of what goes on in a later one.
    #[doc(hidden)]
    pub fn set_budget(&mut self, units: u32) {
        self.store.work.set_budget(units);
    }

    /// What waits for the next call, for tests.
    #[doc(hidden)]
    pub fn unfinished(&self) -> impl Iterator<Item = &'static str> {
        let store = &self.store;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= store.now);
        let others = [
            store.swept.map(|_| "sweep"),
            is_due(store.messages.accept_due_at(store.config.accept_delay)).then_some("accepted"),
            is_due(store.timers.first()).then_some("timers"),
        ];
        store.jobs.iter().map(Job::name).chain(others.into_iter().flatten())
    }

    /// True while a job of its session holds back the input of a link, for tests.
    #[doc(hidden)]
    pub fn holds_back(&self, link: LinkId) -> bool {
        let session = self.links.find(link).and_then(|index| self.links.get(index)).and_then(Link::session);
        session.and_then(|session| self.store.sessions.get(session)).is_some_and(|session| session.jobs > 0)
    }
}
