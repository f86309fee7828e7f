//! Early items: those that came before a missing one. (PROTOCOL.md, "Lossy framed transports")

use crate::broker::links::lossy::NOT_LOSSY;
use crate::broker::links::{receive, schedule};
use crate::broker::state::Broker;
use crate::broker::store::NO_SESSION;
use crate::broker::store::work::{FRAME, LINK, Progress};
use crate::bug::OrBug;

/// Processes the early items behind an item that was missing; true if all of them are done.
///
/// Each may take all work of a call, and the jobs that one begins hold back the items behind it, as if they came now.
pub(crate) fn run_early(broker: &mut Broker, session: u32) -> bool {
    let link = broker.store.sessions.get(session).or_bug(NO_SESSION).and_then(|session| session.link);
    // The link may be gone, or started again, and then no early items are kept.
    let Some(index) = link.and_then(|link| broker.links.find(link)) else { return true };
    // The job may have to wait, and is tried again then.
    broker.store.work.charge(LINK);
    while let Some(number) = received(broker, index).map(|received| received + 1)
        && broker.links.recovery(index).is_some_and(|recovery| recovery.has_next())
    {
        let is_held_back = broker.store.sessions.get(session).is_some_and(|session| session.jobs > 0);
        if broker.store.work.is_spent() || is_held_back {
            return false;
        }
        let Some(lossy) = broker.links.lossy(index).or_bug(NOT_LOSSY) else { return true };
        let mut early = core::mem::take(&mut lossy.early);
        // `next_early` has reported the bug.
        let Some((at, item)) = lossy.link.next_early(&early, number) else { return true };
        broker.store.work.charge(FRAME);
        let progress = receive::frame(broker, index, item);
        let is_received = received(broker, index) == Some(number);
        if let Some(lossy) = broker.links.lossy(index) {
            if progress == Progress::Done {
                lossy.link.remove_early(&mut early, &at);
            }
            lossy.early = early;
            if is_received {
                lossy.link.recovery.received_one();
            }
        }
        if progress == Progress::Later {
            return false;
        }
    }
    // The client can get a report of these items now.
    schedule::wake(broker, index);
    true
}

/// The number of the last item that came in order on an open link.
pub(crate) fn received(broker: &Broker, index: u32) -> Option<u64> {
    let session = broker.links.get(index)?.session()?;
    Some(broker.store.sessions.get(session)?.receiving.received())
}
