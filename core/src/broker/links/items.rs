//! Chooses the next item of a link, and writes the bodies of frames.

use crate::broker::links::schedule;
use crate::broker::links::table::{Link, NO_LINK, OutFrame};
use crate::broker::routing::{outcome, presence, shares};
use crate::broker::state::Broker;
use crate::broker::store::{
    MessageEntry, NO_MESSAGE, NO_SENDER, NO_SESSION, Next, PresenceNotice, QueueEntry, Sender,
};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::message::Past;
use crate::time::{Instant, Moment};
use crate::wire::item::{Deliver, DeliveryPast, DownItem};
use crate::wire::limits::MAX_PRESENCE;

/// The head of a delivery. Its sender gets one of at most `max_aliases` aliases on the link.
pub(crate) fn describe(
    link: &mut Link,
    max_aliases: u16,
    message: &MessageEntry,
    sender: &Sender,
    delivery: QueueEntry,
) -> Deliver<'static> {
    let (alias, define, id_step) = if link.lossy.is_some() {
        // Each item is complete in itself, because the one before may come later.
        (0, Some(sender.origin), message.id.cast_signed())
    } else {
        link.aliases.choose(sender.serial, sender.origin, message.id, max_aliases)
    };
    let retry = (message.past.is_some() || delivery.retry).then(|| past_of(message.past, delivery.late));
    Deliver { alias, define, id_step, retry, late: delivery.late, direct: message.direct, payload: &[] }
}

/// The past of a delivery that may be a repetition, for its recipient: what the sender knew, or that it was parked.
fn past_of(past: Option<Past>, late: bool) -> DeliveryPast {
    match past {
        Some(past) => past.into(),
        None if late => DeliveryPast::Parked,
        None => DeliveryPast::Sent,
    }
}

/// The next item: first those that have numbers already, then receipts, then as many notices of presence as the client
/// accepts, then messages as the window allows.
pub(crate) fn choose_item(broker: &mut Broker, index: u32, session: u32) -> Option<OutFrame> {
    let epoch = broker.store.epoch;
    let state = broker.store.sessions.get_mut(session).or_bug(NO_SESSION)?;
    if state.sending.repeats() {
        // On a lossy transport each item is complete in itself.
        let is_lossy = broker.links.get(index).is_some_and(|link| link.lossy.is_some());
        let (most, messages) = (if is_lossy { 1 } else { u32::MAX }, &broker.store.messages);
        let has_ended = |delivery: &QueueEntry| messages.get(delivery.message).is_some_and(|m| m.ended);
        let next = state.queue.repeat(epoch, most, has_ended);
        let next = next.or_bug("an item is to be written again that is not there")?;
        state.sending.repeated(if let Next::Void(count) = next { count } else { 1 });
        return describe_next(broker, index, session, next);
    }
    if state.queue.has_unnumbered_other() {
        let item = state.queue.number_other(epoch).or_bug("a receipt that waits is not there")?;
        state.sending.assign(None);
        return Some(OutFrame::Item(item));
    }
    if let Some(notice) = presence::next_presence(&mut broker.store, session) {
        let state = broker.store.sessions.get_mut(session).or_bug(NO_SESSION)?;
        state.queue.number_presence(notice);
        state.sending.assign(None);
        return Some(describe_presence(broker, index, session, notice));
    }
    loop {
        let state = broker.store.sessions.get_mut(session).or_bug(NO_SESSION)?;
        let delivery = state.queue.first_unnumbered()?;
        let message = broker.store.messages.get(delivery.message).or_bug(NO_MESSAGE)?;
        let length = message.length as usize;
        if message.ended {
            broker.store.work.charge(1);
            state.queue.drop_first_unnumbered();
            state.queue_bytes -= length as u64;
            if state.is_counted() {
                let (sender, length) = (message.sender, message.length);
                shares::count_out(&mut broker.store, session, sender, length);
            }
            outcome::release_ref(&mut broker.store, delivery);
            continue;
        }
        if length > state.max_payload as usize {
            // The message was queued for an earlier boot of the client, which accepted larger ones.
            state.queue.drop_first_unnumbered();
            state.queue_bytes -= length as u64;
            if state.is_counted() {
                let (sender, length) = (message.sender, message.length);
                shares::count_out(&mut broker.store, session, sender, length);
            }
            outcome::refuse_queued(&mut broker.store, delivery);
            continue;
        }
        if !state.sending.allows(length) {
            let ends_at = message.deadline;
            wait_for_head(broker, index, ends_at);
            return None;
        }
        state.queue.number_delivery();
        state.sending.assign(Some(length));
        return delivery_frame(broker, index, session, delivery);
    }
}

/// Sets a timer for the first waiting message, which does not fit the window and holds back the others until its deadline.
/// Without the timer, and without input from the client, the link would not learn that they may be written.
fn wait_for_head(broker: &mut Broker, index: u32, ends_at: Instant) {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    link.head_ends_at = Moment::at(ends_at);
    if link.timer.get().is_none_or(|at| ends_at < at) {
        schedule::arm(broker, index);
    }
}

/// An item that was written before.
pub(crate) fn describe_next(broker: &mut Broker, index: u32, session: u32, next: Next) -> Option<OutFrame> {
    match next {
        Next::Delivery(delivery) if broker.store.messages.get(delivery.message).is_some_and(|m| m.ended) => {
            Some(OutFrame::Item(DownItem::Void(1)))
        }
        Next::Delivery(delivery) => delivery_frame(broker, index, session, delivery),
        Next::Void(count) => Some(OutFrame::Item(DownItem::Void(count))),
        Next::Presence(notice) => Some(describe_presence(broker, index, session, notice)),
        Next::Other(item) => Some(OutFrame::Item(item)),
    }
}

fn describe_presence(broker: &mut Broker, index: u32, session: u32, notice: PresenceNotice) -> OutFrame {
    let body = broker.links.get_mut(index).map(|link| core::mem::take(&mut link.presence));
    let mut body = body.or_bug(NO_LINK).unwrap_or_default();
    body.resize(MAX_PRESENCE, 0);
    let mut writer = Writer::new(&mut body, 0);
    presence::write_presence(&broker.store, session, notice, &mut writer);
    let length = writer.written();
    body.truncate(length);
    if let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) {
        link.presence = body;
    }
    OutFrame::Presence
}

fn delivery_frame(broker: &mut Broker, index: u32, session: u32, delivery: QueueEntry) -> Option<OutFrame> {
    let message = broker.store.messages.get(delivery.message).or_bug(NO_MESSAGE)?;
    let sender = broker.store.messages.sender(message.sender).or_bug(NO_SENDER)?;
    let max = broker.store.sessions.get(session).or_bug(NO_SESSION)?.aliases;
    let link = broker.links.get_mut(index).or_bug(NO_LINK)?;
    Some(OutFrame::Deliver(delivery.message, describe(link, max, message, sender, delivery)))
}

#[inline]
pub(crate) fn write_body(broker: &Broker, link: u32, frame: &OutFrame, writer: &mut Writer<'_>) {
    match frame {
        OutFrame::Presence => {
            let link = broker.links.get(link).or_bug(NO_LINK);
            writer.raw(link.map_or(&[], |link| link.presence.as_slice()));
        }
        OutFrame::Control(control) => control.write(writer),
        OutFrame::Item(item) => item.write(writer),
        OutFrame::Deliver(message, head) => {
            head.write_head(writer);
            if let Some(message) = broker.store.messages.get(*message).or_bug(NO_MESSAGE) {
                writer.raw(message.content());
            }
        }
    }
}
