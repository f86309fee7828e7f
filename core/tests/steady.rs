//! On the path of a message, with its receipts, nothing is allocated once things run.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::{Broker, BrokerConfig, Client, Destination, Event, Instant, LinkId, Outgoing, Value};
use support::counting::{Counting, allocations};
use support::{client_config, group, make, uuid};

#[global_allocator]
static COUNTING: Counting = Counting;

struct Line {
    broker: Broker,
    clients: Vec<(Client<Vec<u8>>, LinkId)>,
    now: Instant,
    buffer: Vec<u8>,
    delivered: u64,
    answered: u64,
}

impl Line {
    /// A sender, and recipients in a room.
    fn new(recipients: usize) -> Self {
        let now = Instant::from_micros(1);
        let broker = Broker::new(BrokerConfig { settle: Duration::ZERO, ..BrokerConfig::new(0) }, 1).unwrap();
        let mut line =
            Self { broker, clients: Vec::new(), now, buffer: vec![0; 64 * 1024], delivered: 0, answered: 0 };
        for n in 0..=recipients {
            let mut client = make(client_config(n));
            if n > 0 {
                client.set(now, "room", Value::Str("a")).unwrap();
            }
            let link = line.broker.handle_connected(now, 0).unwrap();
            client.handle_connected(now);
            line.clients.push((client, link));
        }
        (0..4).for_each(|_| line.turn());
        line
    }

    /// Everything that is to be written goes to the other end, and all events are taken.
    fn turn(&mut self) {
        self.now = self.now + Duration::from_micros(100);
        self.broker.handle_timeout(self.now);
        for (client, link) in &mut self.clients {
            while let written @ 1.. = client.poll_transmit(self.now, &mut self.buffer) {
                let taken = self.broker.handle_input(self.now, *link, &self.buffer[..written]);
                assert_eq!(taken, Ok(written));
            }
        }
        while self.broker.poll_ready().is_some() {}
        while self.broker.poll_event().is_some() {}
        for (client, link) in &mut self.clients {
            while let Ok(written @ 1..) = self.broker.poll_transmit(self.now, *link, &mut self.buffer) {
                client.handle_input(self.now, &self.buffer[..written]);
            }
            while let Some(event) = client.poll_event() {
                match event {
                    Event::Message(_) => self.delivered += 1,
                    Event::Receipt(receipt) => self.answered += u64::from(receipt.is_final()),
                    _ => {}
                }
            }
        }
    }

    fn run(&mut self, to: &Destination, messages: u32) {
        let (client, _) = &mut self.clients[0];
        let now = self.now;
        // One frame's worth of different sizes, as many as an outbox takes at a time.
        for n in 0..messages {
            let length = [64, 0, 300, 64][n as usize % 4];
            client.send(now, &Outgoing::new(to, &[n as u8; 300][..length])).unwrap();
        }
        (0..4).for_each(|_| self.turn());
    }
}

fn nothing_is_allocated(recipients: usize, to: &Destination) {
    let mut line = Line::new(recipients);
    for _ in 0..200 {
        line.run(to, 64);
    }
    let before = allocations();
    for _ in 0..500 {
        line.run(to, 64);
    }
    let allocated = allocations() - before;
    assert_eq!(line.answered, 700 * 64, "all were answered");
    assert_eq!(line.delivered, 700 * 64 * recipients as u64, "all came");
    assert_eq!(allocated, 0, "allocations for {} messages", 500 * 64);
}

#[test]
fn a_message_to_one_costs_no_allocation() {
    nothing_is_allocated(1, &uuid(1).into());
}

#[test]
fn a_message_to_a_group_costs_no_allocation() {
    nothing_is_allocated(20, &group("a"));
}
