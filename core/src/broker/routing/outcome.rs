//! Outcomes of deliveries, and of their messages: confirmed, declined, gone, ended, answered. Each event has one function.
//! (PROTOCOL.md, "Broker")

use crate::broker::routing::{shares, waiting, windows};
use crate::broker::store::work::EXPIRY;
use crate::broker::store::{
    BrokerEvent, NO_MESSAGE, NO_SESSION, OPERATOR, Open, QueueEntry, ReceiptBody, Store, Timer,
};
use crate::bug::OrBug;
use crate::data::destination::DestinationRef;
use crate::data::message::{MessageId, Past, Receipt, RefusalReason};
use crate::time::Instant;

pub(crate) fn report_accepted_due(store: &mut Store, now: Instant) {
    while !store.work.is_spent()
        && let Some(message) = store.messages.pop_accept_due(now, store.config.accept_delay)
    {
        store.work.charge(EXPIRY);
        accept(store, message);
    }
}

/// Reports a message as accepted after its `accept_delay`, and sets the timer of its deadline.
fn accept(store: &mut Store, index: u32) {
    report_accepted(store, index);
    time_message(store, index);
}

pub(crate) fn time_message(store: &mut Store, index: u32) {
    if let Some(message) = store.messages.get_mut(index)
        && !message.timed
    {
        message.timed = true;
        let at = message.deadline;
        store.timers.arm(at, Timer::Message(index));
    }
}

pub(crate) fn expire_message(store: &mut Store, index: u32) {
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
    message.timed = false;
    message.reason.get_or_insert(RefusalReason::Expired);
    let pending = u64::from(core::mem::take(&mut message.pending));
    store.stats.expired += pending;
    store.stats.held -= pending;
    waiting::close_message(store, index);
    check_message(store, index);
}

/// Confirms a delivery that its recipient has acknowledged, and that has left the queue.
pub(crate) fn confirm(store: &mut Store, delivery: QueueEntry) {
    let Some(message) = store.messages.release_ref(delivery.message).or_bug(NO_MESSAGE) else { return };
    if !delivery.declined && !message.ended {
        message.pending -= 1;
        message.got += 1;
        store.stats.delivered += 1;
        store.stats.held -= 1;
        if message.open == Open::Held && message.got >= message.wanted {
            waiting::close_message(store, delivery.message);
            return check_message(store, delivery.message);
        }
    }
    // Most often a message to many recipients is in other queues too.
    let has_ended = message.ended;
    if has_ended || !message.is_kept() {
        finish_message(store, delivery.message, has_ended);
    }
}

/// Declines a delivery. The recipient acknowledges it later, but that does not confirm it.
pub(crate) fn decline(store: &mut Store, delivery: QueueEntry) {
    let index = delivery.message;
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
    if message.ended {
        return;
    }
    message.pending -= 1;
    store.stats.declined += 1;
    store.stats.held -= 1;
    let held = message.open == Open::Held || matches!(message.past, Some(Past::Taken(_)));
    if !held {
        message.wanted -= 1;
        if message.wanted == 0 {
            nobody_left(store, index);
        }
    }
    check_message(store, index);
}

/// Parks a message that its last recipient has declined, unless it was only for connected sessions.
fn nobody_left(store: &mut Store, index: u32) {
    let Some(destination) = store.messages.get(index).map(|message| message.destination).or_bug(NO_MESSAGE)
    else {
        return;
    };
    if DestinationRef::trusted(store.messages.destination(destination)).only_connected() {
        waiting::give_up(store, index, RefusalReason::Nobody);
    } else {
        // The recipient that declined the message may have had it, and may be the next to match.
        if let Some(message) = store.messages.get_mut(index) {
            message.past.get_or_insert(Past::Sent);
        }
        waiting::park(store, index, 1);
    }
}

/// Ends a delivery in a queue that its recipient cannot accept after all.
pub(crate) fn refuse_queued(store: &mut Store, delivery: QueueEntry) {
    if give_up_delivery(store, delivery, RefusalReason::TooLarge) {
        store.stats.refused += 1;
    }
    release_ref(store, delivery);
}

/// Ends a delivery of a session that has ended.
pub(crate) fn delivery_gone(store: &mut Store, delivery: QueueEntry) {
    if give_up_delivery(store, delivery, RefusalReason::Gone) {
        store.stats.gone += 1;
    }
    release_ref(store, delivery);
}

