//! Draws the steps of a run from a source of choices.

use crate::flood::Flood;
use crate::setup::{Medium, Setup, ms};
use crate::source::Source;
use crate::step::{Attributes, Direction, Disturbance, Payload, Pipe, ROOMS, Send, Step, To};
use crate::swarm::Swarm;
use core::time::Duration;
use e_pigeon_core::Retain;
use std::collections::VecDeque;

/// How far the clock may be moved in a run besides small steps.
const LONGEST: Duration = Duration::from_secs(120);

/// Draws steps: an iterator that ends where the run has as many as it should, or where the source is over.
///
/// It does not look at the world. What cannot happen when its turn comes changes nothing.
#[derive(Clone, Debug)]
pub struct Generator<'a> {
    source: Source<'a>,
    swarm: Swarm,
    clients: usize,
    max_payload: usize,
    medium: Medium,
    left: usize,
    /// Steps that belong together, and the bytes that move before the next of another kind.
    queued: VecDeque<Step>,
    moves: u64,
    /// What applications have asked for.
    wanted: Vec<Attributes>,
    kills: u64,
    restarts: u64,
    moved: Duration,
}

impl<'a> Generator<'a> {
    /// Draws what the run is about first.
    pub fn new(mut source: Source<'a>) -> (Self, Setup) {
        let (swarm, setup) = Swarm::draw(&mut source);
        (Self::with(source, swarm, &setup), setup)
    }

    /// Draws steps for a setup of the caller's.
    pub fn with(source: Source<'a>, swarm: Swarm, setup: &Setup) -> Self {
        let clients = setup.clients.len();
        let max_payload = setup.clients.iter().map(|client| client.max_payload).max().unwrap_or(0) as usize;
        let mut generator = Self {
            source,
            left: swarm.steps,
            swarm,
            clients,
            max_payload,
            medium: setup.medium,
            queued: VecDeque::new(),
            moves: 0,
            wanted: vec![(None, None); clients],
            kills: 0,
            restarts: 0,
            moved: Duration::ZERO,
        };
        generator.begin();
        generator
    }

    /// What the run is about.
    pub fn swarm(&self) -> &Swarm {
        &self.swarm
    }

    /// How it is before anything happens.
    fn begin(&mut self) {
        if self.swarm.deaf {
            self.queued.push_back(Step::Sleep(0));
        }
        for n in 0..self.clients {
            if self.source.percent(85) {
                let room = self.room();
                self.wanted[n].0 = Some(room);
                self.queued.push_back(Step::Room(n, Some(room)));
            }
            if self.source.percent(50) {
                let level = self.level();
                self.wanted[n].1 = Some(level);
                self.queued.push_back(Step::Level(n, Some(level)));
            }
            if self.swarm.watches && self.source.percent(60) {
                let to = self.to();
                self.queued.push_back(Step::Watch(n, to));
            }
            if n > 0 && self.swarm.newcomers && self.source.percent(40) {
                self.queued.push_back(Step::Unreachable(n));
            }
        }
    }

    fn client(&mut self) -> usize {
        self.source.below(self.clients as u64) as usize
    }

    fn pipe(&mut self) -> Pipe {
        let n = self.client();
        // Old links are rare, and worth a look.
        let age = if self.swarm.half_open { self.source.pick(&[0, 0, 0, 1, 2]) } else { 0 };
        Pipe(n, age)
    }

    fn room(&mut self) -> usize {
        self.source.below(ROOMS.len() as u64) as usize
    }

    fn level(&mut self) -> i64 {
        self.source.below(3) as i64
    }

    fn to(&mut self) -> To {
        let (room, level) = (self.room(), self.level());
        match self.source.below(6) {
            0 | 1 => To::Client(self.client()),
            2 => To::Room(room),
            3 => To::RoomAndLevel(room, level),
            4 => To::RoomOrLevel(room, level),
            _ => To::Everyone,
        }
    }

