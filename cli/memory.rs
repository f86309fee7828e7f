//! The memory that a broker may take, and the limits that follow from it.

use std::fs;
use std::path::Path;

use e_pigeon_core::BrokerConfig;

use crate::failure::Failure;
use crate::limits::Limits;

/// What is taken for the memory of a machine that does not say how much it has.
const UNKNOWN: u64 = 4 << 30;
/// A broker takes this part of what there is, unless `--memory` says how much.
const PART: u64 = 4;

/// The config of a broker that may take so many bytes: limits that were given stay, and the others fit beside them.
pub(crate) fn config(limits: &Limits, memory: Option<u64>, hash_seed: u64) -> Result<BrokerConfig, Failure> {
    let bytes = memory.unwrap_or_else(|| available() / PART);
    limits.config(hash_seed).fit_memory(bytes, &limits.given()).map_err(|error| {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Failure::usage(format_args!(
            "these limits need {} MiB of memory, and {} MiB are allowed; raise --memory, or lower limits",
            mib(error.needed),
            bytes >> 20
        ))
    })
}

/// The memory of this machine, or what its control group allows where that is less.
fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let allowed = limit_files(&groups).into_iter().filter_map(|file| limit(&file)).min();
    // What no control group limits has a limit that no machine has.
    machine.into_iter().chain(allowed).min().unwrap_or(UNKNOWN)
}

/// The total in what `/proc/meminfo` says.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// The files that say how much the control groups of this process, and those around them, may take.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        for ancestor in Path::new(group).ancestors() {
            files.push(format!("{root}{}/{name}", ancestor.display()).replace("//", "/"));
        }
    }
    files
}

fn limit(file: &str) -> Option<u64> {
    // "max" is no number, and no limit.
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command, FromArgMatches};

    fn limits(arguments: &[&str]) -> Limits {
        let matches = Limits::augment_args(Command::new("x")).get_matches_from(arguments);
        Limits::from_arg_matches(&matches).expect("limits")
    }

    #[test]
    fn field_s9_limits_follow_from_the_memory_and_those_given_stay() {
        let made = config(&limits(&["x", "--max-sessions", "50"]), Some(64 << 20), 1).expect("it fits");
        assert!(made.worst_case_bytes() <= 64 << 20);
        assert_eq!((made.max_sessions, made.hash_seed), (50, 1));
        let failure = config(&limits(&["x", "--max-message-bytes", "1GiB"]), Some(64 << 20), 1).err();
        let line = failure.expect("it does not fit").line;
        assert!(line.contains("and 64 MiB are allowed; raise --memory"), "{line}");
    }

    #[test]
    fn every_option_under_the_heading_follows_from_the_memory() {
        let nothing = limits(&["x"]);
        let one = |memory: u64| format!("{:?}", config(&nothing, Some(memory), 1).expect("it fits"));
        let (small, large) = (one(16 << 20), one(512 << 20));
        for name in Limits::BY_MEMORY {
            let value = |config: &str| {
                config
                    .split(&format!(" {name}: "))
                    .nth(1)
                    .map(|rest| rest.split(',').next().map(str::to_owned))
            };
            assert_ne!(value(&small), value(&large), "{name}");
        }
    }

    #[test]
    fn field_s6_a_large_payload_makes_room_for_itself() {
        let made = config(&limits(&["x", "--max-payload", "16MiB"]), Some(4 << 30), 1).expect("it fits");
        assert!(made.window_bytes >= 16 << 20 && made.queue_bytes >= 16 << 20);
    }

    #[test]
    fn what_the_system_says_is_understood() {
        assert_eq!(total("MemFree: 7 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(total("nothing"), None);
        assert_eq!(
            limit_files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(
            limit_files("5:cpu,memory:/a\n4:freezer:/a\n"),
            ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert!(available() > 1 << 20);
    }
}
