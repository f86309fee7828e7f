//! How long a check waits for anything.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should take no time. Less than the keep-alive interval of the default config, which
/// would bring to light what an adapter has forgotten.
pub(super) const LIMIT: Duration = Duration::from_secs(8);

/// Looks again and again until something is so.
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Does something elsewhere that must not take long.
pub(super) fn soon<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}
