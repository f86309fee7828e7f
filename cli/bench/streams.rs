//! Streams: each sender keeps its window of messages under way, and waits for their final receipts.

use e_pigeon_core::{Destination, Event, Filter, Instant, Message, SendError, Uuid, Value};

use super::broker::Broker;
use super::content::{Answers, Expected, Payload};
use super::outcome::Outcome;
use super::setup::{Capacity, Setup, expect_no_end};
use super::timing::{QUIET, WARM_UP};
use crate::failure::Failure;
use crate::identity::random;
use crate::transport::{Client, Fleet, Load, Then};

/// Who sends how much to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// So many senders, each with recipients of its own.
    pub(crate) streams: u32,
    /// How many recipients each has: one by its UUID, several as a group.
    pub(crate) recipients: u32,
    pub(crate) payload: usize,
    /// How many messages of a sender may be without a receipt.
    pub(crate) window: u64,
}

/// Measures one shape.
pub(crate) fn measure(setup: &Setup<'_>, shape: Shape) -> Result<Outcome, Failure> {
    let broker = setup.broker()?;
    let mut fleet = Fleet::new(setup.clients_transport())?;
    setup.interrupt.wakes(fleet.wake());
    let mut load = Streams::new(setup, &broker, shape, &mut fleet)?;
    setup.drive(fleet, &mut load)?;
    Ok(load.outcome())
}

/// What a client is there for.
enum Part {
    Sender(Box<Stream>),
    Recipient { expected: Expected, stream: usize },
}

/// One sender.
struct Stream {
    to: Destination,
    payload: Payload,
    answers: Answers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamPhase {
    Connecting,
    Sending,
    /// Nothing new is sent.
    Ending,
}

struct Streams<'a> {
    setup: &'a Setup<'a>,
    broker: &'a Broker,
    shape: Shape,
    /// By client: first all senders, then the recipients.
    parts: Vec<Part>,
    phase: StreamPhase,
    ready: usize,
    /// What each of these was first given.
    attributes: Vec<Option<i64>>,
    most: u64,
    /// Messages with a final receipt.
    answered: u64,
    begun: Option<Mark>,
    warm_until: Instant,
    until: Instant,
    /// When `answered` last changed, and what it was.
    last: Mark,
    interrupted: bool,
}

/// A moment, with what was done by then.
#[derive(Clone, Copy, Default)]
struct Mark {
    at: Instant,
    answered: u64,
    processor: Option<f64>,
}

impl<'a> Streams<'a> {
    fn new(
        setup: &'a Setup<'a>,
        broker: &'a Broker,
        shape: Shape,
        fleet: &mut Fleet,
    ) -> Result<Self, Failure> {
        let capacity = Capacity { messages: shape.window, payload: shape.payload };
        // Groups of their own, where others use the same broker.
        let first = i64::from(u32::from_ne_bytes(random()?)) << 16;
        let mut parts = Vec::new();
        let mut attributes = Vec::new();
        let (mut recipients, mut groups) = (Vec::new(), Vec::new());
        for stream in 0..shape.streams {
            let group = first + i64::from(stream);
            let mut to: Option<Uuid> = None;
            for _ in 0..shape.recipients {
                let config = setup.client(capacity)?;
                to.get_or_insert(config.uuid);
                recipients.push(config);
                groups.push((group, stream));
            }
            let to: Destination = match to {
                Some(uuid) if shape.recipients == 1 => uuid.into(),
                _ => {
                    let pair = [("group", Value::Int(group))];
                    Filter::all_of(&pair).map_err(Failure::failed)?.into()
                }
            };
            let payload = Payload::new(stream, shape.payload);
            parts.push(Part::Sender(Box::new(Stream { to, payload, answers: Answers::default() })));
            attributes.push(None);
            fleet.add(setup.client(capacity)?, broker.resolver()?)?;
        }
        for (config, (group, stream)) in recipients.into_iter().zip(groups) {
            let expected = Expected::new(stream, shape.payload);
            parts.push(Part::Recipient { expected, stream: stream as usize });
            attributes.push((shape.recipients > 1).then_some(group));
            fleet.add(config, broker.resolver()?)?;
        }
        Ok(Self {
            setup,
            broker,
            shape,
            parts,
            phase: StreamPhase::Connecting,
            ready: 0,
            attributes,
            most: setup.arguments.messages.unwrap_or(u64::MAX),
            answered: 0,
            begun: None,
            warm_until: Instant::default(),
            until: Instant::default(),
            last: Mark::default(),
            interrupted: false,
        })
    }

    fn begin(&mut self, now: Instant) {
        self.phase = StreamPhase::Sending;
        // Where there is a number of messages, all of them count.
        self.warm_until = if self.most == u64::MAX { now + WARM_UP } else { now };
        self.until = self.warm_until + self.setup.time();
        self.last.at = now;
        self.setup.progress.begin(self.setup.time());
    }

    fn mark(&self, at: Instant) -> Mark {
        Mark { at, answered: self.answered, processor: self.broker.processor_seconds() }
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.parts.iter().filter_map(|part| match part {
            Part::Sender(stream) => Some(&**stream),
            Part::Recipient { .. } => None,
        })
    }

