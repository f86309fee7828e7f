//! Sweeps: queue entries whose messages have ended leave their queues without waiting for the client.
//!
//! A message does not know which queues name it, so a sweep goes through the queues. It goes through all of them only if a
//! good part of their entries have ended, or many records of ended messages are kept for them, or they use far more memory
//! than they need; it searches one queue if that is full and some of it must have ended. So its results pay for it.
//! (PROTOCOL.md, "Void deliveries")

use crate::broker::routing::outcome;
use crate::broker::store::capacity::*;
use crate::broker::store::work::{DROPPED, ROOM, SWEPT};
use crate::broker::store::{NO_MESSAGE, NO_SESSION, QueueEntry, Searched, Store};
use crate::bug::OrBug;
use crate::time::Moment;

/// A full queue is searched if one of so many entries is new since the last search, or has ended.
const SEARCH_PART: usize = 16;
/// The number of entries that are sampled to estimate when one of [`SEARCH_PART`] will have ended.
const SAMPLES: usize = 2 * SEARCH_PART;
/// The number of entries of a queue to check before the meter is checked again.
const AT_ONCE: usize = 1_024;
/// Writing so many runs of the log of a queue again costs as much as an entry.
const RUNS: usize = 16;

/// True if entries of ended messages are to be dropped from all queues.
pub(crate) fn is_sweep_due(store: &Store) -> bool {
    let ended = store.messages.ended_entries();
    let (entries, sessions) = (store.messages.entries(), store.sessions.len() as u64);
    store.swept.is_some()
        || ended > MIN_ENDED.max((entries + sessions) / 2)
        || store.queue_places as u64 > max_places(entries, sessions)
        || ended_in_queues(store) > max_ended(&store.config)
}

/// Does a part of the work that goes before messages: a sweep that is due, and places in full queues. False if no message may
/// be accepted before more of it is done.
pub(crate) fn prepare_for_messages(store: &mut Store) -> bool {
    sweep(store);
    make_room(store);
    !is_sweep_behind(store)
}

/// True if there are as many records of ended messages as may be: no message is accepted before some are gone.
pub(crate) fn is_sweep_behind(store: &Store) -> bool {
    ended_in_queues(store) > 2 * max_ended(&store.config)
}

/// The most records of ended messages that queues keep. Those that links write are not counted, because no sweep frees
/// them.
fn ended_in_queues(store: &Store) -> u64 {
    store.messages.ended().saturating_sub(store.messages.written_in_part()) as u64
}

/// Goes on with a sweep, if one is due, for a quarter of a call: other work has its turn before the next part.
pub(crate) fn sweep(store: &mut Store) {
    if !is_sweep_due(store) {
        return;
    }
    let mut next = store.swept.take().unwrap_or(0);
    let until = store.work.left().saturating_sub(store.work.share());
    loop {
        if next >= store.sessions.places() {
            // The sweep is done.
            return;
        }
        // There are at most 2^30 sessions.
        let index = next as u32;
        store.work.charge(SWEPT);
        if store.sessions.get(index).is_some() {
            if !drop_ended(store, index, until) {
                break;
            }
            shrink_queue(store, index);
        }
        next += 1;
        if store.work.left() <= until {
            break;
        }
    }
    store.swept = Some(next);
}

/// Makes places in a queue that is full now. A message can fill very many queues: as many get places as this call may make,
/// and the others before the next message to many. So no call allocates for all of them.
#[cold]
pub(crate) fn queue_filled(store: &mut Store, index: u32) {
    if store.work.is_spent() {
        store.cramped.push(index);
        return;
    }
    let most = store.config.queue_messages as usize;
    if let Some(session) = store.sessions.get_mut(index).or_bug(NO_SESSION)
        && session.queue.is_full()
        && session.queue.capacity() < most
    {
        store.work.charge(ROOM);
        store.queue_places += session.queue.make_room();
    }
}

