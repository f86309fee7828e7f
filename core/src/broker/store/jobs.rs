//! Jobs: work that was too much for the call that began it. Jobs take turns, each for the rest of a call.
//!
//! A job that concerns a session holds back the input of that session, and a hello for its UUID, until it is done. So each
//! session has at most one job of each kind, and the fields of a job stay true.

use crate::broker::store::queue::Queue;
use crate::broker::store::watches::Notes;
use crate::wire::window::Window;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use uuid::Uuid;

/// Work that goes on in a later call.
#[derive(Debug)]
pub(crate) enum Job {
    /// Notifies watchers of a session that has changed.
    #[cfg_attr(not(feature = "presence"), expect(dead_code))]
    Notes(Box<Notes>),
    /// Delivers the messages that wait for a session.
    Release(Box<Release>),
    /// Offers a held message to many sessions.
    Offer(Box<Offers>),
    /// Takes `more` acknowledged items off the queue of a session.
    Acknowledge { session: u32, more: u64 },
    /// Takes the items of a session that came before a missing one.
    #[cfg_attr(not(feature = "lossy"), expect(dead_code))]
    Early { session: u32 },
    /// Ends the deliveries in the queue of a session that has ended.
    Left(Box<Queue>),
    /// Ends the links with indices from `next` to `end`.
    Close { next: u32, end: u32 },
    /// Opens the links with indices from `next` to `end`, which were shut until the broker settled.
    Settle { next: u32, end: u32 },
}

/// The delivery of messages that wait for a session.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) session: u32,
    /// Held messages are released too, and no later message may be written before them.
    pub(crate) at_hello: bool,
    /// The terms under which messages wait, and the first place in the order that was not looked at.
    pub(crate) terms: Vec<u64>,
    pub(crate) from: u64,
    /// The window of the client, which is shut until all messages are in the queue.
    pub(crate) window: Option<Window>,
}

/// The offers of a held message to the sessions that match it.
#[derive(Debug)]
pub(crate) struct Offers {
    /// The UUID of the sender.
    pub(crate) uuid: Uuid,
    pub(crate) message: u32,
    /// The place of the message in the accept order. Another message may have its place in the table by now.
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
    /// The name of the job, for tests.
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

    /// True if the job holds back the client with that UUID, whose session is `of`.
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

    /// The number of queues left of sessions that have ended.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Job> {
        self.jobs.get(at)
    }

    /// Removes a job, to run it.
    pub(crate) fn remove(&mut self, at: usize) -> Option<Job> {
        let job = self.jobs.remove(at)?;
        self.left -= usize::from(matches!(job, Job::Left(_)));
        Some(job)
    }

    /// Removes the next job, to run it.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        self.remove(0)
    }

    /// Adds a job, or the rest of one, behind all others.
    pub(crate) fn push(&mut self, job: Job) {
        self.left += usize::from(matches!(job, Job::Left(_)));
        self.jobs.push_back(job);
    }

    /// The pending notifications of a session.
    #[cfg(feature = "presence")]
    pub(crate) fn notes(&mut self, uuid: Uuid) -> Option<&mut Notes> {
        self.jobs.iter_mut().find_map(|job| match job {
            Job::Notes(notes) if notes.uuid() == uuid => Some(&mut **notes),
            _ => None,
        })
    }

    /// Removes the jobs of a session that has ended.
    pub(crate) fn forget(&mut self, session: u32) {
        self.jobs.retain(|job| match job {
            Job::Release(release) => release.session != session,
            Job::Acknowledge { session: of, .. } | Job::Early { session: of } => *of != session,
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_keep_their_order_until_their_session_ends() {
        let mut jobs = Jobs::default();
        let uuid = Uuid::from_u128(9);
        let release = Release { session: 2, at_hello: false, terms: Vec::new(), from: 0, window: None };
        jobs.push(Job::Acknowledge { session: 1, more: 5 });
        jobs.push(Job::Left(Box::default()));
        jobs.push(Job::Release(Box::new(release)));
        jobs.push(Job::Offer(Box::new(Offers { uuid, message: 0, order: 0, next: 0 })));
        jobs.push(Job::Close { next: 0, end: 1 });
        assert_eq!((jobs.len(), jobs.left()), (5, 1));
        let concerned = jobs.iter().filter(|job| job.concerns(uuid, Some(2)));
        assert_eq!(concerned.map(Job::name).collect::<Vec<_>>(), ["release", "offers"]);
        jobs.forget(2);
        jobs.forget(1);
        let left = jobs.pop();
        assert!(matches!(left, Some(Job::Left(_))) && jobs.left() == 0, "{left:?}");
        left.into_iter().for_each(|left| jobs.push(left));
        let names: Vec<_> = jobs.iter().map(Job::name).collect();
        assert_eq!((names, jobs.left()), (Vec::from(["offers", "closing", "what is left of a session"]), 1));
    }
}
