//! Programs that attack: links whose frames no client of ours would write, and that never read.
//!
//! They say hello with identities of their own, receive nothing, and leave when all is well. What is promised to clients must
//! hold beside them as without.

use crate::coverage::Path;
use crate::step::{ROOMS, client_of};
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::{Control, Hello, Window};
use e_pigeon_core::wire::item::{Message, UpItem};
use e_pigeon_core::wire::kind;
use e_pigeon_core::{
    Attributes, BrokerEvent, Code, Destination, Filter, Framing, LinkId, Ready, Uuid, Value,
};
use std::collections::BTreeSet;

/// The first client that is a stranger; a world has no more than 64.
const FIRST: usize = 1_000;
/// So many there are.
pub(crate) const STRANGERS: usize = 3;
/// The type of a value that is text. (PROTOCOL.md, "Attributes")
const STRING: u8 = 2;
/// What a stranger does at the most in one step.
const MOST: usize = 1_000;

/// What a stranger floods the broker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flood {
    /// Connections, each with a hello that takes the session from the one before.
    Hello,
    /// Watches of everyone that begin and end.
    Watch,
    /// Changes of its attributes, to and fro.
    Set,
    /// A decline of what it was never sent.
    Decline,
    /// Messages to any of several pairs that many have had, of those connected: nobody is found.
    AnyOf,
    /// Messages that nobody matches, and that live for a moment.
    Parked,
}

/// One of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stranger {
    /// Its link, and in which life of the broker.
    link: Option<(LinkId, usize)>,
    /// The link before, while the broker takes leave of it.
    left: Option<LinkId>,
    link_number: u64,
    /// Written and not taken by the broker.
    pending: Vec<u8>,
    /// Input waits for `Ready::Resume`.
    full: bool,
    /// How many watches it began on this link.
    watches: u32,
}

/// All of them, and what the broker says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strangers {
    all: [Stranger; STRANGERS],
    /// Those whose session is there, and those of them that are connected.
    open: BTreeSet<usize>,
    connected: BTreeSet<usize>,
    /// There ever was one.
    pub(crate) any: bool,
}

impl Strangers {
    /// How many sessions they have, and how many of these are connected.
    pub(crate) fn sessions(&self) -> (u64, u64) {
        (self.open.len() as u64, self.connected.len() as u64)
    }

    /// The broker has died.
    pub(crate) fn killed(&mut self) {
        self.open.clear();
        self.connected.clear();
        for stranger in &mut self.all {
            (stranger.link, stranger.left, stranger.full) = (None, None, false);
            stranger.pending.clear();
        }
    }

    fn with_link(&mut self, link: LinkId, epoch: usize) -> Option<&mut Stranger> {
        let is_its = |s: &&mut Stranger| s.link == Some((link, epoch)) || s.left == Some(link);
        self.all.iter_mut().find(is_its)
    }

