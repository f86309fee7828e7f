//! The programs around the clients: what they were refused, what they were lent, and what a user's own program does.

use crate::message::Key;
use crate::presence::Watcher;
use crate::step::{Attributes, Payload, Send, Step};
use e_pigeon_core::{AckToken, Client, ClientConfig, Event, Instant};
use std::collections::{BTreeSet, VecDeque};

/// A user's own program around a client. What it wants, it pushes as steps, which are applied at once.
///
/// The world itself polls events and acknowledges; a program sees each event once, and may send, set attributes, watch
/// or leave on it. See `examples/echo.rs`.
pub trait Application {
    /// An event of this client.
    fn event(&mut self, now: Instant, client: usize, event: &Event<'_>, steps: &mut Vec<Step>);

    /// No event is left; called whenever the world has polled this client.
    fn turn(&mut self, now: Instant, client: usize, steps: &mut Vec<Step>) {
        let _ = (now, client, steps);
    }
}

/// What was refused for lack of room: it is tried again when there is some.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    Send(Send),
    Room(Option<usize>),
    Level(Option<i64>),
}

impl Refused {
    /// How much room it needs, for comparison.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Send(send) => {
                let payload = match &send.payload {
                    Payload::Length(length) => *length,
                    Payload::Bytes(bytes) => bytes.len(),
                };
                payload + send.to.destination().as_ref().as_bytes().len()
            }
            Self::Room(_) | Self::Level(_) => 1,
        }
    }
}

/// A client and the program around it.
pub(crate) struct Peer {
    pub(crate) config: ClientConfig,
    pub(crate) client: Client<Vec<u8>>,
    pub(crate) application: Option<Box<dyn Application>>,
    pub(crate) connection: Option<u64>,
    pub(crate) reachable: bool,
    /// The application does not poll.
    pub(crate) sleeps: bool,
    /// The whole program does nothing.
    pub(crate) stopped: bool,
    /// It has been told to leave.
    pub(crate) leaves: bool,
    /// A boot before it died without a word, and its hello may still be read.
    pub(crate) is_heir: bool,
    /// What its application wants its attributes to be.
    pub(crate) wanted: Attributes,
    /// Lent and not taken.
    pub(crate) lent: VecDeque<(AckToken, Key)>,
    /// The largest of what was refused since there was last said to be room.
    pub(crate) refused: Option<Refused>,
    pub(crate) watcher: Watcher,
    /// For the table of coverage: what was under way when the last link broke, and which receipts the broker wrote.
    pub(crate) lost_up: bool,
    pub(crate) lost_down: bool,
    pub(crate) written_finals: BTreeSet<u64>,
}

impl Peer {
    pub(crate) fn new(config: ClientConfig, client: Client<Vec<u8>>) -> Self {
        Self {
            config,
            client,
            application: None,
            connection: None,
            reachable: true,
            sleeps: false,
            stopped: false,
            leaves: false,
            is_heir: false,
            wanted: (None, None),
            lent: VecDeque::new(),
            refused: None,
            watcher: Watcher::new(),
            lost_up: false,
            lost_down: false,
            written_finals: BTreeSet::new(),
        }
    }

    /// Something was refused for lack of room.
    pub(crate) fn refuse(&mut self, refused: Refused) {
        if self.refused.as_ref().is_none_or(|before| before.size() < refused.size()) {
            self.refused = Some(refused);
        }
    }
}
