//! Runs the [jobs](crate::broker::store::jobs) of a broker in turn, each for the rest of a call.

use crate::broker::links::{early, ending, hello};
use crate::broker::routing::{acknowledge, presence, release, sessions};
use crate::broker::state::Broker;
use crate::broker::store::Job;
use crate::broker::store::work::Progress;
use crate::bug::OrBug;
use crate::codec::Reader;
use crate::wire::control::Control;
use crate::wire::kind;
use uuid::Uuid;

/// Runs as many jobs as this call may.
pub(crate) fn work_off(broker: &mut Broker) {
    // Early items may wait for another job of their session, or for room in queues.
    let mut untried = broker.store.jobs.len();
    while untried > 0
        && !broker.store.work.is_spent()
        && let Some(job) = broker.store.jobs.pop()
    {
        untried = if run_job(broker, job) { broker.store.jobs.len() } else { untried - 1 };
    }
}

/// True if a frame that was not taken can be taken now: it is a hello, and the jobs that held it back are done.
#[cold]
pub(crate) fn may_retry(broker: &mut Broker, progress: Progress, body: &[u8]) -> bool {
    progress == Progress::Behind && work_for_hello(broker, body)
}

/// Runs the jobs that hold back a hello; false if they are not done. It is false after a bug too, because a hello that is
/// still held back would be tried again without end.
fn work_for_hello(broker: &mut Broker, body: &[u8]) -> bool {
    let Some((_, rest)) = body.split_first().or_bug("a hello has no kind") else { return false };
    let Ok(Control::Hello(hello, _)) = Control::read(kind::HELLO, &mut Reader::new(rest)) else {
        bug!("this was a hello");
        return false;
    };
    let uuid = Uuid::from_bytes(hello.uuid);
    work_for(broker, uuid, broker.store.sessions.find(&uuid))
}

/// Runs the jobs that hold back the input of a link; false if they are not done.
#[inline]
pub(crate) fn is_free(broker: &mut Broker, link: u32) -> bool {
    let session = broker.links.get(link).and_then(|link| link.session());
    let state = session.and_then(|session| broker.store.sessions.get(session));
    match state {
        Some(state) if state.jobs > 0 => {
            let uuid = state.uuid;
            work_for(broker, uuid, session)
        }
        _ => true,
    }
}

/// Runs the jobs that hold back a client; false if they are not done.
fn work_for(broker: &mut Broker, uuid: Uuid, session: Option<u32>) -> bool {
    let mut at = 0;
    // Checking sixteen jobs costs as much as checking a session.
    broker.store.work.charge((broker.store.jobs.len() / 16) as u32);
    while let Some(job) = broker.store.jobs.get(at) {
        if !job.concerns(uuid, session) {
            at += 1;
            continue;
        }
        let Some(job) = broker.store.jobs.remove(at).or_bug("a job was there, and is not") else {
            return false;
        };
        if !run_job(broker, job) {
            return false;
        }
    }
    true
}

/// Runs as much of a job as this call may. The rest is kept for a later call, because the meter is spent or the job has to
/// wait.
fn run_job(broker: &mut Broker, mut job: Job) -> bool {
    let store = &mut broker.store;
    store.release_job(&job);
    let is_done = match &mut job {
        Job::Notes(notes) => presence::run_notes(store, notes),
        Job::Release(release) => release::run_release(store, release),
        Job::Offer(offers) => release::run_offers(store, offers),
        Job::Acknowledge { session, more } => acknowledge::run_acknowledge(store, *session, more),
        Job::Left(queue) => sessions::run_left(store, queue),
        Job::Early { session } => early::run_early(broker, *session),
        Job::Close { next, end } => ending::run_close(broker, next, *end),
        Job::Settle { next, end } => hello::run_settle(broker, next, *end),
    };
    if !is_done {
        broker.store.keep_job(job);
    }
    is_done
}
