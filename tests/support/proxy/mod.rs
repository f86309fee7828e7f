//! A proxy between the clients and the broker whose network is bad: it cuts at random byte positions, stalls, splits into single
//! bytes, and goes half-open. Which faults come after how many bytes follows from a seed and the number of the connection.
//! Or it is a line that damages frames, and may be mute for a while.

mod counters;
mod damage;
mod faults;
mod pump;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;

use counters::Counters;
pub(crate) use counters::Counts;
pub(crate) use damage::{Damage, Damages};
pub(crate) use faults::Plan;
use pump::Link;
use shared::{CLEAN, FAULTY, MUTE, REFUSING, Shared};
use socket2::Socket;

use super::address::Address;
use super::deadline::Deadline;

/// A running proxy. It ends with the test.
pub(crate) struct Proxy {
    address: Address,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy to the broker with these faults.
    pub(crate) fn start(broker: Address, plan: Plan) -> Self {
        Self::start_in(broker, plan, None, FAULTY)
    }

    /// A line to the broker that damages one frame in so many.
    pub(crate) fn start_damaging(broker: Address, seed: u64, one_in: u64) -> Self {
        Self::start_in(broker, Plan::default(), Some(Damage::new(seed, one_in)), FAULTY)
    }

    /// A proxy without faults.
    pub(crate) fn start_clean(broker: Address) -> Self {
        Self::start_in(broker, Plan::default(), None, CLEAN)
    }

    fn start_in(broker: Address, plan: Plan, damage: Option<Damage>, mode: u8) -> Self {
        let (listener, address) = broker.listen_beside();
        let shared = Arc::new(Shared {
            broker,
            plan,
            damage,
            mode: AtomicU8::new(mode),
            stopping: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            counters: Counters::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Where the clients connect to.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// No more faults from now on; connections that are half-open stay so until their time is over.
    pub(crate) fn be_clean(&self) {
        self.shared.mode.store(CLEAN, Ordering::SeqCst);
    }

    /// Drops all connections and lets nobody through, until [`Self::be_clean`].
    pub(crate) fn refuse(&self) {
        self.shared.mode.store(REFUSING, Ordering::SeqCst);
    }

    /// Swallows whatever comes while connections stay, until [`Self::be_faulty`].
    pub(crate) fn be_mute(&self) {
        self.shared.mode.store(MUTE, Ordering::SeqCst);
    }

    /// Makes its faults again.
    pub(crate) fn be_faulty(&self) {
        self.shared.mode.store(FAULTY, Ordering::SeqCst);
    }

    /// How a damaging one has damaged frames.
    pub(crate) fn damages(&self) -> Damages {
        self.shared.damage.as_ref().expect("it damages").counts()
    }

    /// Which faults there have been.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// Waits until no connection is half-open any more, and returns all counts.
    pub(crate) fn wait_half_open_over(&self, by: &Deadline) -> Counts {
        by.wait("the half-open connections to be over", || {
            let counts = self.counts();
            if counts.half_opens_over == counts.half_opens { Ok(counts) } else { Err(format!("{counts:?}")) }
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = self.address.connect();
    }
}

/// Accepts until the proxy stops.
fn accept(listener: &Socket, shared: &Arc<Shared>) {
    loop {
        let client = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok((client, _)) = client else { continue };
        if shared.is_closed() {
            continue;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // While the broker is down, the client's connection is closed.
            if let Ok(broker) = shared.broker.connect() {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                Link::new(client, broker, number, shared).run();
            }
        });
    }
}
