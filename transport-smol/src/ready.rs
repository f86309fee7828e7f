//! A waker for each socket of a broker, and the list of those that were called: a turn costs what is ready.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Wake, Waker};

use atomic_waker::AtomicWaker;

/// What a waker stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A listener, by its place.
    Listener(usize),
    /// A connection, by its key.
    Connection(usize),
}

/// The sources that are ready, and the task that looks at them.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    ready: Mutex<Vec<Arc<Flag>>>,
    task: AtomicWaker,
}

#[derive(Debug)]
struct Flag {
    source: Source,
    /// Stands in the list, so once is enough.
    is_listed: AtomicBool,
    list: Weak<ReadyList>,
}

impl ReadyList {
    /// A waker that puts `source` into the list.
    pub(crate) fn waker(self: &Arc<Self>, source: Source) -> Waker {
        let list = Arc::downgrade(self);
        Waker::from(Arc::new(Flag { source, is_listed: AtomicBool::new(false), list }))
    }

    /// The task to be woken from now on. To be called before [`take`](Self::take).
    pub(crate) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Wakes the task for something else.
    pub(crate) fn wake(&self) {
        self.task.wake();
    }

    /// Calls `handle` for each source that was ready until now.
    pub(crate) fn take(&self, mut handle: impl FnMut(Source)) {
        let mut ready = mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        for flag in ready.drain(..) {
            // Before the socket is looked at: what happens after that is news again.
            flag.is_listed.store(false, Ordering::Release);
            handle(flag.source);
        }
        // The memory goes back, unless there are others in the list by now.
        let mut list = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if list.is_empty() {
            mem::swap(&mut *list, &mut ready);
        }
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A broker that is gone has nobody to wake.
        let Some(list) = self.list.upgrade() else { return };
        if !self.is_listed.swap(true, Ordering::AcqRel) {
            list.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.clone());
            list.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_costs_what_is_ready() {
        let list = Arc::new(ReadyList::default());
        let wakers: Vec<Waker> = (0..10_000).map(|key| list.waker(Source::Connection(key))).collect();
        let taken = || {
            let mut keys = Vec::new();
            list.take(|source| match source {
                Source::Connection(key) => keys.push(key),
                Source::Listener(_) => panic!("there is none"),
            });
            keys
        };
        assert_eq!(taken(), [0; 0]);
        for key in [7, 9_999, 7, 7] {
            wakers[key].wake_by_ref();
        }
        assert_eq!(taken(), [7, 9_999], "each once");
        wakers[7].wake_by_ref();
        assert_eq!(taken(), [7], "and again");
        drop(list);
        wakers[7].wake_by_ref();
    }
}
