//! A client's link where frames may be lost, come twice, or in another order: what is read, written, and
//! written again. (PROTOCOL.md, "Lossy framed transports")

use super::event::Close;
use super::frame::ClientFrame;
use super::hello;
use super::link::{ClientLink, ClientPhase};
use super::lossy::NOT_LOSSY;
use super::outbox::Outbox;
use super::receive;
use super::tables::Tables;
use super::transmit::{begin_item, describe, has_new_item, write_body};
use crate::bug::OrBug;
use crate::error::{AbortCode, BufferTooSmall};
use crate::link::lossy::{Incoming, LossyLink};
use crate::wire::kind;
use crate::wire::window::Window;

// Frames that come in.

/// Takes bytes; `kept` is the part of memory that holds the regions of a lossy link.
pub(super) fn input(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], kept: &mut [u8], bytes: &[u8]) {
    let Some(lossy) = link.lossy.as_ref().or_bug(NOT_LOSSY) else { return };
    let (partial, early, _) = lossy.regions(kept);
    let room = LossyLink::input_room(link.frame_limit);
    let mut input = bytes;
    // Bytes that come when the link has ended belong to it.
    while !input.is_empty() && link.is_linked() {
        let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
        if let Some(frame) = lossy.link.next_frame(&mut input, partial, room) {
            read_frame(link, tables, m, early, frame);
        }
    }
}

/// Takes a frame. One that is damaged or belongs to another link is as if it had not come.
fn read_frame(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], early: &mut [u8], frame: &[u8]) {
    // It is damaged.
    let Some(frame) = Incoming::read(frame) else { return };
    if !link.lossy.as_ref().is_some_and(|lossy| lossy.link.is_own(frame.tag)) {
        return;
    }
    link.note_received();
    match (frame.kind, link.phase) {
        _ if !frame.is_sound() => link.fail(AbortCode::Malformed),
        (kind::ABORT, _) | (kind::WELCOME, ClientPhase::Opening { .. }) => {
            receive::frame(link, tables, m, frame.body);
        }
        // They come again once this client is welcomed, or the answer to a hello comes twice.
        (_, ClientPhase::Opening { .. }) | (kind::WELCOME, _) => {}
        _ => match frame.fault() {
            Some(code) => link.fail(code),
            None if frame.number > 0 => read_item(link, tables, m, early, &frame),
            None => receive::frame(link, tables, m, frame.body),
        },
    }
}

/// Takes an item if it is the next one, and those that were waiting for it.
fn read_item(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    early: &mut [u8],
    item: &Incoming<'_>,
) {
    let session = link.session.as_ref().or_bug("a link that is up has no session");
    let Some(received) = session.map(|session| session.receiving.received()) else { return };
    let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
    let room = lossy.early;
    if !lossy.link.admit(item, received, early, room) {
        return;
    }
    receive::frame(link, tables, m, item.body);
    let mut next = item.number + 1;
    while link.is_established() {
        let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
        if !lossy.link.recovery.received_one() {
            return;
        }
        // `next_early` has reported the bug.
        let Some((at, item)) = lossy.link.next_early(early, next) else { return };
        receive::frame(link, tables, m, item);
        // An item that ends the link is removed too.
        if let Some(lossy) = &mut link.lossy {
            lossy.link.remove_early(early, &at);
        }
        next += 1;
    }
}

// Frames that go out.

/// Writes frames to the front of `out`, and returns the count of bytes.
pub(super) fn transmit(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    kept: &mut [u8],
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    let Some(lossy) = link.lossy.as_ref().or_bug(NOT_LOSSY) else { return Ok(0) };
    let (_, _, staged) = lossy.regions(kept);
    let mut written = 0;
    while let Some(lossy) = &mut link.lossy
        && lossy.link.drain(staged, out, &mut written)
        && let Some((number, frame)) = begin_frame(link, tables, m)
    {
        let Some(lossy) = link.lossy.as_ref().or_bug(NOT_LOSSY) else { break };
        let front = (lossy.link.tag, number, matches!(frame, ClientFrame::Hello));
        let length = lossy.link.build(front, staged, |writer| write_body(link, tables, m, &frame, writer));
        if let Some(lossy) = &mut link.lossy {
            lossy.link.stage(length);
        }
    }
    if let (ClientPhase::Up(keep_alive), 1..) = (&mut link.phase, written) {
        keep_alive.note_sent(link.now);
    }
    link.lossy.as_ref().map_or(Ok(written), |lossy| lossy.link.outcome(written))
}

