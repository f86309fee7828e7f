//! What time does, and how a world comes to rest.

use crate::network::Connection;
use crate::receipts::Standing;
use crate::setup::{LONG, Medium};
use crate::step::Direction;
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use core::time::Duration;
use e_pigeon_core::Instant;

/// How often everything may move while time stands still.
const ROUNDS: usize = 1_000_000;
/// How many deadlines may come one after the other.
const DEADLINES: usize = 1_000_000;
/// As many events as an application takes in one turn, when all is well.
const EVENTS: usize = 1_000;
/// As many bytes as are under way at once, when all is well.
const UNDER_WAY: usize = 1 << 16;
/// In so many turns of all links the broker takes something of each that has something.
const TURNS: u32 = 2;
/// In so much time everything must have come to its end, where nothing waits for anybody's time to live.
const SOON: Duration = Duration::from_secs(120);

impl World {
    /// The next moment at which anything is due.
    fn next_deadline(&self) -> Option<Instant> {
        let peers = self.peers.iter().filter(|peer| !peer.stopped);
        let peers = peers.filter(|peer| peer.reachable || peer.connection.is_some());
        let network = self.network.as_ref().and_then(|network| network.due(self.now));
        let due = peers.filter_map(|peer| peer.client.poll_timeout());
        due.chain(self.broker.poll_timeout()).chain(network).min()
    }

    /// Time passes, and whoever is due is told.
    pub(crate) fn advance(&mut self, by: Duration) -> Outcome {
        self.now = self.now + by;
        self.timeouts()
    }

    pub(crate) fn timeouts(&mut self) -> Outcome {
        let now = self.now;
        for n in 0..self.peers.len() {
            let peer = &mut self.peers[n];
            if !peer.stopped && peer.client.poll_timeout().is_some_and(|at| at <= now) {
                peer.client.handle_timeout(now);
                let next = peer.client.poll_timeout();
                ensure!(
                    next.is_none_or(|at| at > now),
                    "busy",
                    "{n} is due at {next:?}, though it is {now:?} and it was told"
                );
                self.leave_if_wanted(n)?;
            }
        }
        if let Some(receipts) = &mut self.receipts {
            let peers = &self.peers;
            receipts.deadline(now, |n| match &peers[n] {
                peer if !peer.client.is_established() => Standing::NoLink,
                peer if peer.sleeps && !peer.stopped && !peer.client.wants_transmit() => Standing::Asleep,
                peer if peer.stopped || peer.client.wants_transmit() => Standing::WantsToWrite,
                _ => Standing::HasNothingToWrite,
            });
        }
        // What one call leaves undone has its turn when all others have had theirs; but only a call that was spent leaves any.
        if self.broker.poll_timeout().is_some_and(|at| at <= now) {
            self.broker.handle_timeout(now);
            let (next, done) = (self.broker.poll_timeout(), self.broker.work_of_last_call());
            ensure!(
                next.is_none_or(|at| at > now) || done >= self.budget(),
                "busy",
                "the broker is due at {next:?}, though `handle_timeout` was called at {now:?} and did {done} units of work"
            );
            self.after_broker()?;
        }
        Ok(())
    }

    /// Everything that is not stalled moves until nothing does any more; time stands still.
    pub(crate) fn flow(&mut self) -> Outcome {
        for _ in 0..ROUNDS {
            self.timeouts()?;
            // What one call of the broker left undone goes on.
            let mut moved = self.broker.poll_timeout().is_some_and(|at| at <= self.now);
            let (piece, out) = match self.setup.piece {
                0 => (usize::MAX, usize::MAX),
                piece => (piece, piece),
            };
            moved |= self.offer_all()?;
            for n in 0..self.peers.len() {
                moved |= self.connect(n)?;
                moved |= self.write_up(n, out, UNDER_WAY)?;
            }
            for id in self.connections.ids() {
                let up = self.allowed(id, Direction::Up).min(piece);
                if up > 0 {
                    moved |= self.read_up_in_turn(id, up)?;
                }
                self.hang_up(id)?;
                moved |= self.write_down(id, out, UNDER_WAY, true)?;
                let down = self.allowed(id, Direction::Down).min(piece);
                if down > 0 {
                    moved |= self.read_down(id, down)?;
                }
            }
            for n in 0..self.peers.len() {
                moved |= self.poll(n, EVENTS)?;
                if self.healed {
                    moved |= self.acknowledge(n, usize::MAX)?;
                }
            }
            self.connections.forget();
            self.check_bounds()?;
            if !moved {
                return Ok(());
            }
        }
        Err(Violation { kind: "busy", text: "it never comes to rest".into() })
    }

