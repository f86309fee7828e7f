//! Gives memory back that tables have not used for a while.

use crate::broker::state::Broker;
use crate::broker::store::MIN_TABLE;
use core::time::Duration;

/// So long memory of tables stays unused before it is given back.
const UNUSED: Duration = Duration::from_secs(2);
/// Tables give their memory back one after the other, as many as that and one.
const LAST_TABLE: u8 = 6;

fn is_oversized(broker: &Broker) -> bool {
    broker.store.messages.is_oversized()
        || broker.store.sessions.is_oversized()
        || broker.links.is_oversized()
}

/// Memory that a burst has taken and that stays unused for a while goes back. Of one kind of table in each call: a walk
/// through a large one is enough for that.
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
        // One buffer can keep the allocator from giving back what lies before it.
        5 => broker.store.pool.give_back(),
        _ => broker.links.give_back(),
    }
    if broker.gave_back < LAST_TABLE {
        broker.gave_back += 1;
        return;
    }
    // Where the end of a table is in use it stays, and to try again costs a walk through it.
    broker.gave_back = 0;
    broker.gives_back_at = is_oversized(broker).then_some(broker.store.now + UNUSED * 30);
}
