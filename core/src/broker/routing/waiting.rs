//! Messages that wait for a recipient: parked and held ones, and the end of the wait.

use crate::broker::store::work::WATCH;
use crate::broker::store::{NO_MESSAGE, Open, ReceiptBody, Store};
use crate::bug::OrBug;
use crate::data::destination::DestinationRef;
use crate::data::message::RefusalReason;

/// Closes a message: it gets no further recipient.
pub(crate) fn close_message(store: &mut Store, index: u32) {
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
    let open = core::mem::replace(&mut message.open, Open::Closed);
    if open == Open::Closed {
        return;
    }
    let (order, destination, sender) = (message.order, message.destination, message.sender);
    count_waiting(store, sender, open, false);
    let destination = DestinationRef::trusted(store.messages.destination(destination));
    store.wait_list.remove(destination, order, index);
}

/// Lets a message wait for sessions; false if there is no place for that, and then it is closed.
pub(crate) fn wait(store: &mut Store, index: u32, open: Open) -> bool {
    let Some(sender) = store.messages.get(index).or_bug(NO_MESSAGE).map(|message| message.sender) else {
        return false;
    };
    if !may_wait(store, sender, open) {
        give_up(store, index, RefusalReason::BrokerFull);
        return false;
    }
    count_waiting(store, sender, open, true);
    let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) else { return false };
    message.open = open;
    let (order, destination) = (message.order, message.destination);
    store.work.charge(WATCH);
    let destination = DestinationRef::trusted(store.messages.destination(destination));
    store.wait_list.insert(destination, order, index);
    true
}

/// Parks a message until a session matches it. `wanted` is the number of recipients so far: 0, or 1 if a recipient that
/// declined it may have had it.
pub(crate) fn park(store: &mut Store, index: u32, wanted: u32) {
    if wait(store, index, Open::Parked)
        && let Some(message) = store.messages.get_mut(index)
    {
        message.wanted = wanted;
        message.accepted = ReceiptBody::Accepted { recipients: 0, session: 0, earlier_epoch: None };
    }
}

/// Closes a message without a recipient or a place, with that reason.
pub(crate) fn give_up(store: &mut Store, index: u32, reason: RefusalReason) {
    if let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) {
        message.reason.get_or_insert(reason);
    }
    close_message(store, index);
}

/// True if one more message of its sender may wait in that way.
fn may_wait(store: &Store, sender: u32, open: Open) -> bool {
    let of_sender = store.messages.sender(sender).map_or(0, |sender| sender.waiting);
    let is_parked = open == Open::Parked;
    store.wait_list.len() < store.config.max_held
        && of_sender < store.config.sender_waiting
        && !(is_parked && store.parked >= store.config.max_parked)
}

/// Counts a message that begins to wait, or waits no more.
fn count_waiting(store: &mut Store, sender: u32, open: Open, begins: bool) {
    let counts = [
        store.messages.sender_mut(sender).map(|sender| &mut sender.waiting),
        (open == Open::Parked).then_some(&mut store.parked),
    ];
    for count in counts.into_iter().flatten() {
        if begins {
            *count += 1;
        } else {
            *count -= 1;
        }
    }
}
