//! What a client writes next, and how a frame goes out in pieces.

use super::event::Close;
use super::frame::{ClientFrame, PartialFrame};
use super::hello;
use super::link::{ClientLink, ClientPhase};
use super::outbox::Outbound;
use super::tables::Tables;
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::link::numbers::Sending;
use crate::time::Instant;
use crate::wire::control::{Abort, Control};
use crate::wire::frame::{header_len, write_header};
use crate::wire::item::{MessageItem, UpItem};

/// Writes frames to the front of `out`, and returns the count of bytes.
pub(super) fn transmit(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], out: &mut [u8]) -> usize {
    let mut written = 0;
    let mut behind_item = false;
    while let Some(rest) = out.get_mut(written..).filter(|rest| !rest.is_empty()) {
        let current = match link.output.current.take() {
            Some(current) => current,
            None => {
                // What goes before an item was written before the last one, and nothing comes in meanwhile.
                let item = if behind_item { begin_item(link, tables, m) } else { None };
                // There is nothing to write now.
                let Some(frame) = item.or_else(|| begin_frame(link, tables, m, written)) else { break };
                behind_item = frame.is_item();
                // How long the body is shows when it is written. Most often it fits, behind a header that is as long as
                // expected; otherwise it is written again, piece by piece.
                let header = frame.least_header();
                // Where the header alone does not fit, nothing is written yet.
                let mut writer = Writer::new(rest.get_mut(header..).unwrap_or_default(), 0);
                write_body(link, tables, m, &frame, &mut writer);
                let (body, fitted) = (writer.total(), writer.written());
                if fitted == body && header_len(body) == header {
                    write_header(&mut Writer::new(rest, 0), body);
                    written += header + body;
                    continue;
                }
                PartialFrame { frame, body, offset: 0 }
            }
        };
        let mut writer = Writer::new(rest, current.offset);
        write_header(&mut writer, current.body);
        write_body(link, tables, m, &current.frame, &mut writer);
        written += writer.written();
        let offset = current.offset + writer.written();
        if offset < header_len(current.body) + current.body {
            link.output.current = Some(PartialFrame { offset, ..current });
        }
    }
    if written > 0 {
        link.output.ping_due = false;
        if let ClientPhase::Up(keep_alive) = &mut link.phase {
            keep_alive.note_sent(link.now);
        }
    }
    written
}

/// Chooses the next frame, behind so many bytes that were just written, and begins it.
fn begin_frame(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    written: usize,
) -> Option<ClientFrame> {
    match link.phase {
        ClientPhase::Opening { .. } if link.output.hello.is_none() => {
            hello::begin(link, tables, m);
            return Some(ClientFrame::Hello);
        }
        ClientPhase::Up(_) => {}
        ClientPhase::Opening { .. } => return None,
        // Why the link has ended, while the transport is still there.
        ClientPhase::Down { .. } | ClientPhase::Closed => {
            return link.output.final_abort.take().map(ClientFrame::Abort);
        }
    }
    let due = due_acknowledgement(link, tables, m);
    let window = tables.inbox.due_window(m, link.output.window);
    let session = link.session.as_mut()?;
    if let Some(more) = due {
        session.receiving.acknowledge(more);
        link.carried = true;
        return Some(ClientFrame::Ack(more));
    }
    if let Some(window) = window {
        link.output.window = window;
        return Some(ClientFrame::Window(window));
    }
    if let Some(frame) = begin_item(link, tables, m) {
        return Some(frame);
    }
    if let Some(how) = link.goodbye(&tables.outbox, m) {
        link.output.goodbye_written = true;
        return Some(ClientFrame::Goodbye(how));
    }
    // Any bytes are a sign of life, and the end of `out` must not decide if a ping follows.
    (link.output.ping_due && written == 0).then_some(ClientFrame::Ping)
}

fn due_acknowledgement(link: &ClientLink, tables: &Tables, m: &[u8]) -> Option<u64> {
    let receiving = &link.session.as_ref()?.receiving;
    let received = receiving.received();
    receiving.due(tables.acknowledgeable(m, received))
}

/// The next item: first what has a number already, in the order of numbers, then declines, then watches, then the outbox.
pub(super) fn begin_item(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8]) -> Option<ClientFrame> {
    if link.output.goodbye_written {
        return None;
    }
    let session = link.session.as_mut()?;
    if session.sending.repeats() {
        return repeat_item(link, tables, m);
    }
    if let Some((declined, _)) = tables.inbox.next_decline(m) {
        let number = session.sending.assign(None);
        tables.inbox.begin_decline(m, number);
        tables.inbox.advance_decline();
        return Some(ClientFrame::Decline(declined));
    }
    if let Some(op) = tables.watching.next_op(m) {
        let number = session.sending.assign(None);
        tables.watching.note_sent(m, op, number);
        return Some(ClientFrame::Watch(op));
    }
    let entry = tables.outbox.next_outbound(m)?;
    if !may_write(&session.sending, &entry) {
        return None;
    }
    let number = session.sending.assign((!entry.is_set()).then_some(entry.payload()));
    tables.outbox.begin(m, entry.index, number)?;
    Some(describe(link, tables, m, entry))
}