    fn outcome(mut self) -> Outcome {
        let mut outcome = Outcome { interrupted: self.interrupted, ..Outcome::default() };
        let sent: Vec<u64> = self.streams().map(|stream| stream.answers.total()).collect();
        for part in &self.parts {
            outcome.faults.extend(match part {
                Part::Sender(stream) => stream.answers.fault(),
                Part::Recipient { expected, stream } => expected.fault(sent[*stream]),
            });
            if let Part::Recipient { expected, .. } = part {
                outcome.checked += expected.seen();
            }
        }
        let Some(begun) = self.begun.take() else { return outcome };
        let seconds = self.last.at.saturating_duration_since(begun.at).as_secs_f64();
        let deliveries = (self.last.answered - begun.answered) as f64 * f64::from(self.shape.recipients);
        let processor = self.last.processor.zip(begun.processor).map(|(after, before)| after - before);
        if self.shape.payload >= LARGE {
            let bytes = deliveries * self.shape.payload as f64;
            outcome.add("megabytes_per_second", bytes / seconds / 1e6, "MB/s of payload");
            if let Some(processor) = processor {
                let each = processor / bytes * 1e9;
                outcome.add("broker_cpu_seconds_per_gigabyte", each, "CPU seconds of the broker per GB");
            }
        } else {
            outcome.add("deliveries_per_second", deliveries / seconds, "deliveries a second");
            if let Some(processor) = processor {
                let each = processor / deliveries * 1e6;
                outcome.add(
                    "broker_cpu_seconds_per_million",
                    each,
                    "CPU seconds of the broker per million deliveries",
                );
            }
        }
        outcome
    }
}

/// From this size on bytes are counted, not messages.
const LARGE: usize = 16 * 1024;

impl Load for Streams<'_> {
    fn turn(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure> {
        if let Some(group) = self.attributes[who].take() {
            client.set("group", Value::Int(group)).map_err(Failure::failed)?;
        }
        match &mut self.parts[who] {
            Part::Recipient { expected, .. } => {
                while let Some(event) = client.poll_event() {
                    match event {
                        Event::Message(message) => expected.see(message.payload),
                        Event::Established(_) => self.ready += 1,
                        other => expect_no_end(&other)?,
                    }
                }
            }
            Part::Sender(stream) => {
                while let Some(event) = client.poll_event() {
                    match event {
                        Event::Receipt(receipt) if receipt.is_final() => {
                            stream.answers.receipt(&receipt, self.shape.recipients);
                            self.answered += 1;
                        }
                        Event::Established(_) => self.ready += 1,
                        other => expect_no_end(&other)?,
                    }
                }
                if self.phase == StreamPhase::Sending {
                    stream.fill(client, self.shape.window, self.most)?;
                }
            }
        }
        Ok(())
    }

    fn round(&mut self, now: Instant, call: &mut Vec<usize>) -> Result<Then, Failure> {
        let asked = self.setup.interrupt.asked().is_some();
        if self.phase == StreamPhase::Connecting {
            if asked {
                self.interrupted = true;
                return Ok(Then::Done);
            }
            if self.last.at == Instant::default() {
                self.last.at = now;
                call.extend(0..self.parts.len());
            }
            if self.ready < self.parts.len() {
                return self.setup.wait_for_connections(now, self.last.at);
            }
            self.begin(now);
            call.extend(0..self.shape.streams as usize);
        }
        if self.answered != self.last.answered {
            (self.last.at, self.last.answered) = (now, self.answered);
        }
        if self.begun.is_none() && now >= self.warm_until {
            self.begun = Some(self.mark(now));
        }
        let is_over = || asked || now >= self.until || self.streams().all(|s| s.answers.total() >= self.most);
        if self.phase == StreamPhase::Sending && is_over() {
            self.phase = StreamPhase::Ending;
            self.interrupted = asked && now < self.until;
            self.setup.progress.end();
        }
        if self.phase == StreamPhase::Sending {
            let soon = if self.begun.is_none() { self.warm_until } else { self.until };
            return Ok(Then::Until(Some(self.setup.progress.tick(now, soon))));
        }
        let given_up = self.last.at + QUIET;
        if self.streams().all(|stream| stream.answers.open() == 0) || now >= given_up {
            self.last.processor = self.broker.processor_seconds();
            return Ok(Then::Done);
        }
        Ok(Then::Until(Some(given_up)))
    }
}

impl Stream {
    /// Sends as many as the window has room for.
    fn fill(&mut self, client: &mut dyn Client, window: u64, most: u64) -> Result<(), Failure> {
        while self.answers.open() < window && self.answers.total() < most {
            let payload = self.payload.number(self.answers.total());
            let message = Message::new(&self.to, payload);
            match client.send(&message) {
                Ok(id) => self.answers.sent(id),
                Err(SendError::Full) => break,
                Err(error) => return Err(Failure::failed(format_args!("cannot send: {error}"))),
            }
        }
        Ok(())
    }
}
