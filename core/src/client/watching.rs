//! The calls for presence of a client and its commands. (PROTOCOL.md, "Presence")

#[cfg(doc)]
use super::event::Event;
use super::event::WatchId;
use super::handles::{Client, Commands};
#[cfg(doc)]
use crate::config::client::ClientConfig;
use crate::data::filter::Filter;
use crate::error::WatchError;
use crate::time::Instant;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Client<B> {
    /// Watches the presence of all sessions that match a filter, connected and away. First comes
    /// [`Event::PresenceReset`], then an [`Event::Presence`] for each, then [`Event::PresenceSynced`]; after that each
    /// change, with the attributes that the session has when the broker writes it. A client that falls behind gets a new
    /// snapshot.
    ///
    /// Works before the first connection, and lasts until [`unwatch`](Self::unwatch) or the end of this client, across
    /// links, sessions and brokers. (PROTOCOL.md, "Presence")
    ///
    /// # Errors
    ///
    /// All of them are the caller's fault; see [`watches`](ClientConfig::watches). Where the *broker* does not allow
    /// it, [`Event::WatchRefused`] follows.
    pub fn watch(&mut self, now: Instant, filter: &Filter) -> Result<WatchId, WatchError> {
        self.commands().watch(now, filter)
    }

    /// Ends a watch: no further event names it. Harmless if it has ended already.
    pub fn unwatch(&mut self, now: Instant, watch: WatchId) {
        self.commands().unwatch(now, watch);
    }
}

#[cfg(feature = "alloc")]
impl<B: AsRef<[u8]>> Client<B> {
    /// True if the application wants what comes under that watch.
    pub(crate) fn wants(&self, watch: WatchId) -> bool {
        self.state.tables.watching.wants(self.memory.as_ref(), watch)
    }
}

impl Commands<'_> {
    /// As [`Client::watch`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn watch(&mut self, now: Instant, filter: &Filter) -> Result<WatchId, WatchError> {
        self.state.link.advance(now);
        if !self.state.link.takes_commands() {
            return Err(WatchError::Closed);
        }
        self.state.tables.watching.watch(self.m, filter)
    }

    /// As [`Client::unwatch`].
    pub fn unwatch(&mut self, now: Instant, watch: WatchId) {
        self.state.link.advance(now);
        self.state.tables.watching.unwatch(self.m, watch);
    }
}
