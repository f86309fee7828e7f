//! The windows of clients, and the refusal of messages when receipts run out. (PROTOCOL.md, "Windows")

use crate::broker::store::{NO_SESSION, RECEIPTS_OF_EACH, Session, Store};
use crate::bug::OrBug;
use crate::config::broker::BrokerConfig;
use crate::wire::window::Window;

/// Makes the link of a session ready, if its window may have opened for an item that waits.
pub(crate) fn window_opened(store: &mut Store, session: u32) {
    let waits = |state: &Session| !state.queue.is_written() || !state.watches.is_empty();
    if store.sessions.get(session).is_some_and(waits) {
        store.wake(session);
    }
}

/// Shuts the window of a sender for which too many receipts wait, and opens it when half of them are gone. Messages in
/// flight are still accepted. If half of `max_receipts` wait in all, [`RECEIPTS_OF_EACH`] are too many.
pub(crate) fn adjust_window(store: &mut Store, session: u32) {
    let are_many = store.receipts > u64::from(store.config.max_receipts / 2);
    let max = store.config.receipt_backlog as usize;
    let max = if are_many { max.min(RECEIPTS_OF_EACH) } else { max };
    let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
    if state.queue.receipt_backlog() <= RECEIPTS_OF_EACH {
        end_refusals(store, session);
    }
    let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
    let backlog = state.queue.receipt_backlog();
    let narrow = if state.narrow { backlog > max / 2 } else { backlog > max };
    if narrow == state.narrow {
        return;
    }
    (state.narrow, state.since_narrow) = (narrow, 0);
    store.wake(session);
}

/// Adds the common receipt of messages that were refused for lack of receipts, if there are any.
#[inline]
pub(crate) fn end_refusals(store: &mut Store, session: u32) {
    let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
    if state.queue.receipts().end_refusals() {
        store.receipts += 1;
        store.wake(session);
    }
}

/// True if the broker has used up its receipts and too many of them wait for this session, or if it has refused messages
/// for that reason and too many wait still.
#[inline]
pub(crate) fn lacks_receipts(store: &Store, session: &Session) -> bool {
    (store.receipts >= store.config.max_receipts.into() || session.queue.is_refusing())
        && session.queue.receipt_backlog() > RECEIPTS_OF_EACH
}

/// The number of items of a session that are not acknowledged yet.
pub(crate) fn due_acknowledgement(store: &Store, session: u32) -> Option<u64> {
    let receiving = &store.sessions.get(session)?.receiving;
    receiving.due(receiving.received())
}

/// The window that a client receives: the whole one of the config, or none while its window is shut.
pub(crate) fn announced_window(config: &BrokerConfig, is_shut: bool) -> Window {
    let (messages, bytes) = if is_shut { (0, 0) } else { (config.window_messages, config.window_bytes) };
    Window { messages, bytes }
}
