//! Frames that come in, by their kind.

use crate::broker::links::table::{LinkPhase, NO_LINK, UnfinishedFrame};
use crate::broker::links::{ending, hello, schedule};
use crate::broker::routing::{accept, acknowledge, presence, reach, sessions, windows};
use crate::broker::state::Broker;
use crate::broker::store::NO_SESSION;
use crate::broker::store::work::{OUTCOME, Progress};
use crate::bug::OrBug;
use crate::codec::Reader;
use crate::data::destination::DestinationRef;
use crate::error::AbortCode;
use crate::wire::control::{Abort, Control};
use crate::wire::item::{MessageItem, UpItem};
use crate::wire::kind;
use crate::wire::limits::VERSION;
use crate::wire::state::StateFrame;

/// Processes a frame. One that is not allowed ends the link.
#[inline]
pub(crate) fn frame(broker: &mut Broker, link: u32, body: &[u8]) -> Progress {
    match try_frame(broker, link, body) {
        Ok(taken) => taken,
        Err(abort) => {
            ending::abort(broker, link, abort);
            Progress::Done
        }
    }
}

fn try_frame(broker: &mut Broker, link: u32, body: &[u8]) -> Result<Progress, Abort> {
    let fault = |code| Abort { code, detail: 0 };
    let malformed = |_| fault(AbortCode::Malformed);
    let mut reader = Reader::new(body);
    let frame_kind = reader.u8().map_err(malformed)?;
    // `read_frame` has reported the bug.
    let Some(phase) = ending::read_frame(broker, link, frame_kind) else { return Ok(Progress::Done) };
    if frame_kind >= kind::MESSAGE {
        // The item stays in its place: moving it at once would wait for the writes of the reader.
        let item = UpItem::read(frame_kind, &mut reader);
        let item = item.as_ref().map_err(|&error| malformed(error))?;
        // Items come after the handshake.
        let LinkPhase::Up { session, .. } = phase else { return Err(fault(AbortCode::UnexpectedFrame)) };
        if !broker.store.cramped.is_empty()
            && let UpItem::Message(message) = item
        {
            let slots = broker.links.get(link).or_bug(NO_LINK).map(|link| &link.slots);
            let known = slots.and_then(|slots| slots.get(usize::from(message.slot))).copied();
            if reach::may_reach_many(&broker.store, known, message) {
                return Ok(Progress::Later);
            }
        }
        take_item(broker, link, session, item).map_err(fault)?;
        // The item counts only now, because one that could not be processed comes again.
        if let Some(session) = broker.store.sessions.get_mut(session).or_bug(NO_SESSION) {
            session.receiving.receive();
        }
        return Ok(Progress::Done);
    }
    // It stays where it was read to, as an item does.
    let control = Control::read(frame_kind, &mut reader);
    let done = match (control.as_ref().map_err(|&error| malformed(error))?, phase) {
        (Control::HelloOfVersion(_), LinkPhase::Hello { .. }) => {
            Err(Abort { code: AbortCode::Version, detail: VERSION })
        }
        (&Control::Hello(ref hello, attributes), LinkPhase::Hello { .. }) => {
            return hello::hello(broker, link, hello, attributes);
        }
        (&Control::Ack(more), LinkPhase::Up { session, .. }) => {
            let half_written = broker.links.current(link).is_some_and(UnfinishedFrame::is_item);
            acknowledge::acknowledged(&mut broker.store, session, more, half_written).map_err(fault)
        }
        (&Control::Window(window), LinkPhase::Up { session, .. }) => {
            if let Some(session) = broker.store.sessions.get_mut(session).or_bug(NO_SESSION) {
                session.sending.set_window(window);
            }
            schedule::wake(broker, link);
            Ok(())
        }
        (Control::Ping, LinkPhase::Up { .. }) => return Ok(Progress::Done),
        (Control::Abort(_), _) => {
            ending::ended_by_peer(broker, link);
            Ok(())
        }
        (Control::State(state), LinkPhase::Up { session, .. }) => {
            take_state(broker, link, session, state).map_err(fault)
        }
        (&Control::Goodbye(end), LinkPhase::Up { .. }) => {
            // The link ends when the frame that is being written is whole, because its content must not be freed before.
            if let Some(link) = broker.links.get_mut(link).or_bug(NO_LINK) {
                link.goodbye = Some(end);
            }
            schedule::wake(broker, link);
            Ok(())
        }
        _ => Err(fault(AbortCode::UnexpectedFrame)),
    };
    done.map(|()| Progress::Done)
}

/// Processes the state that the client of a lossy link reports.
fn take_state(broker: &mut Broker, link: u32, session: u32, state: &StateFrame) -> Result<(), AbortCode> {
    let lossy = broker.links.get_mut(link).and_then(|link| link.lossy.as_mut());
    let lossy = lossy.ok_or(AbortCode::UnexpectedFrame)?;
    let sending = &mut broker.store.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?.sending;
    match lossy.receive_state(state, sending, broker.store.now)? {
        0 => Ok(()),
        more => acknowledge::acknowledged(&mut broker.store, session, more, false),
    }
}

