//! Shares of senders: a message is refused if its sender has used up its share of a queue. (PROTOCOL.md, "Resources")

use crate::broker::store::work::ENTRY;
use crate::broker::store::{NO_MESSAGE, NO_SESSION, Session, Store};
use crate::bug::OrBug;

/// True if a message fits the queue of a session as it is, and the share of its sender.
pub(crate) fn fits(store: &mut Store, recipient: u32, sender: u32, length: u32) -> bool {
    let Some(session) = store.sessions.get(recipient).or_bug(NO_SESSION) else { return false };
    let (messages, bytes) = (session.queue.len(), session.queue_bytes + u64::from(length));
    if messages >= store.config.queue_messages as usize || bytes > store.config.queue_bytes {
        return false;
    }
    if messages < store.shares.messages() as usize && bytes <= store.shares.bytes() {
        return true;
    }
    if store.work.is_spent() && !store.sessions.get(recipient).is_some_and(Session::is_counted) {
        // A message to very many recipients skips the queues whose senders it would have to count.
        return false;
    }
    count_senders(store, recipient);
    let (messages, bytes) = store.shares.of(recipient, sender);
    messages < u64::from(store.shares.messages()) && bytes + u64::from(length) <= store.shares.bytes()
}

/// Counts the messages of each sender in the queue of a session, unless that is done.
fn count_senders(store: &mut Store, index: u32) {
    let Some(session) = store.sessions.get_mut(index).or_bug(NO_SESSION) else { return };
    if session.is_counted() {
        return;
    }
    session.count(true, &store.shares);
    let length = session.queue.len();
    for place in 0..length {
        let delivery = session.queue.delivery(place).or_bug("a queue has fewer messages than it says");
        let message = delivery.and_then(|delivery| store.messages.get(delivery.message));
        let Some(message) = message.or_bug(NO_MESSAGE) else { continue };
        let bytes = u64::from(message.length);
        store.shares.change(index, message.sender, |(count, before)| (count + 1, before + bytes));
    }
    // There are at most 2^30 messages.
    store.work.charge(length as u32 * ENTRY);
}

/// Counts a message that enters a counted queue.
pub(crate) fn count_in(store: &mut Store, session: u32, index: u32) {
    if let Some(message) = store.messages.get(index).or_bug(NO_MESSAGE) {
        let bytes = u64::from(message.length);
        store.shares.change(session, message.sender, |(count, before)| (count + 1, before + bytes));
    }
}

/// Counts a message that has left a counted queue.
#[cold]
pub(crate) fn count_out(store: &mut Store, index: u32, sender: u32, length: u32) {
    let Some(session) = store.sessions.get(index).or_bug(NO_SESSION) else { return };
    if 2 * session.queue.len() < store.shares.messages() as usize
        && 2 * session.queue_bytes < store.shares.bytes()
    {
        forget_counts(store, index);
        return;
    }
    if store.shares.of(index, sender).0 == 0 {
        bug!("a message was not counted");
        return;
    }
    store.shares.change(index, sender, |(count, bytes)| (count - 1, bytes - u64::from(length)));
}

/// Ends the counts of a queue.
pub(crate) fn forget_counts(store: &mut Store, index: u32) {
    if let Some(session) = store.sessions.get_mut(index).or_bug(NO_SESSION)
        && session.is_counted()
    {
        session.count(false, &store.shares);
        drop_counts(store, index);
    }
}

/// Removes the counts of a queue whose session may have ended.
pub(crate) fn drop_counts(store: &mut Store, index: u32) {
    let forgotten = store.shares.forget(index);
    store.work.charge(forgotten * ENTRY);
}
