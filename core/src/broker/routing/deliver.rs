//! Delivery: a message enters the queues of its recipients.

use crate::broker::routing::{shares, sweep};
use crate::broker::store::{NO_MESSAGE, NO_SESSION, QueueEntry, Store};
use crate::bug::OrBug;
use crate::data::message::RefusalReason;

/// Puts a message into the queues of its recipients.
///
/// Sessions lie far apart in memory. All are checked before anything is changed, so that the memory fetches many of them at
/// a time.
pub(crate) fn deliver_to_all(store: &mut Store, index: u32, recipients: &[u32]) {
    let Some(length) = store.messages.get(index).map(|message| message.length).or_bug(NO_MESSAGE) else {
        return;
    };
    let most_bytes = store.shares.bytes();
    let has_room = |&recipient: &u32| {
        let session = store.sessions.get(recipient);
        session.is_some_and(|session| session.has_room(length, most_bytes))
    };
    let entries = store.messages.entries() + recipients.len() as u64;
    if entries > u64::from(store.config.max_queued) || !recipients.iter().all(has_room) {
        return recipients.iter().for_each(|&recipient| deliver(store, index, recipient, false));
    }
    let delivery = QueueEntry { message: index, retry: false, late: false, declined: false };
    for &recipient in recipients {
        let Some(session) = store.sessions.get_mut(recipient).or_bug(NO_SESSION) else { continue };
        session.put(delivery, length);
        if session.queue.is_full() {
            store.cramped.push(recipient);
        }
        if let Some(link) = session.link {
            store.ready.wake(link);
        }
    }
    if !store.cramped.is_empty() {
        sweep::make_room(store);
    }
    // There are at most 2^30 sessions.
    delivered(store, index, recipients.len() as u32);
}

/// Puts a message into the queue of one recipient; if it does not fit, its receipt will report that.
pub(crate) fn deliver(store: &mut Store, index: u32, recipient: u32, late: bool) {
    let Some(length) = store.messages.get(index).map(|message| message.length).or_bug(NO_MESSAGE) else {
        return;
    };
    let refusal = refusal(store, index, recipient);
    if let Some(reason) = refusal {
        store.work.charge(1);
        store.stats.routed += 1;
        store.stats.refused += 1;
        if let Some(message) = store.messages.get_mut(index) {
            message.reason.get_or_insert(reason);
        }
        return;
    }
    if let Some(session) = store.sessions.get_mut(recipient).or_bug(NO_SESSION) {
        if session.queue.is_full() {
            store.queue_places += session.queue.make_room();
        }
        session.put(QueueEntry { message: index, retry: false, late, declined: false }, length);
        let is_full = session.queue.is_full();
        if session.is_counted() {
            shares::count_in(store, recipient, index);
        }
        if is_full {
            sweep::queue_filled(store, recipient);
        }
    }
    store.wake(recipient);
    delivered(store, index, 1);
}

/// Counts the new queue entries of a message.
fn delivered(store: &mut Store, index: u32, queues: u32) {
    store.work.charge(queues);
    store.stats.routed += u64::from(queues);
    store.stats.held += u64::from(queues);
    store.messages.add_refs(index, queues);
}

/// The reason why a message does not fit the queue of a session, after a search of the queue for ended ones.
fn refusal(store: &mut Store, index: u32, recipient: u32) -> Option<RefusalReason> {
    let message = store.messages.get(index).or_bug(NO_MESSAGE)?;
    let (sender, length) = (message.sender, message.length);
    if length > store.sessions.get(recipient).or_bug(NO_SESSION)?.max_payload {
        return Some(RefusalReason::TooLarge);
    }
    if store.messages.entries() >= u64::from(store.config.max_queued) {
        return Some(RefusalReason::BrokerFull);
    }
    if shares::fits(store, recipient, sender, length) {
        return None;
    }
    if store.work.is_spent() {
        // A message to very many recipients skips the queues that would need a search.
        return Some(RefusalReason::QueueFull);
    }
    sweep::search_queue(store, recipient);
    (!shares::fits(store, recipient, sender, length)).then_some(RefusalReason::QueueFull)
}
