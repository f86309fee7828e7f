//! Selective: many sessions in the core, without sockets, and messages that match 1, 10 or 100 of them.

use std::time::{Duration, Instant};

use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::kind;
use e_pigeon_core::{Attributes, Destination, Filter, LinkId, Value};

use super::inside::{Inside, Piece};
use super::outcome::Outcome;
use super::setup::Setup;
use crate::failure::Failure;

/// How many match, with the attribute that such messages go by.
const GROUPS: [(u32, &str); 3] = [(1, "one"), (10, "ten"), (100, "hundred")];
/// An attribute that all have.
const KIND: &str = "kind";
/// A batch makes so many deliveries, of as many messages at the most as one sender has under way in the other workloads.
const BATCH: u32 = 10_000;
const WINDOW: u32 = 1_024;

/// Measures so many sessions.
pub(crate) fn measure(setup: &Setup<'_>, sessions: u32) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut crowd = Crowd::new(setup, sessions)?;
    setup.progress.begin(setup.time());
    // Everybody's queue has had something in it: what is measured is how it goes on, not how it begins.
    crowd.batch(sessions, KIND)?;
    let mut costs = Vec::new();
    for (recipients, key) in GROUPS {
        let until = Instant::now() + setup.time() / 3;
        let mut batches = Vec::new();
        while batches.len() < 3 || Instant::now() < until {
            if setup.interrupt.asked().is_some() {
                outcome.interrupted = true;
                return Ok(outcome);
            }
            let cost = crowd.batch(recipients, key)?;
            // The first few find the tables cold.
            if crowd.batches > 1 {
                batches.push(cost);
            }
            setup.progress.pass(setup.time().saturating_sub(until.saturating_duration_since(Instant::now())));
        }
        costs.push(Cost::median(&batches));
    }
    setup.progress.end();
    outcome.checked = crowd.checked;
    outcome.faults.extend(crowd.fault);
    let [one, ten, hundred] = costs[..] else { return Ok(outcome) };
    // What a recipient adds, and what a message costs besides.
    let parts = |of: fn(&Cost) -> f64| {
        let recipient = (of(&hundred) - of(&ten)) / 90.0;
        ((of(&one) - recipient).max(0.0), recipient)
    };
    let (message, recipient) = parts(|cost| cost.taken);
    outcome.add("nanoseconds_per_message", message, "ns per message, into the queues");
    outcome.add("nanoseconds_per_recipient", recipient, "ns per recipient, into its queue");
    let (message, recipient) = parts(|cost| cost.whole);
    outcome.add("whole_nanoseconds_per_message", message, "ns per message, with its receipt");
    outcome.add("whole_nanoseconds_per_recipient", recipient, "ns per recipient, written and confirmed");
    Ok(outcome)
}

/// Nanoseconds for a message.
#[derive(Clone, Copy)]
struct Cost {
    /// Until it is in all queues.
    taken: f64,
    /// Until its receipt is written.
    whole: f64,
}

impl Cost {
    fn median(costs: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = costs.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Self { taken: middle(|cost| cost.taken), whole: middle(|cost| cost.whole) }
    }
}

/// Sessions, each with a link, and a sender.
struct Crowd {
    inside: Inside,
    sessions: u32,
    sender: LinkId,
    random: u64,
    batches: u32,
    checked: u64,
    fault: Option<String>,
    ready: Vec<LinkId>,
    /// By link: the last batch that it was in.
    seen: Vec<u32>,
    input: Vec<u8>,
}

impl Crowd {
    fn new(setup: &Setup<'_>, sessions: u32) -> Result<Self, Failure> {
        let mut inside = Inside::new(sessions + 1, 1 << 20)?;
        setup.progress.begin_counting(u64::from(sessions));
        for client in 0..sessions {
            let mut attributes = Attributes::new();
            let place = scatter(client, sessions);
            for (recipients, key) in GROUPS {
                let value = Value::Int(i64::from(place / recipients));
                attributes.set(key, value).map_err(Failure::failed)?;
            }
            attributes.set(KIND, Value::Str(KIND)).map_err(Failure::failed)?;
            let link = inside.hello(client, attributes.as_ref(), None)?;
            inside.take(&[link]);
            if client.is_multiple_of(1024) {
                inside.forget_ready();
                setup.progress.count(u64::from(client));
            }
        }
        let sender = inside.hello(sessions, Attributes::new().as_ref(), None)?;
        inside.take(&[sender]);
        inside.forget_ready();
        Ok(Self {
            inside,
            sessions,
            sender,
            random: 1,
            batches: 0,
            checked: 0,
            fault: None,
            ready: Vec::new(),
            seen: Vec::new(),
            input: Vec::new(),
        })
    }