    /// To whom a message goes: to somebody, where nobody is not wanted.
    fn recipients(&mut self) -> To {
        let to = self.to();
        if self.swarm.nobody {
            return if self.source.percent(5) { To::Client(self.clients) } else { to };
        }
        let found = self.wanted.iter().enumerate().any(|(n, &attributes)| to.matches(n, attributes));
        if found { to } else { To::Everyone }
    }

    fn piece(&mut self) -> usize {
        if self.swarm.pieces { self.source.pick(&[1, 2, 5, 20, 100, 1_000]) } else { usize::MAX }
    }

    fn out(&mut self) -> usize {
        if self.swarm.tiny_out { self.source.pick(&[1, 2, 3, 7, 30, 4_096]) } else { 4_096 }
    }

    /// Something moves, or a moment passes.
    fn a_move(&mut self) -> Step {
        let (piece, out) = (self.piece(), self.out());
        let most = self.source.pick(&[1, 50, 1 << 16]);
        match self.source.below(7) {
            0 => {
                let client = self.client();
                self.queued.push_back(Step::WriteUp { client, out, most });
                Step::Connect(client)
            }
            1 => Step::ReadUp(self.pipe(), piece),
            2 => Step::WriteDown { pipe: self.pipe(), out, most },
            3 => Step::ReadDown(self.pipe(), piece),
            4 => {
                let client = self.client();
                if self.swarm.manual {
                    let count = self.source.pick(&[0, 1, 2, 100]);
                    self.queued.push_back(Step::Acknowledge(client, count));
                }
                Step::Poll(client, self.source.pick(&[1, 3, 100]))
            }
            5 => Step::Accept(self.pipe()),
            _ => Step::Advance(Duration::from_micros(self.source.pick(&[1, 100, 2_000, 15_000]))),
        }
    }

    /// Messages, and sometimes many of them.
    fn sends(&mut self) -> Step {
        let from = self.client();
        let to = self.recipients();
        let count = if self.swarm.bursts { self.source.pick(&[1, 1, 3, 20, 80]) } else { 1 };
        for _ in 0..count {
            let to = if self.source.percent(30) { self.recipients() } else { to.clone() };
            let send = self.one(from, to);
            self.queued.push_back(Step::Send(send));
        }
        self.queued.pop_front().unwrap_or(Step::Flow)
    }

    fn one(&mut self, from: usize, to: To) -> Send {
        let exclude_self =
            self.source.percent(30) && (self.swarm.nobody || (to == To::Everyone && self.clients > 1));
        let only_connected = self.swarm.only_connected && self.source.percent(15);
        let max = self.max_payload as u64;
        let length = match self.source.below(5) {
            0 => 0,
            1 => max,
            2 if self.swarm.small_payloads => max + 1,
            _ => self.source.below(max.min(40)),
        };
        let accepted = self.swarm.until_accepted && self.source.percent(20);
        let until = if accepted { Retain::Accepted } else { Retain::Delivered };
        let live = self.swarm.live(&mut self.source);
        Send {
            from,
            to,
            exclude_self,
            only_connected,
            payload: Payload::Length(length as usize),
            live,
            until,
        }
    }

    fn attributes(&mut self) -> Step {
        let n = self.client();
        if self.source.percent(60) {
            let room = Some(self.source.below(ROOMS.len() as u64 + 1) as usize);
            let room = room.filter(|&room| room < ROOMS.len());
            self.wanted[n].0 = room;
            Step::Room(n, room)
        } else {
            let level = Some(self.source.below(4) as i64).filter(|&level| level < 3);
            self.wanted[n].1 = level;
            Step::Level(n, level)
        }
    }

    fn cut(&mut self) -> Step {
        // One end may notice later than the other, and what is under way may still arrive.
        let (client, broker) = match self.source.below(if self.swarm.half_open { 4 } else { 2 }) {
            0 | 1 => (true, true),
            2 => (true, false),
            _ => (false, true),
        };
        let kept = self.source.pick(&[usize::MAX, usize::MAX, 0, 1, 7, 60, 300]);
        Step::Cut { pipe: self.pipe(), client, broker, kept }
    }

