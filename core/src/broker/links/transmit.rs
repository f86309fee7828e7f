//! Writes frames on a stream, in pieces if there is no room for a whole one.

use crate::broker::links::table::{LinkPhase, NO_LINK, OutFrame, UnfinishedFrame};
use crate::broker::links::{ending, items, lossy_out, schedule};
use crate::broker::routing::windows::announced_window;
use crate::broker::routing::{outcome, windows};
use crate::broker::state::Broker;
use crate::broker::store::NO_SESSION;
use crate::broker::store::work::{BYTES, WRITTEN};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::error::BufferTooSmall;
use crate::time::Instant;
use crate::wire::control::Control;
use crate::wire::frame::{MAX_HEADER, header_len, write_header};
use crate::wire::item::MAX_DELIVER_HEAD;

pub(crate) fn transmit(
    broker: &mut Broker,
    index: u32,
    now: Instant,
    out: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    let Some(link) = broker.links.get(index).or_bug(NO_LINK) else { return Ok(0) };
    let (pinged, is_lossy) = (link.ping_due, link.lossy.is_some());
    let written = if is_lossy {
        lossy_out::lossy_transmit(broker, index, now, out)
    } else {
        write_stream(broker, index, out)
    };
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return Ok(written) };
    if written > 0
        && let LinkPhase::Up { keep_alive, .. } = &mut link.phase
    {
        keep_alive.note_sent(now);
    }
    let result = link.lossy.as_ref().map_or(Ok(written), |lossy| lossy.outcome(written));
    if link.is_done() {
        schedule::close(broker, index);
    }
    if (pinged || is_lossy) && written > 0 {
        // The next ping is due earlier than the timer of a link that waits for an answer.
        schedule::arm(broker, index);
    }
    result
}

fn write_stream(broker: &mut Broker, index: u32, out: &mut [u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = out.get_mut(written..).filter(|rest| !rest.is_empty()) {
        if broker.store.work.is_spent() {
            // Other links have their turn.
            schedule::wake(broker, index);
            break;
        }
        let pending = broker.links.take_current(index);
        let is_new = pending.is_none();
        let Some(current) = pending.or_else(|| begin_frame(broker, index)) else {
            broker.store.ready.idle(index);
            break;
        };
        let mut writer = Writer::new(rest, current.offset);
        write_header(&mut writer, current.body);
        items::write_body(broker, index, &current.frame, &mut writer);
        written += writer.written();
        broker.store.work.charge(WRITTEN + (writer.written() / BYTES) as u32);
        let offset = current.offset + writer.written();
        let is_whole = offset >= header_len(current.body) + current.body;
        if !is_whole {
            broker.links.keep_current(index, UnfinishedFrame { offset, ..current });
        }
        if let OutFrame::Deliver(message, _) = current.frame
            && is_whole != is_new
        {
            // The message is written in part from here on, or no longer.
            if is_new {
                broker.store.messages.write(message);
            } else {
                outcome::wrote_message(&mut broker.store, message);
            }
        }
        if is_whole && is_new && matches!(current.frame, OutFrame::Deliver(..)) {
            let rest = out.get_mut(written..).or_bug("more was written than there is room");
            written += write_deliveries(broker, index, rest.unwrap_or_default());
        }
    }
    written
}

/// Chooses the next frame of a link, and begins to write it.
fn begin_frame(broker: &mut Broker, index: u32) -> Option<UnfinishedFrame> {
    let frame = choose_frame(broker, index)?;
    // Any frame is a sign of life. The end of `out` must not decide whether a ping follows.
    broker.links.get_mut(index).or_bug(NO_LINK)?.ping_due = false;
    let mut counter = Writer::counting();
    items::write_body(broker, index, &frame, &mut counter);
    Some(UnfinishedFrame { frame, body: counter.total(), offset: 0 })
}

/// Writes the messages that follow a message, as long as there is room for the largest frame that each may need. Most often
/// another message follows, so this finds the link and its session only once.
fn write_deliveries(broker: &mut Broker, index: u32, out: &mut [u8]) -> usize {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return 0 };
    let Some(session) = link.session().or_bug("a delivery was written on a link without a session") else {
        return 0;
    };
    let Some(state) = broker.store.sessions.get_mut(session).or_bug(NO_SESSION) else { return 0 };
    let mut written = 0;
    // Presence comes before messages, and is looked for before each.
    while state.watches.is_empty()
        && !state.sending.repeats()
        && !broker.store.work.is_spent()
        && let Some(delivery) = state.queue.first_unnumbered()
        && let Some(message) = broker.store.messages.get(delivery.message)
        && let Some(sender) = broker.store.messages.sender(message.sender)
        && !message.ended
        && message.length <= state.max_payload
        && state.sending.allows(message.length as usize)
        && let Some(rest) = out.get_mut(written..)
        && rest.len() >= MAX_HEADER + MAX_DELIVER_HEAD + message.length as usize
    {
        let head = items::describe(link, state.aliases, message, sender, delivery);
        let mut writer = Writer::new(rest, 0);
        write_header(&mut writer, head.head_len() + message.content().len());
        head.write_head(&mut writer);
        writer.raw(message.content());
        written += writer.written();
        broker.store.work.charge(WRITTEN + message.length / BYTES as u32);
        state.sending.assign(Some(message.length as usize));
        state.queue.number_delivery();
    }
    written
}

fn choose_frame(broker: &mut Broker, index: u32) -> Option<OutFrame> {
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    let LinkPhase::Up { session, .. } = link.phase else {
        if let Some(abort) = link.abort.take() {
            return Some(OutFrame::Control(Control::Abort(abort)));
        }
        return core::mem::take(&mut link.farewell).then_some(OutFrame::Control(Control::Farewell));
    };
    if let Some(welcome) = link.welcome.take() {
        return Some(OutFrame::Control(Control::Welcome(*welcome)));
    }
    if link.goodbye.is_some() {
        ending::say_farewell(broker, index);
        return choose_frame(broker, index);
    }
    let narrow = broker.store.sessions.get(session).or_bug(NO_SESSION)?.narrow;
    if let Some(is_shut) = link.window_news(narrow) {
        link.sent_shut = is_shut;
        return Some(OutFrame::Control(Control::Window(announced_window(&broker.store.config, is_shut))));
    }
    if broker.store.ready.is_awake(index)
        && let Some(more) = windows::due_acknowledgement(&broker.store, session)
    {
        let session = broker.store.sessions.get_mut(session).or_bug(NO_SESSION)?;
        session.receiving.acknowledge(more);
        (session.unacknowledged, session.unacknowledged_bytes) = (0, 0);
        return Some(OutFrame::Control(Control::Ack(more)));
    }
    if let Some(frame) = items::choose_item(broker, index, session) {
        return Some(frame);
    }
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    core::mem::take(&mut link.ping_due).then_some(OutFrame::Control(Control::Ping))
}
