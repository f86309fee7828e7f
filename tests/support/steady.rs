//! A normal stream, `send` to `listen`, that goes on for as long as a test does something else to the broker.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::address::Address;
use super::deadline::Deadline;
use super::program::{Input, Program};
use super::receipts;
use super::stage::Stage;
use super::text::assert_same;

/// A burst of lines, and the pause behind it: some 4,000 lines a second at most.
const BURST: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// The stream, its two programs and the thread that feeds it.
pub(crate) struct Steady {
    listener: Program,
    sender: Program,
    enough: Arc<AtomicBool>,
    feeder: Option<JoinHandle<Vec<u8>>>,
}

impl Steady {
    /// Starts it in a room of its own.
    pub(crate) fn start(stage: &Stage, by: &Deadline, broker: Address, room: &str) -> Self {
        let room = format!("room={room}");
        let listener = Program::listen(stage, by, "steady-listen", broker, &["--set", &room]);
        let mut sender =
            Program::send(stage, "steady-send", broker, &["--to", &room, "--json"], Input::Piped);
        let mut pipe = sender.take_stdin();
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let feeder = thread::spawn(move || {
            let mut fed = Vec::new();
            let mut number = 0_usize;
            while !stop.load(Ordering::SeqCst) {
                let from = fed.len();
                for _ in 0..BURST {
                    let line = format!("line {number} {}\n", "ä".repeat(number % 40));
                    fed.extend_from_slice(line.as_bytes());
                    number += 1;
                }
                if pipe.write_all(&fed[from..]).is_err() {
                    break;
                }
                thread::sleep(PAUSE);
            }
            fed
        });
        let mut steady = Self { listener, sender, enough, feeder: Some(feeder) };
        steady.wait_progress(by);
        steady
    }

    /// Waits until lines arrive that had not arrived before.
    pub(crate) fn wait_progress(&mut self, by: &Deadline) {
        let more = self.listener.stdout_len() + 1;
        self.listener.wait_stdout_len(by, more);
    }

    /// Ends it: everything that was fed must have arrived, once, in order, with its receipt.
    pub(crate) fn finish(mut self, by: &Deadline) {
        self.wait_progress(by);
        self.enough.store(true, Ordering::SeqCst);
        let feeder = self.feeder.take().expect("finished once");
        by.wait("the feeder of the steady stream to end (`send` does not read)", || {
            if feeder.is_finished() { Ok(()) } else { Err(self.sender.describe()) }
        });
        let fed = feeder.join().expect("the feeder does not panic");
        self.sender.expect_exit(by, 0);
        let lines = fed.iter().filter(|&&byte| byte == b'\n').count();
        receipts::assert_all_delivered(&receipts::of(&self.sender), lines, 1);
        self.listener.expect_exit_on(by, "TERM", 0);
        assert_same("the steady stream", &self.listener.stdout(), &fed);
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::SeqCst);
    }
}
