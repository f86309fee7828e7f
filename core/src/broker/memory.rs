//! Gives back memory that tables have not used for a while.

use crate::broker::state::Broker;
use crate::broker::store::MIN_TABLE;
use core::time::Duration;

/// Memory that was not used for this long is given back.
const UNUSED: Duration = Duration::from_secs(2);
/// Tables give memory back one after the other, from 0 to this one.
const LAST_TABLE: u8 = 6;

fn is_oversized(broker: &Broker) -> bool {
    broker.store.messages.is_oversized()
        || broker.store.sessions.is_oversized()
        || broker.links.is_oversized()
}

/// Gives back memory that a burst has taken and that is not used since. Each call does this for one kind of table, because
/// it walks through the table.
pub(crate) fn give_back(broker: &mut Broker) {
    if broker.gave_back == 0 && !is_oversized(broker) {
        broker.gives_back_at = None;
        return;
    }
    match broker.gives_back_at {
        Some(at) if broker.store.now < at => return,
        None => {
            broker.gives_back_at = Some(broker.store.now + UNUSED);
            return;
        }
        Some(_) => {}
    }
    match broker.gave_back {
        0 => {
            broker.store.recipients.shrink_to(MIN_TABLE);
            broker.store.dropped.shrink_to(MIN_TABLE);
            broker.store.cramped.shrink_to(MIN_TABLE);
            broker.store.ready.give_back(broker.links.places());
            broker.store.messages.give_back();
        }
        1 => broker.store.messages.give_back_destinations(),
        2 => broker.store.messages.give_back_senders(),
        3 => broker.store.sessions.give_back(),
        4 => broker.store.sessions.give_back_lists(),
        // One buffer can keep the allocator from giving back the memory before it.
        5 => broker.store.pool.give_back(),
        _ => broker.links.give_back(),
    }
    if broker.gave_back < LAST_TABLE {
        broker.gave_back += 1;
        return;
    }
    // The memory of a table stays if its end is in use, and each attempt costs a walk through it.
    broker.gave_back = 0;
    broker.gives_back_at = is_oversized(broker).then_some(broker.store.now + UNUSED * 30);
}