/// Chooses the next frame and its number, 0 for none.
fn begin_frame(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8]) -> Option<(u64, ClientFrame)> {
    match link.phase {
        ClientPhase::Opening { .. } => {
            return begin_hello_again(link, tables, m).map(|frame| (0, frame));
        }
        ClientPhase::Up(_) => {}
        ClientPhase::Down { .. } | ClientPhase::Closed => {
            return link.output.final_abort.take().map(|code| (0, ClientFrame::Abort(code)));
        }
    }
    if begin_state(link, tables, m) {
        return Some((0, ClientFrame::State));
    }
    let recovery = &link.lossy.as_ref()?.link.recovery;
    let (missing, has_room) = (recovery.next_missing(), recovery.has_room());
    let item = match missing {
        Some(number) => item_again(link, tables, m, number).map(|frame| (number, frame)),
        None if has_room => begin_item(link, tables, m)
            .and_then(|frame| link.session.as_ref().map(|session| (session.sending.sent(), frame))),
        None => None,
    };
    if let Some((number, frame)) = item {
        link.lossy.as_mut()?.link.recovery.wrote(number, link.now);
        return Some((number, frame));
    }
    begin_goodbye(link, &tables.outbox, m).map(|frame| (0, frame))
}

fn begin_hello_again(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8]) -> Option<ClientFrame> {
    let lossy = link.lossy.as_mut().filter(|lossy| !lossy.request.is_running())?;
    lossy.request.start_again(link.now);
    if link.output.hello.is_none() {
        hello::begin(link, tables, m);
    }
    Some(ClientFrame::Hello)
}

/// Begins a state, if one is due.
fn begin_state(link: &mut ClientLink, tables: &Tables, m: &[u8]) -> bool {
    let Some((acknowledged, window, is_news)) =
        standing(link, tables, m).or_bug("a link that is up has no session")
    else {
        return false;
    };
    let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return false };
    if !link.output.ping_due && !lossy.link.recovery.is_state_due(is_news) {
        return false;
    }
    lossy.link.recovery.begin_state(is_news, link.output.ping_due, link.now);
    if let Some(session) = &mut link.session {
        session.receiving.set_acknowledged(acknowledged);
    }
    link.output.window = window;
    link.output.ping_due = false;
    true
}

/// What is acknowledged now, the window, and whether either differs from the last state.
fn standing(link: &ClientLink, tables: &Tables, m: &[u8]) -> Option<(u64, Window, bool)> {
    let receiving = &link.session.as_ref()?.receiving;
    let acknowledged = tables.acknowledgeable(m, receiving.received()).max(receiving.acknowledged());
    let window = tables.inbox.due_window(m, link.output.window);
    let is_news = acknowledged != receiving.acknowledged() || window.is_some();
    Some((acknowledged, window.unwrap_or(link.output.window), is_news))
}

/// The item of that number, which was written before.
fn item_again(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], number: u64) -> Option<ClientFrame> {
    if let Some(declined) = tables.inbox.declined_by(m, number) {
        return Some(ClientFrame::Decline(declined));
    }
    if let Some(op) = tables.watching.sent_as(m, number) {
        return Some(ClientFrame::Watch(op));
    }
    let entry = tables.outbox.numbered(m, number)?;
    Some(describe(link, tables, m, entry))
}

/// A goodbye, when the broker has everything else, and knows what is acknowledged.
fn begin_goodbye(link: &mut ClientLink, outbox: &Outbox, m: &[u8]) -> Option<ClientFrame> {
    let how = due_goodbye(link, outbox, m)?;
    let lossy = link.lossy.as_mut()?;
    lossy.request.start_again(link.now);
    link.output.goodbye_written = true;
    Some(ClientFrame::Goodbye(how))
}

fn due_goodbye(link: &ClientLink, outbox: &Outbox, m: &[u8]) -> Option<Close> {
    let lossy = link.lossy.as_ref()?;
    if link.output.goodbye_written {
        return link.closing.filter(|_| !lossy.request.is_running());
    }
    link.goodbye(outbox, m).filter(|_| lossy.link.recovery.is_settled())
}

/// True if [`transmit`] would write something.
pub(super) fn wants_transmit(link: &ClientLink, tables: &Tables, m: &[u8]) -> bool {
    let Some(lossy) = link.lossy.as_ref().or_bug(NOT_LOSSY) else { return false };
    if lossy.link.has_staged() || link.output.final_abort.is_some() {
        return true;
    }
    match link.phase {
        ClientPhase::Opening { .. } => !lossy.request.is_running(),
        ClientPhase::Up(_) => {
            let recovery = &lossy.link.recovery;
            let is_state_due = |(_, _, is_news)| recovery.is_state_due(is_news);
            link.output.ping_due
                || standing(link, tables, m).is_some_and(is_state_due)
                || recovery.next_missing().is_some()
                || (recovery.has_room() && has_new_item(link, tables, m))
                || due_goodbye(link, &tables.outbox, m).is_some()
        }
        ClientPhase::Down { .. } | ClientPhase::Closed => false,
    }
}