    /// Sends messages that match so many each, and lets all be confirmed.
    fn batch(&mut self, recipients: u32, key: &str) -> Result<Cost, Failure> {
        let messages = (BATCH / recipients).clamp(1, WINDOW);
        let mut input = std::mem::take(&mut self.input);
        input.clear();
        for _ in 0..messages {
            // Knuth's constants; the upper bits are as good as random.
            self.random =
                self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let group = (self.random >> 33) % u64::from(self.sessions / recipients);
            let value = if key == KIND { Value::Str(KIND) } else { Value::Int(group as i64) };
            let pair = [(key, value)];
            let to = Destination::from(Filter::all_of(&pair).map_err(Failure::failed)?);
            self.inside.message(&mut input, &to, &[b'x'; 64]);
        }
        let sender = self.sender;
        let whole_of = |link, bytes: &[u8]| [Piece { link, range: 0..bytes.len() }];
        let taken = self.inside.feed(&whole_of(sender, &input), &input);
        let mut whole = taken;
        let mut ready = std::mem::take(&mut self.ready);
        self.inside.take_ready(&mut ready);
        // In the order in which they came to be ready, each once.
        let batch = self.batches + 1;
        ready.retain(|&link| {
            if self.seen.len() <= link.index() {
                self.seen.resize(link.index() + 1, 0);
            }
            std::mem::replace(&mut self.seen[link.index()], batch) != batch && link != sender
        });
        whole += self.inside.take(&ready);
        let (mut came, mut counts) = (0, vec![0_u64; ready.len()]);
        let mut place = 0;
        self.inside.frames(|link, body| {
            while ready[place] != link {
                place += 1;
            }
            counts[place] += u64::from(is_delivery(body));
        });
        input.clear();
        let mut acknowledgements = Vec::with_capacity(ready.len());
        for (&link, &items) in ready.iter().zip(&counts).filter(|(_, items)| **items > 0) {
            let from = input.len();
            self.inside.write(&mut input, |writer| Control::Ack(items).write(writer));
            acknowledgements.push(Piece { link, range: from..input.len() });
            came += items;
        }
        whole += self.inside.feed(&acknowledgements, &input);
        whole += self.inside.take(&[sender]);
        let (mut receipts, mut items) = (0, 0);
        self.inside.frames(|_, body| {
            items += u64::from(is_item(body));
            receipts += receipts_in(body, recipients);
        });
        input.clear();
        self.inside.write(&mut input, |writer| Control::Ack(items).write(writer));
        whole += self.inside.feed(&whole_of(sender, &input), &input);
        self.inside.forget_ready();
        if came != u64::from(messages * recipients) || receipts != u64::from(messages) {
            self.fault.get_or_insert_with(|| {
                format!(
                    "{messages} messages to {recipients} each made {came} deliveries and {receipts} receipts"
                )
            });
        }
        self.checked += came;
        self.batches += 1;
        (self.input, self.ready) = (input, ready);
        let each = |spent: Duration| spent.as_nanos() as f64 / f64::from(messages);
        Ok(Cost { taken: each(taken), whole: each(whole) })
    }
}

/// Members of a group do not lie beside each other in memory: each place once, far from the one before.
fn scatter(client: u32, sessions: u32) -> u32 {
    // A prime that is above any number of sessions here, and so has no divisor in common with it.
    const STRIDE: u64 = 2_147_483_647;
    (u64::from(client) * STRIDE % u64::from(sessions)) as u32
}

pub(crate) fn is_delivery(body: &[u8]) -> bool {
    body.first().is_some_and(|first| first & 0xf0 == kind::DELIVER)
}

pub(crate) fn is_item(body: &[u8]) -> bool {
    body.first().is_some_and(|&first| first >= kind::MESSAGE)
}

/// How many messages a frame confirms for all of `recipients`.
pub(crate) fn receipts_in(body: &[u8], recipients: u32) -> u64 {
    use e_pigeon_core::codec::Reader;
    let mut reader = Reader::new(body);
    let mut next = || reader.u64().unwrap_or_default();
    if next() != u64::from(kind::FINAL) {
        return 0;
    }
    let (_, count, delivered, of) = (next(), next(), next(), next());
    if delivered == of && of == u64::from(recipients) { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_somebodys() {
        for sessions in [1_000, 100_000] {
            let mut seen = vec![false; sessions as usize];
            (0..sessions).for_each(|client| seen[scatter(client, sessions) as usize] = true);
            assert!(seen.iter().all(|&seen| seen), "{sessions}");
        }
    }
}
