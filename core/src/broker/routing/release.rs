//! Release: waiting messages go to sessions that match them.

use crate::broker::routing::{deliver, outcome, waiting};
use crate::broker::store::work::{ENTRY, LISTED, OFFERED, RELEASED, WAITING};
use crate::broker::store::{
    Job, NO_MESSAGE, NO_SESSION, Offer, Offers, Open, ReceiptBody, Release, Session, Store, Terms,
};
use crate::bug::OrBug;
use crate::data::destination::DestinationRef;
use crate::data::message::RefusalReason;
use alloc::boxed::Box;

/// Offers a held message to the sessions that existed when it came; true if all of them were checked.
pub(crate) fn run_offers(store: &mut Store, offers: &mut Offers) -> bool {
    while (offers.next as usize) < store.sessions.places() {
        if store.work.is_spent() {
            return false;
        }
        let held = store.messages.get(offers.message);
        if held.is_none_or(|message| message.order != offers.order || message.open != Open::Held) {
            // The message has ended, or enough recipients have confirmed it.
            return true;
        }
        let session = offers.next;
        offers.next += 1;
        store.work.charge(LISTED);
        // Sessions that began later got it at their hello.
        let was_here = |state: &Session| state.receives && state.since <= offers.order;
        if store.sessions.get(session).is_some_and(was_here) {
            release_one(store, session, true, offers.message);
        }
    }
    true
}

/// Offers a held message to a recipient, once per UUID.
pub(crate) fn offer(store: &mut Store, index: u32, recipient: u32) {
    let Some(uuid) = store.sessions.get(recipient).map(|session| session.uuid).or_bug(NO_SESSION) else {
        return;
    };
    store.work.charge(OFFERED);
    let held = store.messages.get(index).filter(|message| message.open == Open::Held);
    // The message ended at an earlier offer, or has enough recipients.
    let Some(order) = held.map(|message| message.order) else { return };
    match store.wait_list.offer(order, *uuid.as_bytes()) {
        Offer::New => deliver::deliver(store, index, recipient, false),
        Offer::Again => {}
        Offer::Full => {
            waiting::give_up(store, index, RefusalReason::BrokerFull);
            outcome::check_message(store, index);
        }
    }
}

/// Delivers the messages that wait under these terms to a session with new attributes, in the accept order. Held messages
/// are released only at a hello; parked ones are marked as late, because they may be out of order.
pub(crate) fn release_waiting(store: &mut Store, session: u32, at_hello: bool, terms: Terms) {
    let receives = store.sessions.get(session).or_bug(NO_SESSION).is_some_and(|state| state.receives);
    if receives && !terms.is_empty() {
        let mut release = Box::new(Release { session, at_hello, terms, from: 0, window: None });
        if !run_release(store, &mut release) {
            store.keep_job(Job::Release(release));
        }
    }
}

/// Goes on with a release; true if it is done.
///
/// At a hello held messages come first, but messages that are routed meanwhile are in the queue before the last of them. So
/// the window is shut until all are in the queue, and then they are put in order.
pub(crate) fn run_release(store: &mut Store, release: &mut Release) -> bool {
    let session = release.session;
    let mut merge = store.wait_list.merge(&release.terms, release.from);
    store.work.charge(release.terms.len() as u32 * ENTRY);
    // At least one message is released, however few units are left.
    loop {
        let Some((order, index)) = merge.next(&store.wait_list) else {
            end_release(store, release);
            return true;
        };
        release.from = order + 1;
        release_one(store, session, release.at_hello, index);
        if store.work.is_spent() {
            break;
        }
    }
    if release.at_hello && release.window.is_none() {
        let state = store.sessions.get_mut(session).or_bug(NO_SESSION);
        release.window = state.map(|state| state.sending.shut());
    }
    false
}

fn end_release(store: &mut Store, release: &Release) {
    let Some(window) = release.window else {
        // The release was done in one call, so the queue is in order.
        return;
    };
    let Some(state) = store.sessions.get_mut(release.session).or_bug(NO_SESSION) else { return };
    state.sending.set_window(window);
    let (since, messages) = (state.since, &store.messages);
    store.work.charge(state.queue.len() as u32 / 2);
    state.queue.put_first(|delivery| {
        let message = messages.get(delivery.message).or_bug(NO_MESSAGE);
        message.is_some_and(|message| message.order < since)
    });
    store.wake(release.session);
}

/// Delivers a message that waits under a term of a session, if the session matches it.
fn release_one(store: &mut Store, session: u32, at_hello: bool, index: u32) {
    store.work.charge(WAITING);
    let (message, state) = (store.messages.get(index), store.sessions.get(session));
    let (Some(message), Some(state)) = (message.or_bug(NO_MESSAGE), state.or_bug(NO_SESSION)) else {
        return;
    };
    let destination = DestinationRef::trusted(store.messages.destination(message.destination));
    let sender = store.messages.sender(message.sender).map(|sender| sender.origin.uuid);
    let is_own = destination.exclude_self() && sender == Some(*state.uuid.as_bytes());
    if is_own || !destination.matches(state.uuid, state.attributes()) {
        return;
    }
    match message.open {
        Open::Parked => unpark(store, index, session),
        Open::Held if at_hello => offer(store, index, session),
        Open::Held | Open::Closed => {}
    }
}

/// Delivers a parked message to the first session that matches it.
fn unpark(store: &mut Store, index: u32, session: u32) {
    store.work.charge(RELEASED);
    waiting::close_message(store, index);
    let newest = store.sessions.newest_number();
    if let Some(message) = store.messages.get_mut(index).or_bug(NO_MESSAGE) {
        message.wanted = 1;
        message.accepted = ReceiptBody::Accepted { recipients: 1, session: newest, earlier_epoch: None };
        // For a message until *accepted* the sender has its final receipt already.
        message.accepted_reported = message.until_accepted;
    }
    deliver::deliver(store, index, session, true);
    outcome::report_accepted(store, index);
    outcome::check_message(store, index);
}
