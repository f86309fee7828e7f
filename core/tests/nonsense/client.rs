//! A hostile broker against a client.

use super::*;
use std::collections::BTreeMap;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// A client, and a broker that sends it well-formed frames at random.
struct HostileBroker {
    seed: u64,
    step: u32,
    random: Random,
    now: Instant,
    client: Client<Vec<u8>>,
    /// Whether the application acknowledges messages itself.
    manual: bool,
    /// The messages sent, and whether their final receipt has come.
    finals: BTreeMap<u64, bool>,
    /// The token of the last message received.
    token: Option<AckToken>,
    /// The session that the broker speaks of.
    session: u64,
    /// How many items of that session it has acknowledged.
    base: u64,
}

fn draw_config(random: &mut Random) -> ClientConfig {
    let mut config = ClientConfig::new(uuid(0), Secret([0; 16]), 1, 1);
    config.max_payload = 64;
    config.outbox_messages = 1 + random.below(12) as u32;
    config.outbox_bytes = 64 + 794 + random.below(1000) as u32;
    config.inbox_messages = 1 + random.below(8) as u32;
    config.inbox_bytes = 64 + random.below(300) as u32;
    config.senders = 1 + random.below(3) as u16;
    config.seen_window = 64;
    config.late_ids = 1 + random.below(3) as u16;
    config.destination_slots = 1 + random.below(4) as u8;
    config.manual_acknowledgement = random.percent(30);
    config
}

fn draw_past(random: &mut Random) -> Option<DeliveryPast> {
    match random.below(6) {
        0 => Some(DeliveryPast::Sent),
        1 => Some(DeliveryPast::Parked),
        2 => Some(DeliveryPast::Taken {
            epoch: 7,
            session: random.below(9),
            answered_first: random.percent(50),
        }),
        _ => None,
    }
}

