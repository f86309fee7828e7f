//! Timed work: silent links, sessions and messages that expire, and work that earlier calls have left.

use crate::broker::links::table::{LinkPhase, NO_LINK};
use crate::broker::links::{ending, hello, schedule, turns};
use crate::broker::memory;
use crate::broker::routing::{outcome, sessions, sweep};
use crate::broker::state::Broker;
use crate::broker::store::Timer;
use crate::broker::store::work::EXPIRY;
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::{Instant, Moment};
use crate::wire::control::Abort;
use alloc::vec::Vec;

pub(crate) fn expire(broker: &mut Broker, now: Instant) {
    if broker.settles_at.is_some_and(|at| now >= at) {
        hello::settle(broker);
    }
    // Each of the four kinds of work has a quarter of the call, whatever the others need, and then the rest of theirs.
    sweep::make_room(&mut broker.store);
    sweep::sweep(&mut broker.store);
    let share = broker.store.work.share();
    broker.store.work.set_aside(2 * share);
    outcome::report_accepted_due(&mut broker.store, now);
    broker.store.work.give(share);
    timers_due(broker, now);
    broker.store.work.give(share);
    turns::work_off(broker);
    outcome::report_accepted_due(&mut broker.store, now);
    timers_due(broker, now);
    // The rest of the call is for unfinished work of this call: work is left over only if the call is spent.
    while !broker.store.work.is_spent() && !broker.store.cramped.is_empty() {
        sweep::make_room(&mut broker.store);
    }
    turns::work_off(broker);
    while !broker.store.work.is_spent() && sweep::is_sweep_due(&broker.store) {
        sweep::sweep(&mut broker.store);
    }
    memory::give_back(broker);
}

fn timers_due(broker: &mut Broker, now: Instant) {
    while !broker.store.work.is_spent()
        && let Some(timer) = broker.store.timers.pop(now)
    {
        broker.store.work.charge(EXPIRY);
        match timer {
            Timer::Link(index) => link_due(broker, index, now),
            Timer::Session(index) => sessions::end_session(&mut broker.store, index),
            Timer::Message(index) => outcome::expire_message(&mut broker.store, index),
        }
    }
}

fn link_due(broker: &mut Broker, index: u32, now: Instant) {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    link.timer = Moment::NEVER;
    match link.phase {
        LinkPhase::Hello { until } if now >= until => {
            ending::abort(broker, index, Abort { code: AbortCode::HandshakeTimeout, detail: 0 });
        }
        LinkPhase::Up { keep_alive, .. } if keep_alive.is_dead(now) => {
            ending::abort(broker, index, Abort { code: AbortCode::Silent, detail: 0 });
        }
        LinkPhase::Up { keep_alive, .. } => {
            if let Some(lossy) = &mut link.lossy {
                lossy.timeout(now);
                schedule::wake(broker, index);
            }
            let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
            if link.partial.is_empty() {
                // An idle link keeps no buffer. A busy one gets a new one with the next frame that arrives in parts.
                link.partial = Vec::new();
            }
            let head_is_over = link.head_ends_at.get().is_some_and(|at| now >= at);
            if head_is_over {
                link.head_ends_at = Moment::NEVER;
            }
            link.ping_due |= keep_alive.is_ping_due(now);
            if link.ping_due || head_is_over {
                schedule::wake(broker, index);
            }
            schedule::arm(broker, index);
        }
        LinkPhase::Closing { until } if now >= until && link.displaced => {
            ending::answer(broker, index, AbortCode::Superseded);
        }
        LinkPhase::Closing { until } if now >= until => {
            // The peer does not read the final frames.
            link.abort = None;
            // No hello may start this link again.
            link.lossy = None;
            link.farewell = false;
            ending::drop_current(broker, index);
            schedule::close(broker, index);
        }
        LinkPhase::Hello { .. } | LinkPhase::Closing { .. } => schedule::arm(broker, index),
    }
}
