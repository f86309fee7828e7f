//! Ping-pong: one message under way between two clients, there and back.

use std::time;

use e_pigeon_core::{Destination, Event, Instant, Message};

use super::broker::Broker;
use super::content::{Answers, Expected, Payload};
use super::histogram::quantile;
use super::outcome::Outcome;
use super::setup::{Capacity, Setup, expect_no_end};
use super::timing::{QUIET, WARM_UP};
use crate::failure::Failure;
use crate::transport::{Client, Fleet, Load, Then};

/// Measures round trips.
pub(crate) fn measure(setup: &Setup<'_>, payload: usize) -> Result<Outcome, Failure> {
    let broker = setup.broker()?;
    let mut fleet = Fleet::new(setup.clients_transport())?;
    setup.interrupt.wakes(fleet.wake());
    let configs =
        [setup.client(Capacity { messages: 1, payload })?, setup.client(Capacity { messages: 1, payload })?];
    let uuids = configs.each_ref().map(|config| config.uuid);
    for config in configs {
        fleet.add(config, broker.resolver()?)?;
    }
    let sides = [1, 0].map(|other: usize| Side {
        to: uuids[other].into(),
        payload: Payload::new(1 - other as u32, payload),
        expected: Expected::new(other as u32, payload),
        answers: Answers::default(),
        is_ready: false,
    });
    let mut load = PingPong {
        setup,
        broker: &broker,
        sides,
        phase: PingPongPhase::Connecting,
        since: Instant::default(),
        until: Instant::default(),
        served: time::Instant::now(),
        trips: Vec::new(),
        most: setup.arguments.messages.unwrap_or(u64::MAX),
        processor: None,
        interrupted: false,
    };
    setup.drive(fleet, &mut load)?;
    Ok(load.outcome())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PingPongPhase {
    Connecting,
    Warming,
    Measuring,
    /// The ball is not returned any more.
    Ending,
}

/// A player.
struct Side {
    to: Destination,
    payload: Payload,
    expected: Expected,
    answers: Answers,
    is_ready: bool,
}

struct PingPong<'a> {
    setup: &'a Setup<'a>,
    broker: &'a Broker,
    /// The first serves.
    sides: [Side; 2],
    phase: PingPongPhase,
    /// When this phase began.
    since: Instant,
    until: Instant,
    served: time::Instant,
    trips: Vec<u64>,
    most: u64,
    /// What the broker has used before and in all.
    processor: Option<(f64, f64)>,
    interrupted: bool,
}

impl PingPong<'_> {
    fn enter(&mut self, phase: PingPongPhase, now: Instant, until: Instant) {
        (self.phase, self.since, self.until) = (phase, now, until);
    }

    fn outcome(mut self) -> Outcome {
        let mut outcome = Outcome { interrupted: self.interrupted, ..Outcome::default() };
        let [first, second] = &self.sides;
        for (side, sent) in [(first, second.answers.total()), (second, first.answers.total())] {
            outcome.checked += side.expected.seen();
            outcome.faults.extend(side.expected.fault(sent));
            outcome.faults.extend(side.answers.fault());
        }
        self.trips.sort_unstable();
        if self.trips.is_empty() {
            return outcome;
        }
        let parts = [
            ("p50_microseconds", 0.5, "µs, half of the round trips"),
            ("p99_microseconds", 0.99, "µs, 99 % of them"),
            ("p999_microseconds", 0.999, "µs, 99.9 % of them"),
        ];
        for (key, part, unit) in parts {
            outcome.add(key, quantile(&self.trips, part) as f64 / 1_000.0, unit);
        }
        if let Some((before, after)) = self.processor {
            let each = (after - before) / (2.0 * self.trips.len() as f64) * 1e6;
            outcome.add(
                "broker_cpu_seconds_per_million",
                each,
                "CPU seconds of the broker per million deliveries",
            );
        }
        outcome.round_trips = self.trips;
        outcome
    }
}

impl Side {
    fn strike(&mut self, client: &mut dyn Client) -> Result<(), Failure> {
        let payload = self.payload.number(self.answers.total());
        let id = client.send(&Message::new(&self.to, payload));
        self.answers.sent(id.map_err(|error| Failure::failed(format_args!("cannot send: {error}")))?);
        Ok(())
    }
}

impl Load for PingPong<'_> {
    fn turn(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure> {
        let side = &mut self.sides[who];
        let mut has_come = false;
        while let Some(event) = client.poll_event() {
            match event {
                Event::Message(message) => {
                    side.expected.see(message.payload);
                    has_come = true;
                }
                Event::Receipt(receipt) if receipt.is_final() => side.answers.receipt(&receipt, 1),
                Event::Established(_) => side.is_ready = true,
                other => expect_no_end(&other)?,
            }
        }
        let serves = who == 0 && self.phase == PingPongPhase::Warming && side.answers.total() == 0;
        if has_come && who == 0 {
            if self.phase == PingPongPhase::Measuring {
                self.trips.push(u64::try_from(self.served.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            if self.phase == PingPongPhase::Ending {
                return Ok(());
            }
        }
        if has_come || serves {
            if who == 0 {
                self.served = time::Instant::now();
            }
            self.sides[who].strike(client)?;
        }
        Ok(())
    }

    fn round(&mut self, now: Instant, call: &mut Vec<usize>) -> Result<Then, Failure> {
        let asked = self.setup.interrupt.asked().is_some();
        match self.phase {
            PingPongPhase::Connecting => {
                if asked {
                    self.interrupted = true;
                    return Ok(Then::Done);
                }
                if self.since == Instant::default() {
                    self.since = now;
                    call.extend([0, 1]);
                }
                if self.sides.iter().any(|side| !side.is_ready) {
                    return self.setup.wait_for_connections(now, self.since);
                }
                self.enter(PingPongPhase::Warming, now, now + WARM_UP);
                call.push(0);
            }
            PingPongPhase::Warming if now >= self.until => {
                self.enter(PingPongPhase::Measuring, now, now + self.setup.time());
                self.setup.progress.begin(self.setup.time());
                self.processor = self.broker.processor_seconds().map(|before| (before, before));
            }
            PingPongPhase::Measuring
                if asked || now >= self.until || self.trips.len() as u64 >= self.most =>
            {
                self.interrupted = asked;
                self.enter(PingPongPhase::Ending, now, now + QUIET);
                self.setup.progress.end();
                self.processor = self
                    .processor
                    .zip(self.broker.processor_seconds())
                    .map(|((before, _), after)| (before, after));
            }
            PingPongPhase::Ending => {
                let [first, second] = &self.sides;
                let is_back = first.expected.seen() == second.answers.total();
                if (is_back && first.answers.open() + second.answers.open() == 0) || now >= self.until {
                    return Ok(Then::Done);
                }
            }
            PingPongPhase::Warming | PingPongPhase::Measuring => {}
        }
        Ok(Then::Until(Some(self.setup.progress.tick(now, self.until))))
    }
}
