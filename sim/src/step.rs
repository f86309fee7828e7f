//! What can happen in a world: one value for each thing, with every choice that it needs.

use crate::flood::Flood;
use core::time::Duration;
use e_pigeon_core::{Destination, Filter, Retain, Uuid, Value};

/// What the attribute `room` may be.
pub const ROOMS: [&str; 3] = ["a", "b", "c"];

/// One thing that happens. Applied by [`World::apply`](crate::World::apply); one that cannot happen now changes
/// nothing, so that any list of steps is a run, and so is any part of it.
///
/// Clients are named by their place in [`Setup::clients`](crate::Setup), their connections by a [`Pipe`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    // What applications do.
    /// An application sends.
    Send(Send),
    /// An application sets its attribute `room`, or removes it.
    Room(usize, Option<usize>),
    /// An application sets its attribute `level`, or removes it.
    Level(usize, Option<i64>),
    /// An application watches a filter.
    Watch(usize, To),
    /// It no longer watches; which of its watches, counted round.
    Unwatch(usize, usize),
    /// An application takes at most so many events.
    Poll(usize, usize),
    /// An application that acknowledges by itself acknowledges so many of what it was lent.
    Acknowledge(usize, usize),
    /// An application stops reading.
    Sleep(usize),
    /// It reads again.
    Wake(usize),
    /// A client leaves; true where its session ends with that. It comes back with another boot.
    Close(usize, bool),

    // What transports do.
    /// A client connects, where it wants to.
    Connect(usize),
    /// The broker gets to know of a connection.
    Accept(Pipe),
    /// A client writes with a buffer of `out` bytes, while less than `most` are under way.
    WriteUp {
        /// Which client.
        client: usize,
        /// The size of its buffer.
        out: usize,
        /// It stops where so many bytes, or datagrams, are under way.
        most: usize,
    },
    /// At most so many bytes, or datagrams, reach the broker.
    ReadUp(Pipe, usize),
    /// The broker writes with a buffer of `out` bytes, while less than `most` are under way.
    WriteDown {
        /// To whom.
        pipe: Pipe,
        /// The size of its buffer.
        out: usize,
        /// It stops where so many bytes, or datagrams, are under way.
        most: usize,
    },
    /// At most so many bytes, or datagrams, reach the client.
    ReadDown(Pipe, usize),
    /// Everything that is not stalled moves until nothing does any more; time stands still.
    Flow,

    // What goes wrong.
    /// A connection breaks, for one end or for both; of what is on its way to the broker so many bytes still arrive.
    Cut {
        /// Which connection.
        pipe: Pipe,
        /// The client knows.
        client: bool,
        /// The broker knows.
        broker: bool,
        /// What still arrives at a broker that does not know.
        kept: usize,
    },
    /// Nothing moves through a connection, in either direction.
    Stall(Pipe),
    /// It moves again.
    Unstall(Pipe),
    /// A client cannot connect.
    Unreachable(usize),
    /// It can again.
    Reachable(usize),
    /// The program of a client does nothing at all, not even when its time has come.
    Stop(usize),
    /// It goes on.
    Continue(usize),
    /// A client dies and starts again, with another boot; where `silent`, the broker does not notice.
    Restart {
        /// Which client.
        client: usize,
        /// The broker does not notice.
        silent: bool,
    },
    /// The broker dies, and an empty one takes its place; where `silent`, clients do not notice at once.
    Kill {
        /// Clients notice only when they read.
        silent: bool,
    },
    /// The broker ends all links, and tells clients that it shuts down; but it stays.
    EndLinks,
    /// Something happens to what is under way on a lossy medium.
    Disturb(Pipe, Direction, Disturbance),

    /// A stranger floods the broker, and reads nothing.
    Flood {
        /// Which of three.
        stranger: usize,
        /// What with.
        what: Flood,
        /// How much of it.
        count: usize,
    },

    // What time does.
    /// Time passes, and whoever is due is told.
    Advance(Duration),
    /// Time passes, and nobody is told before the next step.
    Jump(Duration),
    /// Time passes in a world in which everything moves.
    Pass(Duration),
}

/// A connection of a client: 0 is its newest one, 1 the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe(pub usize, pub usize);

/// Up to the broker, or down from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the broker.
    Up,
    /// To the client.
    Down,
}

/// What a lossy medium does. Byte streams do nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// A byte is damaged: its place among those under way, and what is flipped in it.
    Damage(usize, u8),
    /// So many bytes from a place are lost; or the datagram there.
    Lose(usize, usize),
    /// A byte appears; or the datagram there comes twice.
    Insert(usize, u8),
    /// The datagram at a place comes behind so many others.
    Delay(usize, usize),
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Who sends it.
    pub from: usize,
    /// To whom.
    pub to: To,
    /// Not to the sender itself.
    pub exclude_self: bool,
    /// Only to those who are connected.
    pub only_connected: bool,
    /// What it says.
    pub payload: Payload,
    /// How long it may wait.
    pub live: Duration,
    /// How long the sender keeps it.
    pub until: Retain,
}

impl Send {
    /// A small message that may wait for fifteen minutes.
    pub fn new(from: usize, to: To) -> Self {
        let (exclude_self, only_connected) = (false, false);
        let payload = Payload::Length(8);
        let live = Duration::from_secs(900);
        Self { from, to, exclude_self, only_connected, payload, live, until: Retain::Delivered }
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// So many bytes that are drawn from the seed.
    Length(usize),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// To whom a message goes, or whom a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A client; one that does not exist where there are fewer.
    Client(usize),
    /// Who is in a room.
    Room(usize),
    /// Who is in a room and has a level.
    RoomAndLevel(usize, i64),
    /// Who is in a room or has a level.
    RoomOrLevel(usize, i64),
    /// Everyone.
    Everyone,
}

/// Attributes of a client: `room` and `level`.
pub type Attributes = (Option<usize>, Option<i64>);

impl To {
    /// The same as a destination.
    pub fn destination(&self) -> Destination {
        match *self {
            Self::Client(n) => uuid(n).into(),
            _ => self.filter().into(),
        }
    }

    /// The same as a filter; for a single client, everyone.
    ///
    /// # Panics
    ///
    /// Never: rooms and levels are short.
    pub fn filter(&self) -> Filter {
        let room = |n: usize| ("room", Value::Str(ROOMS[n % ROOMS.len()]));
        let level = |n: i64| ("level", Value::Int(n));
        let filter = match *self {
            Self::Room(n) => Filter::all_of(&[room(n)]),
            Self::RoomAndLevel(n, l) => Filter::all_of(&[room(n), level(l)]),
            Self::RoomOrLevel(n, l) => Filter::any_of(&[room(n), level(l)]),
            Self::Everyone | Self::Client(_) => Ok(Filter::everyone()),
        };
        filter.expect("one or two short pairs")
    }

    /// Whether a client with these attributes is meant.
    pub fn matches(&self, client: usize, (room, level): Attributes) -> bool {
        match *self {
            Self::Client(n) => n == client,
            Self::Room(n) => room == Some(n),
            Self::RoomAndLevel(n, l) => room == Some(n) && level == Some(l),
            Self::RoomOrLevel(n, l) => room == Some(n) || level == Some(l),
            Self::Everyone => true,
        }
    }
}

/// The UUID of a client.
pub fn uuid(client: usize) -> Uuid {
    Uuid::from_u128(0x1000 + client as u128)
}

/// The client with that UUID.
pub fn client_of(uuid: Uuid) -> usize {
    uuid.as_u128().wrapping_sub(0x1000) as usize
}
