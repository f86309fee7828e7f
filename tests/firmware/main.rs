//! The firmware of `examples/firmware` in QEMU, its serial line on a TCP socket of the real broker.
//!
//! Needs QEMU and the programs that `examples/firmware/run` builds; that script runs it, and nothing else does.

#![allow(clippy::unwrap_used)]

mod board;
mod line;
mod mux;
// The firmware's own, public there.
#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/firmware/src/mux.rs"]
mod pieces;
mod routing;
#[path = "../support/mod.rs"]
mod support;

use std::thread;
use std::time::Duration;

use board::Board;
use support::address::Address;
use support::broker::Broker;
use support::deadline::Deadline;
use support::program::{Input, Program};
use support::proxy::Proxy;
use support::stage::Stage;

/// Who the node is; it stands in its program.
const NODE: &str = "5e450000-0000-4000-8000-000000000001";

fn port(address: Address) -> u16 {
    match address {
        Address::Tcp(address) => address.port(),
        Address::Unix(path) => panic!("QEMU is given a port, not {}", path.display()),
    }
}

/// The numbers of the readings that a collector has, in the order in which they came.
fn readings(collector: &Program) -> Vec<u32> {
    let number = |line: &str| line.split(' ').nth(1).and_then(|number| number.parse().ok());
    let text = collector.stdout_text();
    text.lines().map(|line| number(line).unwrap_or_else(|| panic!("no reading: {line}"))).collect()
}

/// Waits until so many readings are there, which must be the first so many, each once and in order.
fn wait_readings(collector: &Program, by: &Deadline, count: usize) -> usize {
    let found = by.wait("readings", || {
        let found = readings(collector);
        if found.len() >= count { Ok(found) } else { Err(format!("{} of {count}", found.len())) }
    });
    let expected: Vec<u32> = (1..).take(found.len()).collect();
    assert_eq!(found, expected, "each once, and in order");
    found.len()
}

/// Sends the node a command, which must arrive.
fn command(stage: &Stage, by: &Deadline, broker: &Broker, text: &str) {
    let arguments = ["--to", NODE, text];
    let mut sender = Program::send(stage, "command", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(by, 0);
}

const SERVE: [&str; 4] = ["--keep-alive", "300ms", "--settle", "100ms"];

#[test]
fn a_sensor_node_comes_back_after_its_line_was_cut_and_after_the_broker_died() {
    let by = Deadline::within(90);
    let stage = Stage::new();
    let mut broker = Broker::start(&stage, &by, &SERVE);
    let proxy = Proxy::start_clean(broker.address());
    let collector = Program::listen(&stage, &by, "collector", broker.address(), &["--set", "role=collector"]);
    let board = Board::start(&stage, "sensor", &[port(proxy.address())], 0x1234_5678_9abc_def1);
    let mut had = wait_readings(&collector, &by, 5);

    // It is who it says, and does what it is told.
    let mut peers = Program::client(&stage, "peers", "peers", broker.address(), &[], Input::Nothing);
    peers.expect_exit(&by, 0);
    assert!(peers.stdout_text().contains(&format!("{NODE} connected kind=sensor")), "{}", peers.describe());
    command(&stage, &by, &broker, "every 20");
    let elapsed = by.elapsed();
    had = wait_readings(&collector, &by, had + 50);
    assert!(by.elapsed() - elapsed < Duration::from_secs(9), "50 readings at 200 ms take 10 s");

    for _ in 0..4 {
        proxy.refuse();
        thread::sleep(Duration::from_millis(700));
        proxy.be_clean();
        had = wait_readings(&collector, &by, had + 20);
    }
    broker.kill();
    thread::sleep(Duration::from_millis(300));
    broker.restart(&by);
    wait_readings(&collector, &by, had + 40);
    check_status(&stage, &by, &broker);
    board.stop();
    broker.stop(&by);
}

/// Asks the node how it is; `run` holds that to the budgets.
fn check_status(stage: &Stage, by: &Deadline, broker: &Broker) {
    let address = broker.address().to_string();
    let identity = stage.fresh_path("asker").display().to_string();
    let status = ask(stage, by, &address, NODE, &identity, &[]);
    for name in ["stack", "client"] {
        println!("measured: {name} {}", value(&status, name));
    }
}

/// Asks whoever has that UUID for its status, as the client in that file, with these further arguments; returns the numbers.
fn ask(
    stage: &Stage,
    by: &Deadline,
    address: &str,
    whom: &str,
    identity: &str,
    arguments: &[&str],
) -> Vec<(String, u32)> {
    // A program that sends does not receive; one that comes with the same identity afterwards does.
    let arguments = [&["--identity", identity], arguments].concat();
    let question = [&arguments[..], &["--to", whom, "status"]].concat();
    let mut sender = Program::send(stage, "ask", address, &question, Input::Nothing);
    sender.expect_exit(by, 0);
    let to_answer = [&arguments[..], &["--count", "1"]].concat();
    let mut asker = Program::listen(stage, by, "answer", address, &to_answer);
    asker.expect_exit(by, 0);
    let text = asker.stdout_text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].parse().unwrap_or_else(|_| panic!("{text}")));
    words.chunks_exact(2).map(pair).collect()
}

/// A number that was answered.
fn value(status: &[(String, u32)], name: &str) -> u32 {
    let found = status.iter().find(|(of, _)| of == name);
    found.unwrap_or_else(|| panic!("no {name}: {status:?}")).1
}
