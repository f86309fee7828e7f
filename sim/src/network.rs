//! Connections between clients and the broker, and how fast bytes go through them.

use crate::lane::Lane;
use crate::setup::Medium;
use crate::step::{Direction, Pipe};
use crate::tap::Tap;
use e_pigeon_core::{Instant, LinkId};
use std::collections::BTreeMap;

/// How bytes go through connections while a world [flows](crate::World::pass). Without one they arrive at once.
///
/// A model that holds something back has to say in [`due`](Self::due) when it will let it pass, or the world stands
/// still.
pub trait Network {
    /// How many of the `waiting` bytes (or datagrams) may arrive now.
    fn allows(&mut self, now: Instant, client: usize, direction: Direction, waiting: usize) -> usize;

    /// When more may arrive than now; `None` where that is only up to others.
    fn due(&self, now: Instant) -> Option<Instant>;
}

/// A connection. Either end may have given it up before the other.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) client: usize,
    /// Which life of the client has it, and which life of the broker.
    pub(crate) boot: u64,
    pub(crate) epoch: usize,
    pub(crate) link: Option<LinkId>,
    /// This end does not use it any more.
    pub(crate) client_gone: bool,
    pub(crate) broker_gone: bool,
    pub(crate) up: Lane,
    pub(crate) down: Lane,
    /// What each end reads, as frames.
    pub(crate) up_tap: Tap,
    pub(crate) down_tap: Tap,
    /// The window for deliveries that the hello named.
    pub(crate) hello_window: Option<u32>,
    /// When the broker got to know of it, and whether it has ended because no hello came.
    pub(crate) accepted: Instant,
    pub(crate) made_way: bool,
    /// Nothing moves through it.
    pub(crate) is_stalled: bool,
    /// Named by `poll_ready`.
    pub(crate) listed: bool,
    /// Input waits for `Ready::Resume`.
    pub(crate) full: bool,
    /// The broker has said its last, which may still arrive.
    pub(crate) ends: bool,
    pub(crate) welcomed: bool,
    /// So many turns it has waited in which the broker took nothing of it.
    pub(crate) turns: u32,
}

/// All connections, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    all: BTreeMap<u64, Connection>,
    next: u64,
}

impl Connections {
    pub(crate) fn add(&mut self, client: usize, boot: u64, epoch: usize, medium: Medium) -> u64 {
        let id = self.next;
        self.next += 1;
        let connection = Connection {
            client,
            boot,
            epoch,
            link: None,
            client_gone: false,
            broker_gone: false,
            up: Lane::new(medium),
            down: Lane::new(medium),
            up_tap: Tap::default(),
            down_tap: Tap::default(),
            hello_window: None,
            accepted: Instant::default(),
            made_way: false,
            is_stalled: false,
            listed: false,
            full: false,
            ends: false,
            welcomed: false,
            turns: 0,
        };
        self.all.insert(id, connection);
        id
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Connection> {
        self.all.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Connection> {
        self.all.get_mut(&id)
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.all.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Connection)> {
        self.all.iter().map(|(&id, connection)| (id, connection))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.all.values_mut()
    }

    /// The connection that a step means.
    pub(crate) fn find(&self, pipe: Pipe) -> Option<u64> {
        let own = self.all.iter().rev().filter(|(_, connection)| connection.client == pipe.0);
        own.map(|(&id, _)| id).nth(pipe.1)
    }

    /// A connection that a client has left and the broker has not.
    pub(crate) fn left_line(&self, client: usize) -> Option<u64> {
        let left = |c: &Connection| c.client == client && c.client_gone && !c.broker_gone;
        self.all.iter().rev().find(|(_, connection)| left(connection)).map(|(&id, _)| id)
    }

    /// The connection with that link, in that life of the broker.
    pub(crate) fn with_link(&mut self, link: LinkId, epoch: usize) -> Option<&mut Connection> {
        self.all.values_mut().find(|c| c.link == Some(link) && c.epoch == epoch)
    }

    /// Forgets those that neither end uses.
    pub(crate) fn forget(&mut self) {
        self.all.retain(|_, connection| !(connection.broker_gone && connection.client_gone));
    }
}
