//! What a link wants next: to be written, read or closed, or its timer.

use crate::broker::links::table::NO_LINK;
use crate::broker::state::Broker;
use crate::broker::store::Timer;
use crate::bug::OrBug;
use crate::time::Moment;

/// Sets the timer of a link to when something is to be done about it.
pub(crate) fn arm(broker: &mut Broker, index: u32) {
    let Some(link) = broker.links.get_mut(index).or_bug(NO_LINK) else { return };
    let at = link.deadline();
    let before = core::mem::replace(&mut link.timer, Moment::at(at)).get();
    if let Some(before) = before {
        broker.store.timers.disarm(before, Timer::Link(index));
    }
    broker.store.timers.arm(at, Timer::Link(index));
}

/// Says, once, that a link is to be closed.
pub(crate) fn close(broker: &mut Broker, index: u32) {
    let Some(id) = broker.links.id(index).or_bug(NO_LINK) else { return };
    if let Some(link) = broker.links.get_mut(index)
        && !core::mem::replace(&mut link.close_listed, true)
    {
        broker.store.ready.close(id);
    }
}

/// A link has something to write.
pub(crate) fn wake(broker: &mut Broker, index: u32) {
    if let Some(id) = broker.links.id(index) {
        broker.store.ready.wake(id);
    }
}

/// A link goes on reading.
#[cold]
pub(crate) fn resume(broker: &mut Broker, index: u32) {
    if let Some(id) = broker.links.id(index).or_bug(NO_LINK) {
        broker.store.ready.resume(id);
    }
}
