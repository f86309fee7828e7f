//! The lives of a broker that finds bugs in itself.

use std::time::{Duration, Instant};

use e_pigeon_core::{Broker, BrokerConfig};

use crate::identity::random;

/// So many new lives may begin within [`WHILE`]; a broker that breaks more often is of no use to its clients.
const LIVES: usize = 3;
const WHILE: Duration = Duration::from_secs(60);

/// Makes the next lives of a broker, with the same config.
pub(crate) struct Lives {
    config: BrokerConfig,
    /// When the last of them began, the oldest first.
    begun: Vec<Instant>,
}

impl Lives {
    pub(crate) fn new(config: BrokerConfig) -> Self {
        Self { config, begun: Vec::new() }
    }

    /// The broker of the next life, with an epoch drawn at random; `None` where it is to end.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Broker> {
        self.begun.retain(|&at| now.duration_since(at) < WHILE);
        if self.begun.len() >= LIVES {
            return None;
        }
        self.begun.push(now);
        let epoch = u64::from_ne_bytes(random().ok()?);
        Broker::new(self.config.clone(), epoch).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_breaks_more_than_three_times_a_minute_ends() {
        let config = BrokerConfig::new(1).max_sessions(77);
        let mut lives = Lives::new(config);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let made: Vec<Broker> = (0..3).map(|second| lives.next(after(second)).expect("a life")).collect();
        assert!(made.iter().all(|broker| broker.config().max_sessions == 77));
        // Nothing else that is printed of them differs.
        let printed = |place: usize| format!("{:?}", made[place]);
        assert!(printed(0) != printed(1) && printed(1) != printed(2), "each has an epoch of its own");
        assert!(lives.next(after(59)).is_none(), "the fourth within a minute");
        assert!(lives.next(after(60)).is_some(), "the first is a minute ago");
        assert!(lives.next(after(60)).is_none());
    }
}
