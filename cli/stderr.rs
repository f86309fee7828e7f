//! Lines on stderr: the log, and what people read. A thread writes them, so that a stderr that fails, or that nobody
//! reads, neither ends the program nor stops it.

use std::io::{self, Write};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::waiting;

/// So much text may wait to be written. A line that finds no room is dropped and counted.
const ROOM: usize = 256 * 1024;

/// What waits to be written.
static PENDING: Mutex<Pending> = Mutex::new(Pending::new());
/// There is something to write, or nothing any more.
static CHANGED: Condvar = Condvar::new();

struct Pending {
    /// Whole lines.
    text: Vec<u8>,
    /// How many lines found no room behind them.
    dropped: u64,
    /// The thread is there.
    is_started: bool,
    /// The thread is writing what it took.
    is_busy: bool,
    /// Somebody has waited for that in vain, so nobody waits until it is done.
    is_stuck: bool,
}

impl Pending {
    const fn new() -> Self {
        Self { text: Vec::new(), dropped: 0, is_started: false, is_busy: false, is_stuck: false }
    }

    /// Takes a line, or counts it. Once one is dropped, so are those behind it, until there is room for the count.
    fn push(&mut self, line: &[u8]) {
        if self.dropped > 0 || self.text.len() + line.len() > ROOM {
            self.dropped += 1;
        } else {
            self.text.extend_from_slice(line);
        }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.dropped == 0
    }
}

fn pending() -> MutexGuard<'static, Pending> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread that writes. It ends with the program: nothing waits for it but [`flush`].
pub(crate) fn start() -> Result<(), Failure> {
    let write = || {
        let mut writer = Writer { out: io::stderr(), lost: 0, is_cut: false };
        loop {
            let mut pending = pending();
            while pending.is_empty() {
                (pending.is_busy, pending.is_stuck) = (false, false);
                CHANGED.notify_all();
                pending = CHANGED.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            pending.is_busy = true;
            let (text, dropped) = (mem::take(&mut pending.text), mem::take(&mut pending.dropped));
            drop(pending);
            writer.write(&text, dropped);
        }
    };
    let thread = std::thread::Builder::new().name("stderr".into()).spawn(write);
    thread.map_err(|error| Failure::system("start a thread for stderr", &error))?;
    pending().is_started = true;
    Ok(())
}

/// Writes a line, which has its newline, without waiting for anything.
pub(crate) fn line(line: &[u8]) {
    let mut pending = pending();
    if pending.is_started {
        pending.push(line);
        CHANGED.notify_all();
    } else {
        drop(pending);
        // One call, so that the lines of several programs on one terminal do not mix.
        let _ = io::stderr().write_all(line);
    }
}

/// Waits until all lines are written, no longer than this, and not at all once that was in vain.
pub(crate) fn flush(limit: Duration) {
    let deadline = Instant::now() + limit;
    let mut pending = pending();
    while pending.is_started && !pending.is_stuck && (pending.is_busy || !pending.is_empty()) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            pending.is_stuck = true;
            return;
        }
        pending = CHANGED.wait_timeout(pending, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The log's way in; it never fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Write for Log {
    /// Takes one event: that is what the log hands over in one call.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        line(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines, and counts those that cannot be written until it can say so.
struct Writer<W> {
    out: W,
    lost: u64,
    /// What was written last is no whole line.
    is_cut: bool,
}

impl<W: Write> Writer<W> {
    /// Writes lines, and how many were dropped behind them.
    fn write(&mut self, text: &[u8], dropped: u64) {
        if !text.is_empty() {
            self.say_what_was_lost();
            if self.lost > 0 {
                self.lost += lines(text);
            } else {
                let left = self.put(text);
                self.lost += lines(left);
            }
        }
        self.lost += dropped;
        if dropped > 0 {
            self.say_what_was_lost();
        }
    }

    fn say_what_was_lost(&mut self) {
        if self.lost > 0 {
            let (count, plural) = (self.lost, if self.lost == 1 { " was" } else { "s were" });
            let cut = if self.is_cut { "\n" } else { "" };
            let note = format!("{cut}{count} line{plural} dropped here, because stderr did not take them\n");
            if self.put(note.as_bytes()).is_empty() {
                self.lost = 0;
            }
        }
    }

    /// Writes as much as can be, and returns what is left.
    fn put<'a>(&mut self, mut text: &'a [u8]) -> &'a [u8] {
        while !text.is_empty() {
            match self.out.write(text) {
                Ok(0) => break,
                Ok(count) => {
                    self.is_cut = text[count - 1] != b'\n';
                    text = &text[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A program that shares the terminal can make it so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => waiting::for_room(&io::stderr()),
                Err(_) => break,
            }
        }
        text
    }
}

fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room - self.written.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn field_f1_lines_that_fail_are_counted_and_the_count_is_written_when_there_is_room() {
        let disk = Disk { written: Vec::new(), room: 6 };
        let mut writer = Writer { out: disk, lost: 0, is_cut: false };
        writer.write(b"one\ntwo\nthree\n", 0);
        writer.write(b"four\n", 2);
        assert_eq!(writer.out.written, b"one\ntw");
        writer.out.room = 1000;
        writer.write(b"five\n", 0);
        let text = String::from_utf8(writer.out.written).expect("text");
        assert_eq!(text, "one\ntw\n5 lines were dropped here, because stderr did not take them\nfive\n");
    }

    #[test]
    fn field_f2_lines_without_room_are_counted_behind_those_that_had_it() {
        let mut pending = Pending::new();
        pending.push(&vec![b'x'; ROOM - 1]);
        pending.push(b"too long\n");
        pending.push(b"\n");
        assert_eq!((pending.text.len(), pending.dropped), (ROOM - 1, 2));
        let mut writer = Writer { out: Disk { written: Vec::new(), room: 1000 }, lost: 0, is_cut: false };
        writer.write(b"a\n", 1);
        assert!(writer.out.written.starts_with(b"a\n1 line was dropped here"));
    }
}
