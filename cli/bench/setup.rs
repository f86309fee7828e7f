//! What every workload has: the options, the broker that it drives, and the clients that it makes.

use std::time::Duration;

use e_pigeon_core::{ClientConfig, Event, Instant};

use super::broker::Broker;
use super::interrupt::Interrupt;
use super::leaving::Leaving;
use super::progress::Progress;
use super::timing::PATIENCE;
use crate::args;
use crate::failure::Failure;
use crate::identity::{Identity, random};
use crate::transport::{Fleet, Load, Then, Transport};

/// So many clients connect at a time, where there are many.
pub(super) const CONNECTING: usize = 64;

/// What all workloads have.
pub(super) struct Setup<'a> {
    pub(super) arguments: &'a args::Bench,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: Progress,
}

/// What a client is to have room for.
#[derive(Clone, Copy)]
pub(super) struct Capacity {
    pub(super) messages: u64,
    pub(super) payload: usize,
}

impl Setup<'_> {
    /// The broker of one measurement.
    pub(super) fn broker(&self) -> Result<Broker, Failure> {
        match &self.arguments.connect {
            Some(address) => Broker::elsewhere(address, self.arguments.pin),
            None => Broker::start(self.arguments.transport, self.arguments.pin),
        }
    }

    pub(super) fn clients_transport(&self) -> Transport {
        self.arguments.clients_transport
    }

    pub(super) fn time(&self) -> Duration {
        self.arguments.seconds
    }

    /// The size of payloads, where a workload would have it so.
    pub(super) fn payload(&self, usual: usize) -> usize {
        self.arguments.payload().unwrap_or(usual)
    }

    /// A client that nobody else is.
    pub(super) fn identity(&self) -> Result<ClientConfig, Failure> {
        let identity = Identity::fresh()?;
        let (boot, seed) = (u64::from_ne_bytes(random()?), u64::from_ne_bytes(random()?));
        Ok(ClientConfig::new(identity.uuid, identity.secret, boot, seed))
    }

    /// The same with room for so many messages under way, and the defaults at least.
    pub(super) fn client(&self, capacity: Capacity) -> Result<ClientConfig, Failure> {
        let mut config = self.identity()?;
        let fit = |least: u32, wanted: u64| least.max(u32::try_from(wanted).unwrap_or(u32::MAX));
        // A destination is kept with each, and blocks are not always full.
        let bytes = capacity.messages.saturating_mul(capacity.payload as u64 + 256);
        config.outbox_messages = fit(config.outbox_messages, capacity.messages);
        config.outbox_bytes = fit(config.outbox_bytes, bytes);
        config.inbox_messages = fit(config.inbox_messages, capacity.messages.min(1 << 16));
        config.inbox_bytes = fit(config.inbox_bytes, bytes.min(64 << 20));
        config.watches = 0;
        Ok(config)
    }

    /// Runs a load. Where the broker goes on, sessions are ended behind it.
    pub(super) fn drive(&self, fleet: Fleet, load: &mut dyn Load) -> Result<(), Failure> {
        let clients = fleet.len();
        if self.arguments.connect.is_some() {
            return fleet.run(&mut Leaving::new(load, clients), self.arguments.spin);
        }
        fleet.run(load, self.arguments.spin)
    }

    /// Some clients have no session yet; they have been at it since then.
    pub(super) fn wait_for_connections(&self, now: Instant, since: Instant) -> Result<Then, Failure> {
        if now >= since + PATIENCE {
            let seconds = PATIENCE.as_secs();
            let line =
                format!("not all clients are connected after {seconds} s; is there a broker with room?");
            return Err(Failure::failed(line));
        }
        Ok(Then::Until(Some(since + PATIENCE)))
    }
}

/// No client is to end in the middle of a measurement, and no link.
pub(super) fn expect_no_end(event: &Event<'_>) -> Result<(), Failure> {
    match event {
        Event::Closed(reason) => Err(Failure::failed(format_args!("a client has ended: {reason}"))),
        Event::Disconnected { reason, .. } => Err(Failure::failed(format_args!(
            "a client has no connection: {reason}; is there a broker with room?"
        ))),
        _ => Ok(()),
    }
}
