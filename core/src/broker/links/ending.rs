//! Ends of links, and their effects on sessions.

use crate::broker::links::table::{Link, LinkPhase, NO_LINK, OutFrame};
use crate::broker::links::{hellos, schedule};
use crate::broker::routing::{outcome, presence, sessions};
use crate::broker::state::Broker;
use crate::broker::store::work::{END, LINK};
use crate::broker::store::{BrokerEvent, Job, LinkId, Timer};
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::Moment;
use crate::wire::control::Abort;
use crate::wire::kind;

/// Ends a link, with an ABORT for the peer if possible.
pub(crate) fn abort(broker: &mut Broker, index: u32, abort: Abort) {
    if let Some(id) = end_link(broker, index, Some(abort)) {
        debug!("e_pigeon::broker", "link {index} aborted: {}", abort.code);
        broker.store.push_event(BrokerEvent::LinkAborted(id, abort.code));
    }
}

/// Ends a link that the peer has ended: no answer is written, and unread input is dropped.
pub(crate) fn ended_by_peer(broker: &mut Broker, index: u32) {
    end_link(broker, index, None);
}

/// Ends a link with this final frame; `None` if it was closing already.
fn end_link(broker: &mut Broker, index: u32, abort: Option<Abort>) -> Option<LinkId> {
    answer_displaced(broker, index, AbortCode::Superseded);
    leave(broker, index);
    let until = broker.store.now + broker.store.config.handshake_timeout;
    let is_open = |link: &&Link| !matches!(link.phase, LinkPhase::Closing { .. });
    let id = broker.links.get(index).filter(is_open).map(|link| link.id(index))?;
    hellos::give_hello_up(broker, index);
    broker.store.work.charge(END);
    let between_frames = !drop_current(broker, index);
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    // An ABORT in the middle of a frame would be read as a part of it, and the content of the frame may be freed.
    link.abort = abort.filter(|_| between_frames);
    link.phase = LinkPhase::Closing { until };
    schedule::wake(broker, index);
    schedule::arm(broker, index);
    Some(id)
}

/// Displaces the link of a session when another boot of its client says hello. That boot may have died since, so the ABORT
/// of the old link waits until the new one sends more, or ends. (PROTOCOL.md, "Judging a HELLO")
pub(crate) fn displace(broker: &mut Broker, old: u32, by: u32) {
    leave(broker, old);
    let until = broker.store.now + broker.store.config.keep_alive * 3;
    let between_frames = !drop_current(broker, old);
    let Some(link) = broker.links.get_mut(old).or_bug(NO_LINK) else { return };
    link.phase = LinkPhase::Closing { until };
    link.displaced = between_frames;
    // No ABORT can follow a part of a frame; the links that this one has displaced wait for the new one.
    let waits = if between_frames { Some(link.id(old)) } else { link.displaces.take() };
    if let Some(link) = broker.links.get_mut(by).or_bug(NO_LINK) {
        link.displaces = waits;
    }
    if !between_frames {
        schedule::wake(broker, old);
    }
    schedule::arm(broker, old);
}

/// Sends the ABORT to the links that a link has displaced: the link has sent something, or has ended.
fn answer_displaced(broker: &mut Broker, index: u32, code: AbortCode) {
    let mut next = broker.links.get_mut(index).and_then(|link| link.displaces.take());
    // A displaced link that is gone has answered those behind it.
    while let Some(id) = next
        && let Some(old) = broker.links.find(id)
    {
        next = broker.links.get_mut(old).and_then(|link| link.displaces.take());
        answer(broker, old, code);
    }
}

/// Sends a displaced link the reason of its end.
pub(crate) fn answer(broker: &mut Broker, index: u32, code: AbortCode) {
    let until = broker.store.now + broker.store.config.handshake_timeout;
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    if !core::mem::take(&mut link.displaced) {
        // The transport has started a new link since.
        return;
    }
    link.abort = Some(Abort { code, detail: 0 });
    link.phase = LinkPhase::Closing { until };
    let id = link.id(index);
    schedule::wake(broker, index);
    schedule::arm(broker, index);
    broker.store.push_event(BrokerEvent::LinkAborted(id, code));
}

