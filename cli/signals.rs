//! SIGINT and SIGTERM, for any loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use crate::failure::Failure;
use crate::transport::Wake;

/// What somebody asks the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of a program that a signal kept from its work, as shells know it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

const INTERRUPT: u8 = 1;
const TERMINATE: u8 = 2;
const REPORT: u8 = 4;

/// The signals that have come.
#[derive(Debug)]
pub(crate) struct Signals {
    come: Arc<AtomicU8>,
}

impl Signals {
    /// Catches the signals from now on; `wake` tells the loop to look.
    ///
    /// A thread waits for them until the program ends: a handler itself may do next to nothing.
    pub(crate) fn catch(wake: Wake) -> Result<Self, Failure> {
        Self::catch_these(wake, &[SIGINT, SIGTERM])
    }

    /// The same, and SIGUSR1, which asks for a report.
    pub(crate) fn catch_with_report(wake: Wake) -> Result<Self, Failure> {
        Self::catch_these(wake, &[SIGINT, SIGTERM, SIGUSR1])
    }

    fn catch_these(wake: Wake, signals: &[i32]) -> Result<Self, Failure> {
        let come = Arc::new(AtomicU8::new(0));
        let seen = Arc::clone(&come);
        signal_hook::iterator::Signals::new(signals)
            .and_then(|mut signals| {
                std::thread::Builder::new().name("signals".into()).spawn(move || {
                    for signal in signals.forever() {
                        let mark = match signal {
                            SIGINT => INTERRUPT,
                            SIGUSR1 => REPORT,
                            _ => TERMINATE,
                        };
                        seen.fetch_or(mark, Ordering::AcqRel);
                        wake();
                    }
                })
            })
            .map_err(|error| Failure::system("catch signals", &error))?;
        Ok(Self { come })
    }

    /// True, once, where a report was asked for.
    pub(crate) fn take_report(&self) -> bool {
        self.come.fetch_and(!REPORT, Ordering::AcqRel) & REPORT != 0
    }

    /// Takes what has come; an interruption goes before all else.
    pub(crate) fn take(&self) -> Option<Signal> {
        match self.come.fetch_and(REPORT, Ordering::AcqRel) & !REPORT {
            0 => None,
            TERMINATE => Some(Signal::Terminate),
            _ => Some(Signal::Interrupt),
        }
    }
}