fn take_item(broker: &mut Broker, link: u32, session: u32, item: &UpItem<'_>) -> Result<(), AbortCode> {
    match *item {
        UpItem::Message(ref message) => take_message(broker, link, session, message),
        UpItem::Set(_) if broker.links.get(link).is_some_and(|link| link.shut) => {
            Err(AbortCode::WindowExceeded)
        }
        UpItem::Set(patch) => {
            sessions::change_attributes(&mut broker.store, session, patch);
            Ok(())
        }
        UpItem::Decline(number) => {
            broker.store.work.charge(OUTCOME);
            acknowledge::declined(&mut broker.store, session, number)
        }
        UpItem::Watch(number, filter) => presence::watch(&mut broker.store, session, number, filter),
        UpItem::Unwatch(number) => {
            presence::unwatch(&mut broker.store, session, number);
            Ok(())
        }
    }
}

fn take_message(
    broker: &mut Broker,
    link: u32,
    session: u32,
    message: &MessageItem<'_>,
) -> Result<(), AbortCode> {
    let (max_messages, max_bytes) =
        (broker.store.config.window_messages, u64::from(broker.store.config.window_bytes));
    let length = message.payload.len() as u64;
    let at = broker.links.get_mut(link).ok_or(AbortCode::UnexpectedFrame)?;
    let state = broker.store.sessions.get(session).ok_or(AbortCode::UnexpectedFrame)?;
    let fits =
        state.unacknowledged < max_messages && u64::from(state.unacknowledged_bytes) + length <= max_bytes;
    // When the window was shut, at most one window was in flight, however many links it arrives on.
    if at.shut || !fits || state.since_narrow >= max_messages {
        return Err(AbortCode::WindowExceeded);
    }
    // The largest number cannot begin a run.
    if at.lossy.is_some() {
        // Each item is complete in itself.
        at.last_id = 0;
        message.define.ok_or(AbortCode::BadAlias)?;
    }
    let id = at.last_id.checked_add(message.id_step).filter(|&id| id < u64::MAX).ok_or(AbortCode::BadId)?;
    at.last_id = id;
    let slot = usize::from(message.slot);
    if let Some(destination) = message.define {
        define_slot(broker, link, slot, destination)?;
    }
    let destination = broker.links.get(link).and_then(|link| link.slots.get(slot)).copied();
    accept::take(&mut broker.store, session, id, message, destination.ok_or(AbortCode::BadAlias)?)?;
    if let Some(state) = broker.store.sessions.get_mut(session).or_bug(NO_SESSION) {
        state.unacknowledged += 1;
        // The bytes are limited by the window.
        state.unacknowledged_bytes += length as u32;
        state.since_narrow += u32::from(state.narrow);
    }
    Ok(())
}

/// Defines an alias of a destination. Aliases are used one after the other.
fn define_slot(
    broker: &mut Broker,
    link: u32,
    slot: usize,
    destination: DestinationRef<'_>,
) -> Result<(), AbortCode> {
    let Some(link) = broker.links.get_mut(link).or_bug(NO_LINK) else { return Ok(()) };
    if slot > link.slots.len() || slot >= usize::from(broker.store.config.destination_slots) {
        return Err(AbortCode::BadAlias);
    }
    // A destination that is too long is not kept: messages to it are refused.
    let is_short = destination.as_bytes().len() <= usize::from(broker.store.config.destination_bytes);
    let bytes = if is_short { destination.as_bytes() } else { &[] };
    let index = broker.store.messages.insert_destination(bytes);
    match link.slots.get_mut(slot) {
        Some(old) => {
            let old = core::mem::replace(old, index);
            broker.store.messages.drop_destination(old);
        }
        None => link.slots.push(index),
    }
    Ok(())
}

/// Marks a link as ready if it has items to acknowledge at once.
///
/// Messages are not urgent: each gets a receipt within `accept_delay`, and the acknowledgement goes with that. Half of the
/// window is urgent, and so is any other item. (PROTOCOL.md, "Items")
pub(crate) fn list_if_acknowledgement_presses(broker: &mut Broker, link: u32) {
    // The link is not open.
    let Some(session) = broker.links.get(link).and_then(|link| link.session()) else { return };
    // Everything is acknowledged.
    let Some(due) = windows::due_acknowledgement(&broker.store, session) else { return };
    let Some(state) = broker.store.sessions.get(session).or_bug(NO_SESSION) else { return };
    let (messages, bytes) = (u64::from(state.unacknowledged), u64::from(state.unacknowledged_bytes));
    let half = |window: u32| u64::from(window).div_ceil(2);
    if due > messages
        || messages >= half(broker.store.config.window_messages)
        || bytes >= half(broker.store.config.window_bytes)
    {
        schedule::wake(broker, link);
    }
}
