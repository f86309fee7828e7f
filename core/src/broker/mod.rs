//! The broker: a state machine that an embedder feeds with bytes and time, and asks for bytes and links to serve.

mod bounds;
mod deliveries;
mod destinations;
mod ending;
mod expiry;
mod fit;
mod hello;
mod holding;
mod index;
mod jobs;
mod ledger;
mod links;
mod log;
mod lookahead;
#[cfg_attr(not(feature = "lossy"), path = "no_lossy.rs")]
mod lossy;
mod messages;
mod ordered;
mod outcome;
mod policy;
mod pool;
#[cfg_attr(not(feature = "presence"), path = "no_presence.rs")]
mod presence;
mod queue;
mod reach;
mod receipts;
mod receive;
mod router;
mod senders;
mod sessions;
mod shares;
mod sources;
mod sweep;
mod transmit;
mod work;

pub use fit::TooLittleMemory;
pub use ledger::Stats;
pub use links::LinkId;
pub use policy::{Policy, Requester};
pub use sources::Limit;

use crate::bug::{self, OrBug};
use crate::config::broker::BrokerConfig;
use crate::error::{AbortCode, ConfigError};
use crate::time::Instant;
use crate::wire::control::Abort;
use crate::wire::frame::{Framing, MAX_HEADER, Step, step};
use crate::wire::kind;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use expiry::Timers;
use holding::Holding;
use jobs::{Job, Jobs};
use links::{Links, NO_LINK, Phase};
use messages::Messages;
use policy::Guard;
use pool::Pool;
#[cfg(feature = "presence")]
use presence::Watchers;
use reach::Counts;
use receive::Progress;
use sessions::Sessions;
use shares::Shares;
use sources::Sources;
use uuid::Uuid;
use work::{BYTES, FRAME, Work};

/// The most events that wait to be polled, where there are enough sessions; of more, only their number is kept.
const MAX_EVENTS: usize = 1_024;

fn max_events(config: &BrokerConfig) -> usize {
    MAX_EVENTS.min(2 * config.max_sessions as usize)
}

/// A broker, without I/O: whoever embeds it moves bytes and tells the time.
///
/// Method kinds and the run loop are on the [front page](crate). Every table is bounded by the [`BrokerConfig`].
pub struct Broker {
    config: BrokerConfig,
    epoch: u64,
    now: Instant,
    /// Until then clients of an earlier broker are awaited; `None` once that is over.
    settles_at: Option<Instant>,
    started: bool,
    links: Links,
    sources: Sources,
    sessions: Sessions,
    messages: Messages,
    pool: Pool,
    holding: Holding,
    #[cfg(feature = "presence")]
    watchers: Watchers,
    guard: Guard,
    timers: Timers,
    stats: Stats,
    ready: VecDeque<Ready>,
    events: VecDeque<BrokerEvent>,
    events_dropped: u64,
    /// How many sessions were gone through, where their queues are searched for messages that have ended.
    swept: Option<usize>,
    /// Places for messages in all queues, free ones included.
    queue_places: usize,
    /// The sessions whose queues have no free place, and get more before the next message to many is taken.
    cramped: Vec<u32>,
    shares: Shares,
    /// When memory goes back that is not in use, and how many tables have given theirs.
    gives_back_at: Option<Instant>,
    gave_back: u8,
    /// Messages that are parked.
    parked: u32,
    /// What this call may still do, and what is left of earlier ones.
    work: Work,
    jobs: Jobs,
    /// Runs of receipts in the queues of all senders.
    receipts: u64,
    /// A bug of this crate was found in a call.
    broken: bool,
    /// Lists that are built and used up within one call, kept for their memory.
    recipients: Vec<u32>,
    counts: Counts,
    dropped: Vec<deliveries::QueueEntry>,
}

