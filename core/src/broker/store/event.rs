//! Events for the operator of a broker, and their queue.

use crate::broker::store::capacity::min;
use crate::broker::store::key_set::next_places;
use crate::broker::store::ready::LinkId;
use crate::config::broker::BrokerConfig;
use crate::data::message::Receipt;
use crate::error::AbortCode;
use alloc::collections::VecDeque;
use core::fmt;
use uuid::Uuid;

/// The most events that wait to be polled. Of further ones only the number is kept.
const MAX_EVENTS: usize = 1_024;

pub(crate) const fn max_events(config: &BrokerConfig) -> usize {
    min(MAX_EVENTS as u64, 2 * config.max_sessions as u64) as usize
}

/// An event for the operator of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// A client without a session has got one.
    SessionOpened(Uuid),
    /// A client is connected to its session again.
    SessionResumed(Uuid),
    /// The client of a session is away.
    SessionAway(Uuid),
    /// A session has ended.
    SessionEnded(Uuid),
    /// The broker has ended a link.
    LinkAborted(LinkId, AbortCode),
    /// A connection, or the hello of a new client, was refused because a limit is reached.
    Refused {
        /// The source that was given to [`Broker::handle_connected`](crate::broker::Broker::handle_connected).
        source: u64,
        /// The limit that is reached.
        limit: Limit,
    },
    /// A message of [`Broker::send`](crate::Broker::send) has ended.
    Receipt(Receipt),
    /// That many events were lost, because they were not polled in time.
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
            Self::Receipt(receipt) => {
                write!(f, "message {} of the broker has ended: {receipt:?}", receipt.id())
            }
            Self::Missed(count) => {
                write!(f, "{count} events were dropped, because they were not polled in time")
            }
        }
    }
}

/// A limit for which a connection or a hello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// There are `max_links` links.
    Links,
    /// There are `max_lossy_links` links over lossy framed transports.
    LossyLinks,
    /// The source has `max_links_per_source` links.
    LinksPerSource,
    /// The source has `max_failed_hellos_per_source` failed hellos.
    FailedHellosPerSource,
    /// There are `max_sessions` sessions.
    Sessions,
    /// The line has left as many sessions away as it may.
    SessionsPerLine,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Links => "max_links is reached",
            Self::LossyLinks => "max_lossy_links is reached",
            Self::LinksPerSource => "max_links_per_source is reached",
            Self::FailedHellosPerSource => "max_failed_hellos_per_source is reached",
            Self::Sessions => "max_sessions is reached",
            Self::SessionsPerLine => "too many sessions of this line are away",
        })
    }
}

/// Events that wait to be polled.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<BrokerEvent>,
    missed: u64,
}

impl Events {
    /// Adds an event, or counts it as missed if `max` wait already. The queue takes no more places than these.
    pub(crate) fn push(&mut self, event: BrokerEvent, max: usize) {
        if self.queue.len() == max {
            self.missed += 1;
            return;
        }
        if self.queue.len() == self.queue.capacity() {
            self.queue.reserve_exact(next_places(self.queue.len(), max));
        }
        self.queue.push_back(event);
    }

    /// The next event. The number of lost ones comes first.
    pub(crate) fn pop(&mut self) -> Option<BrokerEvent> {
        match core::mem::take(&mut self.missed) {
            0 => self.queue.pop_front(),
            missed => Some(BrokerEvent::Missed(missed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn events_beyond_the_limit_are_counted_and_their_number_comes_first() {
        let mut events = Events::default();
        let event = |number| BrokerEvent::SessionOpened(Uuid::from_u128(number));
        (1..=5).for_each(|number| events.push(event(number), 3));
        assert_eq!(events.queue.capacity(), 3, "no more places than it may use");
        let polled: Vec<_> = core::iter::from_fn(|| events.pop()).collect();
        assert_eq!(polled, [BrokerEvent::Missed(2), event(1), event(2), event(3)]);
        events.push(event(6), 3);
        assert_eq!([events.pop(), events.pop()], [Some(event(6)), None]);
    }

    #[test]
    fn a_broker_with_few_sessions_keeps_two_events_for_each() {
        let max = |sessions| max_events(&BrokerConfig::new(0).max_sessions(sessions));
        assert_eq!([max(3), max(100_000)], [6, MAX_EVENTS]);
    }
}
