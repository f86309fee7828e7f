//! The broker: a state machine without I/O. An embedder gives it bytes and the time, and writes the bytes that it returns.

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
    /// The frame for a transport for which [`handle_connected`](Self::handle_connected) has no place.
    pub const FULL: &'static [u8] = &[3, kind::ABORT, AbortCode::Full as u8, 0];

    // Handlers: events of transports and of the clock.

    /// Adds a link for a new transport, which then waits for a hello.
    ///
    /// `source` is a number that the embedder chooses for the origin of the connection: the same for all connections of one
    /// party, such as those from one address. Limits per source depend on it, and the choice of a link that makes way for
    /// another. Without such a distinction, use any number. (PROTOCOL.md, "Resources")
    ///
    /// # Errors
    ///
    /// A limit of links is reached: write [`Broker::FULL`] to the transport, and close it.
    pub fn handle_connected(&mut self, now: Instant, source: u64) -> Result<LinkId, TooManyLinks> {
        self.handle_connected_over(now, source, Framing::Length)
    }

    /// The same with another framing. The link of a line, which has no beginning and no end, starts again with each hello
    /// of its client, or of another one; after [`Ready::Close`] announce the line anew.
    /// (PROTOCOL.md, "Lossy framed transports")
    ///
    /// # Errors
    ///
    /// A limit of links is reached, in all or over lossy framed transports. No frame can report this on a lossy framed
    /// transport.
    pub fn handle_connected_over(
        &mut self,
        now: Instant,
        source: u64,
        framing: Framing,
    ) -> Result<LinkId, TooManyLinks> {
        self.call(now, |broker, _| admission::connected(broker, source, framing))
    }

    /// Reads bytes from a client, cut anywhere, or one whole datagram, and returns the number of bytes that were read.
    ///
    /// One call reads at most 256 messages, and fewer if they have many recipients. Keep the rest, and offer it again when
    /// [`Ready::Resume`] names the link.
    ///
    /// # Errors
    ///
    /// There is no such link.
    pub fn handle_input(&mut self, now: Instant, link: LinkId, bytes: &[u8]) -> Result<usize, UnknownLink> {
        self.call(now, |broker, now| input::input(broker, now, link, bytes))
    }

    /// Notes that the connection of a link has ended behind the bytes that were read from it so far. A HELLO in these bytes
    /// then gives the link no session: its client may have died since, and would displace one that lives. Other frames are
    /// processed until [`handle_disconnected`](Self::handle_disconnected). Has no effect if the link is gone.
    pub fn handle_end_of_input(&mut self, link: LinkId) {
        // The broker may have closed the link already.
        if let Some(link) = self.links.find(link).and_then(|index| self.links.get_mut(index)) {
            link.has_ended = true;
        }
    }

    /// Removes the link of a transport that is gone. Has no effect if the link is gone.
    pub fn handle_disconnected(&mut self, now: Instant, link: LinkId) {
        self.call(now, |broker, _| {
            // The broker may have closed the link already.
            if let Some(index) = broker.links.find(link) {
                ending::leave(broker, index);
                ending::drop_link(broker, index);
            }
            memory::give_back(broker);
        });
    }

    /// Runs all work that is due. Call it when [`poll_timeout`](Self::poll_timeout) says so; it may be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.call(now, due::expire);
    }

    // Commands.

    /// Ends all links with an ABORT, because the broker shuts down. [`Ready::Close`] follows for each.
    pub fn close(&mut self, now: Instant) {
        self.call(now, |broker, _| ending::close_all(broker));
    }

    /// Sends a message of the broker itself, without asking the policy. Its recipients see the nil UUID as its sender,
    /// which no client can have. A [`BrokerEvent::Receipt`] reports its end. The broker alone keeps the message, so it ends
    /// with the broker. While the queues hold too many messages that have ended, it is refused as
    /// [`RefusalReason::BrokerFull`](crate::RefusalReason::BrokerFull): send it again after the next
    /// [`handle_timeout`](Self::handle_timeout). (PROTOCOL.md, "Broker")
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

    /// Ends the link of a client; false if the client has no session, or is away. The session stays, and the client
    /// connects again after its back-off.
    ///
    /// The client receives [`AbortCode::ShuttingDown`]: of the codes after which a client connects again, it is the only
    /// one that blames neither end.
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

    // Polls: output of the broker.

    /// The next link that needs its embedder, if any. Each need is reported once until something new happens.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        self.store.ready.pop()
    }

    /// Writes the output of a link to the front of `out` and returns the number of bytes; 0 if there is nothing to write
    /// now.
    ///
    /// Any size of `out` will do: a frame that does not fit goes on with the next call. If the framing is datagrams, each
    /// call writes one whole datagram.
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

    /// The next event for the operator, if any.
    pub fn poll_event(&mut self) -> Option<BrokerEvent> {
        self.store.events.pop()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless another call changes that; `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let store = &self.store;
        let accept = store.messages.accept_due_at(store.config.accept_delay);
        let is_behind = !store.jobs.is_empty() || !store.cramped.is_empty() || sweep::is_sweep_due(store);
        // The rest of earlier calls is due at once.
        let at_once = is_behind.then_some(store.now);
        [accept, store.timers.first(), self.settles_at, at_once, self.gives_back_at]
            .into_iter()
            .flatten()
            .min()
    }

    // Getters.

    /// True if a call has found a bug of this crate, so that this broker cannot be trusted. End all links, and make a new
    /// `Broker` with a new epoch: clients and their messages survive this as they survive the death of a broker.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The limits of the broker.
    pub fn config(&self) -> &BrokerConfig {
        &self.store.config
    }

    /// The sessions, in any order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo<'_>> {
        self.store.sessions.iter().map(SessionInfo::of)
    }

    /// The links, in any order.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        LinkInfo::all(&self.links, &self.store.sessions, &self.sources)
    }

    /// Counters of messages and deliveries, and the sizes of tables.
    pub fn stats(&self) -> Stats {
        // There are at most 2^30 links.
        Stats { links: self.links.len() as u32, ..self.store.stats() }
    }

    /// The units of work of the last call. A call is spent at 32,768 and may exceed that by its last piece of work: a
    /// message goes to all its recipients at once, for a unit each.
    #[doc(hidden)]
    pub fn work_of_last_call(&self) -> u32 {
        self.store.work.done()
    }

    /// Gives each call fewer units, so that tests see work that goes on in a later call.
    #[doc(hidden)]
    pub fn set_budget(&mut self, units: u32) {
        self.store.work.set_budget(units);
    }

    /// The work that waits for the next call, for tests.
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
