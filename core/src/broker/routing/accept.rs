//! Acceptance: a message is refused, or gets its recipients. (PROTOCOL.md, "Broker")

use crate::broker::routing::{deliver, outcome, reach, release, rights, sweep, waiting, windows};
use crate::broker::store::work::{OFFERED, SWEPT};
use crate::broker::store::{
    Job, NO_MESSAGE, NO_SESSION, NewMessage, OPERATOR, Offers, Open, ReceiptBody, Store,
};
use crate::bug::OrBug;
use crate::data::destination::{DestinationRef, Target};
use crate::data::message::{Message, MessageId, Outcome, Past, RefusalReason, Taken};
use crate::error::AbortCode;
use crate::time::millis_rounded_up;
use crate::wire::item::{MessageItem, Origin};
use alloc::boxed::Box;
use core::time::Duration;

/// A held message is offered to at least so many sessions at once, however few units are left.
const AT_ONCE: u32 = 4;

/// Processes a message from a session, for a destination in the table.
pub(crate) fn take(
    store: &mut Store,
    session: u32,
    id: u64,
    message: &MessageItem<'_>,
    to: u32,
) -> Result<(), AbortCode> {
    let state = store.sessions.get(session).ok_or(AbortCode::UnexpectedFrame)?;
    let (sender, lacks_receipts) = (state.sender, windows::lacks_receipts(store, state));
    let past = message.retry;
    if past.is_some() {
        if let Some(index) = store.messages.find(sender, id) {
            // The message is in flight: it is not routed again, only its receipt is repeated.
            store.stats.repeated += 1;
            if let Some(message) = store.messages.get_mut(index) {
                message.accepted_reported = false;
            }
            if lacks_receipts {
                // The message gets its final receipt later, and is not among the refused ones.
                windows::end_refusals(store, session);
            } else {
                outcome::report_accepted(store, index);
            }
            return Ok(());
        }
        let until_accepted = message.until_accepted;
        if store.sessions.get_mut(session).is_some_and(|s| s.queue.receipts().answers(id, until_accepted)) {
            // The final receipt has crossed the repetition. No other receipt carries an acknowledgement of it.
            store.stats.repeated += 1;
            store.wake(session);
            return Ok(());
        }
    } else if store.messages.sender(sender).is_some_and(|sender| id <= sender.highest) {
        return Err(AbortCode::BadId);
    }
    if lacks_receipts {
        return refuse_without_receipt(store, session, id);
    }
    enter(store, (session, sender), id, message, to);
    Ok(())
}

/// Accepts a message of the broker itself, which only the broker keeps.
pub(crate) fn originate(store: &mut Store, message: &Message<'_>) -> MessageId {
    // No link keeps the message until a sweep has caught up: it waits for as much of the sweep as this call may do.
    while !sweep::prepare_for_messages(store) && !store.work.is_spent() {
        // Each part is charged for, so that this ends in any case.
        store.work.charge(SWEPT);
    }
    let origin = Origin { uuid: [0; 16], boot: store.epoch };
    let sender = store.messages.attach_sender(origin, OPERATOR);
    let id = store.messages.sender(sender).map_or(0, |sender| sender.highest) + 1;
    let bytes = message.to.as_bytes();
    let is_short = bytes.len() <= usize::from(store.config.destination_bytes);
    let to = store.messages.insert_destination(if is_short { bytes } else { &[] });
    let item = MessageItem {
        slot: 0,
        define: None,
        id_step: id,
        until_accepted: false,
        time_to_live_ms: u32::try_from(millis_rounded_up(message.time_to_live)).unwrap_or(u32::MAX),
        retry: None,
        payload: message.payload,
    };
    enter(store, (OPERATOR, sender), id, &item, to);
    store.messages.drop_destination(to);
    // A refused message uses up its id too.
    if let Some(sender) = store.messages.sender_mut(sender) {
        sender.highest = id;
    }
    MessageId(id)
}

