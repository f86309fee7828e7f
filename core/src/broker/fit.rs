//! Limits of a broker that fit a size of memory.

use crate::config::broker::BrokerConfig;
use crate::config::buffers::payload_buffer;
use core::fmt;

/// The smallest limits of a broker need more memory than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLittleMemory {
    /// The bytes that the smallest limits need.
    pub needed: u64,
}

impl fmt::Display for TooLittleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "these limits need at least {} bytes of memory: allow more, or lower the limits",
            self.needed
        )
    }
}

impl core::error::Error for TooLittleMemory {}

/// Limits are scaled in so many steps up to the reference size.
const STEPS: u64 = 1 << 12;
/// The last step: limits for 4 TiB and more.
const MOST: u64 = STEPS << 10;

/// How a limit grows with the memory.
#[derive(Clone, Copy)]
enum Grows {
    /// In proportion to the memory.
    Evenly,
    /// With the square root of the memory.
    Slowly,
}

/// A limit at one step of [`STEPS`].
fn part(of: u64, grows: Grows, step: u64, least: u64, most: u64) -> u64 {
    let scaled = match grows {
        Grows::Evenly => u128::from(of) * u128::from(step) / u128::from(STEPS),
        Grows::Slowly => u128::from(of) * u128::from((step * STEPS).isqrt()) / u128::from(STEPS),
    };
    // The value is at most `most`.
    (scaled.min(most.into()) as u64).max(least)
}

/// Sets each limit whose name is not in `given`.
macro_rules! limits {
    ($config:ident, $given:ident, $step:ident; $($name:ident: $of:expr, $grows:ident, $least:expr, $most:expr;)*) => {
        $(if !$given.contains(&stringify!($name)) {
            // The value is at most the largest one of its type.
            $config.$name = part($of, Grows::$grows, $step, $least, $most).try_into().unwrap_or($config.$name);
        })*
    };
}

impl BrokerConfig {
    /// Makes limits for a broker that needs at most `bytes` of memory, by [`worst_case_bytes`](Self::worst_case_bytes). The
    /// limits are in proportion to each other; settings that do not affect memory have their defaults.
    ///
    /// # Errors
    ///
    /// Not even the smallest limits fit. The error has the number of bytes that they need.
    pub fn for_memory(hash_seed: u64, bytes: u64) -> Result<Self, TooLittleMemory> {
        Self::new(hash_seed).fit_memory(bytes, &[])
    }

    /// The same, but limits with names in `given` keep their values, and the others are fitted beside them.
    ///
    /// # Errors
    ///
    /// The given limits leave too little memory for the others. Whether they are valid is checked when a broker is made.
    pub fn fit_memory(&self, bytes: u64, given: &[&str]) -> Result<Self, TooLittleMemory> {
        let fits =
            |step: u64| Some(self.scaled(step, given)).filter(|config| config.worst_case_bytes() <= bytes);
        let smallest = || TooLittleMemory { needed: self.scaled(1, given).worst_case_bytes() };
        let mut best = fits(1).ok_or_else(smallest)?;
        // The last step that fits, and the first that does not.
        let (mut low, mut high) = (1, MOST + 1);
        while high - low > 1 {
            let step = low.midpoint(high);
            match fits(step) {
                Some(config) => (best, low) = (config, step),
                None => high = step,
            }
        }
        Ok(best)
    }

    /// The limits at one step. No limit is smaller than at the step before.
    fn scaled(&self, step: u64, given: &[&str]) -> Self {
        let mut config = self.clone();
        // One payload has to fit the given limits for many.
        let room = [
            ("window_bytes", config.window_bytes.into()),
            ("queue_bytes", config.queue_bytes),
            ("max_message_bytes", config.max_message_bytes),
        ];
        let room = room.into_iter().filter(|(name, _)| given.contains(name)).map(|(_, bytes)| bytes);
        let most = room.min().unwrap_or(u64::MAX).min(64 << 10);
        limits!(config, given, step;
            max_payload: 256 << 10, Slowly, most.min(1 << 10), most;
        );
        let payload = u64::from(config.max_payload);
        let buffer = payload_buffer(config.max_payload as usize) as u64;
        limits!(config, given, step;
            max_links: 16_384, Evenly, 4, 1 << 20;
            max_lossy_links: 256, Evenly, 1, 16_384;
            max_sessions: 32_768, Evenly, 4, 1 << 16;
            max_messages: 786_432, Evenly, 16, 1 << 28;
            max_message_bytes: 2 << 30, Evenly, buffer, 1 << 40;
            max_held: 65_536, Evenly, 4, 1 << 24;
            max_queued: 4 << 20, Evenly, 64, 1 << 30;
            queue_messages: 65_536, Slowly, 16, 16_384;
            queue_bytes: 64 << 20, Slowly, payload, 16 << 20;
            max_receipts: 2 << 20, Evenly, 64, 1 << 28;
            window_messages: 16_384, Slowly, 16, 4_096;
            window_bytes: 8 << 20, Slowly, payload, 4 << 20;
            receipt_backlog: 16_384, Slowly, 4, 4_096;
            watch_backlog: 64, Slowly, 4, 1_024;
            reorder_bytes: 64 << 10, Slowly, payload, 64 << 10;
        );
        let (held, queue) = (u64::from(config.max_held), u64::from(config.queue_messages));
        limits!(config, given, STEPS;
            max_parked: held / 2, Evenly, 1, held;
            sender_waiting: held / 4, Evenly, 1, held;
            sender_queue: queue / 2, Evenly, 1, queue;
        );
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fit_whatever_the_memory_and_are_of_use() {
        for shift in 22..42 {
            let bytes = 1_u64 << shift;
            let config = BrokerConfig::for_memory(0, bytes).unwrap();
            let worst = config.worst_case_bytes();
            assert!(worst <= bytes, "{worst} of {bytes}");
            assert!(worst >= bytes / 2, "{worst} of {bytes}");
            config.validate().unwrap();
        }
        let small = BrokerConfig::for_memory(0, 64 << 20).unwrap();
        assert!(
            small.max_messages > 2_000 && small.max_sessions > 100 && small.max_queued > 20_000,
            "{small:?}"
        );
        assert_eq!(
            BrokerConfig::for_memory(0, 1 << 30).unwrap().max_payload,
            BrokerConfig::new(0).max_payload
        );
        let least = BrokerConfig::for_memory(0, 1_000).unwrap_err().needed;
        assert!((1_000..4 << 20).contains(&least) && BrokerConfig::for_memory(0, least).is_ok());
    }

    #[test]
    fn what_was_given_stays_and_the_others_make_room() {
        let given = BrokerConfig::new(0).max_sessions(10_000).max_payload(1 << 20);
        let config = given.fit_memory(1 << 30, &["max_sessions", "max_payload"]).unwrap();
        assert_eq!((config.max_sessions, config.max_payload), (10_000, 1 << 20));
        assert!(config.worst_case_bytes() <= 1 << 30);
        let given = BrokerConfig::new(0).max_sessions(1 << 24);
        assert!(given.fit_memory(1 << 30, &["max_sessions"]).is_err());
    }
}
