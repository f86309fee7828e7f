//! Frames that go out on a link that may lose them: new ones and repetitions. (PROTOCOL.md, "Lossy framed transports")

use crate::broker::links::lossy::{Lossy, NOT_LOSSY};
use crate::broker::links::table::{LinkPhase, NO_LINK, OutFrame};
use crate::broker::links::{ending, items, schedule};
use crate::broker::routing::windows::announced_window;
use crate::broker::state::Broker;
use crate::broker::store::NO_SESSION;
use crate::broker::store::work::{BYTES, WRITTEN};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::time::Instant;
use crate::wire::control::Control;
use crate::wire::state::StateFrame;

pub(crate) fn lossy_transmit(broker: &mut Broker, index: u32, now: Instant, out: &mut [u8]) -> usize {
    let mut written = 0;
    while let Some(Lossy { link, staged, .. }) = broker.links.lossy(index)
        && link.drain(staged, out, &mut written)
    {
        if broker.store.work.is_spent() {
            // Other links have their turn.
            schedule::wake(broker, index);
            break;
        }
        // The link has nothing to write now.
        let Some((number, frame)) = begin_lossy_frame(broker, index, now) else { break };
        let length = stage(broker, index, number, &frame);
        broker.store.work.charge(2 * WRITTEN + (length / BYTES) as u32);
    }
    written
}

/// Builds a frame and stages it; returns its length.
fn stage(broker: &mut Broker, index: u32, number: u64, frame: &OutFrame) -> usize {
    let Some(lossy) = broker.links.lossy(index).or_bug(NOT_LOSSY) else { return 0 };
    let mut staged = core::mem::take(&mut lossy.staged);
    let is_welcome = matches!(frame, OutFrame::Control(Control::Welcome(_)));
    let leads = is_welcome || matches!(frame, OutFrame::Control(Control::Abort(_)));
    let tag = if is_welcome { lossy.hello_tag } else { lossy.link.tag };
    let lossy = broker.links.get(index).and_then(|link| link.lossy.as_ref()).or_bug(NOT_LOSSY);
    let write_body = |writer: &mut Writer<'_>| items::write_body(broker, index, frame, writer);
    let length = lossy.map_or(0, |lossy| lossy.link.build((tag, number, leads), &mut staged, write_body));
    if let Some(lossy) = broker.links.lossy(index) {
        lossy.staged = staged;
        lossy.link.stage(length);
    }
    length
}

/// Chooses the next frame and its number, 0 for a frame that is no item.
fn begin_lossy_frame(broker: &mut Broker, index: u32, now: Instant) -> Option<(u64, OutFrame)> {
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    let LinkPhase::Up { session, .. } = link.phase else {
        let abort = link.abort.take().map(Control::Abort);
        let frame = abort.or_else(|| core::mem::take(&mut link.farewell).then_some(Control::Farewell))?;
        if let (LinkPhase::Closing { .. }, Some(lossy)) = (link.phase, &mut link.lossy) {
            lossy.final_frame = Some(frame);
        }
        return Some((0, OutFrame::Control(frame)));
    };
    if let Some(welcome) = link.welcome.take() {
        return Some((0, OutFrame::Control(Control::Welcome(*welcome))));
    }
    if link.goodbye.is_some() {
        ending::say_farewell(broker, index);
        return begin_lossy_frame(broker, index, now);
    }
    if let Some(state) = begin_state(broker, index, session, now) {
        return Some((0, OutFrame::Control(Control::State(state))));
    }
    let recovery = broker.links.recovery(index).or_bug(NOT_LOSSY)?;
    let (missing, has_room) = (recovery.next_missing(), recovery.has_room());
    let (number, frame) = match missing {
        Some(number) => (number, item_again(broker, index, session, number)?),
        None if has_room => {
            let frame = items::choose_item(broker, index, session)?;
            (broker.store.sessions.get(session).or_bug(NO_SESSION)?.sending.sent(), frame)
        }
        // Too many items are in flight.
        None => return None,
    };
    broker.links.recovery(index).or_bug(NOT_LOSSY)?.wrote(number, now);
    Some((number, frame))
}

fn begin_state(broker: &mut Broker, index: u32, session: u32, now: Instant) -> Option<StateFrame> {
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    let state = broker.store.sessions.get_mut(session).or_bug(NO_SESSION)?;
    let received = state.receiving.received();
    let window_news = link.window_news(state.narrow);
    let recovery = &mut link.lossy.as_mut().or_bug(NOT_LOSSY)?.link.recovery;
    if recovery.has_next() {
        // Early items are not processed yet, and can be reported neither as received nor as early.
        return None;
    }
    // A broker acknowledges an item when it receives it.
    let is_news = received != state.receiving.acknowledged() || window_news.is_some();
    if !link.ping_due && !recovery.is_state_due(is_news) {
        return None;
    }
    recovery.begin_state(is_news, core::mem::take(&mut link.ping_due), now);
    state.receiving.set_acknowledged(received);
    (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
    link.sent_shut = window_news.unwrap_or(link.sent_shut);
    let window = announced_window(&broker.store.config, link.sent_shut);
    Some(link.lossy.as_ref().or_bug(NOT_LOSSY)?.link.recovery.state(received, received, window))
}

/// The item with that number, which was written before.
fn item_again(broker: &mut Broker, index: u32, session: u32, number: u64) -> Option<OutFrame> {
    let epoch = broker.store.epoch;
    let state = broker.store.sessions.get(session).or_bug(NO_SESSION)?;
    let place = number.checked_sub(state.sending.acknowledged() + 1);
    let place = place.or_bug("an item is missing that was acknowledged")?;
    let next = state.queue.at(place, epoch).or_bug("an item is missing that has no number")?;
    items::describe_next(broker, index, session, next)
}