    /// A hello arrives and its answer does not, twice; where it fits after the client has said that its session ends.
    fn lost_welcomes(&mut self, client: usize) -> Step {
        let pipe = Pipe(client, 0);
        let all = usize::MAX;
        let cut = |client| Step::Cut { pipe, client, broker: true, kept: 0 };
        let says = [Step::WriteUp { client, out: 4_096, most: 1 << 16 }, Step::ReadUp(pipe, all)];
        if self.swarm.closes {
            self.queued.push_back(Step::Close(client, true));
        }
        self.queued.extend(says.clone());
        for _ in 0..2 {
            self.queued.extend([cut(true), Step::Advance(ms(5_000)), Step::Connect(client)]);
            self.queued.extend(says.clone());
        }
        self.queued.push_back(cut(true));
        self.queued.pop_front().unwrap_or(Step::Flow)
    }

    /// A hello is under way on a link that its client has left, and arrives when a newer link was welcomed.
    fn overtaken_hello(&mut self, client: usize) -> Step {
        let (old, new) = (Pipe(client, 1), Pipe(client, 0));
        let all = usize::MAX;
        let wait = || Step::Advance(ms(5_000));
        let write = Step::WriteUp { client, out: 4_096, most: 1 << 16 };
        self.queued.extend([
            Step::Cut { pipe: new, client: true, broker: true, kept: 0 },
            wait(),
            Step::Connect(client),
            write.clone(),
            Step::Cut { pipe: new, client: true, broker: false, kept: all },
            wait(),
            Step::Connect(client),
            write,
            Step::ReadUp(new, all),
            Step::WriteDown { pipe: new, out: 4_096, most: 1 << 16 },
            Step::ReadDown(new, all),
            Step::ReadUp(old, all),
        ]);
        self.queued.pop_front().unwrap_or(Step::Flow)
    }

    /// Time, as long as there is some left.
    fn some_time(&mut self, times: &[u64], step: fn(Duration) -> Step) -> Option<Step> {
        let by = ms(self.source.pick(times));
        if self.moved >= LONGEST {
            return None;
        }
        self.moved += by;
        Some(step(by))
    }

    fn disturbance(&mut self) -> Step {
        let place = self.source.below(300) as usize;
        let (count, byte) = (self.source.between(1, 8) as usize, self.source.between(1, 255) as u8);
        let what = match self.source.below(4) {
            0 => Disturbance::Damage(place, byte),
            1 => Disturbance::Lose(place, count),
            2 => Disturbance::Insert(place, byte),
            _ => Disturbance::Delay(place, count),
        };
        let direction = if self.source.percent(50) { Direction::Up } else { Direction::Down };
        Step::Disturb(self.pipe(), direction, what)
    }

    /// Somebody attacks.
    fn attack(&mut self) -> Option<Step> {
        let n = self.client();
        match self.source.below(4) {
            0 if self.swarm.floods => {
                use Flood::{AnyOf, Crowd, Decline, Hello, Parked, Set, Silent, Watch};
                let what = self.source.pick(&[Hello, Watch, Set, Decline, AnyOf, Parked, Silent]);
                let what = if self.swarm.small_shares && self.source.percent(50) { Parked } else { what };
                // Where links are few, a stranger that has lost its own could not come back to end its session.
                let what = if self.swarm.few_links { Silent } else { what };
                // Where sessions are few, so are events that one call may give.
                let what = if self.swarm.few_sessions && self.source.percent(50) { Crowd } else { what };
                let what = if self.swarm.few_sessions && what == Silent { Hello } else { what };
                let count = self.source.pick(&[1, 20, 300, 1_000]);
                return Some(Step::Flood { stranger: self.source.below(3) as usize, what, count });
            }
            1 if self.swarm.set_bursts => self.changes(n),
            2 if self.swarm.parked_pairs => {
                let (from, room, level) = (self.client(), self.room(), self.level());
                for _ in 0..self.source.pick(&[2, 10, 40]) {
                    let to =
                        To::RoomAndLevel(room, if self.source.percent(30) { self.level() } else { level });
                    let send = self.one(from, to);
                    self.queued.push_back(Step::Send(send));
                }
                self.changes(n);
            }
            3 if self.swarm.deaf => {
                for _ in 0..self.source.pick(&[1, 5, 20]) {
                    let live = ms(self.source.pick(&[1, 15, 300, 5_000]));
                    let to = if self.source.percent(50) { To::Client(0) } else { To::Everyone };
                    let send = Send { live, ..self.one(n, to) };
                    self.queued.push_back(Step::Send(send));
                }
            }
            _ => {}
        }
        self.queued.pop_front()
    }

