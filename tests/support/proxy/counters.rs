//! Which faults the proxy has made: tests assert on them, so that a test whose faults did not happen fails.

use std::sync::atomic::{AtomicU64, Ordering};

/// The running counts.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) cuts_to_broker: AtomicU64,
    pub(super) cuts_to_client: AtomicU64,
    pub(super) resets: AtomicU64,
    pub(super) orderly: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) stretches: AtomicU64,
    pub(super) half_opens: AtomicU64,
    pub(super) half_opens_over: AtomicU64,
    pub(super) half_opens_noticed: AtomicU64,
}

/// The counts of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    /// Connections from a client through to the broker.
    pub(crate) connections: u64,
    /// Cuts at a byte on its way to the broker.
    pub(crate) cuts_to_broker: u64,
    /// Cuts at a byte on its way to the client.
    pub(crate) cuts_to_client: u64,
    /// Those of the cuts that left unread bytes, so that the kernel sent a reset.
    pub(crate) resets: u64,
    /// Those of the cuts that ended both directions in order (FIN).
    pub(crate) orderly: u64,
    /// Pauses of 50 to 300 ms.
    pub(crate) stalls: u64,
    /// Stretches of single bytes.
    pub(crate) stretches: u64,
    /// Connections that fell silent without being closed.
    pub(crate) half_opens: u64,
    /// Those of them that the proxy has dropped since.
    pub(crate) half_opens_over: u64,
    /// Those of them that both ends had left by themselves by then.
    pub(crate) half_opens_noticed: u64,
}

impl Counts {
    /// All cuts.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts_to_broker + self.cuts_to_client
    }
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        let now = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            connections: now(&self.connections),
            cuts_to_broker: now(&self.cuts_to_broker),
            cuts_to_client: now(&self.cuts_to_client),
            resets: now(&self.resets),
            orderly: now(&self.orderly),
            stalls: now(&self.stalls),
            stretches: now(&self.stretches),
            half_opens: now(&self.half_opens),
            half_opens_over: now(&self.half_opens_over),
            half_opens_noticed: now(&self.half_opens_noticed),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}
