//! The broker: its tables, its links, and the frame of each call.

use crate::broker::links::sources::{self, Sources};
use crate::broker::links::table::Links;
use crate::broker::store::{Guard, Policy, Store};
use crate::bug;
use crate::config::broker::BrokerConfig;
use crate::error::ConfigError;
use crate::time::Instant;
use core::fmt;

/// A broker without I/O: the embedder moves bytes and passes the time.
///
/// The kinds of methods and the run loop are on the [front page](crate). The [`BrokerConfig`] limits every table.
pub struct Broker {
    pub(crate) store: Store,
    pub(crate) links: Links,
    pub(crate) sources: Sources,
    pub(crate) started: bool,
    /// Until when the broker waits for clients of its earlier life; `None` after that.
    pub(crate) settles_at: Option<Instant>,
    /// When unused memory is given back, and how many tables have done that.
    pub(crate) gives_back_at: Option<Instant>,
    pub(crate) gave_back: u8,
    /// True if a call has found a bug of this crate.
    pub(crate) broken: bool,
}

/// Shows counters, and no content of clients.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("epoch", &self.store.epoch)
            .field("now", &self.store.now)
            .field("broken", &self.broken)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Makes a broker without sessions. `epoch` must be a new random number at each start.
    ///
    /// # Errors
    ///
    /// A limit of the config is out of its bounds.
    pub fn new(config: BrokerConfig, epoch: u64) -> Result<Self, ConfigError> {
        Self::guarded_by(config, epoch, Guard::default())
    }

    /// Makes a broker with a policy, which decides what sessions may do.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_policy(
        config: BrokerConfig,
        epoch: u64,
        policy: impl Policy + 'static,
    ) -> Result<Self, ConfigError> {
        Self::guarded_by(config, epoch, Guard::new(policy))
    }

    fn guarded_by(config: BrokerConfig, epoch: u64, guard: Guard) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            links: Links::new(config.max_links.saturating_add(sources::max_made_way(&config))),
            sources: Sources::default(),
            started: false,
            settles_at: None,
            gives_back_at: None,
            gave_back: 0,
            broken: false,
            store: Store::new(config, epoch, guard),
        })
    }

    /// Runs a call at a time, and notes whether it found a bug.
    pub(crate) fn call<T>(&mut self, now: Instant, call: impl FnOnce(&mut Self, Instant) -> T) -> T {
        let before = bug::so_far();
        self.begin(now);
        let result = call(self, self.store.now);
        self.broken |= bug::so_far() != before;
        result
    }

    /// Begins a call. It is not part of each, which would take flash.
    fn begin(&mut self, now: Instant) {
        self.store.work.begin();
        if !self.started {
            // The settling begins with the first call.
            self.started = true;
            self.settles_at = Some(now + self.store.config.settle);
        }
        // The time never runs back.
        self.store.now = self.store.now.max(now);
    }
}
