//! Which limits a run may reach: what is refused or forgotten must have one of them as its reason.

use crate::model::Set;
use crate::setup::{LONG, Setup};
use core::time::Duration;
use e_pigeon_core::Reason;

/// The limits of a run that matter to the contract, and how much was sent.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) session_ttl: Duration,
    pub(crate) settle: Duration,
    max_payload: u32,
    max_messages: u64,
    max_message_bytes: u64,
    max_held: u64,
    queue_messages: u64,
    queue_bytes: u64,
    pub(crate) max_watches: usize,
    clients: Vec<Client>,
    /// Messages that were sent, and the room that their payloads take.
    messages: u64,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Client {
    receives: bool,
    max_payload: u32,
    senders: usize,
    seen_window: u64,
    late_ids: u64,
    /// Messages that may have come into its queue, and their bytes.
    messages: u64,
    bytes: u64,
}

impl Limits {
    pub(crate) fn new(setup: &Setup) -> Self {
        let broker = &setup.broker;
        let clients = setup.clients.iter().map(|config| Client {
            receives: config.receives,
            max_payload: config.max_payload,
            senders: config.senders.into(),
            seen_window: config.seen_window.into(),
            late_ids: config.late_ids.into(),
            messages: 0,
            bytes: 0,
        });
        Self {
            session_ttl: broker.session_ttl,
            settle: broker.settle,
            max_payload: broker.max_payload,
            max_messages: broker.max_messages.into(),
            max_message_bytes: broker.max_message_bytes,
            max_held: broker.max_held.into(),
            queue_messages: broker.queue_messages.into(),
            queue_bytes: broker.queue_bytes,
            max_watches: broker.max_watches.into(),
            clients: clients.collect(),
            messages: 0,
            bytes: 0,
        }
    }

    pub(crate) fn receives(&self, client: usize) -> bool {
        self.clients.get(client).is_some_and(|client| client.receives)
    }

    /// How many ids below the highest a client can judge.
    pub(crate) fn seen_window(&self, client: usize) -> u64 {
        self.clients[client].seen_window
    }

    /// How many late messages a client remembers.
    pub(crate) fn late_ids(&self, client: usize) -> u64 {
        self.clients[client].late_ids
    }

    /// How many senders a client remembers.
    pub(crate) fn senders(&self, client: usize) -> usize {
        self.clients[client].senders
    }

    /// A message was sent, which may be for these.
    pub(crate) fn count(&mut self, payload: &[u8], to: Set) {
        self.messages += 1;
        self.bytes += (payload.len() as u64).next_power_of_two().max(32);
        self.count_for(payload, to);
    }

    /// A message may be for these as well.
    pub(crate) fn count_for(&mut self, payload: &[u8], to: Set) {
        let length = payload.len() as u64;
        for (_, client) in self.clients.iter_mut().enumerate().filter(|&(n, _)| to.has(n)) {
            client.messages += 1;
            client.bytes += length;
        }
    }

    /// True where no message may be refused for a limit, but for its size.
    pub(crate) fn are_plain(&self) -> bool {
        let plain_broker = self.max_messages >= 100_000
            && self.max_message_bytes >= 1 << 28
            && self.max_held >= 10_000
            && self.queue_messages >= 10_000
            && self.queue_bytes >= 1 << 28
            && self.session_ttl >= LONG;
        let payloads = self.clients.iter().map(|client| client.max_payload).chain([self.max_payload]);
        plain_broker && payloads.clone().max() == payloads.min()
    }

    /// True where a receipt may have this reason, about a payload of that length for one of these; whether the time is
    /// over, a session has ended or something was disturbed is not for this to know.
    pub(crate) fn may_be(&self, reason: Reason, length: u32, possible: Set) -> bool {
        let mut recipients =
            self.clients.iter().enumerate().filter(|&(n, _)| possible.has(n)).map(|(_, c)| c);
        match reason {
            Reason::QueueFull => {
                recipients.any(|c| c.messages > self.queue_messages || c.bytes > self.queue_bytes)
            }
            Reason::TooLarge => length > self.max_payload || recipients.any(|c| length > c.max_payload),
            Reason::BrokerFull => {
                self.messages > self.max_messages
                    || self.bytes > self.max_message_bytes
                    || self.messages > self.max_held
            }
            Reason::NotAllowed => false,
            _ => true,
        }
    }
}
