//! Which limits a run may reach: what is refused or forgotten must have one of them as its reason.

use crate::coverage::{Coverage, Path};
use crate::flood::STRANGERS;
use crate::message::Set;
use crate::setup::{LONG, Setup, plain_broker};
use core::time::Duration;
use e_pigeon_core::{Receipt, RefusalReason};
use std::collections::BTreeMap;

/// Messages that may have been with the broker while one was, that one included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    /// Whose it is: a client and its boot.
    pub(crate) sender: (usize, u64),
    /// How many of that sender, and of all.
    pub(crate) own: u64,
    pub(crate) all: u64,
}

/// The limits of a run that matter to the contract, and how much was sent.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) session_ttl: Duration,
    /// That of a session whose client was told nothing.
    pub(crate) session_ttl_min: Duration,
    pub(crate) settle: Duration,
    max_payload: u32,
    max_messages: u64,
    max_message_bytes: u64,
    max_receipts: u64,
    max_held: u64,
    max_parked: u64,
    sender_waiting: u64,
    max_queued: u64,
    queue_messages: u64,
    queue_bytes: u64,
    sender_queue: u64,
    sender_bytes: u64,
    pub(crate) max_watches: usize,
    clients: Vec<Client>,
    /// Messages that were sent, and the room that their payloads take.
    messages: u64,
    bytes: u64,
    /// Places in queues that they may have taken.
    entries: u64,
    /// What each stranger has sent that may wait.
    strangers: [u64; STRANGERS],
    /// A call of the broker did all the work that it may: then a full queue is not looked at more closely.
    pub(crate) any_spent: bool,
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
    /// The same of each sender.
    senders_of: BTreeMap<(usize, u64), (u64, u64)>,
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
            senders_of: BTreeMap::new(),
        });
        let share = broker.sender_queue.min(broker.queue_messages);
        let part = u128::from(broker.queue_bytes) * u128::from(share) / u128::from(broker.queue_messages);
        // With few places for sessions these end earlier than they would.
        let is_crowded = broker.max_sessions < plain_broker().max_sessions;
        let session_ttl_min = broker.session_ttl.min(broker.session_ttl_min);
        Self {
            session_ttl: if is_crowded { session_ttl_min } else { broker.session_ttl },
            session_ttl_min,
            settle: broker.settle,
            max_payload: broker.max_payload,
            max_messages: broker.max_messages.into(),
            max_message_bytes: broker.max_message_bytes,
            max_receipts: broker.max_receipts.into(),
            max_held: broker.max_held.into(),
            max_parked: broker.max_parked.into(),
            sender_waiting: broker.sender_waiting.into(),
            max_queued: broker.max_queued.into(),
            queue_messages: broker.queue_messages.into(),
            queue_bytes: broker.queue_bytes,
            sender_queue: share.into(),
            sender_bytes: (part as u64).max(broker.max_payload.into()),
            max_watches: broker.max_watches.into(),
            clients: clients.collect(),
            messages: 0,
            bytes: 0,
            entries: 0,
            strangers: [0; STRANGERS],
            any_spent: false,
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
    pub(crate) fn count(&mut self, sender: (usize, u64), payload: &[u8], to: Set) {
        self.messages += 1;
        self.bytes += (payload.len() as u64).next_power_of_two().max(32);
        self.count_for(sender, payload, to);
    }

    /// A message may be for these as well.
    pub(crate) fn count_for(&mut self, sender: (usize, u64), payload: &[u8], to: Set) {
        let length = payload.len() as u64;
        for (_, client) in self.clients.iter_mut().enumerate().filter(|&(n, _)| to.has(n)) {
            client.messages += 1;
            client.bytes += length;
            let of_sender = client.senders_of.entry(sender).or_default();
            (of_sender.0, of_sender.1) = (of_sender.0 + 1, of_sender.1 + length);
            self.entries += 1;
        }
    }

    /// A stranger has sent so many messages that wait.
    pub(crate) fn count_stranger(&mut self, n: usize, messages: u64) {
        self.strangers[n] += messages;
    }

    /// Places of messages that wait which strangers may have: each of them its share at the most.
    fn of_strangers(&self) -> u64 {
        self.strangers.iter().map(|&messages| messages.min(self.sender_waiting)).sum()
    }

    /// True where no message may be refused for a limit, but for its size.
    pub(crate) fn are_plain(&self) -> bool {
        let plain_broker = self.max_messages >= 100_000
            && self.max_message_bytes >= 1 << 28
            && self.max_held.min(self.max_parked).min(self.sender_waiting) >= 10_000
            && self.max_queued >= 1 << 20
            && self.sender_queue >= 10_000
            && self.queue_messages >= 10_000
            && self.queue_bytes >= 1 << 28
            && self.session_ttl >= LONG;
        let payloads = self.clients.iter().map(|client| client.max_payload).chain([self.max_payload]);
        plain_broker && payloads.clone().max() == payloads.min()
    }

    /// Counts which limits may have been the reason.
    pub(crate) fn note_full(&self, receipt: Receipt, possible: Set, others: Others, coverage: &mut Coverage) {
        let Receipt::Final { reason: Some(reason), .. } = receipt else { return };
        let of_sender = |client: &Client| client.senders_of.get(&others.sender).map_or(0, |of| of.0);
        let mut recipients = self.clients.iter().enumerate().filter(|&(n, _)| possible.has(n));
        let reached = [
            (RefusalReason::BrokerFull, others.own > self.sender_waiting, Path::SenderWaiting),
            (RefusalReason::BrokerFull, others.all > self.max_held.min(self.max_parked), Path::WaitingFull),
            (RefusalReason::BrokerFull, self.entries > self.max_queued, Path::QueuedFull),
            (
                RefusalReason::QueueFull,
                self.sender_queue < self.queue_messages
                    && recipients.any(|(_, client)| of_sender(client) > self.sender_queue),
                Path::SenderQueue,
            ),
        ];
        for (_, _, path) in reached.into_iter().filter(|&(of, is_reached, _)| of == reason && is_reached) {
            coverage.hit(path);
        }
    }

    /// True where a receipt may have this reason, about a payload of that length for one of these; whether the time is
    /// over, a session has ended or something was disturbed is not for this to know.
    pub(crate) fn may_be(
        &self,
        reason: RefusalReason,
        length: u32,
        possible: Set,
        others: Option<Others>,
    ) -> bool {
        let mut recipients =
            self.clients.iter().enumerate().filter(|&(n, _)| possible.has(n)).map(|(_, c)| c);
        match reason {
            RefusalReason::QueueFull => recipients.any(|c| {
                let of_sender = others.and_then(|others| c.senders_of.get(&others.sender));
                let of_sender = of_sender.copied().unwrap_or_default();
                let (messages, bytes) = if self.any_spent { (c.messages, c.bytes) } else { of_sender };
                let is_full = c.messages > self.queue_messages || c.bytes > self.queue_bytes;
                is_full || messages > self.sender_queue || bytes > self.sender_bytes
            }),
            RefusalReason::TooLarge => {
                length > self.max_payload || recipients.any(|c| length > c.max_payload)
            }
            RefusalReason::BrokerFull => {
                let strangers = self.of_strangers();
                let (own, all) = others.map_or((0, 0), |others| (others.own, others.all));
                self.messages + strangers > self.max_messages
                    || self.bytes + 32 * strangers > self.max_message_bytes
                    || self.entries > self.max_queued
                    || 2 * (self.messages + strangers) > self.max_receipts
                    || own > self.sender_waiting
                    || all + strangers > self.max_held.min(self.max_parked)
            }
            RefusalReason::NotAllowed => false,
            _ => true,
        }
    }
}
