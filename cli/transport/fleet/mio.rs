//! Many clients in one event loop of mio's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use e_pigeon_core::{ClientConfig, Instant};
use e_pigeon_mio::{ClientDriver, Clock, Resolver};

use crate::failure::Failure;
use crate::limits;
use crate::transport::load::{Load, Then};
use crate::transport::mio::{Base, DRIVER};
use crate::wake::Wake;

pub(crate) struct Fleet {
    base: Base,
    members: Vec<Member>,
    clock: Clock,
    /// Who is to have a turn, each once.
    called: Vec<usize>,
    /// When members want a turn. One that has changed its mind since stands in it twice, and the earlier turn is idle.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
}

struct Member {
    driver: ClientDriver,
    /// It stands in the list of those who are called.
    is_called: bool,
    due: Option<Instant>,
}

impl Fleet {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            base: Base::new(1024)?,
            members: Vec::new(),
            clock: Clock::start(),
            called: Vec::new(),
            due: BinaryHeap::new(),
        })
    }

    pub(super) fn add(&mut self, config: ClientConfig, broker: Resolver) -> Result<(), Failure> {
        let token = mio::Token(DRIVER.0 + self.members.len());
        let driver =
            ClientDriver::new(config, broker, self.base.registry()?, token).map_err(limits::explain)?;
        self.members.push(Member { driver, is_called: false, due: None });
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn wake(&self) -> Wake {
        self.base.wake()
    }

    pub(super) fn run(mut self, load: &mut dyn Load, spins: bool) -> Result<(), Failure> {
        let mut call = Vec::new();
        let mut turns = Vec::new();
        loop {
            let until = match load.round(self.clock.now(), &mut call)? {
                Then::Until(until) => until,
                Then::Done => return Ok(()),
            };
            for who in call.drain(..) {
                self.call(who);
            }
            self.wait(until, spins)?;
            std::mem::swap(&mut turns, &mut self.called);
            for who in turns.drain(..) {
                self.turn(who, load)?;
            }
        }
    }

    /// Waits for events, for what is due, and for the next round.
    fn wait(&mut self, until: Option<Instant>, spins: bool) -> Result<(), Failure> {
        let now = self.clock.now();
        let next = [until, self.due.peek().map(|Reverse((at, _))| *at)].into_iter().flatten().min();
        let timeout = if spins || !self.called.is_empty() {
            Some(Duration::ZERO)
        } else {
            next.map(|at| at.saturating_duration_since(now))
        };
        self.base.wait(timeout)?;
        for event in &self.base.events {
            let Some(who) = event.token().0.checked_sub(DRIVER.0) else { continue };
            let Some(member) = self.members.get_mut(who) else { continue };
            member.driver.handle_ready(event);
            if !std::mem::replace(&mut member.is_called, true) {
                self.called.push(who);
            }
        }
        let now = self.clock.now();
        while let Some(Reverse((at, who))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            self.call(who);
        }
        Ok(())
    }

    fn call(&mut self, who: usize) {
        if let Some(member) = self.members.get_mut(who)
            && !std::mem::replace(&mut member.is_called, true)
        {
            self.called.push(who);
        }
    }

    fn turn(&mut self, who: usize, load: &mut dyn Load) -> Result<(), Failure> {
        let Some(member) = self.members.get_mut(who) else { return Ok(()) };
        member.is_called = false;
        member.driver.handle_deadline();
        load.turn(who, &mut member.driver)?;
        member.driver.flush();
        if member.driver.is_broken() {
            return Err(Failure::broken("client"));
        }
        let Some(wanted) = member.driver.poll_timeout() else { return Ok(()) };
        if wanted.is_zero() {
            self.call(who);
            return Ok(());
        }
        let now = self.clock.now();
        let at = now + wanted;
        // What it waits for mostly moves into the future with all that it does: then the earlier turn finds out.
        if member.due.is_none_or(|due| due <= now || at < due) {
            member.due = Some(at);
            self.due.push(Reverse((at, who)));
        }
        Ok(())
    }
}