/// The next item that has a number already.
#[cold]
fn repeat_item(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8]) -> Option<ClientFrame> {
    let sending = &mut link.session.as_mut()?.sending;
    let number = sending.next();
    sending.repeated(1);
    if let Some((declined, _)) = tables.inbox.next_decline(m).filter(|&(_, own)| own == number) {
        tables.inbox.advance_decline();
        return Some(ClientFrame::Decline(declined));
    }
    if let Some(op) = tables.watching.sent_as(m, number) {
        return Some(ClientFrame::Watch(op));
    }
    let entry = tables.outbox.next_outbound(m)?;
    tables.outbox.begin(m, entry.index, number)?;
    Some(describe(link, tables, m, entry))
}

pub(super) fn describe(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    entry: Outbound,
) -> ClientFrame {
    if entry.is_set() {
        return ClientFrame::Item(entry);
    }
    let (id, deadline) = tables.outbox.id_and_deadline(m, entry);
    let (slot, defines, id_step) = if link.lossy.is_some() {
        // The item before may come later, so each item stands for itself.
        (0, true, id)
    } else {
        let (slot, defines) = tables.slots.choose(m, &tables.outbox, &entry);
        let id_step = id - link.output.last_id;
        link.output.last_id = id;
        (slot, defines, id_step)
    };
    ClientFrame::Message {
        entry,
        slot,
        defines,
        id_step,
        time_to_live_ms: milliseconds_left(link.now, deadline),
    }
}

pub(super) fn write_body(
    link: &ClientLink,
    tables: &Tables,
    m: &[u8],
    frame: &ClientFrame,
    writer: &mut Writer<'_>,
) {
    match *frame {
        ClientFrame::Hello => hello::write(link, tables, m, writer),
        ClientFrame::Ack(more) => Control::Ack(more).write_link(writer),
        ClientFrame::Window(window) => Control::Window(window).write_link(writer),
        ClientFrame::Decline(number) => UpItem::Decline(number).write(writer),
        ClientFrame::Message { entry, slot, defines, id_step, time_to_live_ms } => {
            let head = MessageItem {
                slot,
                define: None,
                id_step,
                time_to_live_ms,
                retry: tables.outbox.past(m, entry),
                until_accepted: entry.until_accepted(),
                payload: &[],
            };
            let destination = || tables.outbox.pieces(m, &entry, 0, entry.destination());
            head.write_head_with(writer, defines.then(destination));
            for piece in tables.outbox.pieces(m, &entry, entry.destination(), entry.payload()) {
                writer.raw(piece);
            }
        }
        ClientFrame::Item(entry) => {
            for piece in tables.outbox.pieces(m, &entry, 0, entry.payload()) {
                writer.raw(piece);
            }
        }
        ClientFrame::Watch(op) => tables.watching.write(m, op, writer),
        ClientFrame::Goodbye(how) => Control::Goodbye(how == Close::EndSession).write_link(writer),
        ClientFrame::Ping => Control::Ping.write_link(writer),
        ClientFrame::Abort(code) => Control::Abort(Abort { code, detail: 0 }).write_link(writer),
        #[cfg(feature = "lossy")]
        ClientFrame::State => {
            if let (Some(session), Some(lossy)) = (&link.session, &link.lossy) {
                let state = lossy.state(&session.receiving, link.output.window);
                Control::State(state).write_link(writer);
            }
        }
    }
}

/// True if [`transmit`] would write something.
pub(super) fn wants_transmit(link: &ClientLink, tables: &Tables, m: &[u8]) -> bool {
    if link.output.current.is_some() || link.output.final_abort.is_some() {
        return true;
    }
    match link.phase {
        ClientPhase::Opening { .. } => link.output.hello.is_none(),
        ClientPhase::Up(_) => {
            link.output.ping_due
                || due_acknowledgement(link, tables, m).is_some()
                || tables.inbox.due_window(m, link.output.window).is_some()
                || link.goodbye(&tables.outbox, m).is_some()
                || has_new_item(link, tables, m)
        }
        _ => false,
    }
}

/// True if an item may be written for the first time on this link.
pub(super) fn has_new_item(link: &ClientLink, tables: &Tables, m: &[u8]) -> bool {
    !link.output.goodbye_written
        && (tables.inbox.has_decline()
            || tables.watching.next_op(m).is_some()
            || may_write_outbox(link, tables, m))
}

fn may_write_outbox(link: &ClientLink, tables: &Tables, m: &[u8]) -> bool {
    let session = link.session.as_ref().or_bug("a link is up without a session");
    let Some(sending) = session.map(|session| &session.sending) else { return false };
    sending.repeats() || tables.outbox.next_outbound(m).is_some_and(|entry| may_write(sending, &entry))
}

/// True if the window allows an entry.
fn may_write(sending: &Sending, entry: &Outbound) -> bool {
    if entry.is_set() { !sending.is_shut() } else { sending.allows(entry.payload()) }
}

/// Whole milliseconds from `now` until `deadline`, rounded up.
fn milliseconds_left(now: Instant, deadline: Instant) -> u32 {
    let left = deadline.micros_since(now).div_ceil(1_000);
    u32::try_from(left).unwrap_or(u32::MAX)
}