/// The counters, and nothing of what clients have said.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("epoch", &self.epoch)
            .field("now", &self.now)
            .field("broken", &self.broken)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// A link that wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It has something to write: call `poll_transmit` until it returns 0.
    Transmit(LinkId),
    /// It goes on reading: offer it the input that was not taken.
    Resume(LinkId),
    /// All that could be said was given out: write it, close the transport, and call `handle_disconnected`.
    Close(LinkId),
}

/// There is no such link; it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLink;

impl fmt::Display for UnknownLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such link")
    }
}

impl core::error::Error for UnknownLink {}

/// There are as many links as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyLinks;

impl fmt::Display for TooManyLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are as many links as there may be")
    }
}

impl core::error::Error for TooManyLinks {}

/// Something that whoever runs the broker may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// A client has a session that it had not before.
    SessionOpened(Uuid),
    /// A client is back.
    SessionResumed(Uuid),
    /// A client is away.
    SessionAway(Uuid),
    /// A session has ended.
    SessionEnded(Uuid),
    /// A link was ended by the broker.
    LinkAborted(LinkId, AbortCode),
    /// A connection, or the hello of a new client, was refused because that limit is reached.
    Refused {
        /// Where it came from: the source that was given to [`Broker::handle_connected`].
        source: u64,
        /// The limit.
        limit: Limit,
    },
    /// So many events were not polled in time and are lost.
    Missed(u64),
}

impl fmt::Display for BrokerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionOpened(uuid) => write!(f, "{uuid} is here"),
            Self::SessionResumed(uuid) => write!(f, "{uuid} is back"),
            Self::SessionAway(uuid) => write!(f, "{uuid} is away"),
            Self::SessionEnded(uuid) => write!(f, "{uuid} is gone"),
            Self::LinkAborted(link, code) => write!(f, "link {} was ended: {code}", link.index()),
            Self::Refused { source, limit } => write!(f, "refused {source:#x}: there are {limit}"),
            Self::Missed(count) => write!(f, "{count} events were missed"),
        }
    }
}

impl Broker {
    /// The frame that a transport is to be told when [`handle_connected`](Self::handle_connected) has no place for it.
    pub const FULL: &'static [u8] = &[3, kind::ABORT, AbortCode::Full as u8, 0];

