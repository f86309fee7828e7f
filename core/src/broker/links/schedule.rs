//! The needs of a link: to write, to read again, to be closed, and its timer.

use crate::broker::links::table::NO_LINK;
use crate::broker::state::Broker;
use crate::broker::store::Timer;
use crate::bug::OrBug;
use crate::time::Moment;

/// Sets the timer of a link to its next deadline.
pub(crate) fn arm(broker: &mut Broker, index: u32) {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    let at = link.deadline();
    let before = core::mem::replace(&mut link.timer, Moment::at(at)).get();
    if let Some(before) = before {
        broker.store.timers.disarm(before, Timer::Link(index));
    }
    broker.store.timers.arm(at, Timer::Link(index));
}

/// Announces, once, that a link is to be closed.
pub(crate) fn close(broker: &mut Broker, index: u32) {
    let Some(id) = broker.links.id(index).or_bug(NO_LINK) else { return };
    if let Some(link) = broker.links.get_mut(index)
        && !core::mem::replace(&mut link.close_listed, true)
    {
        broker.store.ready.close(id);
    }
}

/// Marks a link as having something to write.
pub(crate) fn wake(broker: &mut Broker, index: u32) {
    if let Some(id) = broker.links.id(index) {
        broker.store.ready.wake(id);
    }
}

/// Marks a link as reading again.
#[cold]
pub(crate) fn resume(broker: &mut Broker, index: u32) {
    if let Some(id) = broker.links.id(index).or_bug(NO_LINK) {
        broker.store.ready.resume(id);
    }
}
