//! Looking names up on threads, so that no event loop waits for a name server.
//!
//! A client has one lookup under way at most, and a process runs no more than [`THREADS`] of them at a time: the others wait
//! until a thread is free. A thread lives as long as there is something to look up.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::thread;

use crate::bug::bug;
use crate::endpoint::Endpoint;

/// What looks the endpoints up.
pub(crate) type Function = Box<dyn FnMut() -> io::Result<Vec<Endpoint>> + Send>;

/// So many lookups run at once in a process.
const THREADS: usize = 64;

static POOL: Mutex<Pool> = Mutex::new(Pool { running: 0, waiting: VecDeque::new() });

/// What the threads of a process have to do.
struct Pool {
    running: usize,
    waiting: VecDeque<Weak<Mutex<LookupState>>>,
}

/// A function that may take its time, and its last answer.
pub(crate) struct Lookup(Arc<Mutex<LookupState>>);

struct LookupState {
    /// Away while it runs.
    function: Option<Function>,
    answer: Option<io::Result<Vec<Endpoint>>>,
    /// Called once, when there is an answer; none where nothing was asked.
    waker: Option<Waker>,
    asked: bool,
}

impl Lookup {
    pub(crate) fn new(function: Function) -> Self {
        let function = Some(function);
        Self(Arc::new(Mutex::new(LookupState { function, answer: None, waker: None, asked: false })))
    }

    /// Takes the answer, where there is one; else asks, unless that was done already.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<io::Result<Vec<Endpoint>>> {
        let mut state = lock(&self.0);
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.waker = Some(waker.clone());
        let has_asked = std::mem::replace(&mut state.asked, true);
        drop(state);
        if !has_asked && let Err(error) = begin(&self.0) {
            lock(&self.0).asked = false;
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

/// Lets a thread call the function.
fn begin(lookup: &Arc<Mutex<LookupState>>) -> io::Result<()> {
    let mut pool = lock(&POOL);
    pool.waiting.push_back(Arc::downgrade(lookup));
    if pool.running == THREADS {
        return Ok(());
    }
    match thread::Builder::new().name("lookup".into()).spawn(work) {
        Ok(_) => pool.running += 1,
        // Where others run, one of them takes it.
        Err(error) if pool.running == 0 => {
            pool.waiting.clear();
            return Err(error);
        }
        Err(_) => {}
    }
    Ok(())
}

/// Looks names up until there is none left.
fn work() {
    while let Some(lookup) = next() {
        // A client that is gone wants no answer.
        let Some(lookup) = lookup.upgrade() else { continue };
        let Some(mut function) = lock(&lookup).function.take() else {
            bug!("a lookup is under way once");
            continue;
        };
        let answer = catch_unwind(AssertUnwindSafe(&mut function))
            .unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")));
        let mut state = lock(&lookup);
        state.function = Some(function);
        state.answer = Some(answer);
        state.asked = false;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn next() -> Option<Weak<Mutex<LookupState>>> {
    let mut pool = lock(&POOL);
    let lookup = pool.waiting.pop_front();
    if lookup.is_none() {
        pool.running -= 1;
    }
    lookup
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    /// Tells of each wake-up.
    struct ChannelWaker(Mutex<Sender<()>>);

    impl Wake for ChannelWaker {
        fn wake(self: Arc<Self>) {
            let _ = lock(&self.0).send(());
        }
    }

    fn waker() -> (Waker, Receiver<()>) {
        let (rings, rung) = channel();
        (Waker::from(Arc::new(ChannelWaker(Mutex::new(rings)))), rung)
    }

    fn here() -> io::Result<Vec<Endpoint>> {
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1)).into()])
    }

    const SOON: Duration = Duration::from_secs(8);

    #[test]
    fn program_1_a_lookup_that_hangs_is_not_begun_again_and_its_late_answer_is_used() {
        let (go_on, gate) = channel::<()>();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let mut lookup = Lookup::new(Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            gate.recv().expect("the test goes on");
            here()
        }));
        let (waker, rung) = waker();
        // As often as attempts are given up.
        for _ in 0..10 {
            assert!(lookup.poll(&waker).is_pending());
        }
        go_on.send(()).expect("it waits");
        rung.recv_timeout(SOON).expect("a call of the waker");
        assert!(matches!(lookup.poll(&waker), Poll::Ready(Ok(endpoints)) if endpoints.len() == 1));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        // The next attempt asks again.
        assert!(lookup.poll(&waker).is_pending());
        go_on.send(()).expect("it waits");
        rung.recv_timeout(SOON).expect("a call of the waker");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn program_1_a_resolver_that_panics_fails_one_attempt() {
        let mut calls = 0;
        let mut lookup = Lookup::new(Box::new(move || {
            calls += 1;
            assert!(calls > 1, "the first call panics, on purpose");
            here()
        }));
        let (waker, rung) = waker();
        assert!(lookup.poll(&waker).is_pending());
        rung.recv_timeout(SOON).expect("a call of the waker");
        assert!(matches!(lookup.poll(&waker), Poll::Ready(Err(_))));
        assert!(lookup.poll(&waker).is_pending());
        rung.recv_timeout(SOON).expect("a call of the waker");
        assert!(matches!(lookup.poll(&waker), Poll::Ready(Ok(_))));
    }
}