/// Makes places in full queues, for a quarter of a call: other work has its turn before the next ones.
pub(crate) fn make_room(store: &mut Store) {
    let until = store.work.left().saturating_sub(store.work.share());
    while store.work.left() > until
        && let Some(index) = store.cramped.pop()
    {
        // The session may have ended.
        if store.sessions.get(index).is_some() {
            queue_filled(store, index);
        }
    }
}

fn shrink_queue(store: &mut Store, index: u32) {
    if let Some(session) = store.sessions.get_mut(index).or_bug(NO_SESSION) {
        store.queue_places -= session.queue.shrink();
    }
}

/// Drops entries of ended messages from a queue until only `until` units are left; true if it is done. It begins with the
/// newest entries: those that the client acknowledges meanwhile are not searched yet, and do not move those that are.
fn drop_ended(store: &mut Store, index: u32, until: u32) -> bool {
    let mut dropped = core::mem::take(&mut store.dropped);
    let is_done = loop {
        let Some(session) = store.sessions.get_mut(index).or_bug(NO_SESSION) else { break true };
        let length = session.queue.len();
        let end = match session.unsearched as usize {
            0 => length,
            unsearched => unsearched.min(length),
        };
        let start = end.saturating_sub(AT_ONCE);
        // There are at most 2^30 messages.
        store.work.charge((end - start) as u32 * SWEPT + (session.queue.runs() / RUNS) as u32);
        let messages = &store.messages;
        let ended = |delivery: &QueueEntry| {
            let message = messages.get(delivery.message).or_bug(NO_MESSAGE);
            message.filter(|message| message.ended).map(|message| message.length)
        };
        // If the window was larger before, the bytes in flight count, because otherwise each entry would be a run.
        let window = session.sending.window().bytes.max(session.sending.under_way());
        let most_bytes = window / window_parts(&store.config);
        session.queue.drop_ended(start..end, most_bytes, ended, |delivery| dropped.push(delivery));
        session.unsearched = start as u32;
        store.work.charge(dropped.len() as u32 * DROPPED);
        for delivery in dropped.drain(..) {
            outcome::leave_queue(store, index, delivery);
        }
        if start == 0 || store.work.left() <= until {
            break start == 0;
        }
    };
    store.dropped = dropped;
    is_done
}

/// Drops entries of ended messages from a full queue if enough can have ended, as far as this call may. The next message
/// for the queue goes on with it.
pub(crate) fn search_queue(store: &mut Store, index: u32) {
    let Some(session) = store.sessions.get(index).or_bug(NO_SESSION) else { return };
    let Searched { order, next } = session.searched;
    let length = session.queue.len();
    let late = length.checked_sub(1 + length / SEARCH_PART).and_then(|late| session.queue.delivery(late));
    let message = late.and_then(|late| store.messages.get(late.message));
    let is_due = session.unsearched > 0 || next.get().is_some_and(|next| store.now >= next);
    if !is_due && message.is_none_or(|message| message.order < order) {
        return;
    }
    if !drop_ended(store, index, 0) {
        return;
    }
    let next = part_ends_at(store, index);
    if let Some(session) = store.sessions.get_mut(index).or_bug(NO_SESSION) {
        session.searched = Searched { order: store.messages.next_order(), next };
    }
}

/// When about one of [`SEARCH_PART`] entries of a queue will have ended; the first one in a short queue.
fn part_ends_at(store: &Store, index: u32) -> Moment {
    let Some(session) = store.sessions.get(index).or_bug(NO_SESSION) else { return Moment::NEVER };
    let length = session.queue.len();
    let samples = (0..length).step_by((length / SAMPLES).max(1));
    let deliveries = samples.filter_map(|place| session.queue.delivery(place));
    let deadlines =
        deliveries.filter_map(|delivery| store.messages.get(delivery.message)).map(|m| m.deadline);
    let (mut first, mut second) = (None, None);
    for deadline in deadlines {
        if first.is_none_or(|first| deadline < first) {
            (first, second) = (Some(deadline), first);
        } else if second.is_none_or(|second| deadline < second) {
            second = Some(deadline);
        }
    }
    let part = if length < SAMPLES { first } else { second };
    part.map_or(Moment::NEVER, Moment::at)
}
