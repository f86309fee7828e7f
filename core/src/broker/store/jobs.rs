//! Jobs: work that one call began and that was too much for it. They go on in turn, each for the rest of a call.
//!
//! A job that concerns a session holds back the input of that session, and a hello for its UUID, until it is done; so each
//! session has at most one job of each kind, and what a job says of it stays true.

use crate::broker::store::queue::Queue;
use crate::broker::store::watches::Notes;
use crate::wire::window::Window;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use uuid::Uuid;

/// Work that goes on.
#[derive(Debug)]
pub(crate) enum Job {
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
pub(crate) struct Release {
    pub(crate) session: u32,
    /// Held messages too, and none that comes later may be written before them.
    pub(crate) at_hello: bool,
    /// Under which they wait, and from which place in the order on they are left.
    pub(crate) terms: Vec<u64>,
    pub(crate) from: u64,
    /// The window of its client, which is shut until all are there.
    pub(crate) window: Option<Window>,
}

/// A held message that is offered to the sessions that it is for, as far as that has come.
#[derive(Debug)]
pub(crate) struct Offers {
    /// Its sender.
    pub(crate) uuid: Uuid,
    pub(crate) message: u32,
    /// Its place in the order in which messages were taken: its place in the table may be another one's by now.
    pub(crate) order: u64,
    /// The next place in the table of sessions.
    pub(crate) next: u32,
}

/// All jobs, the next one first.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: VecDeque<Job>,
    left: usize,
}

impl Job {
    /// What it is about, for tests.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Notes(_) => "presence",
            Self::Release(release) if release.at_hello => "release at a hello",
            Self::Release(_) => "release",
            Self::Offer(_) => "offers",
            Self::Acknowledge { .. } => "acknowledgements",
            Self::Early { .. } => "early items",
            Self::Left(_) => "what is left of a session",
            Self::Close { .. } => "closing",
            Self::Settle { .. } => "settling",
        }
    }

    /// Whether it holds back the client with that UUID, whose session is that one.
    pub(crate) fn concerns(&self, uuid: Uuid, of: Option<u32>) -> bool {
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
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Queues that are left of sessions which have ended.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// All jobs, the next one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Job> {
        self.jobs.get(at)
    }

    /// Takes a job out, to be run.
    pub(crate) fn remove(&mut self, at: usize) -> Option<Job> {
        let job = self.jobs.remove(at)?;
        self.left -= usize::from(matches!(job, Job::Left(_)));
        Some(job)
    }

    /// Takes the next job out, to be run.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        self.remove(0)
    }

    /// Adds a job, or what is left of one, behind all others.
    pub(crate) fn push(&mut self, job: Job) {
        self.left += usize::from(matches!(job, Job::Left(_)));
        self.jobs.push_back(job);
    }

    /// The notifications of a session that are pending already.
    #[cfg(feature = "presence")]
    pub(crate) fn notes(&mut self, uuid: Uuid) -> Option<&mut Notes> {
        self.jobs.iter_mut().find_map(|job| match job {
            Job::Notes(notes) if notes.uuid() == uuid => Some(&mut **notes),
            _ => None,
        })
    }

    /// A session has ended: nothing is given to it any more.
    pub(crate) fn forget(&mut self, session: u32) {
        self.jobs.retain(|job| match job {
            Job::Release(release) => release.session != session,
            Job::Acknowledge { session: of, .. } | Job::Early { session: of } => *of != session,
            _ => true,
        });
    }
}
