//! Acknowledgements and declines: deliveries leave the queue of a session. (PROTOCOL.md, "Items")

use crate::broker::routing::{outcome, shares, windows};
use crate::broker::store::work::OUTCOME;
use crate::broker::store::{Acknowledged, Declined, Job, NO_MESSAGE, NO_SESSION, QueueEntry, Store};
use crate::bug::OrBug;
use crate::error::AbortCode;

/// Processes an acknowledgement of `more` items.
pub(crate) fn acknowledged(
    store: &mut Store,
    session: u32,
    more: u64,
    half_written: bool,
) -> Result<(), AbortCode> {
    let state = store.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?;
    if more <= u64::from(store.work.left() / OUTCOME) {
        state.sending.acknowledge(more, half_written)?;
        take_acknowledged(store, session, more);
    } else {
        state.sending.clone().acknowledge(more, half_written)?;
        acknowledge_later(store, session, more);
    }
    windows::window_opened(store, session);
    Ok(())
}

/// Processes acknowledged items, which may be more than this call may take off the queue.
pub(crate) fn acknowledge_later(store: &mut Store, session: u32, mut more: u64) {
    if !run_acknowledge(store, session, &mut more) {
        store.keep_job(Job::Acknowledge { session, more });
    }
}

/// Takes `more` acknowledged items off the queue of a session.
pub(crate) fn take_acknowledged(store: &mut Store, session: u32, more: u64) {
    // An acknowledgement of more than a queue can hold was refused.
    store.work.charge((more as u32).saturating_mul(OUTCOME));
    let mut left = more;
    while left > 0 {
        let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { break };
        let Some(item) = state.queue.acknowledge(left).or_bug("more was acknowledged than has a number")
        else {
            break;
        };
        let mut count = 1;
        match item {
            Acknowledged::Delivery(delivery) => {
                if let Some(message) = store.messages.get(delivery.message).or_bug(NO_MESSAGE) {
                    state.queue_bytes -= u64::from(message.length);
                    state.sending.release(message.length as usize);
                    if state.is_counted() {
                        let (sender, length) = (message.sender, message.length);
                        shares::count_out(store, session, sender, length);
                    }
                    outcome::confirm(store, delivery);
                }
            }
            Acknowledged::Void(many, bytes) => {
                state.sending.release_many(many, bytes as usize);
                count = many;
            }
            Acknowledged::Receipt => store.receipts -= 1,
            Acknowledged::Other => {}
        }
        left = left.saturating_sub(u64::from(count));
    }
    windows::adjust_window(store, session);
}

/// Processes the decline of the delivery with that number.
pub(crate) fn declined(store: &mut Store, session: u32, number: u64) -> Result<(), AbortCode> {
    let state = store.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?;
    let place = number.checked_sub(state.sending.acknowledged()).filter(|&place| place > 0);
    let messages = &store.messages;
    let means = |delivery: &QueueEntry| {
        let message = messages.get(delivery.message).or_bug(NO_MESSAGE)?;
        if message.ended {
            return Some(Declined::Void);
        }
        // Only a possible repetition can be declined: otherwise a recipient could turn each message for it into one that
        // waits for another session.
        (delivery.retry || message.past.is_some()).then_some(Declined::Delivery(*delivery))
    };
    let declined = place.and_then(|place| state.queue.decline(place, means));
    if let Declined::Delivery(delivery) = declined.ok_or(AbortCode::BadAcknowledgement)? {
        outcome::decline(store, delivery);
    }
    Ok(())
}

/// Takes acknowledged items off the queue of a session, as many as this call may; true if that is all.
pub(crate) fn run_acknowledge(store: &mut Store, session: u32, more: &mut u64) -> bool {
    const AT_ONCE: u64 = 256;
    while *more > 0 && !store.work.is_spent() {
        let some = AT_ONCE.min(*more).min(u64::from(store.work.left() / OUTCOME)).max(1);
        let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { return true };
        if state.sending.acknowledge(some, false).is_err() {
            bug!("what was acknowledged is not there any more");
            return true;
        }
        take_acknowledged(store, session, some);
        *more -= some;
    }
    // The link may have found the window shut before.
    windows::window_opened(store, session);
    *more == 0
}