/// Notes that a whole frame was read on a link, and returns the phase of the link. Any frame but an ABORT proves that the
/// peer of an open link is alive, so the links that it has displaced end.
#[inline]
pub(crate) fn read_frame(broker: &mut Broker, index: u32, frame_kind: u8) -> Option<LinkPhase> {
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    if let LinkPhase::Up { keep_alive, .. } = &mut link.phase
        && frame_kind != kind::ABORT
    {
        keep_alive.prove();
    }
    let phase = link.phase;
    if link.displaces.is_some() && matches!(phase, LinkPhase::Up { .. }) && frame_kind != kind::ABORT {
        answer_displaced(broker, index, AbortCode::TakenOver);
    }
    Some(phase)
}

/// Parts a link from its session, which ends if the client has said so, even if nothing can be written any more.
pub(crate) fn leave(broker: &mut Broker, index: u32) {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    let ends = link.goodbye.take() == Some(true);
    let session = link.session();
    detach(broker, index);
    if let Some(session) = session.filter(|_| ends) {
        sessions::end_session(&mut broker.store, session);
    }
}

/// Parts a link from its session, which is away from now on.
fn detach(broker: &mut Broker, index: u32) {
    // A link without a session waits for a hello, or is closing.
    let Some(session) = broker.links.get(index).and_then(Link::session) else { return };
    let id = broker.links.id(index);
    if let Some(state) = broker.store.sessions.get_mut(session)
        && state.link == id
    {
        let ends_at = broker.store.now.after(state.time_to_live);
        state.link = None;
        state.ends_at = Moment::at(ends_at);
        let uuid = state.uuid;
        debug!("e_pigeon::broker", "{uuid} is away, {} messages in its queue", state.queue.len());
        broker.store.sessions.connected -= 1;
        broker.store.timers.arm(ends_at, Timer::Session(session));
        broker.store.push_event(BrokerEvent::SessionAway(uuid));
        presence::note_presence(&mut broker.store, session);
    }
}

/// Drops the frame that is written in part; false if there is none.
pub(crate) fn drop_current(broker: &mut Broker, index: u32) -> bool {
    let current = broker.links.take_current(index);
    if let Some(OutFrame::Deliver(message, _)) = current.map(|current| current.frame) {
        outcome::wrote_message(&mut broker.store, message);
    }
    current.is_some()
}

/// Removes a link.
pub(crate) fn drop_link(broker: &mut Broker, index: u32) {
    hellos::give_hello_up(broker, index);
    answer_displaced(broker, index, AbortCode::Superseded);
    drop_current(broker, index);
    let Some(link) = broker.links.remove(index).or_bug(NO_LINK) else { return };
    broker.store.ready.remove_link(link.id(index));
    broker.sources.part(link.source, broker.store.now);
    if let Some(at) = link.timer.get() {
        broker.store.timers.disarm(at, Timer::Link(index));
    }
    for slot in link.slots {
        broker.store.messages.drop_destination(slot);
    }
}

/// Ends a link whose client leaves, between two frames.
pub(crate) fn say_farewell(broker: &mut Broker, index: u32) {
    leave(broker, index);
    let until = broker.store.now + broker.store.config.handshake_timeout;
    if let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) {
        link.phase = LinkPhase::Closing { until };
        link.farewell = true;
    }
    schedule::arm(broker, index);
}

/// Ends links with an ABORT, because the broker shuts down.
pub(crate) fn run_close(broker: &mut Broker, next: &mut u32, end: u32) -> bool {
    while *next < end {
        if broker.store.work.is_spent() {
            return false;
        }
        let index = *next;
        *next += 1;
        broker.store.work.charge(LINK);
        if broker.links.get(index).is_none() {
            continue;
        }
        abort(broker, index, Abort { code: AbortCode::ShuttingDown, detail: 0 });
        let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { continue };
        if let Some(lossy) = &mut link.lossy {
            lossy.shut_down();
            if link.is_done() {
                schedule::close(broker, index);
            }
        }
    }
    true
}

/// Ends all links, because the broker shuts down.
pub(crate) fn close_all(broker: &mut Broker) {
    // There are at most 2^30 links.
    let (mut next, end) = (0, broker.links.places() as u32);
    if !run_close(broker, &mut next, end) {
        broker.store.keep_job(Job::Close { next, end });
    }
}
