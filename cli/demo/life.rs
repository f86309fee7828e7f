//! One life of the broker, in a thread of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use e_pigeon_core::BrokerConfig;

use crate::failure::{Failure, plain};
use crate::transport::{BrokerLoop, Ending, Transport};
use crate::wake::Wake;

/// How long a new broker waits for the clients of the one before: short, so that the demo is, and many times as long as
/// they take to come back.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the port of a dead broker may stay unusable.
const REBIND: Duration = Duration::from_secs(2);

/// A broker that lives.
pub(crate) struct Life {
    address: SocketAddr,
    ending: Arc<Mutex<Option<Ending>>>,
    wake: Wake,
    thread: JoinHandle<()>,
}

impl Life {
    /// Starts a broker that knows nothing of any life before.
    pub(crate) fn begin(transport: Transport, address: SocketAddr, epoch: u64) -> Result<Self, Failure> {
        let config = BrokerConfig::new(epoch).settle(SETTLE);
        let mut broker = BrokerLoop::new(transport, config, epoch)?;
        let limit = Instant::now() + REBIND;
        let endpoint = loop {
            match broker.bind(address.into()) {
                Ok(endpoint) => break endpoint,
                Err(_) if address.port() != 0 && Instant::now() < limit => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => {
                    let error = plain(&error);
                    return Err(Failure::failed(format_args!(
                        "cannot listen on {address}: {error}; try again"
                    )));
                }
            }
        };
        let ending = Arc::new(Mutex::new(None));
        let asked = Arc::clone(&ending);
        let wake = broker.wake();
        let thread = thread::Builder::new()
            .name("broker".into())
            .spawn(move || {
                // A loop that breaks leaves its clients alone, and the check says so.
                let _ = broker.run(&mut |_| *asked.lock().unwrap_or_else(PoisonError::into_inner));
            })
            .map_err(|error| Failure::system("start a thread", &error))?;
        Ok(Self { address: endpoint.as_tcp().unwrap_or(address), ending, wake, thread })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it; when this returns, its port is free.
    pub(crate) fn end(self, how: Ending) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        (self.wake)();
        // A panic of the broker shows in what it has not done.
        let _ = self.thread.join();
    }
}
