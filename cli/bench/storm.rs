//! Storm: clients that were away come back all at once, to sessions with queued messages.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e_pigeon_core::{Destination, Established, Event, Filter, Instant, Message, Receipt, SendError, Value};
use e_pigeon_mio::Resolver;

use super::content::{Answers, Expected, Payload, SMALLEST};
use super::idle;
use super::outcome::Outcome;
use super::setup::{CONNECTING, Capacity, Setup, expect_no_end};
use super::timing::QUIET;
use crate::descriptors;
use crate::failure::Failure;
use crate::identity::random;
use crate::transport::{Client, Fleet, Load, Then};

/// How soon clients try again while they are kept away, and so how long they may take to notice that they are not.
const RETRY: Duration = Duration::from_millis(50);

/// Measures so many clients with so many messages each.
pub(crate) fn measure(setup: &Setup<'_>, clients: usize, each: u64) -> Result<Outcome, Failure> {
    descriptors::need(clients as u64 + 64)?;
    let broker = setup.broker()?;
    let mut fleet = Fleet::new(setup.clients_transport())?;
    setup.interrupt.wakes(fleet.wake());
    let open = Arc::new(AtomicBool::new(true));
    let mut recipients = Vec::new();
    // A group of its own, where others use the same broker.
    let group = i64::from(u32::from_ne_bytes(random()?));
    for _ in 0..clients {
        let config = idle::small(setup)?.reconnect_min(RETRY).reconnect_max(RETRY);
        recipients.push(Recipient {
            expected: Expected::new(0, SMALLEST),
            is_dressed: false,
            is_cut: false,
            done: false,
        });
        let (endpoints, open) = (broker.endpoints()?, Arc::clone(&open));
        let gate = Resolver::immediate(move || match open.load(Ordering::Acquire) {
            true => Ok(endpoints.clone()),
            false => Err(io::Error::other("kept away")),
        });
        fleet.add(config, gate)?;
    }
    let to = Filter::all_of(&[("group", Value::Int(group))]).map_err(Failure::failed)?.into();
    let capacity = Capacity { messages: each, payload: SMALLEST };
    fleet.add(setup.client(capacity)?, broker.resolver()?)?;
    let mut load = Storm {
        setup,
        open,
        recipients,
        each,
        group,
        sender: Sender {
            to,
            payload: Payload::new(0, SMALLEST),
            answers: Answers::default(),
            accepted: 0,
            is_ready: false,
        },
        phase: StormPhase::Connecting,
        counted: 0,
        started: 0,
        resumed: 0,
        done: 0,
        first: None,
        since: Instant::default(),
        moved: (0, Instant::default()),
        outcome: Outcome::default(),
    };
    setup.drive(fleet, &mut load)?;
    let mut outcome = load.outcome;
    for recipient in &load.recipients {
        outcome.checked += recipient.expected.seen();
    }
    Ok(outcome)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StormPhase {
    Connecting,
    /// All connections are given up.
    Cutting,
    Queueing,
    /// The way to the broker is open again.
    Returning,
}

struct Recipient {
    expected: Expected,
    /// It has its attribute.
    is_dressed: bool,
    is_cut: bool,
    /// It has all that is for it.
    done: bool,
}

/// The last client.
struct Sender {
    to: Destination,
    payload: Payload,
    answers: Answers,
    /// Messages that wait in all queues.
    accepted: u64,
    is_ready: bool,
}

struct Storm<'a> {
    setup: &'a Setup<'a>,
    open: Arc<AtomicBool>,
    recipients: Vec<Recipient>,
    each: u64,
    group: i64,
    sender: Sender,
    phase: StormPhase,
    /// Recipients that have a session, or are away, as the phase wants it.
    counted: usize,
    /// How many have begun to connect.
    started: usize,
    resumed: usize,
    /// Recipients that have everything, and when there was one.
    done: usize,
    first: Option<Instant>,
    /// When this phase began.
    since: Instant,
    /// What was done when something last moved.
    moved: (u64, Instant),
    outcome: Outcome,
}