    /// The broker reads, and takes something within a few turns, whatever others do.
    fn read_up_in_turn(&mut self, id: u64, most: usize) -> Outcome<bool> {
        let waiting = |world: &Self| {
            let reads = |c: &&Connection| !c.is_stalled && !c.broker_gone;
            world.connections.get(id).filter(reads).map_or(0, |connection| connection.up.len())
        };
        let before = waiting(self);
        let moved = self.read_up(id, most)?;
        // All the work of a call may go into what the input waits for: what a client's own hello or change has begun.
        let is_spent = self.worked >= self.budget();
        // What it has begun may go on in calls of `handle_timeout`, and the client waits for all of it.
        let link = self.connections.get(id).and_then(|connection| connection.link);
        let is_held_back = link.is_some_and(|link| self.broker.holds_back(link));
        let is_behind = before > 0 && waiting(self) >= before && !is_spent && !is_held_back;
        let Some(connection) = self.connections.get_mut(id) else { return Ok(moved) };
        connection.turns = if is_behind { connection.turns + 1 } else { 0 };
        let (n, turns) = (connection.client, connection.turns);
        ensure!(
            turns <= TURNS,
            "turns",
            "the broker takes nothing of {n} in {turns} turns: {before} bytes wait"
        );
        Ok(moved)
    }

    /// When all is well, the broker sees the end of a connection that its client has left.
    fn hang_up(&mut self, id: u64) -> Outcome {
        let left = self.connections.get(id).is_some_and(|c| c.client_gone && c.up.is_empty());
        if self.healed && left { self.broker_loses(id) } else { Ok(()) }
    }

    fn allowed(&mut self, id: u64, direction: Direction) -> usize {
        let Some(connection) = self.connections.get(id) else { return 0 };
        let Some(network) = &mut self.network else { return usize::MAX };
        let lane = match direction {
            Direction::Up => &connection.up,
            Direction::Down => &connection.down,
        };
        // The end of a connection is no byte, and comes through at any time.
        if lane.is_empty() {
            return usize::MAX;
        }
        network.allows(self.now, connection.client, direction, lane.len())
    }

    /// Time passes in a world in which everything moves.
    ///
    /// # Errors
    ///
    /// A promise was broken.
    pub fn pass(&mut self, by: Duration) -> Outcome {
        self.pass_until(by, |_| false)
    }

    /// The same, until something holds.
    ///
    /// # Errors
    ///
    /// A promise was broken.
    pub fn pass_until(&mut self, by: Duration, enough: impl Fn(&Self) -> bool) -> Outcome {
        let end = self.now + by;
        for _ in 0..DEADLINES {
            self.flow()?;
            if enough(self) {
                return Ok(());
            }
            let Some(due) = self.next_deadline().filter(|&due| due <= end) else {
                self.now = end.max(self.now);
                return self.flow();
            };
            self.now = self.now.max(due);
        }
        Err(Violation { kind: "busy", text: "time does not pass".into() })
    }

    /// Nothing goes wrong any more, and everything must come to its end: every message of a living client is answered,
    /// all queues are empty, everybody knows who is here, and the broker has no more in its tables than its sessions.
    ///
    /// # Errors
    ///
    /// A promise was broken.
    pub fn heal(&mut self) -> Outcome {
        trace!(self, "-- all is well from here on");
        self.healed = true;
        self.strangers_leave()?;
        for peer in &mut self.peers {
            (peer.reachable, peer.sleeps, peer.stopped) = (true, false, false);
        }
        for connection in self.connections.values_mut() {
            connection.is_stalled = false;
        }
        for id in self.connections.ids() {
            let Some(connection) = self.connections.get(id) else { continue };
            let (client_gone, broker_gone) = (connection.client_gone, connection.broker_gone);
            if client_gone {
                self.broker_loses(id)?;
            } else if broker_gone && !connection.ends {
                self.client_loses(id);
            }
        }
        self.connections.forget();
        // A table that is full of made-up sessions has a place again when the first of these ends.
        let crowded =
            if self.is_crowded() { self.setup.broker.session_ttl.min(LONG) } else { Duration::ZERO };
        self.pass_until(SOON + crowded, Self::is_quiet)?;
        let boots = self.boots();
        self.model.check_progress(self.now, |client, boot| boots[client] == boot)?;
        // What was refused for lack of room is sent when one that expires last makes room.
        let longest = LONG * 2 + SOON + self.setup.broker.session_ttl.min(LONG);
        self.pass_until(longest, Self::is_quiet)?;
        self.pass(self.half_told())?;
        self.finish()?;
        self.part_some()
    }

    /// After that time what was left half told is told. On lossy media what was lost has to be missed first.
    fn half_told(&self) -> Duration {
        let is_stream = self.setup.medium == Medium::Stream;
        if is_stream { Duration::from_millis(1) } else { Duration::from_secs(30) }
    }

    /// Every other client goes away for a moment: the others know, and then everything is as before.
    fn part_some(&mut self) -> Outcome {
        let away: Vec<usize> = (0..self.peers.len()).step_by(2).collect();
        for &n in &away {
            self.peers[n].reachable = false;
            if let Some(id) = self.peers[n].connection {
                self.client_loses(id);
                self.broker_loses(id)?;
            }
        }
        self.pass(Duration::from_millis(1))?;
        self.check_presence()?;
        for &n in &away {
            self.peers[n].reachable = true;
        }
        self.pass_until(SOON, Self::is_quiet)?;
        self.pass(self.half_told())?;
        self.finish()
    }
}
