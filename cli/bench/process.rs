//! What the system says about a process, and pinning.

use std::fs;

use crate::failure::Failure;

/// User and system time of all threads of a process, those that have ended among them, in seconds.
pub(crate) fn processor_seconds(id: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let ticks = ticks(&text)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The fields 14 and 15 of what the system tells, together. The second field is a name in parentheses, with anything in it.
fn ticks(text: &str) -> Option<u64> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// How much of its memory is in the machine's, in bytes. What the kernel keeps for its sockets is not in it.
pub(crate) fn resident_bytes(id: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes as f64 * 1024.0)
}

/// Lets this thread, and what it starts from now on, run on one core only.
#[cfg(target_os = "linux")]
pub(crate) fn pin(core: usize) -> Result<(), Failure> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)
        .map_err(|error| Failure::system(&format!("pin to core {core}; leave --pin out"), &error.into()))
}

/// The same where no system call for it is known.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_core: usize) -> Result<(), Failure> {
    Err(Failure::usage("--pin works on Linux only, leave it out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let text = "12 (a) b (c)) S 1 1 1 0 -1 4194560 1 2 3 4 700 42 5 6 20 0 1 0 9";
        assert_eq!(ticks(text), Some(742));
        assert_eq!(ticks("12 (cut) S 1 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_time_and_memory() {
        let id = std::process::id();
        assert!(processor_seconds(id).expect("Linux tells") >= 0.0);
        assert!(resident_bytes(id).expect("Linux tells") > 100_000.0);
    }
}
