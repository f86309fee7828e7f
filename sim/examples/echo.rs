//! A program, a network and a workload of one's own in the simulator: an echo server behind a slow line, with faults.
//!
//! `cargo run -p e-pigeon-sim --example echo`

use core::time::Duration;
use e_pigeon_core::{Event, Instant, Receipt};
use e_pigeon_sim::{
    Application, Direction, Generator, Network, Payload, Random, Send, Setup, Source, Step, Swarm, To,
    Violation, World, client_of, ms,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sends every message back to where it came from, and counts what was confirmed.
struct Echo {
    confirmed: Arc<AtomicUsize>,
}

impl Application for Echo {
    fn event(&mut self, _now: Instant, client: usize, event: &Event<'_>, steps: &mut Vec<Step>) {
        match event {
            Event::Message(message) => {
                let payload = Payload::Bytes(message.payload.to_vec());
                let to = To::Client(client_of(message.from));
                steps.push(Step::Send(Send { payload, ..Send::new(client, to) }));
            }
            Event::Receipt(Receipt::Final { reason: None, .. }) => {
                self.confirmed.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// A line for each client and direction on which bytes arrive a hundred at a time, 5 to 15 milliseconds apart.
struct SlowLine {
    random: Random,
    next: BTreeMap<(usize, bool), Instant>,
}

impl Network for SlowLine {
    fn allows(&mut self, now: Instant, client: usize, direction: Direction, waiting: usize) -> usize {
        let next = self.next.entry((client, direction == Direction::Up)).or_insert(now);
        if now < *next {
            return 0;
        }
        *next = now + ms(5 + self.random.draw() % 10);
        waiting.min(100)
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        self.next.values().copied().filter(|&at| at > now).min()
    }
}

fn main() -> Result<(), Violation> {
    let confirmed = Arc::new(AtomicUsize::new(0));
    let mut setup = Setup::new(3);
    setup.seed = 42;
    setup.clients[1].inbox_messages = 4;

    // A workload by hand: client 1 is the server, and 0 and 2 ask it.
    let mut world = World::new(&setup)?
        .with_application(1, Box::new(Echo { confirmed: Arc::clone(&confirmed) }))
        .with_network(Box::new(SlowLine { random: Random(42), next: BTreeMap::new() }));
    for _ in 0..20 {
        world.apply(&Step::Send(Send::new(0, To::Client(1))))?;
        world.apply(&Step::Send(Send::new(2, To::Client(1))))?;
        world.pass(Duration::from_millis(30))?;
    }
    world.apply(&Step::Kill { silent: true })?;
    world.heal()?;
    let (messages, echoes) = (world.figures().messages, confirmed.load(Ordering::Relaxed));
    println!("{messages} messages, {echoes} echoes confirmed, at {} µs", world.now().as_micros());
    assert_eq!((messages, echoes), (80, 40));

    // The same program under faults that a seed draws, but for those that it is not made for.
    for seed in 0..50 {
        let mut source = Source::seed(seed);
        let (drawn, setup) = Swarm::draw(&mut source);
        let swarm = Swarm { closes: false, restarts: 0, ..drawn };
        let echo = Echo { confirmed: Arc::clone(&confirmed) };
        let mut world = World::new(&setup)?.with_application(0, Box::new(echo));
        // An echo of an echo of a message to oneself would never end.
        let ends = |step: &Step| !matches!(step, Step::Send(send) if send.from == 0);
        for step in Generator::with(source, swarm, &setup).filter(ends) {
            world.apply(&step)?;
        }
        world.heal()?;
    }
    println!("50 seeds broke no promise");
    Ok(())
}
