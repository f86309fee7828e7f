//! A client of the demo, in a thread of its own: notes what comes, and sends its stream while it flows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use e_pigeon_core::{
    ClientConfig, Close, CloseReason, Destination, Event, Instant, Message, Receipt, Secret, SendError, Uuid,
    Value,
};

use super::content::{self, Label};
use super::random::Random;
use super::record::{Answer, Records, Sent, Shared};
use crate::address::Address;
use crate::failure::Failure;
use crate::transport::{ClientLoop, Next, Task, Transport, Turn};
use crate::wake::Wake;

/// The time between two messages of a stream.
const PACE: Duration = Duration::from_millis(1);
/// A sender that is late catches up by so many at a time.
const BURST: usize = 8;
/// Clients are back as fast as they may, so that the demo is short.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(30));

/// Who a player is, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its place among the members.
    pub(crate) member: usize,
    pub(crate) name: &'static str,
    pub(crate) room: &'static str,
    /// The stream that it sends.
    pub(crate) stream: Option<(usize, Destination)>,
}

/// The UUID of a member: the same for the same seed.
pub(crate) fn uuid(seed: u64, member: usize) -> Uuid {
    Uuid::from_bytes(Random::new(seed, 1_000 + member as u64).bytes())
}

/// Lets a player in, and returns what wakes it.
pub(crate) fn enter(
    transport: Transport,
    part: Part,
    broker: SocketAddr,
    seed: u64,
    shared: &Arc<Shared>,
) -> Result<Wake, Failure> {
    let mut random = Random::new(seed, 2_000 + part.member as u64);
    let secret = Secret(random.bytes());
    let mut config = ClientConfig::new(uuid(seed, part.member), secret, random.next(), random.next());
    (config.reconnect_min, config.reconnect_max) = RECONNECT;
    let broker = Address::Tcp { host: broker.ip().to_string(), port: broker.port() };
    let mut carrier = ClientLoop::new(transport, config, broker)?;
    let wake = carrier.wake();
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(part.name.into())
        .spawn(move || {
            let member = part.member;
            let mut player = Player { part, seed, shared: Arc::clone(&shared), is_dressed: false, due: None };
            let failure = match carrier.run(&mut player) {
                Ok(_) => return,
                Err(failure) => failure.line,
            };
            shared.lock().members[member].failure = Some(failure);
            shared.tell();
        })
        .map_err(|error| Failure::system("start a thread", &error))?;
    Ok(wake)
}

struct Player {
    part: Part,
    seed: u64,
    shared: Arc<Shared>,
    /// Its attributes are set.
    is_dressed: bool,
    /// When its next message is due.
    due: Option<Instant>,
}

impl Task for Player {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        if !std::mem::replace(&mut self.is_dressed, true) {
            for (key, value) in [("name", self.part.name), ("room", self.part.room)] {
                turn.client.set(key, Value::Str(value)).map_err(Failure::failed)?;
            }
        }
        let shared = Arc::clone(&self.shared);
        let mut records = shared.lock();
        let mut closed = None;
        while let Some(event) = turn.client.poll_event() {
            if let Event::Closed(reason) = event {
                closed = Some(reason);
            }
            self.note(&mut records, event);
        }
        shared.tell();
        match closed {
            None => {}
            Some(CloseReason::Requested) => return Ok(Next::Done(0)),
            Some(reason) => return Err(Failure::failed(reason)),
        }
        if records.over {
            turn.client.close(Close::EndSession);
            return Ok(Next::Wait(None));
        }
        if records.flowing {
            self.send(&mut records, turn)
        } else {
            self.due = None;
            Ok(Next::Wait(None))
        }
    }
}

impl Player {
    fn note(&mut self, records: &mut Records, event: Event<'_>) {
        let member = &mut records.members[self.part.member];
        match event {
            Event::Message(message) => match content::label(self.seed, message.payload) {
                Some(label) => member.received.push(label),
                None => member.damaged += 1,
            },
            Event::Established(how) => member.established(how),
            Event::Disconnected { .. } => member.is_up = false,
            Event::Receipt(receipt) => {
                let Some((stream, _)) = self.part.stream else { return };
                // A player has one stream, so its messages have the numbers of the ids, which count from 1.
                let number = usize::try_from(receipt.id().0 - 1).unwrap_or(usize::MAX);
                let Some(sent) = records.sent[stream].get_mut(number) else { return };
                match receipt {
                    Receipt::Accepted { .. } => sent.accepted = true,
                    Receipt::Final { delivered, recipients, .. } => {
                        sent.answers.push(Answer { delivered, recipients });
                    }
                }
            }
            _ => {}
        }
    }

    /// Sends what is due by now.
    fn send(&mut self, records: &mut Records, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        let Some((stream, to)) = &self.part.stream else { return Ok(Next::Wait(None)) };
        let mut due = self.due.unwrap_or(turn.now);
        for _ in 0..BURST {
            if due > turn.now {
                break;
            }
            let number = records.sent[*stream].len();
            let payload = content::payload(self.seed, Label { stream: *stream, number });
            match turn.client.send(&Message::new(to, &payload)) {
                Ok(_) => records.sent[*stream].push(Sent::default()),
                // Those that are unanswered fill the outbox; the message is sent when it has room.
                Err(SendError::Full) => break,
                Err(error) => return Err(Failure::failed(error)),
            }
            due = due + PACE;
        }
        // What could not be caught up with is left out.
        due = due.max(turn.now);
        self.due = Some(due);
        Ok(Next::Wait(Some(due.max(turn.now + PACE))))
    }
}
