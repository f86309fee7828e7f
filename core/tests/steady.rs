//! On the path of a message, with its receipts, nothing is allocated once things run.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::{
    Attributes, Broker, BrokerConfig, Client, Destination, Event, Instant, LinkId, Message, Value,
};
use support::counting::{Counting, allocations, live};
use support::raw::{Raw, frame, hello};
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
        let broker = Broker::new(BrokerConfig::new(0).settle(Duration::ZERO), 1).unwrap();
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
            while let Ok(written @ 1..) = client.poll_transmit(self.now, &mut self.buffer) {
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
            client.send(now, &Message::new(to, &[n as u8; 300][..length])).unwrap();
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

/// Sessions come and go, each with an attribute that no other has. Of their links, of the sessions and of the lists by which
/// they are found nothing stays.
#[test]
fn field_s1_links_and_sessions_that_are_gone_take_no_memory() {
    const CLIENTS: usize = 40_000;
    let mut raw = Raw::new(BrokerConfig::new(0).max_links(65_536).settle(Duration::ZERO));
    let before = live();
    let links: Vec<LinkId> = (0..CLIENTS)
        .map(|n| {
            let mut attributes = Attributes::new();
            attributes.set("name", Value::Int(n as i64)).unwrap();
            let link = raw.link();
            raw.put(link, &hello(n, 1, None, attributes.as_ref()));
            raw.swallow(link);
            link
        })
        .collect();
    let most = live() - before;
    assert!(most > 20 << 20, "{most} bytes");
    for link in links {
        raw.put(link, &frame(|w| Control::Goodbye(true).write(w)));
        raw.swallow(link);
        raw.broker.handle_disconnected(raw.now, link);
    }
    for _ in 0..5 {
        raw.now = raw.now + Duration::from_secs(1);
        while raw.broker.poll_timeout().is_some_and(|at| at <= raw.now) {
            raw.broker.handle_timeout(raw.now);
        }
    }
    raw.drain();
    let left = live() - before;
    println!("{most} bytes at the most, {left} left");
    assert!(left < 1 << 20, "{left} bytes of {most}");
}
