//! The limits of a broker as options, each with its name in the config.

use std::fmt;
use std::time::Duration;

use clap::Args;
use e_pigeon_core::{Bound, BrokerConfig, ConfigError};

use crate::args::parse_duration;
use crate::failure::Failure;

/// Declares an option for each field, and how they get into the config.
macro_rules! limits {
    (
        by memory: { $($(#[$memory_about:meta])* $memory:ident: $memory_type:ty, $memory_value:literal, $memory_parse:expr;)* }
        others: { $($(#[$about:meta])* $name:ident: $type:ty = $default:literal, $value:literal, $parse:expr;)* }
    ) => {
        /// One option for each limit of [`BrokerConfig`].
        #[derive(Debug, Args)]
        pub(crate) struct Limits {
            $($(#[$memory_about])*
            #[arg(long, value_name = $memory_value, value_parser = $memory_parse, help_heading = "Limits that follow from --memory")]
            $memory: Option<$memory_type>,)*
            $($(#[$about])*
            #[arg(long, value_name = $value, value_parser = $parse, default_value = $default, help_heading = "Limits")]
            $name: $type,)*
        }

        impl Limits {
            /// Those that follow from the memory, where they are not given.
            #[cfg(test)]
            pub(crate) const BY_MEMORY: &[&str] = &[$(stringify!($memory),)*];

            /// The config that these options make, with the default of the library for what was not given.
            pub(crate) fn config(&self, hash_seed: u64) -> BrokerConfig {
                let default = BrokerConfig::new(hash_seed);
                BrokerConfig {
                    hash_seed,
                    $($memory: self.$memory.unwrap_or(default.$memory),)*
                    $($name: self.$name,)*
                }
            }

            /// Which of those that follow from the memory were given.
            pub(crate) fn given(&self) -> Vec<&'static str> {
                let names = [$((stringify!($memory), self.$memory.is_some()),)*];
                names.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
            }
        }

        /// All limits of a broker, as the log shows them.
        pub(crate) struct Shown<'c>(pub(crate) &'c BrokerConfig);

        impl fmt::Display for Shown<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(write!(f, "{separator}{}={:?}", stringify!($memory), self.0.$memory)?; separator = " ";)*
                $(write!(f, "{separator}{}={:?}", stringify!($name), self.0.$name)?; separator = " ";)*
                let _ = separator;
                Ok(())
            }
        }
    };
}

limits! {
    by memory: {
        /// Links open at a time
        max_links: u32, "N", number::<u32>;
        /// Of these, links over lines that may lose frames
        max_lossy_links: u32, "N", number::<u32>;
        /// Sessions, connected or away
        max_sessions: u32, "N", number::<u32>;
        /// The largest payload
        max_payload: u32, "SIZE", size::<u32>;
        /// Messages in flight in the whole broker
        max_messages: u32, "N", number::<u32>;
        /// Memory for the payloads of the whole broker; up to 64 KiB each counts as the next power of two
        max_message_bytes: u64, "SIZE", size::<u64>;
        /// Messages that wait for somebody who matches, or for recipients to come back
        max_held: u32, "N", number::<u32>;
        /// Of these, messages that nobody has matched yet
        max_parked: u32, "N", number::<u32>;
        /// Messages of one sender that wait so
        sender_waiting: u32, "N", number::<u32>;
        /// Messages in all queues together
        max_queued: u32, "N", number::<u32>;
        /// Messages of one sender in the queue of a session
        sender_queue: u32, "N", number::<u32>;
        /// Messages in the queue of a session
        queue_messages: u32, "N", number::<u32>;
        /// Payloads in the queue of a session
        queue_bytes: u64, "SIZE", size::<u64>;
        /// Messages that a client may send ahead of their acknowledgement
        window_messages: u32, "N", number::<u32>;
        /// Payloads that a client may send ahead of their acknowledgement
        window_bytes: u32, "SIZE", size::<u32>;
        /// Receipts that may wait for a sender before it has to pause
        receipt_backlog: u32, "N", number::<u32>;
        /// Receipts that may wait for all senders together
        max_receipts: u32, "N", number::<u32>;
        /// Changes of presence that may wait for a watcher before it gets a new snapshot instead
        watch_backlog: u32, "N", number::<u32>;
        /// Items of a link that came before an earlier one that is missing, where frames may be lost
        reorder_bytes: u32, "SIZE", size::<u32>;
    }
    others: {
        /// Links of one address or network (IPv6: /64) at a time; 0 for any number
        max_links_per_source: u32 = "0", "N", number::<u32>;
        /// Hellos of one address or network that may fail in a minute; 0 for any number
        max_failed_hellos_per_source: u32 = "0", "N", number::<u32>;
        /// Attributes of a session
        max_attributes: u8 = "16", "N", number::<u8>;
        /// The longest destination of a message, encoded
        destination_bytes: u16 = "794", "SIZE", size::<u16>;
        /// Destinations that a link knows by a short name
        destination_slots: u8 = "16", "N", number::<u8>;
        /// Filters that a session may watch
        max_watches: u8 = "8", "N", number::<u8>;
        /// The longest time that a message may wait for its recipients
        max_time_to_live: Duration = "7d", "TIME", parse_duration;
        /// How often a link gives a sign of life
        keep_alive: Duration = "10s", "TIME", parse_duration;
        /// How long a session stays while its client is away
        session_ttl: Duration = "10m", "TIME", parse_duration;
        /// How long a session stays at least that begins while most places for sessions are taken
        session_ttl_min: Duration = "30s", "TIME", parse_duration;
        /// How long a new broker waits for the clients of the one before
        settle: Duration = "2s", "TIME", parse_duration;
        /// How long a client may take to say hello
        handshake_timeout: Duration = "5s", "TIME", parse_duration;
        /// How long the news that a message was accepted may wait for its receipt
        accept_delay: Duration = "10ms", "TIME", parse_duration;
    }
}

/// Says which option is to blame for a config that makes no sense, and what it may be.
pub(crate) fn explain(error: ConfigError) -> Failure {
    match error {
        ConfigError::TooSmall(name, least) => Failure::usage(format_args!(
            "{} is too small, give at least {}",
            option(name),
            shown(name, least)
        )),
        ConfigError::TooLarge(name, most) => {
            Failure::usage(format_args!("{} is too large, give at most {}", option(name), shown(name, most)))
        }
        other => Failure::usage(other),
    }
}

fn option(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// A bound of this limit as the command line would say it.
fn shown(name: &str, bound: Bound) -> String {
    let number = |number: u64| {
        let is_size = name.ends_with("_bytes") || name == "max_payload";
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = units.into_iter().find(|(_, unit)| is_size && number > 0 && number.is_multiple_of(*unit));
        unit.map_or_else(|| number.to_string(), |(name, unit)| format!("{}{name}", number / unit))
    };
    match bound {
        Bound::Number(value) => number(value),
        Bound::Time(time) => humantime::format_duration(time).to_string(),
        Bound::Because(other, value) => format!("{} for this {}", number(value), option(other)),
        other => other.to_string(),
    }
}

/// Reads a number.
pub(crate) fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let value: Option<u64> = text.parse().ok();
    value.and_then(|value| value.try_into().ok()).ok_or("not a number that fits, for example 1000".into())
}

/// Reads a number of bytes, such as `65536`, `64KiB`, `1MiB` or `1GiB`.
pub(crate) fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let wrong = || "not a size that fits, for example 65536, 64KiB, 1MiB or 1GiB".to_owned();
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|digits| (digits, *unit)))
        .unwrap_or((text, 1_u64));
    let bytes = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(unit)).ok_or_else(wrong)?;
    bytes.try_into().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};
    use e_pigeon_core::Broker;

    #[test]
    fn the_defaults_are_those_of_the_config() {
        let matches = Limits::augment_args(Command::new("x")).get_matches_from(["x"]);
        let limits = Limits::from_arg_matches(&matches).expect("nothing was given");
        assert_eq!(format!("{:?}", limits.config(0)), format!("{:?}", BrokerConfig::new(0)));
    }

    #[test]
    fn sizes_and_numbers() {
        assert_eq!(size::<u32>("65536"), Ok(65_536));
        assert_eq!(size::<u32>("64KiB"), Ok(65_536));
        assert_eq!(size::<u64>("8GiB"), Ok(8 << 30));
        for text in ["", "KiB", "1kb", "-1", "1.5MiB", "4GiB"] {
            assert!(size::<u32>(text).is_err(), "{text}");
        }
        assert_eq!(number::<u8>("16"), Ok(16));
        assert!(number::<u8>("256").is_err());
    }

    #[test]
    fn newcomer_9_and_field_s6_a_bad_limit_is_named_with_its_bound() {
        let line = |arguments: &[&str]| {
            let matches = Limits::augment_args(Command::new("x")).get_matches_from(arguments);
            let config = Limits::from_arg_matches(&matches).expect("limits").config(0);
            let failure = explain(Broker::new(config, 1).expect_err("no sense"));
            assert_eq!(failure.code, 2);
            failure.line
        };
        for (option, value, expected) in [
            ("--max-payload", "17MiB", "--max-payload is too large, give at most 16MiB"),
            (
                "--max-payload",
                "16MiB",
                "--window-bytes is too small, give at least 16MiB for this --max-payload",
            ),
            ("--max-links", "0", "--max-links is too small, give at least 1"),
            ("--max-attributes", "17", "--max-attributes is too large, give at most 16"),
            ("--destination-bytes", "1KiB", "--destination-bytes is too large, give at most 794"),
            ("--keep-alive", "1us", "--keep-alive is too small, give at least 1ms"),
            ("--accept-delay", "1h", "--accept-delay is too large, give at most 1m"),
        ] {
            assert_eq!(line(&["x", option, value]), expected);
        }
    }
}
