//! What each client's application was handed, in order: once, and in the order that was promised.

use crate::coverage::{Coverage, Path};
use crate::limits::Limits;
use crate::message::{Key, Sent};
use crate::violation::{Outcome, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// One log for each client, of its present boot.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    clients: Vec<Log>,
    /// Those of earlier boots.
    past: Vec<Vec<Entry>>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    entries: Vec<Entry>,
    /// The senders, each with its boot, from which something may have come.
    heard: BTreeSet<(usize, u64)>,
    /// The highest id that came from each sender and boot.
    highest: BTreeMap<(usize, u64), u64>,
    late: u64,
    /// Its application has taken everything that came, in this life of the broker.
    drained_in: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    /// In which life of the broker it came; `None` where it may have come in an earlier one.
    epoch: Option<usize>,
    repeated: bool,
}

/// What a client is handed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed<'a> {
    pub(crate) client: usize,
    pub(crate) boot: u64,
    pub(crate) key: Key,
    pub(crate) payload: &'a [u8],
    pub(crate) repeated: bool,
    pub(crate) direct: bool,
}

impl Logs {
    pub(crate) fn new(clients: usize) -> Self {
        Self { clients: vec![Log::default(); clients], past: Vec::new() }
    }

    pub(crate) fn restart(&mut self, client: usize) {
        let log = core::mem::take(&mut self.clients[client]);
        self.past.push(log.entries);
        // What waits for the old boot comes to the new one.
        self.clients[client].heard = log.heard;
    }

    /// A client's application has nothing left to take.
    pub(crate) fn drained(&mut self, client: usize, epoch: usize) {
        self.clients[client].drained_in = epoch;
    }

    /// A message of that sender and boot may come to a client.
    pub(crate) fn may_hear(&mut self, client: usize, sender: (usize, u64)) {
        self.clients[client].heard.insert(sender);
    }

    /// The highest id that a boot of a client was handed from a sender and boot.
    pub(crate) fn highest(&self, client: usize, sender: (usize, u64)) -> u64 {
        self.clients[client].highest.get(&sender).copied().unwrap_or(0)
    }

    pub(crate) fn hand(
        &mut self,
        epoch: usize,
        message: &mut Sent,
        limits: &Limits,
        handed: &Handed<'_>,
        coverage: &mut Coverage,
    ) -> Outcome {
        let Handed { client, boot, key, repeated, .. } = *handed;
        check_content(message, handed)?;
        let log = &mut self.clients[client];
        let sender = (key.0, key.1);
        let highest = log.highest.get(&sender).copied().unwrap_or(0);
        // Whoever remembers fewer senders than it hears may take a repetition for new. (Limit 9)
        let forgets = repeated && log.heard.len() > limits.senders(client);
        if log.highest.len() > limits.senders(client) {
            coverage.hit(Path::SenderForgotten);
        }
        let is_new = message.handed.insert((client, boot));
        ensure!(is_new || forgets, "twice", "{client} got {key:?} again: {message:?}");
        if key.2 <= highest && !forgets {
            coverage.hit(Path::Late);
            log.late += 1;
            if log.late > limits.late_ids(client) {
                coverage.hit(Path::LateOverflow);
            }
            let may_be_late = !message.is_direct() && message.joined && !message.was_never_parked();
            ensure!(may_be_late, "order", "{client} got {key:?} after {highest}: {message:?}");
        }
        if highest > 0 && key.2 > limits.seen_window(client) {
            coverage.hit(Path::WindowSlid);
        }
        log.highest.insert(sender, key.2.max(highest));
        let epoch = (log.drained_in == epoch).then_some(epoch);
        log.entries.push(Entry { key, epoch, repeated });
        Ok(())
    }

    /// Within one life of the broker all recipients get messages in one order, but for those that came later because
    /// their filter began to match, or that were sent again.
    pub(crate) fn check_one_order(&self, messages: &BTreeMap<Key, Sent>) -> Outcome {
        let is_in_order = |entry: &Entry| {
            let message = messages.get(&entry.key);
            entry.epoch.is_some()
                && !entry.repeated
                && message.is_some_and(|message| message.was_never_parked() && message.kills == 0)
        };
        let logs = self.clients.iter().map(|log| &log.entries).chain(&self.past);
        let logs: Vec<BTreeMap<Key, usize>> = logs
            .map(|entries| {
                let places = entries.iter().filter(|entry| is_in_order(entry)).enumerate();
                places.map(|(place, entry)| (entry.key, place)).collect()
            })
            .collect();
        for (n, log) in logs.iter().enumerate() {
            for other in &logs[n + 1..] {
                check_same_order(log, other)?;
            }
        }
        Ok(())
    }
}

fn check_content(message: &Sent, handed: &Handed<'_>) -> Outcome {
    let Handed { client, key, repeated, direct, .. } = *handed;
    ensure!(message.payload.0 == handed.payload, "payload", "{client} got {key:?} with another payload");
    ensure!(direct == message.is_direct(), "payload", "{client} got {key:?}, direct {direct}");
    ensure!(
        message.possible.has(client),
        "recipients",
        "{client} got {key:?}, which was never for it: {message:?}"
    );
    ensure!(
        message.disturbed || !repeated,
        "repeated",
        "{client} got {key:?} as maybe repeated, for no reason: {message:?}"
    );
    Ok(())
}

/// The messages that are in both logs have the same order in both.
fn check_same_order(one: &BTreeMap<Key, usize>, other: &BTreeMap<Key, usize>) -> Outcome {
    let mut common: Vec<(usize, usize, Key)> =
        one.iter().filter_map(|(&key, &place)| other.get(&key).map(|&there| (place, there, key))).collect();
    common.sort_unstable();
    for pair in common.windows(2) {
        let [(_, first, key), (_, second, next)] = pair else { continue };
        ensure!(first < second, "one order", "two recipients got {key:?} and {next:?} in different orders");
    }
    Ok(())
}