/// Counts a delivery as never confirmed; false if it was counted before.
fn give_up_delivery(store: &mut Store, delivery: QueueEntry, reason: RefusalReason) -> bool {
    let message = store.messages.get_mut(delivery.message).or_bug(NO_MESSAGE);
    let Some(message) = message.filter(|message| !delivery.declined && !message.ended) else {
        // The delivery was declined, or its message has ended.
        return false;
    };
    message.pending -= 1;
    message.reason.get_or_insert(reason);
    store.stats.held -= 1;
    true
}

/// Removes a delivery from the queue of a session without confirming it.
pub(crate) fn leave_queue(store: &mut Store, session: u32, delivery: QueueEntry) {
    if let (Some(session), Some(message)) = (
        store.sessions.get_mut(session).or_bug(NO_SESSION),
        store.messages.get(delivery.message).or_bug(NO_MESSAGE),
    ) {
        session.queue_bytes -= u64::from(message.length);
    }
    shares::forget_counts(store, session);
    release_ref(store, delivery);
}

/// Releases the entry of a queue that named a message.
pub(crate) fn release_ref(store: &mut Store, delivery: QueueEntry) {
    store.messages.release_ref(delivery.message);
    check_message(store, delivery.message);
}

/// Ends the writing of a message: it is whole on the link, or never will be.
pub(crate) fn wrote_message(store: &mut Store, index: u32) {
    store.messages.wrote(index);
    check_message(store, index);
}

/// Ends a message that is in no queue and gets no further recipient, and removes it if no queue names it.
pub(crate) fn check_message(store: &mut Store, index: u32) {
    // The message has ended at an offer for which there was no place.
    let Some(message) = store.messages.get(index) else { return };
    let has_ended = message.ended;
    if has_ended || !message.is_kept() {
        finish_message(store, index, has_ended);
    }
}

/// The same for a message that is in no queue and gets no further recipient; `has_ended` if it has ended before.
fn finish_message(store: &mut Store, index: u32, has_ended: bool) {
    if !has_ended {
        end_message(store, index);
    }
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
    if message.is_over() {
        store.pool.release(&mut message.payload);
        if message.has_no_refs() {
            store.messages.remove(index);
        }
    }
}

/// Ends a message: its sender gets the final receipt.
fn end_message(store: &mut Store, index: u32) {
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
    let (outcome, sender, id, order) = (message.outcome(), message.sender, message.id, message.order);
    trace!("e_pigeon::broker", "message {id} ended: {outcome:?}");
    let answered = message.until_accepted && message.accepted_reported;
    let timer = core::mem::take(&mut message.timed).then_some(message.deadline);
    if let Some(at) = timer {
        store.timers.disarm(at, Timer::Message(index));
    }
    store.messages.end(index);
    store.stats.answer(outcome.reason);
    if !answered {
        push_receipt(store, sender, (id, order), ReceiptBody::Final(outcome));
    }
}

/// Reports a message to its sender as accepted, unless that was done before.
pub(crate) fn report_accepted(store: &mut Store, index: u32) {
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
    if !core::mem::replace(&mut message.accepted_reported, true) {
        let (sender, of, body) = (message.sender, (message.id, message.order), message.accepted);
        push_receipt(store, sender, of, body);
    }
}

/// Puts a receipt into the queue of a sender that has a session, for the message with that id and place in the accept
/// order.
#[inline(always)] // The end of each message would pay for a call.
pub(crate) fn push_receipt(store: &mut Store, sender: u32, (id, order): (u64, u64), body: ReceiptBody) {
    // A sender without a session gets no receipt.
    let Some(session) = store.messages.sender(sender).and_then(|sender| sender.session) else { return };
    if let Some(state) = store.sessions.get_mut(session) {
        let is_new = state.queue.receipts().push(id, body, order < state.since);
        if let Some(link) = state.link {
            store.ready.wake(link);
        }
        if is_new {
            store.receipts += 1;
            windows::adjust_window(store, session);
        }
    } else if session == OPERATOR
        && let ReceiptBody::Final(outcome) = body
    {
        report_own(store, outcome.receipt(MessageId(id)));
    }
}

/// Reports the receipt of a message of the broker itself as an event.
#[cold]
fn report_own(store: &mut Store, receipt: Receipt) {
    store.push_event(BrokerEvent::Receipt(receipt));
}
