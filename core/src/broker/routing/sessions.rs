//! Sessions: their beginnings, changes and ends, and the effects on messages and watchers.

use crate::broker::routing::{acknowledge, outcome, presence, release, rights, shares};
use crate::broker::store::work::{OUTCOME, PAIR, SET};
use crate::broker::store::{BrokerEvent, Job, NO_SESSION, NewSession, Queue, Store, Timer};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::data::message::RefusalReason;
use crate::data::patch::PatchRef;
use crate::error::AbortCode;
use crate::link::numbers::{Receiving, Sending};
use crate::wire::control::{Hello, Resumed};
use crate::wire::item::{Origin, Reply};
use alloc::boxed::Box;
use uuid::Uuid;

pub(crate) fn create(store: &mut Store, uuid: Uuid, hello: &Hello) -> u32 {
    let boot = u64::from_le_bytes(hello.boot);
    let sending = Sending::fresh(hello.window);
    let uncounted = store.shares.messages();
    let new = NewSession { uuid, secret: hello.secret, boot, link_number: hello.link, sending, uncounted };
    let session = store.sessions.insert(new);
    let sender = store.messages.attach_sender(Origin { uuid: hello.uuid, boot }, session);
    if let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) {
        state.sender = sender;
        store.queue_places += state.queue.make_room();
    }
    session
}

/// Resumes a session.
pub(crate) fn resume(store: &mut Store, session: u32, hello: &Hello) -> Result<Resumed, AbortCode> {
    let known = hello.known.or_bug("a hello that names no session resumes it");
    let (Some(known), Some(state)) = (known, store.sessions.get_mut(session).or_bug(NO_SESSION)) else {
        return Err(AbortCode::UnexpectedFrame);
    };
    let before = state.sending.acknowledged();
    state.sending.clone().resume(known.received, known.acknowledged, known.window)?;
    // This call takes as many items off the queue as it may; a job takes the rest.
    let more = known.acknowledged - before;
    let now = more.min(u64::from(store.work.left() / OUTCOME));
    state.sending.resume(known.received, before + now, known.window)?;
    acknowledge::take_acknowledged(store, session, now);
    let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else {
        return Err(AbortCode::UnexpectedFrame);
    };
    state.queue.rewind(known.received - before - now);
    let received = state.receiving.received();
    (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
    state.receiving.set_acknowledged(received);
    if more > now {
        acknowledge::acknowledge_later(store, session, more - now);
    }
    // An item that is received is acknowledged at once.
    Ok(Resumed { received, acknowledged: received })
}

/// Begins a new session that keeps the queue.
pub(crate) fn renew(store: &mut Store, session: u32, hello: &Hello, new_boot: bool) {
    let boot = u64::from_le_bytes(hello.boot);
    if new_boot {
        let sender = store.messages.attach_sender(Origin { uuid: hello.uuid, boot }, session);
        if let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) {
            let old = state.sender;
            state.change_boot(boot, sender);
            store.messages.detach_sender(old);
        }
    }
    let mut declined = core::mem::take(&mut store.dropped);
    if let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) {
        state.sending = Sending::fresh(hello.window);
        state.receiving = Receiving::default();
        (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
        if new_boot {
            // These receipts are for messages of the boot before.
            store.receipts -= state.queue.forget_receipts();
        }
        state.queue.renumber(|delivery| declined.push(delivery));
    }
    presence::forget_watches(store, session);
    for delivery in declined.drain(..) {
        outcome::leave_queue(store, session, delivery);
    }
    store.dropped = declined;
}

/// Changes the attributes of a session, in order with its messages.
pub(crate) fn change_attributes(store: &mut Store, session: u32, patch: PatchRef<'_>) {
    store.work.charge(SET);
    let Some(state) = store.sessions.get(session).or_bug(NO_SESSION) else { return };
    let (uuid, receives) = (state.uuid, state.receives);
    let changed = patch.apply(state.attributes(), store.config.max_attributes.into());
    let changed = changed.as_deref().map(AttributesRef::trusted);
    let reason = match changed {
        // The patch changes nothing.
        Some(attributes) if attributes == state.attributes() => return,
        Some(attributes) if rights::may_have(store, uuid, attributes) => {
            let terms = store.wait_list.new_terms(state.attributes(), attributes);
            give_attributes(store, session, attributes, receives);
            return release::release_waiting(store, session, false, terms);
        }
        Some(_) => RefusalReason::NotAllowed,
        None => RefusalReason::TooLarge,
    };
    rights::reply(store, session, Reply::AttributesRefused(reason));
}

/// Sets the attributes of a session, and notifies the watchers that match the old ones or the new ones.
pub(crate) fn give_attributes(
    store: &mut Store,
    session: u32,
    attributes: AttributesRef<'_>,
    receives: bool,
) {
    let before = presence::seen_as(store, session);
    store.work.charge(PAIR * (1 + attributes.len() as u32));
    store.sessions.set_attributes(session, attributes, receives);
    let after = presence::seen_as(store, session);
    presence::note_states(store, session, before.into_iter().chain(after).collect());
}

/// Ends a session: its unconfirmed deliveries end, its messages stay.
pub(crate) fn end_session(store: &mut Store, index: u32) {
    presence::note_presence(store, index);
    presence::forget_watches(store, index);
    let Some(mut session) = store.sessions.remove(index).or_bug(NO_SESSION) else { return };
    store.receipts -= session.queue.forget_receipts();
    debug!(
        "e_pigeon::broker",
        "the session of {} ended, {} messages in its queue",
        session.uuid,
        session.queue.len()
    );
    if session.link.is_some() {
        store.sessions.connected -= 1;
    }
    if let Some(at) = session.ends_at.get() {
        store.timers.disarm(at, Timer::Session(index));
    }
    store.messages.detach_sender(session.sender);
    store.queue_places -= session.queue.capacity();
    if session.is_counted() {
        shares::drop_counts(store, index);
    }
    if session.jobs > 0 {
        store.jobs.forget(index);
    }
    let mut left = Box::new(session.queue);
    if !run_left(store, &mut left) {
        store.keep_job(Job::Left(left));
    }
    store.push_event(BrokerEvent::SessionEnded(session.uuid));
}

/// Ends the deliveries that were in the queue of an ended session.
pub(crate) fn run_left(store: &mut Store, queue: &mut Queue) -> bool {
    while !store.work.is_spent() {
        let Some(delivery) = queue.pop() else {
            // The queue is empty.
            return true;
        };
        store.work.charge(OUTCOME);
        outcome::delivery_gone(store, delivery);
    }
    false
}
