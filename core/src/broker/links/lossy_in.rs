//! Frames that come in on a link that may lose them. (PROTOCOL.md, "Lossy framed transports")

use crate::broker::links::lossy::{Lossy, MAX_LEFT, NOT_LOSSY};
use crate::broker::links::table::{Link, LinkPhase, NO_LINK};
use crate::broker::links::{early, ending, hello, hellos, receive, schedule, turns};
use crate::broker::state::Broker;
use crate::broker::store::work::{BYTES, FRAME, Progress};
use crate::broker::store::{BrokerEvent, Job, Limit, NO_SESSION};
use crate::bug::OrBug;
use crate::codec::Reader;
use crate::error::AbortCode;
use crate::handshake::{Decision, decide};
use crate::link::lossy::{Incoming, LossyLink};
use crate::link::recovery::Recovery;
use crate::time::Instant;
use crate::wire::control::{Abort, Control};
use crate::wire::kind;
use alloc::boxed::Box;
use uuid::Uuid;

pub(crate) fn lossy_input(broker: &mut Broker, index: u32, now: Instant, bytes: &[u8]) -> usize {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return bytes.len() };
    let room = LossyLink::input_room(link.frame_limit);
    let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return bytes.len() };
    let is_line = lossy.link.is_line;
    let mut partial = core::mem::take(&mut lossy.partial);
    let mut input = bytes;
    while !input.is_empty() {
        if is_line && broker.store.work.is_full() {
            schedule::resume(broker, index);
            break;
        }
        let Some(lossy) = broker.links.lossy(index).or_bug(NOT_LOSSY) else { break };
        if let Some(frame) = lossy.link.next_frame(&mut input, &mut partial, room) {
            lossy_frame(broker, index, now, frame);
        }
    }
    if let Some(lossy) = broker.links.lossy(index) {
        lossy.partial = partial;
    }
    bytes.len() - input.len()
}

/// Processes a frame. Damaged ones and those of other links are ignored.
fn lossy_frame(broker: &mut Broker, index: u32, now: Instant, frame: &[u8]) {
    broker.store.work.charge(FRAME + (frame.len() / BYTES) as u32);
    // The frame is damaged.
    let Some(frame) = Incoming::read(frame) else { return };
    let is_hello = frame.kind == kind::HELLO && frame.is_sound();
    let is_refused = is_hello && is_refused(broker, index, frame.body);
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
    if lossy.shuts_down {
        return;
    }
    let is_ours = lossy.link.is_own(frame.tag);
    let is_again = is_hello && lossy.hello_tag == frame.tag;
    match &mut link.phase {
        LinkPhase::Up { keep_alive, .. } if is_again => {
            keep_alive.note_received(now);
            // The welcome was lost, or the hello comes twice.
            link.welcome = lossy.welcome.map(Box::new);
        }
        LinkPhase::Up { keep_alive, .. } if is_ours => {
            keep_alive.note_received(now);
            ending::read_frame(broker, index, frame.kind);
            match frame.fault() {
                Some(code) => ending::abort(broker, index, Abort { code, detail: 0 }),
                None if frame.number > 0 => lossy_item(broker, index, &frame),
                None => _ = receive::frame(broker, index, frame.body),
            }
        }
        LinkPhase::Closing { .. } if is_ours => {
            // A client that still sends did not receive the final frame.
            match lossy.final_frame.filter(|_| frame.kind != kind::ABORT) {
                Some(Control::Abort(abort)) => link.abort = Some(abort),
                Some(Control::Farewell) => link.farewell = true,
                _ => {}
            }
        }
        // Two brokers that answer each other would never end.
        LinkPhase::Hello { .. } if frame.kind == kind::ABORT => {}
        LinkPhase::Hello { .. } if !is_hello => {
            // The client means another life of this broker, or an earlier link.
            lossy.link.tag = frame.tag;
            let code = if frame.is_sound() { AbortCode::UnexpectedFrame } else { AbortCode::Malformed };
            link.abort = Some(Abort { code, detail: 0 });
        }
        // A refused hello is answered with an ABORT, which would end an open link, so it is answered only if none is open.
        phase if is_hello && (!is_refused || matches!(phase, LinkPhase::Hello { .. })) => {
            start_link_again(broker, index);
            lossy_hello(broker, index, frame.tag, frame.body);
        }
        _ => {}
    }
}

