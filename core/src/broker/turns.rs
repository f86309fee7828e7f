//! Runs the [jobs](super::jobs) of a broker in turn, each for the rest of a call.

use super::jobs::Job;
use super::links::Link;
use super::links::NO_LINK;
use super::queue::Queue;
use super::ready::LinkId;
use super::sessions::NO_SESSION;
use super::state::Broker;
use super::work::{END, LINK, OUTCOME};
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::control::Abort;
use uuid::Uuid;

impl Broker {
    /// Does a job, or as much of it as this call may.
    pub(super) fn begin_job(&mut self, job: Job) {
        let session = match &job {
            Job::Notes(notes) => self.sessions.find(&notes.uuid()),
            Job::Release(release) => Some(release.session),
            Job::Offer(offers) => self.sessions.find(&offers.uuid),
            Job::Acknowledge { session, .. } | Job::Early { session } => Some(*session),
            Job::Left(_) => {
                self.jobs.left += 1;
                None
            }
            Job::Close { .. } | Job::Settle { .. } => None,
        };
        if let Some(session) = session.and_then(|session| self.sessions.get_mut(session)) {
            session.jobs += 1;
        }
        if let Some(job) = self.run_job(job)
            && !canary!(ForgetsRest)
        {
            self.jobs.push(job);
        }
    }

    /// What waits for the next call, for tests.
    #[doc(hidden)]
    pub fn unfinished(&self) -> impl Iterator<Item = &'static str> {
        let jobs = self.jobs.iter().map(|job| match job {
            Job::Notes(_) => "presence",
            Job::Release(release) if release.at_hello => "release at a hello",
            Job::Release(_) => "release",
            Job::Offer(_) => "offers",
            Job::Acknowledge { .. } => "acknowledgements",
            Job::Early { .. } => "early items",
            Job::Left(_) => "what is left of a session",
            Job::Close { .. } => "closing",
            Job::Settle { .. } => "settling",
        });
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        let others = [
            self.swept.map(|_| "sweep"),
            is_due(self.messages.grows_up_at(self.config.accept_delay)).then_some("accepted"),
            is_due(self.timers.first()).then_some("timers"),
        ];
        jobs.chain(others.into_iter().flatten())
    }

    /// True while a job of its session holds back the input of a link, for tests.
    #[doc(hidden)]
    pub fn holds_back(&self, link: LinkId) -> bool {
        let session = self.links.find(link).and_then(|index| self.links.get(index)).and_then(Link::session);
        session.and_then(|session| self.sessions.get(session)).is_some_and(|session| session.jobs > 0)
    }

    /// Does jobs, as many as this call may.
    pub(super) fn work_off(&mut self) {
        // Early items may wait for another job of their session, or for room in queues.
        let mut untried = self.jobs.len();
        while untried > 0
            && !self.work.is_spent()
            && let Some(job) = self.jobs.pop()
        {
            untried -= 1;
            match self.run_job(job) {
                // The others have their turn.
                Some(job) => self.jobs.push(job),
                None => untried = self.jobs.len(),
            }
        }
    }

    /// Does what the input of a link has to wait for; false where it has to wait longer.
    #[inline]
    pub(super) fn is_free(&mut self, link: u32) -> bool {
        let session = self.links.get(link).and_then(|link| link.session());
        let state = session.and_then(|session| self.sessions.get(session));
        match state {
            Some(state) if state.jobs > 0 => {
                let uuid = state.uuid;
                self.work_for(uuid, session)
            }
            _ => !canary!(HoldsAllBack) || self.jobs.is_empty(),
        }
    }

    /// Does the jobs that hold back a client; false where they are not done.
    pub(super) fn work_for(&mut self, uuid: Uuid, session: Option<u32>) -> bool {
        let mut at = 0;
        // Sixteen are passed over at the price of a session.
        self.work.charge((self.jobs.len() / 16) as u32);
        while let Some(job) = self.jobs.get(at) {
            if !job.concerns(uuid, session) {
                at += 1;
                continue;
            }
            let Some(job) = self.jobs.remove(at) else {
                bug!("a job was there, and is not");
                return true;
            };
            if let Some(job) = self.run_job(job) {
                self.jobs.push(job);
                return false;
            }
        }
        true
    }

    /// Does as much of a job as this call may; returns what is left of it, and then the meter is spent, or the job has to wait.
    fn run_job(&mut self, mut job: Job) -> Option<Job> {
        let (is_done, session) = match &mut job {
            Job::Notes(notes) => (self.run_notes(notes), self.sessions.find(&notes.uuid())),
            Job::Release(release) => (self.run_release(release), Some(release.session)),
            Job::Offer(offers) => (self.run_offers(offers), self.sessions.find(&offers.uuid)),
            Job::Acknowledge { session, more } => (self.run_acknowledge(*session, more), Some(*session)),
            Job::Early { session } => (self.run_early(*session), Some(*session)),
            Job::Left(queue) => (self.run_left(queue), None),
            Job::Close { next, end } => (self.run_close(next, *end), None),
            Job::Settle { next, end } => (self.run_settle(next, *end), None),
        };
        if !is_done {
            return Some(job);
        }
        if matches!(job, Job::Left(_)) {
            self.jobs.left -= 1;
        }
        if let Some(session) = session.and_then(|session| self.sessions.get_mut(session)) {
            session.jobs -= 1;
        }
        None
    }

    /// What was in the queue of a session that has ended is not confirmed.
    fn run_left(&mut self, queue: &mut Queue) -> bool {
        while !self.work.is_spent() {
            let Some(delivery) = queue.pop() else {
                // That was all.
                return true;
            };
            self.work.charge(OUTCOME);
            self.delivery_gone(delivery);
        }
        false
    }

    /// The broker shuts down: links end, each with an ABORT that says why.
    fn run_close(&mut self, next: &mut u32, end: u32) -> bool {
        while *next < end {
            if self.work.is_spent() {
                return false;
            }
            let index = *next;
            *next += 1;
            self.work.charge(LINK);
            if self.links.get(index).is_none() {
                continue;
            }
            self.abort(index, Abort { code: AbortCode::ShuttingDown, detail: 0 });
            let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { continue };
            if let Some(lossy) = &mut link.lossy {
                lossy.shut_down();
                if link.is_done() {
                    self.list_close(index);
                }
            }
        }
        true
    }

    /// Clients of the broker before have had their time to come back: all are served from now on.
    fn run_settle(&mut self, next: &mut u32, end: u32) -> bool {
        while *next < end {
            if self.work.is_spent() {
                return false;
            }
            let index = *next;
            *next += 1;
            self.work.charge(LINK);
            // Places of links that were closed are empty.
            let Some(link) = self.links.get_mut(index) else { continue };
            let session = link.session().and_then(|session| self.sessions.get(session));
            if core::mem::take(&mut link.shut) && session.is_some_and(|session| !session.narrow) {
                self.work.charge(END);
                self.wake_link(index);
            }
        }
        true
    }

    /// Takes acknowledged items off the queue of a session.
    fn run_acknowledge(&mut self, session: u32, more: &mut u64) -> bool {
        const AT_ONCE: u64 = 256;
        while *more > 0 && !self.work.is_spent() {
            let some = AT_ONCE.min(*more).min(u64::from(self.work.left() / OUTCOME)).max(1);
            let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return true };
            if state.sending.acknowledge(some, false).is_err() {
                bug!("what was acknowledged is not there any more");
                return true;
            }
            self.take_acknowledged(session, some);
            *more -= some;
        }
        // Its link was asked for more when the window was not open yet.
        self.window_opened(session);
        *more == 0
    }
}