    /// An event that is about one of them; false where it is about a client.
    pub(crate) fn event(&mut self, event: &BrokerEvent, epoch: usize) -> Outcome<bool> {
        let stranger = |uuid: &Uuid| client_of(*uuid).checked_sub(FIRST).filter(|&n| n < STRANGERS);
        match event {
            BrokerEvent::SessionOpened(uuid) | BrokerEvent::SessionResumed(uuid) => {
                let Some(n) = stranger(uuid) else { return Ok(false) };
                self.open.insert(n);
                self.connected.insert(n);
            }
            BrokerEvent::SessionAway(uuid) => {
                let Some(n) = stranger(uuid) else { return Ok(false) };
                self.connected.remove(&n);
            }
            BrokerEvent::SessionEnded(uuid) => {
                let Some(n) = stranger(uuid) else { return Ok(false) };
                self.open.remove(&n);
                self.connected.remove(&n);
            }
            BrokerEvent::LinkAborted(link, code) => {
                if self.with_link(*link, epoch).is_none() {
                    return Ok(false);
                }
                let is_earned = matches!(
                    code,
                    Code::Superseded
                        | Code::BadId
                        | Code::BadAcknowledgement
                        | Code::WindowExceeded
                        | Code::Silent
                        | Code::HandshakeTimeout
                        | Code::Full
                );
                ensure!(is_earned, "aborted", "the broker ended the link of a stranger: {code}");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn frame(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::counting();
    write(&mut counter);
    let body = counter.total();
    let mut out = vec![0; body + 8];
    let mut writer = Writer::new(&mut out, 0);
    writer.u64(body as u64);
    write(&mut writer);
    let length = writer.written();
    out.truncate(length);
    out
}

fn hello(n: usize, link: u64) -> Vec<u8> {
    let hello = Hello {
        uuid: *crate::step::uuid(FIRST + n).as_bytes(),
        secret: [0xbb; 16],
        boot: 1_u64.to_le_bytes(),
        link,
        known: None,
        window: Window { messages: 1, bytes: 1 },
        max_payload: 1,
        aliases: 1,
        receives: false,
        presence: 1,
    };
    let attributes = Attributes::new();
    frame(|writer| Control::Hello(hello, attributes.as_ref()).write(writer))
}

fn message(to: &Destination) -> Vec<u8> {
    let message = Message {
        slot: 0,
        define: Some(to.as_ref()),
        id_step: 1,
        time_to_live_ms: 1,
        retry: None,
        until_accepted: false,
        payload: &[],
    };
    frame(|writer| UpItem::Message(message).write(writer))
}

/// Short pairs always make a filter.
fn any_of(pairs: &[(&str, Value<'_>)]) -> Destination {
    Filter::any_of(pairs).map_or_else(|_| Filter::everyone().into(), Destination::from)
}

impl World {
    /// A stranger does so much of something.
    pub(crate) fn flood(&mut self, n: usize, what: Flood, count: usize) -> Outcome {
        let n = n % STRANGERS;
        self.coverage.hit(Path::Flooded);
        self.strangers.any = true;
        let count = count.min(MOST);
        if what == Flood::Hello {
            return (0..count).try_for_each(|_| self.stranger_connects(n).map(drop));
        }
        if self.strangers.all[n].link.is_none() && !self.stranger_connects(n)? {
            return Ok(());
        }
        let stranger = &mut self.strangers.all[n];
        for place in 0..count {
            let room = ROOMS[place % ROOMS.len()];
            let bytes = match what {
                Flood::Hello => Vec::new(),
                Flood::Watch => {
                    stranger.watches += 1;
                    let watch = stranger.watches;
                    let everyone = Filter::everyone();
                    let begins = frame(|writer| UpItem::Watch(watch, everyone.as_ref()).write(writer));
                    [begins, frame(|writer| UpItem::Unwatch(watch).write(writer))].concat()
                }
                Flood::Set => frame(|writer| {
                    writer.u8(kind::SET);
                    writer.u8(1);
                    writer.bytes(b"room");
                    writer.bool(true);
                    writer.u8(STRING);
                    writer.bytes(room.as_bytes());
                }),
                Flood::Decline => frame(|writer| UpItem::Decline(1 + place as u64).write(writer)),
                Flood::AnyOf => {
                    let pairs = [("room", Value::Str("nowhere")), ("level", Value::Int(99))];
                    message(&any_of(&pairs).only_connected())
                }
                Flood::Parked => {
                    let pairs = [("room", Value::Str("nowhere")), ("level", Value::Int(99))];
                    message(&any_of(&pairs))
                }
            };
            stranger.pending.extend(bytes);
        }
        self.offer(n).map(drop)
    }

    /// A stranger connects and says hello; false where there is no place for its link.
    fn stranger_connects(&mut self, n: usize) -> Outcome<bool> {
        let Ok(link) = self.broker.handle_connected_over(self.now, (FIRST + n) as u64, Framing::Length)
        else {
            self.after_broker()?;
            return Ok(false);
        };
        trace!(self, "stranger {n} connects");
        let stranger = &mut self.strangers.all[n];
        stranger.left = stranger.link.map(|(old, _)| old);
        stranger.link_number += 1;
        let number = stranger.link_number;
        (stranger.link, stranger.full, stranger.watches) = (Some((link, self.epoch)), false, 0);
        stranger.pending = hello(n, number);
        self.offer(n)?;
        if let Some(old) = self.strangers.all[n].left.take() {
            self.broker.handle_disconnected(self.now, old);
            self.after_broker()?;
        }
        Ok(true)
    }

    /// Offers the broker what a stranger has written; true where it took something.
    fn offer(&mut self, n: usize) -> Outcome<bool> {
        let stranger = &mut self.strangers.all[n];
        let Some((link, _)) = stranger.link.filter(|_| !stranger.full && !stranger.pending.is_empty()) else {
            return Ok(false);
        };
        let bytes = core::mem::take(&mut stranger.pending);
        let Ok(taken) = self.broker.handle_input(self.now, link, &bytes) else {
            return Err(Violation { kind: "links", text: format!("the broker forgot stranger {n}") });
        };
        let stranger = &mut self.strangers.all[n];
        stranger.full = taken < bytes.len();
        stranger.pending = bytes.get(taken..).unwrap_or_default().to_vec();
        self.after_broker()?;
        Ok(taken > 0)
    }

    /// All strangers have their turn; true where something moved.
    pub(crate) fn offer_all(&mut self) -> Outcome<bool> {
        let mut moved = false;
        for n in 0..STRANGERS {
            moved |= self.offer(n)?;
        }
        Ok(moved)
    }

    /// What the broker wants of a link, where that is one of a stranger. Nothing is ever read from it.
    pub(crate) fn stranger_is_ready(&mut self, ready: Ready) -> bool {
        let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
        let Some(stranger) = self.strangers.with_link(link, self.epoch) else { return false };
        if stranger.left == Some(link) {
            return true;
        }
        match ready {
            Ready::Transmit(_) => {}
            Ready::Resume(_) => stranger.full = false,
            Ready::Close(_) => {
                (stranger.link, stranger.full) = (None, false);
                stranger.pending.clear();
                self.broker.handle_disconnected(self.now, link);
            }
        }
        true
    }

    /// All is well: strangers say goodbye, and their sessions end.
    pub(crate) fn strangers_leave(&mut self) -> Outcome {
        for n in 0..STRANGERS {
            if !self.strangers.open.contains(&n) && self.strangers.all[n].link.is_none() {
                continue;
            }
            if self.stranger_connects(n)? {
                self.strangers.all[n].pending.extend(frame(|w| Control::Goodbye(true).write(w)));
                while self.offer(n)? {}
            }
            if let Some((link, _)) = self.strangers.all[n].link.take() {
                self.broker.handle_disconnected(self.now, link);
                self.after_broker()?;
            }
        }
        Ok(())
    }
}
