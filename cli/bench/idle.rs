//! Idle: many clients with four attributes each, that do nothing.

use std::time::Duration;

use e_pigeon_core::{ClientConfig, Event, Instant, Value};

use super::broker::Broker;
use super::outcome::Outcome;
use super::setup::{CONNECTING, Setup, expect_no_end};
use crate::descriptors;
use crate::failure::Failure;
use crate::transport::{Client, Fleet, Load, Then};

/// Before its memory is looked at, the broker has so much time to come to rest.
const REST: Duration = Duration::from_millis(500);

/// Measures so many clients.
pub(crate) fn measure(setup: &Setup<'_>, clients: usize) -> Result<Outcome, Failure> {
    descriptors::need(clients as u64 + 64)?;
    let broker = setup.broker()?;
    let mut fleet = Fleet::new(setup.clients_transport())?;
    setup.interrupt.wakes(fleet.wake());
    for _ in 0..clients {
        fleet.add(small(setup)?, broker.resolver()?)?;
    }
    std::thread::sleep(REST);
    let mut load = Idle {
        setup,
        broker: &broker,
        clients,
        dressed: vec![false; clients],
        started: 0,
        ready: 0,
        before: (broker.processor_seconds(), broker.resident_bytes()),
        begun: Instant::default(),
        done: None,
        outcome: Outcome::default(),
    };
    setup.drive(fleet, &mut load)?;
    Ok(load.outcome)
}

/// A client that takes little memory.
pub(crate) fn small(setup: &Setup<'_>) -> Result<ClientConfig, Failure> {
    Ok(setup
        .identity()?
        .max_payload(256)
        .outbox_messages(4)
        .outbox_bytes(2048)
        .inbox_messages(256)
        .inbox_bytes(64 * 1024)
        .senders(1)
        .seen_window(256)
        .late_ids(1)
        .destination_slots(1)
        .destination_bytes(64)
        .attribute_bytes(256)
        .watches(0))
}

struct Idle<'a> {
    setup: &'a Setup<'a>,
    broker: &'a Broker,
    clients: usize,
    /// Who has its attributes.
    dressed: Vec<bool>,
    /// How many have begun to connect, and how many have a session.
    started: usize,
    ready: usize,
    before: (Option<f64>, Option<f64>),
    begun: Instant,
    /// When all had a session.
    done: Option<Instant>,
    outcome: Outcome,
}

impl Idle<'_> {
    fn look(&mut self, ready: Instant) {
        let seconds = ready.saturating_duration_since(self.begun).as_secs_f64();
        let each = self.clients as f64;
        let outcome = &mut self.outcome;
        if let (Some(before), Some(after)) = (self.before.1, self.broker.resident_bytes()) {
            let bytes = (after - before) / each;
            outcome.add("broker_bytes_per_client", bytes, "bytes of the broker's memory per client");
        }
        outcome.add("connects_per_second", each / seconds, "clients connected a second");
        if let (Some(before), Some(after)) = (self.before.0, self.broker.processor_seconds()) {
            let micros = (after - before) / each * 1e6;
            outcome.add("broker_cpu_microseconds_per_connect", micros, "µs of the broker's CPU per connect");
        }
    }
}

impl Load for Idle<'_> {
    fn turn(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.dressed[who], true) {
            // The first turn comes before the connection.
            set_attributes(who, client)?;
        }
        while let Some(event) = client.poll_event() {
            match event {
                Event::Established(_) => self.ready += 1,
                other => expect_no_end(&other)?,
            }
        }
        Ok(())
    }

    fn round(&mut self, now: Instant, call: &mut Vec<usize>) -> Result<Then, Failure> {
        if self.setup.interrupt.asked().is_some() {
            self.outcome.interrupted = true;
            return Ok(Then::Done);
        }
        if self.started == 0 {
            self.begun = now;
            self.setup.progress.begin_counting(self.clients as u64);
        }
        while self.started < self.clients && self.started - self.ready < CONNECTING {
            call.push(self.started);
            self.started += 1;
        }
        self.setup.progress.count(self.ready as u64);
        if self.ready < self.clients {
            return self.setup.wait_for_connections(now, self.begun);
        }
        let done = *self.done.get_or_insert(now);
        if now < done + REST {
            return Ok(Then::Until(Some(done + REST)));
        }
        self.setup.progress.end();
        self.look(done);
        Ok(Then::Done)
    }
}

fn set_attributes(who: usize, client: &mut dyn Client) -> Result<(), Failure> {
    let name = format!("client-{who}");
    let room = format!("room-{}", who % 100);
    for (key, value) in [
        ("name", Value::Str(&name)),
        ("room", Value::Str(&room)),
        ("level", Value::Int(who as i64 % 10)),
        ("idle", Value::Bool(true)),
    ] {
        client.set(key, value).map_err(Failure::failed)?;
    }
    Ok(())
}