/// True if a hello was overtaken, proves nothing, cannot be read, or is one too many: it must not end an open link.
fn is_refused(broker: &mut Broker, index: u32, body: &[u8]) -> bool {
    let mut reader = Reader::new(body);
    let Some(kind::HELLO) = reader.u8().ok().or_bug("this was a hello") else { return true };
    // The hello cannot be read.
    let Ok(Control::Hello(hello, _)) = Control::read(kind::HELLO, &mut reader) else { return true };
    let session = broker.store.sessions.find(Uuid::from_bytes_ref(&hello.uuid));
    let facts = session.and_then(|session| hello::facts(broker, session));
    let decision = decide(&hello, facts.as_ref());
    if matches!(decision, Decision::Refuse(_)) {
        return true;
    }
    let Some(link) = broker.links.get(index).or_bug(NO_LINK) else { return true };
    // A link that waits for its hello counts already.
    let is_awaited = matches!(link.phase, LinkPhase::Hello { .. });
    let limit = if !is_awaited && broker.sources.ignores(link.source, broker.store.now, &broker.store.config)
    {
        Limit::FailedHellosPerSource
    } else if decision == Decision::Create && has_left_enough(broker, link) {
        Limit::SessionsPerLine
    } else {
        // The hello is not refused.
        return false;
    };
    let source = broker.sources.number(link.source);
    broker.store.push_event(BrokerEvent::Refused { source, limit });
    true
}

/// True if a line may leave no further session away, as it would for a new session.
fn has_left_enough(broker: &Broker, link: &Link) -> bool {
    // A link over a stream has only one session.
    let Some(lossy) = &link.lossy else { return false };
    let left = lossy.left().iter().filter(|&&left| hello::is_away(broker, left)).count();
    left + usize::from(link.session().is_some()) > MAX_LEFT
}

/// Remembers the session that a line leaves, in place of those that have ended.
fn remember_left(broker: &mut Broker, index: u32, session: u32) {
    // The session may have ended with its link.
    let Some(number) = broker.store.sessions.get(session).map(|session| session.number) else { return };
    let left = broker.links.lossy(index).or_bug(NOT_LOSSY).map(|lossy| core::mem::take(&mut lossy.left));
    let mut left = left.or_bug(NOT_LOSSY).unwrap_or_default();
    left.retain(|&left| left.0 != session && hello::is_away(broker, left));
    if left.len() >= MAX_LEFT {
        // A hello that resumes a session leaves one more away, and adds none.
        left.remove(0);
    }
    left.push((session, number));
    if let Some(lossy) = broker.links.lossy(index) {
        lossy.left = left;
    }
}

/// Starts a link again for a hello, because the transport has no beginning and no end of its own.
fn start_link_again(broker: &mut Broker, index: u32) {
    let session = broker.links.get(index).and_then(Link::session);
    ending::leave(broker, index);
    if let Some(session) = session {
        remember_left(broker, index, session);
    }
    hellos::stop_waiting(broker, index);
    let until = broker.store.now + broker.store.config.handshake_timeout;
    hellos::await_hello(broker, index, until);
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    let slots = link.start_again(until);
    for slot in slots {
        broker.store.messages.drop_destination(slot);
    }
}

fn lossy_hello(broker: &mut Broker, index: u32, tag: u32, body: &[u8]) {
    if let Some(lossy) = broker.links.lossy(index) {
        (lossy.link.tag, lossy.hello_tag) = (tag, tag);
    }
    let mut progress = receive::frame(broker, index, body);
    while progress != Progress::Done && turns::may_retry(broker, progress, body) {
        progress = receive::frame(broker, index, body);
    }
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    let session = link.session().and_then(|session| broker.store.sessions.get(session));
    let (Some(welcome), Some(session), Some(lossy)) = (link.welcome.as_deref(), session, &mut link.lossy)
    else {
        // The hello was refused.
        return;
    };
    // Nothing was written on this link yet, so the client has received everything that was written before.
    let received = session.sending.sent();
    lossy.link.establish(welcome, received);
    lossy.welcome = Some(*welcome);
}

/// Processes an item if it is the next one, and then the early items behind it.
fn lossy_item(broker: &mut Broker, index: u32, item: &Incoming<'_>) {
    let session = broker.links.get(index).and_then(Link::session).or_bug("a link that is up has no session");
    let Some(session) = session else { return };
    let Some(received) = early::received(broker, index).or_bug(NO_SESSION) else { return };
    let room = broker.store.config.reorder_bytes as usize;
    let Some(Lossy { link, early, .. }) = broker.links.lossy(index).or_bug(NOT_LOSSY) else { return };
    if !link.admit(item, received, early, room) {
        return;
    }
    receive::frame(broker, index, item.body);
    if early::received(broker, index) == Some(item.number)
        && broker.links.recovery(index).is_some_and(Recovery::received_one)
    {
        // The early items that are left hold back the input behind them.
        if !early::run_early(broker, session) {
            broker.store.keep_job(Job::Early { session });
        }
    }
}
