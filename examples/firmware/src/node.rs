//! The sensor node: it sends readings to whoever collects them, and does what it is told.
//!
//! Its session says `kind = "sensor"`; readings go to `role = "collector"`. To its UUID it takes two commands: `every N`
//! sets the milliseconds between two readings, `status` asks how it is, and is answered to whoever asked.

use crate::board::uart::Uart;
use crate::board::{boot, clock, stack};
use crate::text::{Line, number};
use core::mem::MaybeUninit;
use core::time::Duration;
use cortex_m::singleton;
use e_pigeon_core::{
    Client, ClientConfig, DestinationRef, Event, FilterRef, Framing, Instant, Message, Secret, SendError,
    Uuid, Value,
};

/// Who this node is: given to it when it is made, as is the secret.
const NODE: Uuid = Uuid::from_u128(0x5e45_0000_0000_4000_8000_0000_0000_0001);
const SECRET: Secret = Secret(*b"of node 1, only!");

/// A node takes no more of the RAM than that, besides the block of memory.
const _: () = assert!(size_of::<Client<&mut [u8]>>() <= 1024, "the client has outgrown its budget");
/// The block that the client lives in: room for eight readings while the line is down.
const MEMORY: usize = 2_560;

fn config(framing: Framing) -> ClientConfig {
    let boot = boot();
    ClientConfig::new(NODE, SECRET, boot, boot)
        .small()
        .framing(framing)
        // A hello that was written while nobody listened is lost: it is said again soon.
        .handshake_timeout(Duration::from_secs(1))
        .reconnect_max(Duration::from_millis(500))
}

/// What the node does, besides being connected.
struct Node {
    every: Duration,
    next: Instant,
    /// How many readings were taken.
    taken: u32,
    /// Who asked for the status, and was not answered yet.
    asked_by: Option<Uuid>,
}

/// Runs for ever.
pub fn run(line: &Uart, framing: Framing) -> ! {
    line.start();
    if let (Some(client), Some(collectors)) = (client(framing), collectors()) {
        introduce(client);
        work(line, client, collectors);
    }
    // The limits above make no sense. There is nobody to tell.
    loop {
        cortex_m::asm::wfi();
    }
}

/// Goes round for ever. Not inlined, as the next ones: what each takes of the stack is not below the others.
#[inline(never)]
fn work(line: &Uart, client: &mut Pigeon, collectors: DestinationRef<'_>) -> ! {
    let mut node = Node { every: Duration::from_millis(200), next: clock::now(), taken: 0, asked_by: None };
    loop {
        node.turn(client, line, collectors);
    }
}

/// Makes the client where it stays.
#[inline(never)]
fn client(framing: Framing) -> Option<&'static mut Pigeon> {
    let memory = singleton!(: [u8; MEMORY] = [0; MEMORY])?;
    let place = singleton!(: MaybeUninit<Pigeon> = MaybeUninit::uninit())?;
    let Ok(made) = Client::new(config(framing), &mut memory[..]) else { return None };
    Some(place.write(made))
}

/// Says what the node is.
#[inline(never)]
fn introduce(client: &mut Pigeon) {
    // There is room: nothing was said before.
    let _ = client.set(clock::now(), "kind", Value::Str("sensor"));
}

/// Whom readings are for.
#[inline(never)]
fn collectors() -> Option<DestinationRef<'static>> {
    let room = singleton!(: [u8; 32] = [0; 32])?;
    FilterRef::all_of_in(room, &[("role", Value::Str("collector"))]).ok().map(DestinationRef::from)
}

type Pigeon = Client<&'static mut [u8]>;

impl Node {
    /// One turn, its steps numbered as on the front page of the core.
    fn turn(&mut self, client: &mut Pigeon, line: &Uart, collectors: DestinationRef<'_>) {
        let now = clock::now();
        // 1. A serial line is always there. Whether anybody is at its other end, only an answer tells.
        if client.wants_connection() {
            client.handle_connected(now);
        }
        // 2.
        let mut buffer = [0; 16];
        while let input @ [_, ..] = line.read(&mut buffer) {
            client.handle_input(now, input);
        }
        if client.poll_timeout().is_some_and(|at| now >= at) {
            client.handle_timeout(now);
        }
        // 3.
        while let Some(event) = client.poll_event() {
            if let Event::Message(message) = event {
                self.obey(now, message.from, message.payload);
            }
        }
        self.report(now, client, collectors);
        // 5, before 4: there is nothing to close, and what this end has still to say of a link that is over would reach
        // whoever is at the other end by now, and end the next one.
        if client.wants_disconnect() {
            client.handle_disconnected(now);
        }
        // 4.
        while self.transmit(now, client, line) {}
        // 6. It sleeps until a byte comes, the protocol has something to do, or a reading is due.
        let due =
            [client.poll_timeout(), Some(self.next).filter(|&next| next > now)].into_iter().flatten().min();
        clock::sleep_until(due, || line.has_input() || client.wants_connection());
    }

    /// Does what a message says. What it does not know is as if it had not come.
    fn obey(&mut self, now: Instant, from: Uuid, command: &[u8]) {
        if let Some(every) = command.strip_prefix(b"every ").and_then(number) {
            self.every = Duration::from_millis(u64::from(every.max(1)));
            self.next = now;
        } else if command == b"status" {
            self.asked_by = Some(from);
        }
    }

    /// Sends what is due. What has no room now stays due: [`Event::CapacityAvailable`] wakes the node.
    fn report(&mut self, now: Instant, client: &mut Pigeon, collectors: DestinationRef<'_>) {
        if let Some(from) = self.asked_by {
            let mut text = Line::new();
            text.put(b"stack ").number(stack::high_water());
            text.put(b" client ").number(size_of::<Pigeon>() as u32);
            text.put(b" readings ").number(self.taken);
            if !answer(now, client, from, text.as_bytes()) {
                return;
            }
            self.asked_by = None;
        }
        if now >= self.next {
            let mut text = Line::new();
            text.put(b"reading ").number(self.taken + 1);
            text.put(b" celsius ").number(20 + self.taken % 5);
            if client.send(now, &Message::to(collectors).payload(text.as_bytes())) != Err(SendError::Full) {
                self.taken += 1;
                self.next = now + self.every;
            }
        }
    }

    /// Writes what the line takes; true where it may take more.
    fn transmit(&mut self, now: Instant, client: &mut Pigeon, line: &Uart) -> bool {
        let mut buffer = [0; 16];
        // What is taken from the client has to go: only as much as the line has room for.
        let room = buffer.get_mut(..line.room()).unwrap_or_default();
        let length = client.poll_transmit(now, room).unwrap_or(0);
        line.write(buffer.get(..length).unwrap_or_default());
        length > 0
    }
}

/// Sends a text to one client; false where it has no room now.
#[inline(never)]
fn answer(now: Instant, client: &mut Pigeon, to: Uuid, text: &[u8]) -> bool {
    let mut room = [0; 17];
    let to = DestinationRef::uuid_in(&mut room, to);
    client.send(now, &Message::to(to).payload(text)) != Err(SendError::Full)
}
