//! Events of a broker, for its operator, and the queue in which they wait.

use super::ready::LinkId;
use super::sources::Limit;
use crate::config::broker::BrokerConfig;
use crate::error::AbortCode;
use alloc::collections::VecDeque;
use core::fmt;
use uuid::Uuid;

/// The most events that wait to be polled, where there are enough sessions; of more, only their number is kept.
const MAX_EVENTS: usize = 1_024;

pub(super) fn max_events(config: &BrokerConfig) -> usize {
    MAX_EVENTS.min(2 * config.max_sessions as usize)
}

/// Something that an operator of the broker may want to know.
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
        /// Where it came from: the source that was given to [`Broker::handle_connected`](super::Broker::handle_connected).
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
            Self::SessionOpened(uuid) => write!(f, "{uuid}: session opened"),
            Self::SessionResumed(uuid) => write!(f, "{uuid}: session resumed"),
            Self::SessionAway(uuid) => write!(f, "{uuid}: away"),
            Self::SessionEnded(uuid) => write!(f, "{uuid}: session ended"),
            Self::LinkAborted(link, code) => write!(f, "link {} aborted: {code}", link.index()),
            Self::Refused { source, limit } => write!(f, "refused a client of source {source:#x}: {limit}"),
            Self::Missed(count) => {
                write!(f, "{count} events were dropped, because they were not polled in time")
            }
        }
    }
}

/// Events that wait to be polled.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<BrokerEvent>,
    missed: u64,
}

impl Events {
    /// Adds an event, or counts it as missed if `max` wait already.
    pub(super) fn push(&mut self, event: BrokerEvent, max: usize) {
        if self.queue.len() < max {
            self.queue.push_back(event);
        } else {
            self.missed += 1;
        }
    }

    /// The next event; first how many were missed.
    pub(super) fn pop(&mut self) -> Option<BrokerEvent> {
        match core::mem::take(&mut self.missed) {
            0 => self.queue.pop_front(),
            missed => Some(BrokerEvent::Missed(missed)),
        }
    }
}