/// Accepts or refuses a message that is not in flight, from a session and its sender.
fn enter(store: &mut Store, (session, sender): (u32, u32), id: u64, message: &MessageItem<'_>, to: u32) {
    let past = message.retry;
    let taken = match past {
        Some(Past::Taken(taken)) => Some(taken),
        _ => None,
    };
    store.stats.taken += 1;
    store.work.take_message();
    let destination = store.messages.destination(to);
    let direct = matches!(DestinationRef::trusted(destination).target(), Target::Uuid(_));
    let too_large = message.payload.len() > store.config.max_payload as usize || destination.is_empty();
    let refusal = if too_large {
        Some(RefusalReason::TooLarge)
    } else if session != OPERATOR && !rights::may_send(store, session, to) {
        Some(RefusalReason::NotAllowed)
    } else if store.messages.open() >= store.config.max_messages as usize
        || (session == OPERATOR && sweep::is_sweep_behind(store))
    {
        Some(RefusalReason::BrokerFull)
    } else {
        None
    };
    let payload = if refusal.is_none() { store.pool.store(message.payload) } else { None };
    let Some(payload) = payload else {
        // The message is refused, or there is no memory for its payload.
        refuse(store, sender, id, taken, refusal.unwrap_or(RefusalReason::BrokerFull));
        return;
    };
    let time_to_live =
        Duration::from_millis(u64::from(message.time_to_live_ms)).min(store.config.max_time_to_live);
    let new = NewMessage {
        sender,
        id,
        payload,
        // A payload has at most 16 MiB.
        length: message.payload.len() as u32,
        destination: to,
        direct,
        until_accepted: message.until_accepted,
        deadline: store.now + time_to_live,
    };
    let index = store.messages.insert(store.now, new);
    // This field is rare, so it is not moved with the others.
    if past.is_some()
        && let Some(message) = store.messages.get_mut(index)
    {
        message.past = past;
    }
    if time_to_live <= store.config.accept_delay * 2 {
        outcome::time_message(store, index);
    }
    match taken {
        Some(taken) => hold(store, index, session, taken),
        None => route(store, index, session),
    }
    if message.until_accepted && store.messages.get(index).is_some_and(|taken| taken.is_kept()) {
        outcome::report_accepted(store, index);
    }
    outcome::check_message(store, index);
}

/// Refuses a message. If it was accepted before, its receipt has the number of recipients that may have got it.
fn refuse(store: &mut Store, sender: u32, id: u64, taken: Option<Taken>, reason: RefusalReason) {
    debug!("e_pigeon::broker", "message {id} is refused: {reason}");
    store.stats.answer(Some(reason));
    let recipients = taken.map_or(0, |taken| taken.recipients);
    let body = ReceiptBody::Final(Outcome::new(0, recipients, Some(reason)));
    outcome::push_receipt(store, sender, (id, store.messages.next_order()), body);
}

/// Refuses a message for which there is no receipt. Its client cannot acknowledge receipts before this message is read,
/// because a DECLINE may follow it. All such messages get one common receipt when fewer receipts wait; their client knows
/// for how many recipients they were accepted before. (PROTOCOL.md, "Windows")
#[cold]
fn refuse_without_receipt(store: &mut Store, session: u32, id: u64) -> Result<(), AbortCode> {
    let state = store.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?;
    if !state.queue.receipts().refuse(id) {
        return Err(AbortCode::Full);
    }
    store.stats.taken += 1;
    store.stats.answer(Some(RefusalReason::BrokerFull));
    store.work.take_message();
    Ok(())
}

/// Routes a message to the sessions that match now, or parks it for the first one that will.
fn route(store: &mut Store, index: u32, from: u32) {
    let mut recipients = core::mem::take(&mut store.recipients);
    recipients.clear();
    // A unit for each recipient is charged when the message enters their queues.
    let only_connected = reach::resolve(store, index, from, &mut recipients);
    let session = store.sessions.newest_number();
    if let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) {
        // There are at most 2^30 sessions.
        message.wanted = recipients.len() as u32;
        trace!("e_pigeon::broker", "message {} has {} recipients", message.id, message.wanted);
        message.accepted = ReceiptBody::Accepted { recipients: message.wanted, session, earlier_epoch: None };
    }
    deliver::deliver_to_all(store, index, &recipients);
    if recipients.is_empty() {
        if only_connected {
            waiting::give_up(store, index, RefusalReason::Nobody);
        } else {
            waiting::park(store, index, 0);
        }
    }
    store.recipients = recipients;
}

/// Holds a message that was accepted in an earlier life of the broker, and offers it to sessions that match, as they come.
fn hold(store: &mut Store, index: u32, from: u32, taken: Taken) {
    let Taken { recipients: wanted, epoch, session, .. } = taken;
    if let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) {
        message.wanted = wanted;
        message.accepted = ReceiptBody::Accepted { recipients: wanted, session, earlier_epoch: Some(epoch) };
    }
    if !waiting::wait(store, index, Open::Held) {
        return;
    }
    let mut recipients = core::mem::take(&mut store.recipients);
    recipients.clear();
    reach::resolve(store, index, from, &mut recipients);
    if recipients.len() <= (store.work.left() / OFFERED).max(AT_ONCE) as usize {
        for &recipient in &recipients {
            release::offer(store, index, recipient);
        }
    } else if let (Some(message), Some(sender)) =
        (store.messages.get(index).or_bug(NO_MESSAGE), store.sessions.get(from).or_bug(NO_SESSION))
    {
        // The next message of its sender waits until all sessions are checked, so that it comes after this one.
        let offers = Offers { uuid: sender.uuid, message: index, order: message.order, next: 0 };
        let mut offers = Box::new(offers);
        if !release::run_offers(store, &mut offers) {
            store.keep_job(Job::Offer(offers));
        }
    }
    store.recipients = recipients;
}
