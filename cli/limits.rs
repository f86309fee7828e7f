//! The limits of a broker as options, each with its name in the config.

use std::fmt;
use std::time::Duration;

use clap::Args;
use e_pigeon_core::{Bound, BrokerConfig, ConfigError};

use crate::failure::Failure;
use crate::units::{number, parse_duration, size};

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
            #[arg(long, value_name = $memory_value, value_parser = $memory_parse, help_heading = "Limits whose defaults fit into --memory")]
            $memory: Option<$memory_type>,)*
            $($(#[$about])*
            #[arg(long, value_name = $value, value_parser = $parse, default_value = $default, help_heading = "Limits")]
            $name: $type,)*
        }

        impl Limits {
            /// The limits that follow from the memory if they are not given.
            #[cfg(test)]
            pub(crate) const BY_MEMORY: &[&str] = &[$(stringify!($memory),)*];

            /// The config that these options make, with the library's default for each option that was not given.
            pub(crate) fn config(&self, hash_seed: u64) -> BrokerConfig {
                let mut config = BrokerConfig::new(hash_seed);
                $(config.$memory = self.$memory.unwrap_or(config.$memory);)*
                $(config.$name = self.$name;)*
                config
            }

            /// The limits that were given although they could follow from the memory.
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
        /// Open links, at least 1
        max_links: u32, "N", number::<u32>;
        /// Of these, links that may lose frames (cobs:, serial:)
        max_lossy_links: u32, "N", number::<u32>;
        /// Sessions, connected or away, at least 1
        max_sessions: u32, "N", number::<u32>;
        /// Largest payload of a message, at most 16MiB
        max_payload: u32, "SIZE", size::<u32>;
        /// Messages in flight in the whole broker, at least 1
        max_messages: u32, "N", number::<u32>;
        /// Memory for all payloads together; one of up to 64KiB counts as the next power of two, at least 32
        max_message_bytes: u64, "SIZE", size::<u64>;
        /// Messages that wait for a matching session, or for the recipients that a previous broker had
        max_held: u32, "N", number::<u32>;
        /// Of these, messages that no session has matched yet
        max_parked: u32, "N", number::<u32>;
        /// Messages of one sender among those of --max-held
        sender_waiting: u32, "N", number::<u32>;
        /// Messages in all queues together, at least 1; a message in several queues counts in each
        max_queued: u32, "N", number::<u32>;
        /// Messages of one sender in the queue of a session, at least 1
        sender_queue: u32, "N", number::<u32>;
        /// Messages in the queue of a session, at least 1
        queue_messages: u32, "N", number::<u32>;
        /// Bytes of payload in the queue of a session, at least --max-payload
        queue_bytes: u64, "SIZE", size::<u64>;
        /// Messages that a client may send before the broker acknowledges them, at least 1
        window_messages: u32, "N", number::<u32>;
        /// Bytes of payload that a client may send before the broker acknowledges them, at least --max-payload
        window_bytes: u32, "SIZE", size::<u32>;
        /// Receipts queued for one sender before it has to pause, at least 1
        receipt_backlog: u32, "N", number::<u32>;
        /// Receipts queued for all senders together, at least 1
        max_receipts: u32, "N", number::<u32>;
        /// Presence changes queued for a watched filter before a new snapshot replaces them, at least 1
        watch_backlog: u32, "N", number::<u32>;
        /// Reorder buffer of each link that may lose frames (cobs:, serial:)
        reorder_bytes: u32, "SIZE", size::<u32>;
    }
    others: {
        /// Open links from one IP address (IPv6: /64 network); 0 means no limit
        max_links_per_source: u32 = "0", "N", number::<u32>;
        /// Failed handshakes a minute from one IP address (IPv6: /64 network); 0 means no limit
        max_failed_hellos_per_source: u32 = "0", "N", number::<u32>;
        /// Attributes of a session, at most 16
        max_attributes: u8 = "16", "N", number::<u8>;
        /// Longest encoded destination of a message in bytes, 17 to 794
        destination_bytes: u16 = "794", "SIZE", size::<u16>;
        /// Destinations that a client may abbreviate by an alias, 1 to 16
        destination_slots: u8 = "16", "N", number::<u8>;
        /// Filters that a session may watch, at most 255
        max_watches: u8 = "8", "N", number::<u8>;
        /// Longest time to live of a message, at least 1ms; a longer one is cut to it
        max_time_to_live: Duration = "7d", "TIME", parse_duration;
        /// Interval of keep-alives, 1ms to 1day; a link that is silent for three of them is closed
        keep_alive: Duration = "10s", "TIME", parse_duration;
        /// Time that a session stays while its client is away, 1ms to 365days
        session_ttl: Duration = "10m", "TIME", parse_duration;
        /// The same for a session that begins when 90 % of --max-sessions exist, at least 1ms
        session_ttl_min: Duration = "30s", "TIME", parse_duration;
        /// Time that a new broker waits for the clients of the previous one
        settle: Duration = "2s", "TIME", parse_duration;
        /// Time that a client may take for the handshake, above 0
        handshake_timeout: Duration = "5s", "TIME", parse_duration;
        /// Delay of `accepted` acknowledgements, at most 1m, so that they can be merged with the final receipt
        accept_delay: Duration = "10ms", "TIME", parse_duration;
    }
}

/// Names the option that is out of bounds, and its bound.
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

/// A bound of this limit, in the notation of the command line.
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
