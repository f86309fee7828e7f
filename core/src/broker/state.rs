//! The broker's tables in one struct, and what all of its parts do with them: begin a call, wake a link, report an event.

use super::capacity;
use super::counts::Counts;
use super::deliveries::QueueEntry;
use super::event::{BrokerEvent, Events, max_events};
use super::holding::Holding;
use super::jobs::Jobs;
use super::ledger::Stats;
use super::links::{Links, NO_LINK};
use super::messages::Messages;
use super::policy::{Guard, Policy};
use super::pool::Pool;
use super::ready::ReadyList;
use super::sessions::Sessions;
use super::shares::Shares;
use super::sources::{self, Sources};
use super::timers::Timers;
#[cfg(feature = "presence")]
use super::watches::Watchers;
use super::work::Work;
use crate::bug::{self, OrBug};
use crate::config::broker::BrokerConfig;
use crate::error::ConfigError;
use crate::time::Instant;
use alloc::vec::Vec;
use core::fmt;

/// A broker, without I/O: an embedder moves bytes and passes the time.
///
/// Method kinds and the run loop are on the [front page](crate). Every table is bounded by the [`BrokerConfig`].
pub struct Broker {
    pub(super) config: BrokerConfig,
    pub(super) epoch: u64,
    pub(super) now: Instant,
    /// Until then clients of an earlier broker are awaited; `None` once that is over.
    pub(super) settles_at: Option<Instant>,
    pub(super) started: bool,
    pub(super) links: Links,
    pub(super) sources: Sources,
    pub(super) sessions: Sessions,
    pub(super) messages: Messages,
    pub(super) pool: Pool,
    pub(super) holding: Holding,
    #[cfg(feature = "presence")]
    pub(super) watchers: Watchers,
    pub(super) guard: Guard,
    pub(super) timers: Timers,
    pub(super) stats: Stats,
    pub(super) ready: ReadyList,
    pub(super) events: Events,
    /// How many sessions were gone through, where their queues are searched for messages that have ended.
    pub(super) swept: Option<usize>,
    /// Places for messages in all queues, free ones included.
    pub(super) queue_places: usize,
    /// The sessions whose queues have no free place, and get more before the next message to many is taken.
    pub(super) cramped: Vec<u32>,
    pub(super) shares: Shares,
    /// When memory goes back that is not in use, and how many tables have given theirs.
    pub(super) gives_back_at: Option<Instant>,
    pub(super) gave_back: u8,
    /// Messages that are parked.
    pub(super) parked: u32,
    /// What this call may still do, and what is left of earlier ones.
    pub(super) work: Work,
    pub(super) jobs: Jobs,
    /// Runs of receipts in the queues of all senders.
    pub(super) receipts: u64,
    /// A bug of this crate was found in a call.
    pub(super) broken: bool,
    /// Lists that are built and used up within one call, kept for their memory.
    pub(super) recipients: Vec<u32>,
    pub(super) counts: Counts,
    pub(super) dropped: Vec<QueueEntry>,
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

impl Broker {
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
            messages: Messages::new(config.hash_seed, capacity::max_senders(&config) as usize),
            pool: Pool::new(config.max_message_bytes),
            holding: Holding::new(config.hash_seed, config.max_held),
            #[cfg(feature = "presence")]
            watchers: Watchers::new(config.hash_seed),
            guard: Guard::default(),
            timers: Timers::default(),
            stats: Stats::default(),
            ready: ReadyList::default(),
            events: Events::default(),
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

    /// Makes a call at a time, and notes whether a bug was found in it.
    pub(super) fn guarded<T>(&mut self, now: Instant, call: impl FnOnce(&mut Self, Instant) -> T) -> T {
        let before = bug::so_far();
        self.work.begin();
        let now = self.advance(now);
        let result = call(self, now);
        self.broken |= bug::so_far() != before;
        result
    }

    /// The time, which never runs back. The first time that is seen begins the settling.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        if !self.started {
            self.started = true;
            self.settles_at = Some(now + self.config.settle);
        }
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn push_event(&mut self, event: BrokerEvent) {
        self.events.push(event, max_events(&self.config));
    }

    /// A link has something to write.
    pub(super) fn wake_link(&mut self, index: u32) {
        if let Some(id) = self.links.id(index) {
            self.ready.wake(id);
        }
    }

    /// A link goes on reading.
    #[cold]
    pub(super) fn resume_link(&mut self, index: u32) {
        if let Some(id) = self.links.id(index).or_bug(NO_LINK) {
            self.ready.resume(id);
        }
    }

    /// The link of a session, if it has one, has something to write.
    #[inline]
    pub(super) fn wake(&mut self, session: u32) {
        if let Some(link) = self.sessions.get(session).and_then(|session| session.link) {
            self.ready.wake(link);
        }
    }
}