impl HostileBroker {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = draw_config(&mut random);
        Self {
            seed,
            step: 0,
            random,
            now: Instant::from_micros(1),
            manual: config.manual_acknowledgement,
            client: make(config),
            finals: BTreeMap::new(),
            token: None,
            session: 1,
            base: 0,
        }
    }

    fn step(&mut self) {
        match self.random.below(28) {
            0 | 24..=27 => self.connect(),
            1 => self.disconnect(),
            2 => self.pass_time(),
            3..=5 => self.send(),
            6 => self.set_attribute(),
            7 => self.remove_attribute(),
            8..=10 => self.take_events(),
            11 | 12 => self.transmit(),
            13 => self.acknowledge(),
            14 => self.close(),
            15 | 16 => self.hear_welcome(),
            17 => self.hear_ack(),
            18 => self.hear_window(),
            19 | 20 => self.hear_delivery(),
            21 => self.hear_accepted(),
            22 => self.hear_final(),
            _ => self.hear_anything_else(),
        }
        self.check();
    }

    fn check(&self) {
        let answered = |id: MessageId| self.finals[&id.0];
        assert!(!self.client.unanswered().any(answered), "{} {}", self.seed, self.step);
    }

    fn connect(&mut self) {
        if self.client.wants_connection() || self.random.percent(2) {
            self.client.handle_connected(self.now);
            if self.random.percent(90) {
                let mut out = [0; 3000];
                self.client.poll_transmit(self.now, &mut out).unwrap();
            }
        }
    }

    fn disconnect(&mut self) {
        if self.random.percent(3) || self.client.wants_disconnect() {
            self.client.handle_disconnected(self.now);
        }
    }

    fn pass_time(&mut self) {
        let below = if self.random.percent(10) { 2_000_000 } else { 30_000 };
        self.now = self.now + Duration::from_micros(self.random.below(below));
        self.client.handle_timeout(self.now);
        let (seed, step, now, due) = (self.seed, self.step, self.now, self.client.poll_timeout());
        assert!(due.is_none_or(|due| due > now), "busy {seed} {step} {due:?} {now:?}");
    }

    fn send(&mut self) {
        let random = &mut self.random;
        let destination = dest(random);
        let payload = vec![1; random.below(66) as usize];
        let below = if random.percent(50) { 50 } else { 100_000 };
        let time_to_live = Duration::from_millis(random.below(below));
        let retain = if random.percent(30) { Retain::Accepted } else { Retain::Delivered };
        let message = Message::to(&destination).payload(&payload).time_to_live(time_to_live).retain(retain);
        if let Ok(id) = self.client.send(self.now, &message) {
            self.finals.insert(id.0, false);
        }
    }

    fn set_attribute(&mut self) {
        let key = self.random.pick(&KEYS);
        let value = Value::Int(self.random.below(9) as i64);
        let _ = self.client.set(self.now, key, value);
    }

    fn remove_attribute(&mut self) {
        let _ = self.client.remove(self.now, self.random.pick(&KEYS));
    }

    fn take_events(&mut self) {
        for _ in 0..self.random.below(8) {
            let (seed, step, has_event) = (self.seed, self.step, self.client.has_event());
            let Some(event) = self.client.poll_event() else {
                assert!(!has_event, "has_event {seed} {step}");
                break;
            };
            if std::env::var("V").is_ok() {
                eprintln!("{event:?}");
            }
            match event {
                Event::Receipt(receipt) => {
                    let answered = self.finals.get_mut(&receipt.id().0).unwrap();
                    assert!(!*answered, "a receipt after the final one: {receipt:?} {seed} {step}");
                    *answered = receipt.is_final();
                }
                Event::Message(message) => self.token = Some(message.token),
                _ => {}
            }
            assert!(has_event, "an event that has_event did not know of: {seed} {step}");
        }
    }

    fn transmit(&mut self) {
        let mut out = vec![0; 1 + self.random.below(300) as usize];
        for _ in 0..self.random.below(5) {
            if self.client.poll_transmit(self.now, &mut out).unwrap() == 0 {
                break;
            }
        }
    }

    fn acknowledge(&mut self) {
        if self.manual
            && let Some(token) = self.token
        {
            self.client.acknowledge(token);
        }
    }

    fn close(&mut self) {
        if self.random.percent(2) {
            let how = if self.random.percent(50) { Close::EndSession } else { Close::KeepSession };
            self.client.close(self.now, how);
        }
    }

    fn hear_welcome(&mut self) {
        let resumed = self.draw_resumed();
        if resumed.is_none() && !self.client.is_established() {
            self.session += 1;
        }
        let random = &mut self.random;
        let welcome = Welcome {
            epoch: 7_u64.to_le_bytes(),
            session: self.session,
            resumed,
            window: Window { messages: random.number32(), bytes: random.number32().saturating_mul(40) },
            max_payload: if random.percent(80) { 64 } else { random.number32() },
            slots: random.below(18) as u8,
            keep_alive_ms: if random.percent(95) { 1 + random.below(100) as u32 } else { random.number32() },
            session_ttl_ms: if random.percent(70) { random.below(5000) } else { random.number() },
        };
        if self.client.is_established() && random.percent(99) {
            return;
        }
        self.base = resumed.map_or(0, |resumed| resumed.acknowledged);
        self.hear(&frame(|w| Control::Welcome(welcome).write(w)));
    }

    fn draw_resumed(&mut self) -> Option<Resumed> {
        let random = &mut self.random;
        if self.session > 1 && random.percent(85) {
            let acknowledged = self.base + random.below(2) * random.below(2);
            let received = acknowledged + random.below(3) * random.below(2);
            Some(Resumed { received, acknowledged })
        } else {
            None
        }
    }

    fn hear_ack(&mut self) {
        if !self.client.is_established() || !self.random.percent(60) {
            return;
        }
        self.base += 1;
        let count = if self.random.percent(97) { 1 } else { self.random.number().max(1) };
        self.hear(&frame(|w| Control::Ack(count).write(w)));
    }

    fn hear_window(&mut self) {
        if !self.client.is_established() {
            return;
        }
        let messages = self.random.number32();
        let bytes = self.random.number32().saturating_mul(30);
        self.hear(&frame(|w| Control::Window(Window { messages, bytes }).write(w)));
    }

    fn hear_delivery(&mut self) {
        let random = &mut self.random;
        let payload = vec![3; random.below(40) as usize];
        let first = random.percent(70);
        let past = draw_past(random);
        let delivery = Deliver {
            alias: random.below(3) as u8 % 2,
            define: first.then(|| Origin { uuid: [random.below(4) as u8; 16], boot: 1 }),
            id_step: if random.percent(95) { random.below(200) as i64 } else { random.next() as i64 },
            retry: past,
            late: random.percent(20),
            direct: random.percent(50),
            payload: &payload,
        };
        if !self.client.is_established() {
            return;
        }
        let bytes = frame(|w| DownItem::Deliver(delivery).write(w));
        let (start, end) = bytes.split_at(random.below(bytes.len() as u64) as usize);
        self.hear(start);
        self.hear(end);
    }

    fn hear_accepted(&mut self) {
        if !self.client.is_established() {
            return;
        }
        let random = &mut self.random;
        let accepted = Accepted {
            first: 1 + random.below(12),
            count: if random.percent(80) { 1 + random.below(4) as u32 } else { u32::MAX },
            recipients: random.number32(),
            epoch: 7,
            session: random.number(),
        };
        self.hear(&frame(|w| DownItem::Accepted(accepted).write(w)));
    }

    fn hear_final(&mut self) {
        if !self.client.is_established() {
            return;
        }
        let n = self.random.number32();
        let last = Final {
            first: 1 + self.random.below(20),
            count: 1 + self.random.below(4) as u32,
            outcome: Outcome::new(n, n, (n == 0).then_some(RefusalReason::Expired)),
        };
        self.hear(&frame(|w| DownItem::Final(last).write(w)));
    }

    fn hear_anything_else(&mut self) {
        if !self.client.is_established() {
            return;
        }
        let what = self.random.below(60);
        let count =
            if self.random.percent(80) { self.random.below(4) as u32 } else { self.random.number32() };
        let code = AbortCode::Full;
        self.hear(&frame(|w| match what {
            0 => Control::Farewell.write(w),
            1 => Control::Abort(Abort { code, detail: 0 }).write(w),
            2 => DownItem::Reply(Reply::AttributesRefused(RefusalReason::TooLarge)).write(w),
            3 => DownItem::Void(count).write(w),
            _ => Control::Ping.write(w),
        }));
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.client.handle_input(self.now, bytes);
    }
}

fn run_client(seed: u64) {
    let mut broker = HostileBroker::new(seed);
    for step in 0..800 {
        broker.step = step;
        broker.step();
    }
}

#[test]
fn hostile_broker() {
    let from: u64 = std::env::var("F").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::var("N").ok().and_then(|v| v.parse().ok()).unwrap_or(10000);
    for seed in from..from + n {
        if let Err(e) = std::panic::catch_unwind(|| run_client(seed)) {
            eprintln!("SEED {seed}");
            std::panic::resume_unwind(e);
        }
    }
}
