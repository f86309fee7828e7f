//! A client in the broker's own program, connected to it in memory: an application of the device, which others find by its
//! attribute `service = "status"` and its UUID. To `status` it answers how the broker is.

use super::heap;
use crate::board::{boot, stack};
use crate::text::Line;
use core::mem::MaybeUninit;
use cortex_m::singleton;
use e_pigeon_core::{
    Broker, Client, ClientConfig, DestinationRef, Event, Instant, LinkId, Message, Secret, SendError, Uuid,
    Value,
};

/// Who it is.
const SERVICE: Uuid = Uuid::from_u128(0x5e45_0000_0000_4000_8000_0000_0000_00b0);
const SECRET: Secret = Secret(*b"of the broker's!");
/// The source of its link at the broker; channels of the line have smaller numbers.
const HERE: u64 = u64::MAX;
/// The block that the client lives in.
const MEMORY: usize = 1_280;

type Pigeon = Client<&'static mut [u8]>;

/// The service.
pub struct Service {
    client: &'static mut Pigeon,
    link: Option<LinkId>,
    /// Who asked, and was not answered yet. No other question is read before.
    asked_by: Option<Uuid>,
    /// How many were answered, which an attribute says too.
    answered: i64,
}

fn config() -> ClientConfig {
    let boot = boot();
    let mut config = ClientConfig::new(SERVICE, SECRET, boot, boot);
    config.max_payload = 64;
    // An answer, and the change of its attributes.
    (config.outbox_messages, config.outbox_bytes) = (2, 2 * 96);
    (config.inbox_messages, config.inbox_bytes) = (1, 64);
    (config.senders, config.seen_window, config.late_ids) = (2, 64, 1);
    (config.destination_slots, config.destination_bytes) = (1, 17);
    config.attribute_bytes = 64;
    (config.watches, config.presence_items) = (0, 0);
    config
}

impl Service {
    /// Makes it; `None` where its limits make no sense.
    #[inline(never)]
    pub fn new(now: Instant) -> Option<Self> {
        let memory = singleton!(: [u8; MEMORY] = [0; MEMORY])?;
        let place = singleton!(: MaybeUninit<Pigeon> = MaybeUninit::uninit())?;
        let Ok(made) = Client::new(config(), &mut memory[..]) else { return None };
        let client = place.write(made);
        for (key, value) in
            [("service", "status"), ("kind", "broker"), ("chip", "lm3s6965"), ("asked", "never")]
        {
            client.set(now, key, Value::Str(value)).ok()?;
        }
        Some(Self { client, link: None, asked_by: None, answered: 0 })
    }

    /// What is due, and what it has to say; [`hear`](Self::hear) follows where the broker has an answer.
    pub fn turn(&mut self, now: Instant, broker: &mut Broker) {
        if self.client.wants_disconnect() {
            self.leave(now, broker);
        }
        if self.client.wants_connection() {
            match broker.handle_connected(now, HERE) {
                Ok(link) => {
                    self.link = Some(link);
                    self.client.handle_connected(now);
                }
                Err(_) => self.client.handle_disconnected(now),
            }
        }
        if self.client.poll_timeout().is_some_and(|at| now >= at) {
            self.client.handle_timeout(now);
        }
        self.serve(now);
        self.speak(now, broker);
    }

    /// True where it has something to do now.
    pub fn wants_turn(&self) -> bool {
        self.client.wants_connection() || self.client.wants_disconnect() || self.client.has_event()
    }

    /// When it has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    /// True where the link is its own.
    pub fn has(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    /// The broker has something for it.
    pub fn hear(&mut self, now: Instant, broker: &mut Broker, is_over: bool) {
        let Some(link) = self.link else { return };
        let mut buffer = [0; 32];
        while let Ok(count @ 1..) = broker.poll_transmit(now, link, &mut buffer) {
            self.client.handle_input(now, buffer.get(..count).unwrap_or_default());
        }
        if is_over {
            self.leave(now, broker);
        }
        self.serve(now);
        self.speak(now, broker);
    }

    fn leave(&mut self, now: Instant, broker: &mut Broker) {
        self.client.handle_disconnected(now);
        if let Some(link) = self.link.take() {
            broker.handle_disconnected(now, link);
        }
    }

    fn speak(&mut self, now: Instant, broker: &mut Broker) {
        let Some(link) = self.link else { return };
        let mut buffer = [0; 32];
        while let Ok(count @ 1..) = self.client.poll_transmit(now, &mut buffer) {
            let mut bytes = buffer.get(..count).unwrap_or_default();
            while let Ok(taken @ 1..) = broker.handle_input(now, link, bytes) {
                bytes = bytes.get(taken..).unwrap_or_default();
            }
        }
    }

    fn serve(&mut self, now: Instant) {
        loop {
            if let Some(to) = self.asked_by {
                let mut text = Line::new();
                text.put(b"heap ").number(heap::used()).put(b" most ").number(heap::most());
                text.put(b" worst ").number(heap::WORST).put(b" stack ").number(stack::high_water());
                let mut room = [0; 17];
                let to = DestinationRef::uuid_in(&mut room, to);
                if self.client.send(now, &Message::to(to).payload(text.as_bytes())) == Err(SendError::Full) {
                    return;
                }
                self.asked_by = None;
                self.answered += 1;
                // It can be seen who is asked how often; what has no room now is said with the next.
                let _ = self.client.set(now, "asked", Value::Int(self.answered));
            }
            match self.client.poll_event() {
                Some(Event::Message(message)) if message.payload == b"status" => {
                    self.asked_by = Some(message.from)
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}
