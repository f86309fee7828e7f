//! Ctrl-C: what is being measured ends early, and nothing else begins.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;
use crate::signals::{Signal, Signals};
use crate::wake::Wake;

pub(crate) struct Interrupt {
    signals: Signals,
    /// Wakes the loop that runs.
    wake: Arc<Mutex<Option<Wake>>>,
    asked: Cell<Option<Signal>>,
}

impl Interrupt {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let wake: Arc<Mutex<Option<Wake>>> = Arc::default();
        let woken = Arc::clone(&wake);
        let signals = Signals::catch_for_work(Arc::new(move || {
            if let Some(wake) = &*woken.lock().unwrap_or_else(PoisonError::into_inner) {
                wake();
            }
        }))?;
        Ok(Self { signals, wake, asked: Cell::new(None) })
    }

    /// Wakes this loop from now on.
    pub(crate) fn wakes(&self, wake: Wake) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    /// The signal that has come; it stays set.
    pub(crate) fn asked(&self) -> Option<Signal> {
        self.asked.set(self.asked.get().or_else(|| self.signals.take()));
        self.asked.get()
    }
}
