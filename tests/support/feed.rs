//! Writers for a child's stdin, on threads of their own: the child may pause its reading, the test must not hang with it.

use std::io::Write;
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

/// Writes all of it, then closes the pipe. A child that ends early ends the writing.
pub(crate) fn all(mut pipe: ChildStdin, bytes: Vec<u8>) {
    thread::spawn(move || {
        let _ = pipe.write_all(&bytes);
    });
}

/// Writes `chunk` bytes, pauses, and so on to the end; then closes the pipe.
pub(crate) fn throttled(mut pipe: ChildStdin, bytes: Vec<u8>, chunk: usize, pause: Duration) {
    thread::spawn(move || {
        for part in bytes.chunks(chunk) {
            if pipe.write_all(part).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    });
}
