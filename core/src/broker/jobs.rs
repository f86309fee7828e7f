//! Jobs: work that one call began and that was too much for it. They go on in turn, each for the rest of a call.
//!
//! A job that concerns a session holds back the input of that session, and a hello for its UUID, until it is done; so each
//! session has at most one job of each kind, and what a job says of it stays true.

use super::links::NO_LINK;
use super::links::{Link, LinkId};
use super::presence::Notes;
use super::queue::Queue;
use super::sessions::NO_SESSION;
use super::state::Broker;
use super::work::{END, LINK, OUTCOME};
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::control::Abort;
use crate::wire::window::Window;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use uuid::Uuid;

/// Work that goes on.
#[derive(Debug)]
pub(super) enum Job {
    /// Watchers have to be notified of a session that has changed.
    #[cfg_attr(not(feature = "presence"), expect(dead_code))]
    Notes(Box<Notes>),
    /// A session gets what waits for it.
    Release(Box<Release>),
    /// A held message is offered to many.
    Offer(Box<Offers>),
    /// So many more items of a session are acknowledged.
    Acknowledge { session: u32, more: u64 },
    /// Items of a session that came before one that was missing are taken.
    #[cfg_attr(not(feature = "lossy"), expect(dead_code))]
    Early { session: u32 },
    /// What was in the queue of a session that has ended.
    Left(Box<Queue>),
    /// All links up to one end, from this one on.
    Close { next: u32, end: u32 },
    /// All links up to one are served from now on, from this one on.
    Settle { next: u32, end: u32 },
}

/// The messages that wait for a session, as they are given to it.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) session: u32,
    /// Held messages too, and none that comes later may be written before them.
    pub(super) at_hello: bool,
    /// Under which they wait, and from which place in the order on they are left.
    pub(super) terms: Vec<u64>,
    pub(super) from: u64,
    /// The window of its client, which is shut until all are there.
    pub(super) window: Option<Window>,
}

/// A held message that is offered to the sessions that it is for, as far as that has come.
#[derive(Debug)]
pub(super) struct Offers {
    /// Its sender.
    pub(super) uuid: Uuid,
    pub(super) message: u32,
    /// Its place in the order in which messages were taken: its place in the table may be another one's by now.
    pub(super) order: u64,
    /// The next place in the table of sessions.
    pub(super) next: u32,
}

/// All jobs, the next one first.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: VecDeque<Job>,
    /// Queues of sessions that have ended.
    pub(super) left: usize,
}

impl Job {
    /// Whether it holds back the client with that UUID, whose session is that one.
    fn concerns(&self, uuid: Uuid, of: Option<u32>) -> bool {
        match self {
            Self::Notes(notes) => notes.uuid() == uuid,
            Self::Release(release) => Some(release.session) == of,
            Self::Offer(offers) => offers.uuid == uuid,
            Self::Acknowledge { session, .. } | Self::Early { session } => Some(*session) == of,
            Self::Left(_) | Self::Close { .. } | Self::Settle { .. } => false,
        }
    }
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The notifications of a session that are pending already.
    #[cfg(feature = "presence")]
    pub(super) fn notes(&mut self, uuid: Uuid) -> Option<&mut Notes> {
        self.jobs.iter_mut().find_map(|job| match job {
            Job::Notes(notes) if notes.uuid() == uuid => Some(&mut **notes),
            _ => None,
        })
    }

    /// A session has ended: nothing is given to it any more.
    pub(super) fn forget(&mut self, session: u32) {
        self.jobs.retain(|job| match job {
            Job::Release(release) => release.session != session,
            Job::Acknowledge { session: of, .. } | Job::Early { session: of } => *of != session,
            _ => true,
        });
    }
}

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
            self.jobs.jobs.push_back(job);
        }
    }

    /// What waits for the next call, for tests.
    #[doc(hidden)]
    pub fn unfinished(&self) -> impl Iterator<Item = &'static str> {
        let jobs = self.jobs.jobs.iter().map(|job| match job {
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
        let mut untried = self.jobs.jobs.len();
        while untried > 0
            && !self.work.is_spent()
            && let Some(job) = self.jobs.jobs.pop_front()
        {
            untried -= 1;
            match self.run_job(job) {
                // The others have their turn.
                Some(job) => self.jobs.jobs.push_back(job),
                None => untried = self.jobs.jobs.len(),
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
        self.work.charge((self.jobs.jobs.len() / 16) as u32);
        while let Some(job) = self.jobs.jobs.get(at) {
            if !job.concerns(uuid, session) {
                at += 1;
                continue;
            }
            let Some(job) = self.jobs.jobs.remove(at) else {
                bug!("a job was there, and is not");
                return true;
            };
            if let Some(job) = self.run_job(job) {
                self.jobs.jobs.push_back(job);
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
        let window = self.open_window(false);
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
                link.window = Some(window);
                self.work.charge(END);
                self.list(index);
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
