//! SIGINT, SIGTERM and SIGHUP, for any loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::failure::Failure;
use crate::wake::Wake;

/// How long the program may take to end in good order. After this it ends where it is, whatever blocks.
const LIMIT: Duration = Duration::from_millis(900);

/// A signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    Terminate,
    HangUp,
}

impl Signal {
    /// The exit code of a program that a signal kept from its work, as shells know it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::HangUp => 129,
        }
    }

    /// The exit code of a program whose work has no end but a signal.
    pub(crate) fn success(self) -> u8 {
        0
    }

    fn of(number: i32) -> Self {
        match number {
            SIGINT => Self::Interrupt,
            SIGHUP => Self::HangUp,
            _ => Self::Terminate,
        }
    }

    fn mark(self) -> u8 {
        match self {
            Self::Interrupt => INTERRUPT,
            Self::Terminate => TERMINATE,
            Self::HangUp => HANG_UP,
        }
    }
}

const INTERRUPT: u8 = 1;
const TERMINATE: u8 = 2;
const HANG_UP: u8 = 4;
const REPORT: u8 = 8;
const AGAIN: u8 = 16;

/// The signal after which the program has [`LIMIT`] to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    First,
    Second,
}

/// The signals that have come.
#[derive(Debug)]
pub(crate) struct Signals {
    come: Arc<AtomicU8>,
}

impl Signals {
    /// Catches the signals of a client from now on; `wake` makes its loop look. A client that has not ended a second
    /// after the first one is ended, with this exit code: a name server, a full disk or a reader may hold its loop.
    pub(crate) fn catch_for_client(wake: Wake, code: fn(Signal) -> u8) -> Result<Self, Failure> {
        Self::catch(wake, &[], Last::First, code)
    }

    /// The same for a broker, which has a second from the second signal on, and SIGUSR1, which asks for a report.
    pub(crate) fn catch_for_broker(wake: Wake) -> Result<Self, Failure> {
        Self::catch(wake, &[SIGUSR1], Last::Second, Signal::success)
    }

    /// The same for work that has a result to show when it ends early.
    pub(crate) fn catch_for_work(wake: Wake) -> Result<Self, Failure> {
        Self::catch(wake, &[], Last::Second, Signal::exit_code)
    }

    /// A thread waits for the signals until the program ends: a handler itself may do next to nothing.
    fn catch(wake: Wake, more: &[i32], last: Last, code: fn(Signal) -> u8) -> Result<Self, Failure> {
        let mut wanted = vec![SIGINT, SIGTERM];
        // `nohup` starts a program that is to outlive its terminal.
        if !is_ignored(SIGHUP) {
            wanted.push(SIGHUP);
        }
        wanted.extend_from_slice(more);
        let come = Arc::new(AtomicU8::new(0));
        let seen = Arc::clone(&come);
        signal_hook::iterator::Signals::new(wanted)
            .and_then(|mut signals| {
                std::thread::Builder::new().name("signals".into()).spawn(move || {
                    let mut is_second = false;
                    for number in signals.forever() {
                        if number == SIGUSR1 {
                            seen.fetch_or(REPORT, Ordering::AcqRel);
                            wake();
                            continue;
                        }
                        let signal = Signal::of(number);
                        let again = if is_second { AGAIN } else { 0 };
                        seen.fetch_or(signal.mark() | again, Ordering::AcqRel);
                        wake();
                        if is_second || last == Last::First {
                            end_after_limit(i32::from(code(signal)));
                        }
                        is_second = true;
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

    /// A second signal has come: the program is to end at once.
    pub(crate) fn has_come_again(&self) -> bool {
        self.come.load(Ordering::Acquire) & AGAIN != 0
    }

    /// Takes what has come; an interruption goes before all else.
    pub(crate) fn take(&self) -> Option<Signal> {
        let come = self.come.fetch_and(REPORT | AGAIN, Ordering::AcqRel);
        let signals = [Signal::Interrupt, Signal::Terminate, Signal::HangUp];
        signals.into_iter().find(|signal| come & signal.mark() != 0)
    }
}

/// Ends the program if it has not ended by then, without asking any part of it.
fn end_after_limit(code: i32) {
    let end = move || {
        std::thread::sleep(LIMIT);
        signal_hook::low_level::exit(code);
    };
    if std::thread::Builder::new().name("limit".into()).spawn(end).is_err() {
        end();
    }
}

/// The program was started with this signal ignored. Only Linux says so to safe code.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
