//! Links that wait for a hello, and hellos that have failed. (PROTOCOL.md, "Resources")

use crate::broker::links::table::{LinkPhase, NO_LINK};
use crate::broker::state::Broker;
use crate::bug::OrBug;
use crate::time::Instant;

/// Lets a link wait for a hello, until then at the latest.
pub(crate) fn await_hello(broker: &mut Broker, index: u32, until: Instant) {
    let Some(link) = broker.links.get(index).or_bug(NO_LINK) else { return };
    broker.sources.wait(link.source, index, link.is_lossy(), until);
}

/// Ends the wait of a link for its hello, if it waits: the hello has come, or never will.
pub(crate) fn stop_waiting(broker: &mut Broker, index: u32) {
    let Some(link) = broker.links.get(index).or_bug(NO_LINK) else { return };
    if let LinkPhase::Hello { until } = link.phase {
        broker.sources.heard(link.source, index, link.is_lossy(), until);
    }
}

/// The same for a hello that has failed.
pub(crate) fn give_hello_up(broker: &mut Broker, index: u32) {
    stop_waiting(broker, index);
    if let Some(link) = broker.links.get(index)
        && matches!(link.phase, LinkPhase::Hello { .. })
    {
        broker.sources.failed(
            link.source,
            broker.store.now,
            broker.store.config.max_failed_hellos_per_source,
        );
    }
}
