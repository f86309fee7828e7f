//! The node on a line that damages frames, with the program as its other end: nothing of it may show, but the time that it
//! takes.

use super::support::broker::Broker;
use super::support::deadline::Deadline;
use super::support::pairing::Pairing;
use super::support::program::{Input, Program};
use super::support::proxy::Proxy;
use super::support::stage::Stage;
use super::{Board, NODE, port, wait_readings};

/// A line where one frame in `one_in` is damaged, of which `damages` must have been when `readings` are there.
struct Line {
    pairing: Pairing,
    one_in: u64,
    readings: usize,
    damages: u64,
}

impl Line {
    /// Runs the node at the far end of it. The collector is on the line as well, over a connection of its own.
    fn carries_readings(&self) {
        let by = Deadline::within(90);
        let stage = Stage::of(self.pairing);
        let broker = Broker::start_on_line(&stage, &by, &["--keep-alive", "500ms", "--settle", "100ms"]);
        let proxy = Proxy::start_damaging(broker.address(), self.one_in, self.one_in);
        let line = format!("cobs:{}", proxy.address());
        let collector = Program::listen(&stage, &by, "collector", &line, &["--set", "role=collector"]);
        let board = Board::start(
            &stage,
            "sensor-line",
            &[port(proxy.address())],
            0x0123_4567_89ab_cdef ^ self.one_in,
        );
        let had = wait_readings(&collector, &by, 3);
        // So often that damage hits something.
        let arguments = ["--to", NODE, "every 20"];
        let mut sender = Program::send(&stage, "command", &line, &arguments, Input::Nothing);
        sender.expect_exit(&by, 0);
        wait_readings(&collector, &by, had + self.readings);
        let damages = proxy.damages();
        println!("{} readings in {:?}: {damages:?}", self.readings, by.elapsed());
        damages.expect(self.damages);
        board.stop();
        broker.stop(&by);
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_where_one_frame_in_a_hundred_is_damaged_with_mio() {
    Line { pairing: Pairing::MIO_MIO, one_in: 100, readings: 800, damages: 12 }.carries_readings();
}

#[test]
fn nothing_is_lost_doubled_or_reordered_where_one_frame_in_a_hundred_is_damaged_with_smol() {
    Line { pairing: Pairing::SMOL_SMOL, one_in: 100, readings: 800, damages: 12 }.carries_readings();
}

#[test]
fn where_one_frame_in_ten_is_damaged_it_is_slow_but_right() {
    Line { pairing: Pairing::SMOL_MIO, one_in: 10, readings: 200, damages: 60 }.carries_readings();
}
