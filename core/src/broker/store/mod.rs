//! The state of a broker besides its links: tables, each of which owns its data and knows neither a broker nor a link.
//!
//! [Routing](super::routing) changes the tables, and records in them what the links have to do: [`ready`] names the links
//! that have something to write, [`jobs`] the work that goes on with the next call, [`timers`] what is due when, and
//! [`event`] the events for the operator.

pub(crate) mod capacity;
pub(crate) mod counts;
pub(crate) mod deliveries;
pub(crate) mod destinations;
pub(crate) mod event;
pub(crate) mod index;
pub(crate) mod jobs;
pub(crate) mod key_set;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod policy;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod ready;
pub(crate) mod receipts;
pub(crate) mod senders;
pub(crate) mod sessions;
pub(crate) mod shares;
pub(crate) mod stats;
pub(crate) mod timers;
pub(crate) mod wait_list;
#[cfg_attr(not(feature = "presence"), path = "no_watches.rs")]
pub(crate) mod watches;
pub(crate) mod work;

pub(crate) use capacity::{max, max_entries, max_records, max_senders, max_void_runs, min, most_places};
pub(crate) use deliveries::QueueEntry;
pub(crate) use destinations::Destination;
pub(crate) use event::{BrokerEvent, Limit, max_events};
pub(crate) use index::{KEPT, List};
pub(crate) use jobs::{Job, Offers, Release};
pub(crate) use key_set::{
    Key, KeySet, MAX_SPARE, MIN_PLACES, MIN_TABLE, is_oversized, last_of, next_places, reserve_one,
    shrink_table,
};
pub(crate) use log::Run;
pub(crate) use messages::{MessageEntry, NO_MESSAGE, NewMessage, Open};
pub(crate) use policy::{Guard, Policy, Requester};
pub(crate) use pool::max_spare;
pub(crate) use queue::{Acknowledged, Cold, Declined, MAX_REPLIES, Next, Queue};
pub(crate) use ready::{LinkId, Mark, Ready};
pub(crate) use receipts::{RECEIPTS_OF_EACH, ReceiptBody};
pub(crate) use senders::{MAX_ENDED, NO_SENDER, OPERATOR, Sender};
pub(crate) use sessions::{NO_SESSION, NewSession, Searched, Session, Sessions};
pub(crate) use timers::Timer;
pub(crate) use wait_list::{OFFERS_PER_MESSAGE, Offer, Terms};
pub(crate) use watches::{MAX_UNACKNOWLEDGED, Notes, PresenceNotice, Watch};

use crate::config::broker::BrokerConfig;
use crate::time::Instant;
use alloc::vec::Vec;
use counts::Counts;
use event::Events;
use jobs::Jobs;
use messages::Messages;
use pool::Pool;
use ready::ReadyList;
use shares::Shares;
use stats::Stats;
use timers::Timers;
use wait_list::WaitList;
#[cfg(feature = "presence")]
use watches::Watchers;
use work::Work;

/// The tables of a broker.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) config: BrokerConfig,
    pub(crate) epoch: u64,
    pub(crate) now: Instant,
    pub(crate) sessions: Sessions,
    pub(crate) messages: Messages,
    pub(crate) pool: Pool,
    pub(crate) wait_list: WaitList,
    /// The number of parked messages.
    pub(crate) parked: u32,
    #[cfg(feature = "presence")]
    pub(crate) watchers: Watchers,
    pub(crate) guard: Guard,
    pub(crate) shares: Shares,
    /// The number of runs of receipts in the queues of all senders.
    pub(crate) receipts: u64,
    /// The number of places for messages in all queues, free ones included.
    pub(crate) queue_places: usize,
    /// Sessions whose queues have no free place. They get more before the next message to many recipients is accepted.
    pub(crate) cramped: Vec<u32>,
    /// How far the sweep of queues has come, as a place in the table of sessions.
    pub(crate) swept: Option<usize>,
    pub(crate) stats: Stats,
    /// The work that this call may still do, and the work that earlier calls have left.
    pub(crate) work: Work,
    pub(crate) jobs: Jobs,
    pub(crate) timers: Timers,
    pub(crate) ready: ReadyList,
    pub(crate) events: Events,
    /// Lists that are built and used up within one call, kept for their memory.
    pub(crate) recipients: Vec<u32>,
    pub(crate) counts: Counts,
    pub(crate) dropped: Vec<QueueEntry>,
}

impl Store {
    /// Makes empty tables. The limits must be valid.
    pub(crate) fn new(config: BrokerConfig, epoch: u64, guard: Guard) -> Self {
        Self {
            epoch,
            now: Instant::default(),
            sessions: Sessions::new(config.hash_seed, config.max_sessions, config.max_attributes),
            messages: Messages::new(config.hash_seed, max_senders(&config) as usize),
            pool: Pool::new(config.max_message_bytes),
            wait_list: WaitList::new(config.hash_seed, config.max_held),
            parked: 0,
            #[cfg(feature = "presence")]
            watchers: Watchers::new(config.hash_seed),
            guard,
            shares: Shares::new(&config),
            receipts: 0,
            queue_places: 0,
            cramped: Vec::new(),
            swept: None,
            stats: Stats::default(),
            work: Work::default(),
            jobs: Jobs::default(),
            timers: Timers::default(),
            ready: ReadyList::default(),
            events: Events::default(),
            recipients: Vec::new(),
            counts: Counts::default(),
            dropped: Vec::new(),
            config,
        }
    }

    /// Marks the link of a session, if it has one, as having something to write.
    #[inline]
    pub(crate) fn wake(&mut self, session: u32) {
        if let Some(link) = self.sessions.get(session).and_then(|session| session.link) {
            self.ready.wake(link);
        }
    }

    pub(crate) fn push_event(&mut self, event: BrokerEvent) {
        self.events.push(event, max_events(&self.config));
    }

    /// Keeps the rest of a job for the next call; it holds back its session until it is done.
    pub(crate) fn keep_job(&mut self, job: Job) {
        if let Some(session) = self.session_of(&job).and_then(|session| self.sessions.get_mut(session)) {
            session.jobs += 1;
        }
        self.jobs.push(job);
    }

    /// Frees the session of a job that is run; it is held back again if the job is kept again.
    pub(crate) fn release_job(&mut self, job: &Job) {
        if let Some(session) = self.session_of(job).and_then(|session| self.sessions.get_mut(session)) {
            session.jobs -= 1;
        }
    }

    fn session_of(&self, job: &Job) -> Option<u32> {
        match job {
            Job::Notes(notes) => self.sessions.find(&notes.uuid()),
            Job::Offer(offers) => self.sessions.find(&offers.uuid),
            Job::Release(release) => Some(release.session),
            Job::Acknowledge { session, .. } | Job::Early { session } => Some(*session),
            Job::Left(_) | Job::Close { .. } | Job::Settle { .. } => None,
        }
    }

    /// The counters, with the current sizes of the tables.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            open: self.messages.open() as u64,
            waiting: u64::from(self.wait_list.len()),
            // There are at most 2^30 sessions.
            sessions: self.sessions.len() as u32,
            connected: self.sessions.connected,
            payload_bytes: self.pool.used_bytes(),
            kept: self.messages.len() as u64,
            senders: self.messages.senders() as u64,
            destinations: self.messages.destinations() as u64,
            offers: self.wait_list.offers() as u64,
            ..self.stats
        }
    }
}
