//! What the system allows this process, and what it has used.

use std::time::Duration;

/// Lets this process have as many descriptors as the system allows it: a thousand connections have two thousand ends.
pub(super) fn raise_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where it cannot be had, connecting says so.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// The processor time that this process has used; `None` where that cannot be known.
pub(super) fn processor_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(unix))]
    None
}

/// Fails where the process works while there is nothing to do. On a busy machine one that turns round and round gets
/// little time too, so little is allowed.
pub(super) fn assert_idle(what: &str) {
    // What has just happened may still have its after-effects.
    std::thread::sleep(Duration::from_millis(50));
    let before = processor_time();
    std::thread::sleep(Duration::from_millis(300));
    if let (Some(before), Some(after)) = (before, processor_time()) {
        let spent = after.saturating_sub(before);
        assert!(spent < Duration::from_millis(25), "{spent:?} of 300 ms were spent working: {what}");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn work_is_measured_whichever_thread_does_it() {
        let before = processor_time().expect("it can be known");
        let work = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(100) {
                std::hint::spin_loop();
            }
        };
        std::thread::spawn(work).join().expect("it ends");
        let spent = processor_time().expect("it can be known").saturating_sub(before);
        assert!(spent > Duration::from_millis(5), "{spent:?} of 100 ms");
    }
}
