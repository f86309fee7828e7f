//! Stdout, written by a thread: a reader that is slow, stopped or gone holds no event loop.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;
use crate::waiting;
use crate::wake::Wake;

/// So much may wait for the reader; with more, a command takes no more events.
const ROOM: u64 = 256 * 1024;
/// The largest single write. Between two of them a command learns how far its output has got.
const CHUNK: usize = 64 * 1024;

/// What a command prints. [`Write`] collects, and never fails; [`hand_over`](Self::hand_over) starts the writing.
#[derive(Debug)]
pub(crate) struct Output {
    shared: Arc<Shared>,
    /// What was collected since it was last handed over.
    collected: Vec<u8>,
    handed_over: u64,
    /// How much was written when the command last looked.
    written: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    pending: Vec<u8>,
    /// How many bytes are written.
    written: u64,
    /// Why no more can be written, until the command has seen it.
    error: Option<io::Error>,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing can be written any more. The first reason counts.
    fn fail(&self, error: io::Error, wake: &Wake) {
        let mut state = self.lock();
        if !mem::replace(&mut state.is_over, true) {
            state.error = Some(error);
        }
        drop(state);
        self.changed.notify_all();
        wake();
    }
}

impl Output {
    /// Starts the threads. `wake` is called when something was written, when that failed, and when nobody can read it
    /// any more. The threads end with the program: nothing waits for them.
    pub(crate) fn start(wake: Wake) -> Result<Self, Failure> {
        let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let stdout = stdout.map_err(|error| Failure::system("use stdout", &error))?;
        Self::start_on(stdout, wake).map_err(|error| Failure::system("start a thread for stdout", &error))
    }

    fn start_on(file: File, wake: Wake) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let watched = file.try_clone()?;
        let (writing, watching, woken) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&wake));
        std::thread::Builder::new().name("stdout".into()).spawn(move || write(&writing, &file, &wake))?;
        std::thread::Builder::new().name("stdout-reader".into()).spawn(move || {
            if waiting::for_end_of_reader(&watched) {
                watching.fail(io::ErrorKind::BrokenPipe.into(), &woken);
            }
        })?;
        Ok(Self { shared, collected: Vec::new(), handed_over: 0, written: 0 })
    }

    /// Where the next byte will be, counted from the first.
    pub(crate) fn position(&self) -> u64 {
        self.handed_over + self.collected.len() as u64
    }

    /// There is room for more. If there is none, the command is woken when to look again.
    pub(crate) fn has_room(&self) -> bool {
        self.position() - self.written < ROOM
    }

    /// Lets the thread write what was collected.
    pub(crate) fn hand_over(&mut self) {
        if self.collected.is_empty() {
            return;
        }
        self.handed_over = self.position();
        let mut state = self.shared.lock();
        if state.pending.is_empty() {
            mem::swap(&mut state.pending, &mut self.collected);
        } else {
            state.pending.extend_from_slice(&self.collected);
        }
        drop(state);
        self.collected.clear();
        self.shared.changed.notify_all();
    }

    /// Says up to which position everything is written. The reason why no more can be is reported once.
    pub(crate) fn written(&mut self) -> (u64, io::Result<()>) {
        let mut state = self.shared.lock();
        self.written = state.written;
        (state.written, state.error.take().map_or(Ok(()), Err))
    }

    /// Everything that was handed over is written, as far as [`written`](Self::written) knows.
    pub(crate) fn is_drained(&self) -> bool {
        self.position() == self.written
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.collected.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what is handed over, until that fails.
fn write(shared: &Shared, mut out: &File, wake: &Wake) {
    let mut block = Vec::new();
    loop {
        let mut state = shared.lock();
        while state.pending.is_empty() && !state.is_over {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_over {
            return;
        }
        block.clear();
        mem::swap(&mut state.pending, &mut block);
        drop(state);
        let mut left = block.as_slice();
        while !left.is_empty() {
            match out.write(&left[..left.len().min(CHUNK)]) {
                Ok(0) => return shared.fail(io::ErrorKind::WriteZero.into(), wake),
                Ok(count) => {
                    left = &left[count..];
                    shared.lock().written += count as u64;
                    shared.changed.notify_all();
                    wake();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A program that shares the terminal or the pipe can make it so.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => waiting::for_room(&out),
                Err(error) => return shared.fail(error, wake),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::{Receiver, channel};

    /// An output into a pipe, the other end, and what is sent at each wake-up.
    fn piped() -> (Output, PipeReader, Receiver<()>) {
        let (reader, writer) = pipe().expect("a pipe");
        let (sender, woken) = channel();
        let wake: Wake = Arc::new(move || sender.send(()).unwrap_or_default());
        let output = Output::start_on(File::from(OwnedFd::from(writer)), wake).expect("threads");
        (output, reader, woken)
    }

    #[test]
    fn program_4_what_is_written_is_known_and_what_is_not_takes_room() {
        let (mut output, mut reader, woken) = piped();
        output.write_all(b"one\n").expect("collected");
        assert_eq!((output.position(), output.is_drained()), (4, false));
        output.hand_over();
        let mut seen = [0; 4];
        reader.read_exact(&mut seen).expect("written");
        woken.recv().expect("woken");
        assert_eq!(output.written().0, 4);
        assert!(output.is_drained() && output.has_room());

        // A pipe takes 64 KiB, so the rest has to wait for its reader.
        output.write_all(&vec![b'x'; 512 * 1024]).expect("collected");
        assert!(!output.has_room());
        output.hand_over();
        assert!(output.written().0 < 512 * 1024, "nobody reads it");
        let mut rest = vec![0; 512 * 1024];
        reader.read_exact(&mut rest).expect("written");
        while output.written().0 < 4 + 512 * 1024 {
            woken.recv().expect("woken");
        }
        assert!(output.is_drained());
    }

    #[test]
    fn field_s2_the_end_of_a_reader_is_noticed_without_a_write() {
        let (mut output, reader, woken) = piped();
        drop(reader);
        woken.recv().expect("woken");
        assert_eq!(output.written().1.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
        assert!(output.written().1.is_ok(), "once");
    }
}