    /// A client changes its attributes to and fro.
    fn changes(&mut self, n: usize) {
        let (room, level) = (self.room(), self.level());
        for turn in 0..self.source.pick(&[4, 12, 60]) {
            let (is_level, is_to) = (turn & 1 == 1, turn & 2 == 0);
            if is_level {
                self.wanted[n].1 = is_to.then_some(level);
                self.queued.push_back(Step::Level(n, self.wanted[n].1));
            } else {
                self.wanted[n].0 = is_to.then_some(room);
                self.queued.push_back(Step::Room(n, self.wanted[n].0));
            }
        }
    }

    /// Something happens; `None` where this run has nothing of that kind.
    fn something(&mut self) -> Option<Step> {
        let swarm = self.swarm.clone();
        if swarm.has_attacks() && self.source.percent(15) {
            return self.attack();
        }
        let n = self.client();
        Some(match self.source.below(33) {
            0..=8 => self.sends(),
            9 if swarm.attributes => self.attributes(),
            10 | 11 if swarm.sleeps => {
                if self.source.percent(50) || (swarm.deaf && n == 0) {
                    Step::Sleep(n)
                } else {
                    Step::Wake(n)
                }
            }
            12..=14 if swarm.cuts => self.cut(),
            15 if swarm.restarts > self.restarts && self.source.percent(30) => {
                self.restarts += 1;
                Step::Restart { client: n, silent: self.source.percent(50) }
            }
            16 if swarm.kills > self.kills && self.source.below(swarm.steps as u64) < 300 => {
                self.kills += 1;
                Step::Kill { silent: swarm.half_open && self.source.percent(50) }
            }
            17 if swarm.jumps => self.some_time(&[50, 700, 4_000, 11_000], Step::Jump)?,
            18 => self.some_time(&[20, 150, 2_000], Step::Pass)?,
            19 if swarm.jumps => self.some_time(&[50, 700, 4_000, 31_000], Step::Advance)?,
            20 if swarm.unreachable => Step::Unreachable(n),
            20..=22 => Step::Reachable(n),
            23 | 24 => Step::Flow,
            25 if swarm.stalls => {
                let pipe = self.pipe();
                if self.source.percent(40) { Step::Stall(pipe) } else { Step::Unstall(pipe) }
            }
            26 if swarm.stops => {
                if self.source.percent(35) {
                    Step::Stop(n)
                } else {
                    Step::Continue(n)
                }
            }
            27 if swarm.watches => {
                if self.source.percent(60) {
                    Step::Watch(n, self.to())
                } else {
                    Step::Unwatch(n, 0)
                }
            }
            28 if swarm.closes && self.source.percent(30) => Step::Close(n, self.source.percent(40)),
            29 if self.medium != Medium::Stream => self.disturbance(),
            30 if swarm.cuts && self.source.percent(30) => self.lost_welcomes(n),
            32 if swarm.ends_links && self.source.percent(20) => Step::EndLinks,
            31 if swarm.half_open && self.source.percent(30) => self.overtaken_hello(n),
            _ => return None,
        })
    }
}

impl Iterator for Generator<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(step) = self.queued.pop_front() {
            return Some(step);
        }
        while self.left > 0 && !self.source.is_over() {
            self.left -= 1;
            if self.moves > 0 {
                self.moves -= 1;
                return Some(self.a_move());
            }
            self.moves = self.source.below(self.swarm.calm * 4);
            if let Some(step) = self.something() {
                return Some(step);
            }
        }
        None
    }
}