    /// Makes a broker without sessions. `epoch` is a number drawn at random at each start.
    ///
    /// # Errors
    ///
    /// A limit makes no sense.
    pub fn new(config: BrokerConfig, epoch: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            epoch,
            now: Instant::default(),
            settles_at: None,
            started: false,
            links: Links::new(config.max_links.saturating_add(sources::max_made_way(&config))),
            sources: Sources::default(),
            sessions: Sessions::new(config.hash_seed, config.max_sessions, config.max_attributes),
            messages: Messages::new(config.hash_seed, sweep::max_senders(&config) as usize),
            pool: Pool::new(config.max_message_bytes),
            holding: Holding::new(config.hash_seed, config.max_held),
            #[cfg(feature = "presence")]
            watchers: Watchers::new(config.hash_seed),
            guard: Guard::default(),
            timers: Timers::default(),
            stats: Stats::default(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            events_dropped: 0,
            swept: None,
            queue_places: 0,
            cramped: Vec::new(),
            shares: Shares::new(&config),
            parked: 0,
            gives_back_at: None,
            gave_back: 0,
            work: Work::default(),
            jobs: Jobs::default(),
            receipts: 0,
            broken: false,
            recipients: Vec::new(),
            counts: Counts::default(),
            dropped: Vec::new(),
            config,
        })
    }

    /// The same with a policy, which says what sessions may do.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_policy(
        config: BrokerConfig,
        epoch: u64,
        policy: impl Policy + 'static,
    ) -> Result<Self, ConfigError> {
        Ok(Self { guard: Guard::new(policy), ..Self::new(config, epoch)? })
    }

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
            self.tell(BrokerEvent::Refused { source, limit });
            return Err(TooManyLinks);
        }
        let until = now + self.config.handshake_timeout;
        let source = self.sources.join(source);
        let id = self.links.insert(framing, source, until);
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

    fn input(&mut self, now: Instant, link: LinkId, bytes: &[u8]) -> Result<usize, UnknownLink> {
        let index = self.links.find(link).ok_or(UnknownLink)?;
        self.sweep();
        self.give_back();
        self.make_room();
        if self.is_sweep_behind() {
            self.work.take_no_message();
        }
        if !self.is_free(index) {
            // It goes on when the jobs of its session are done; a datagram is lost.
            if self.links.get(index).is_some_and(|link| link.takes_datagrams()) {
                return Ok(bytes.len());
            }
            self.list_resume(index);
            return Ok(0);
        }
        let state = self.links.get_mut(index).or_bug(NO_LINK).ok_or(UnknownLink)?;
        if state.lossy.is_some() {
            let taken = self.lossy_input(index, now, bytes);
            self.arm_link(index);
            self.list(index);
            return Ok(taken);
        }
        let taken = self.stream_input(index, now, bytes);
        self.list_if_acknowledgement_presses(index);
        Ok(taken)
    }

    /// Takes frames from a stream; returns how many bytes were taken.
    #[inline(never)] // What goes on before and after it does not take registers from the loop.
    fn stream_input(&mut self, index: u32, now: Instant, bytes: &[u8]) -> usize {
        let Some(state) = self.links.get_mut(index).or_bug(NO_LINK) else { return bytes.len() };
        let mut kept = core::mem::take(&mut state.partial);
        let mut input = bytes;
        // So many bytes at the end were not looked ahead at.
        let mut unseen = bytes.len();
        while !input.is_empty() {
            let is_spent = self.work.is_full();
            let Some(state) = self.links.get_mut(index).or_bug(NO_LINK) else { break };
            match &mut state.phase {
                Phase::Closing { .. } => {
                    // Nobody listens any more.
                    input = &[];
                    break;
                }
                Phase::Up { keep_alive, .. } => keep_alive.hear(now),
                Phase::Hello { .. } => {}
            }
            if is_spent {
                self.list_resume(index);
                break;
            }
            let limit = state.frame_limit;
            let most = limit + MAX_HEADER;
            match step(&kept, input, limit) {
                Ok(Step::InPlace(extent)) => {
                    let (frame, rest) = input.split_at(extent.total().min(input.len()));
                    let body =
                        frame.get(extent.header..).or_bug("a frame ends in its header").unwrap_or_default();
                    if lookahead::defines(body) && input.len() <= unseen {
                        unseen = self.look_ahead(input, limit);
                    }
                    self.work.charge(FRAME + (frame.len() / BYTES) as u32);
                    if self.frame(index, body) == Progress::Later {
                        self.list_resume(index);
                        break;
                    }
                    input = rest;
                }
                Ok(Step::Keep(count)) => input = keep(&mut kept, input, count, most),
                Ok(Step::Complete(count, extent)) => {
                    let (before, rest) = (kept.len(), keep(&mut kept, input, count, most));
                    self.work.charge(FRAME + (kept.len() / BYTES) as u32);
                    let body = kept.get(extent.header..).or_bug("a frame ends in its header");
                    if self.frame(index, body.unwrap_or_default()) == Progress::Later {
                        kept.truncate(before);
                        self.list_resume(index);
                        break;
                    }
                    input = rest;
                    kept.clear();
                }
                Err(code) => self.abort(index, Abort { code, detail: 0 }),
            }
        }
        if let Some(state) = self.links.get_mut(index).or_bug(NO_LINK) {
            state.partial = kept;
        }
        bytes.len() - input.len()
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

    fn shut_down(&mut self) {
        let end = self.links.end();
        self.begin_job(Job::Close { next: 0, end });
    }

    // Polls: what comes out.

    /// The next link that wants something, if any. Each is named once until something new happens to it.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        while let Some(ready) = self.ready.pop_front() {
            let (Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id)) = ready;
            // It was closed since it was listed.
            let Some(index) = self.links.find(id) else { continue };
            match ready {
                Ready::Transmit(_) => self.links.unlist(index),
                Ready::Resume(_) => self.links.unlist_resume(index),
                Ready::Close(_) => {}
            }
            return Some(ready);
        }
        None
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
        if self.events_dropped > 0 {
            return Some(BrokerEvent::Missed(core::mem::take(&mut self.events_dropped)));
        }
        self.events.pop_front()
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

    /// Does what the input of a link has to wait for; false where it has to wait longer.
    #[inline]
    fn is_free(&mut self, link: u32) -> bool {
        let session = self.links.get(link).and_then(|link| link.session());
        let state = session.and_then(|session| self.sessions.get(session));
        match state {
            Some(state) if state.jobs > 0 => {
                let uuid = state.uuid;
                self.work_for(uuid, session)
            }
            _ => !canary!(HoldsAllBack) || self.jobs.is_empty(),
        }
    }

    /// Makes a call at a time, and notes whether a bug was found in it.
    fn guarded<T>(&mut self, now: Instant, call: impl FnOnce(&mut Self, Instant) -> T) -> T {
        let before = bug::so_far();
        self.work.begin();
        let now = self.advance(now);
        let result = call(self, now);
        self.broken |= bug::so_far() != before;
        result
    }

    /// The time, which never runs back. The first time that is seen begins the settling.
    fn advance(&mut self, now: Instant) -> Instant {
        if !self.started {
            self.started = true;
            self.settles_at = Some(now + self.config.settle);
        }
        self.now = self.now.max(now);
        self.now
    }

    fn tell(&mut self, event: BrokerEvent) {
        if self.events.len() < max_events(&self.config) {
            self.events.push_back(event);
        } else {
            self.events_dropped += 1;
        }
    }

    /// Puts a link into the list of those that have something to write.
    fn list(&mut self, index: u32) {
        if let Some(id) = self.links.id(index) {
            self.list_link(id);
        }
    }

    #[inline]
    fn list_link(&mut self, id: LinkId) {
        if self.links.rouse(id) {
            self.push_ready(Ready::Transmit(id));
        }
    }

    /// Puts a link into that list as one that goes on reading.
    #[cold]
    fn list_resume(&mut self, index: u32) {
        if let Some(id) = self.links.id(index).or_bug(NO_LINK)
            && self.links.list_resume(index)
        {
            self.push_ready(Ready::Resume(id));
        }
    }

    /// Adds to the list, in which each link stands once for each kind. Links that are gone leave it before it grows.
    #[inline(never)] // Most often a link stands in it already.
    fn push_ready(&mut self, ready: Ready) {
        if self.ready.len() == self.ready.capacity() {
            return self.push_ready_in_place_of_gone(ready);
        }
        self.ready.push_back(ready);
    }

    #[cold]
    fn push_ready_in_place_of_gone(&mut self, ready: Ready) {
        let links = &self.links;
        self.ready
            .retain(|&(Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id))| links.find(id).is_some());
        self.ready.push_back(ready);
    }

    /// The same for the link of a session, where it has one.
    #[inline]
    fn list_session(&mut self, session: u32) {
        if let Some(link) = self.sessions.get(session).and_then(|session| session.link) {
            self.list_link(link);
        }
    }
}

/// Puts the first `count` bytes of `input` behind those that are kept, and returns the others. No frame has more than
/// `most` bytes: the buffer grows to that and not to the next double.
fn keep<'i>(kept: &mut Vec<u8>, input: &'i [u8], count: usize, most: usize) -> &'i [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    let needed = kept.len() + front.len();
    if needed > kept.capacity() {
        kept.reserve_exact((2 * kept.capacity()).min(most).max(needed) - kept.len());
    }
    kept.extend_from_slice(front);
    rest
}