impl Storm<'_> {
    fn enter(&mut self, phase: StormPhase, now: Instant) {
        (self.phase, self.since, self.counted) = (phase, now, 0);
    }

    fn recipient(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure> {
        let (phase, each) = (self.phase, self.each);
        let recipient = &mut self.recipients[who];
        if !std::mem::replace(&mut recipient.is_dressed, true) {
            client.set("group", Value::Int(self.group)).map_err(Failure::failed)?;
        }
        if phase == StormPhase::Cutting && !std::mem::replace(&mut recipient.is_cut, true) {
            client.reconnect();
        }
        while let Some(event) = client.poll_event() {
            match event {
                Event::Established(how) => {
                    self.counted += 1;
                    self.resumed += usize::from(how == Established::Resumed);
                }
                Event::Disconnected { retry_at: Some(_), .. } if phase == StormPhase::Cutting => {
                    self.counted += 1;
                }
                Event::Message(message) => recipient.expected.see(message.payload),
                // Kept away.
                Event::Disconnected { retry_at: Some(_), .. } => {}
                other => expect_no_end(&other)?,
            }
        }
        if !recipient.done && recipient.expected.seen() == each {
            recipient.done = true;
            self.done += 1;
        }
        Ok(())
    }

    fn sender(&mut self, client: &mut dyn Client) -> Result<(), Failure> {
        let everybody = self.recipients.len() as u32;
        let sender = &mut self.sender;
        while let Some(event) = client.poll_event() {
            match event {
                Event::Receipt(Receipt::Accepted { recipients, .. }) if recipients == everybody => {
                    sender.accepted += 1;
                }
                Event::Receipt(receipt) if receipt.is_final() => sender.answers.receipt(&receipt, everybody),
                Event::Established(_) => sender.is_ready = true,
                other => expect_no_end(&other)?,
            }
        }
        if self.phase == StormPhase::Queueing {
            sender.fill(client, self.each)?;
        }
        Ok(())
    }

    /// Looks for what is wrong, and adds the figures where all is over.
    fn close(&mut self, now: Instant) {
        self.setup.progress.end();
        let faults = self.recipients.iter().filter_map(|recipient| recipient.expected.fault(self.each));
        self.outcome.faults.extend(faults);
        self.outcome.faults.extend(self.sender.answers.fault());
        if self.resumed < self.recipients.len() {
            let fault =
                format!("{} of {} clients resumed their session", self.resumed, self.recipients.len());
            self.outcome.faults.push(fault);
        }
        let seconds = |at: Instant| at.saturating_duration_since(self.since).as_secs_f64();
        self.outcome.add("seconds", seconds(now), "s until all was delivered and receipted");
        if let Some(first) = self.first {
            self.outcome.add("first_seconds", seconds(first), "s until the first client had everything");
        }
    }
}

impl Sender {
    /// Sends what is not sent yet, so that every queue is as old as the others.
    fn fill(&mut self, client: &mut dyn Client, each: u64) -> Result<(), Failure> {
        while self.answers.total() < each {
            let payload = self.payload.number(self.answers.total());
            match client.send(&Message::new(&self.to, payload)) {
                Ok(id) => self.answers.sent(id),
                Err(SendError::Full) => break,
                Err(error) => return Err(Failure::failed(format_args!("cannot send: {error}"))),
            }
        }
        Ok(())
    }
}

impl Load for Storm<'_> {
    fn turn(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure> {
        if who < self.recipients.len() { self.recipient(who, client) } else { self.sender(client) }
    }

    fn round(&mut self, now: Instant, call: &mut Vec<usize>) -> Result<Then, Failure> {
        if self.setup.interrupt.asked().is_some() {
            self.outcome.interrupted = true;
            return Ok(Then::Done);
        }
        let clients = self.recipients.len();
        match self.phase {
            StormPhase::Connecting => {
                if self.since == Instant::default() {
                    self.since = now;
                    call.push(clients);
                }
                while self.started < clients && self.started - self.counted < CONNECTING {
                    call.push(self.started);
                    self.started += 1;
                }
                if self.counted < clients || !self.sender.is_ready {
                    return self.setup.wait_for_connections(now, self.since);
                }
                self.open.store(false, Ordering::Release);
                self.enter(StormPhase::Cutting, now);
                call.extend(0..clients);
            }
            StormPhase::Cutting if self.counted == clients => {
                self.enter(StormPhase::Queueing, now);
                call.push(clients);
            }
            StormPhase::Queueing if self.sender.accepted == self.each => {
                self.open.store(true, Ordering::Release);
                self.enter(StormPhase::Returning, now);
                self.resumed = 0;
                self.setup.progress.begin_counting(clients as u64);
            }
            StormPhase::Returning => {
                self.setup.progress.count(self.done as u64);
                if self.done > 0 && self.first.is_none() {
                    self.first = Some(now);
                }
                if self.sender.answers.open() == 0 {
                    self.close(now);
                    return Ok(Then::Done);
                }
            }
            StormPhase::Cutting | StormPhase::Queueing => {}
        }
        // What stands still for so long goes on no more.
        let done = self.sender.accepted + self.sender.answers.answered() + (self.counted + self.done) as u64;
        if done != self.moved.0 || self.moved.1 == Instant::default() {
            self.moved = (done, now);
        }
        if now >= self.moved.1 + QUIET {
            self.outcome.faults.push(format!(
                "nothing has moved for {} s ({:?})",
                QUIET.as_secs(),
                self.phase
            ));
            self.close(now);
            return Ok(Then::Done);
        }
        Ok(Then::Until(Some(self.moved.1 + QUIET)))
    }
}
