//! The broker on the microcontroller: four clients over two serial lines, each of them the program, and the service in its own
//! program.

use std::io::Write;
use std::net::TcpStream;

use super::board::Board;
use super::mux::Mux;
use super::support::deadline::Deadline;
use super::support::program::{Input, Program};
use super::support::receipts::{self, Receipt, assert_all_delivered};
use super::support::stage::Stage;
use super::{ask, value};

/// Who the service is; it stands in its program.
const SERVICE: &str = "5e450000-0000-4000-8000-0000000000b0";

/// The board with both its lines.
struct Device {
    stage: Stage,
    by: Deadline,
    lines: [Mux; 2],
    board: Board,
    /// Who sends and who asks: always the same client, because there are places for four.
    identity: String,
}

impl Device {
    fn start(seconds: u64) -> Self {
        let stage = Stage::new();
        let lines = [Mux::start(), Mux::start()];
        let ports = [lines[0].board_port(), lines[1].board_port()];
        let board = Board::start(&stage, "broker", &ports, 0x0fed_cba9_8765_4321);
        let identity = stage.fresh_path("identity").display().to_string();
        Self { stage, by: Deadline::within(seconds), lines, board, identity }
    }

    /// A listener on one of the lines, with four attributes.
    fn listener(&self, line: usize, name: &str, room: &str) -> Program {
        let (name_is, room_is) = (format!("name={name}"), format!("room={room}"));
        let attributes = ["--set", &name_is, "--set", &room_is, "--set", "kind=lamp", "--set", "floor=1"];
        Program::listen(&self.stage, &self.by, name, self.lines[line].address(), &attributes)
    }

    /// Somebody for whom there is no place.
    fn refused(&self, line: usize, name: &str) -> Program {
        let address = self.lines[line].address();
        let mut program = Program::client(&self.stage, name, "listen", address, &[], Input::Nothing);
        program.wait_said(&self.by, "waiting for ", 1);
        assert!(program.stderr().contains("the broker is full"), "{}", program.describe());
        program
    }

    /// Sends these lines and returns their receipts, when all are there.
    fn send(&self, line: usize, to: &str, lines: &[&str]) -> Vec<Receipt> {
        self.send_with(line, &["--to", to, "--set", "kind=switch"], lines)
    }

    fn send_with(&self, line: usize, arguments: &[&str], lines: &[&str]) -> Vec<Receipt> {
        let input = lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
        let arguments = [arguments, &["--identity", &self.identity, "--json"]].concat();
        let address = self.lines[line].address();
        let mut sender =
            Program::send(&self.stage, "send", address, &arguments, Input::Bytes(input.into_bytes()));
        sender.wait_exit(&self.by);
        receipts::of(&sender)
    }

    /// Sends these lines to somebody who does not read them: the first `taken` are accepted, the others refused.
    fn fill(&self, to: &str, lines: &[&str], expire: &str, taken: usize, reason: &str) {
        let arguments = ["--to", to, "--until", "accepted", "--expire", expire];
        let receipts = self.send_with(1, &arguments, lines);
        assert_eq!(receipts.len(), lines.len(), "{receipts:?}");
        let (accepted, refused) = receipts.split_at(taken);
        assert!(accepted.iter().all(|receipt| receipt.status == "accepted"), "{receipts:?}");
        assert!(refused.iter().all(|receipt| receipt.reason.as_deref() == Some(reason)), "{receipts:?}");
    }

    /// Asks the service how the broker is; the attributes are those of whoever asks.
    fn status(&self, attributes: &[&str]) -> Vec<(String, u32)> {
        ask(&self.stage, &self.by, &self.lines[1].address(), SERVICE, &self.identity, attributes)
    }

    fn expect_lines(&self, listener: &mut Program, lines: &[&str]) {
        let wanted: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        listener.wait_stdout_len(&self.by, u64::try_from(wanted.len()).unwrap());
        assert_eq!(listener.stdout_text(), wanted);
    }
}

/// Two listeners have got what the receipts say, once and in order: a queue is short, so that some may have been refused.
fn expect_told(by: &Deadline, listeners: [&mut Program; 2], sent: &[&str], receipts: &[Receipt]) {
    let mut heard = 0;
    for listener in listeners {
        listener.wait_stdout_line(by, "to all");
        let text = listener.stdout_text();
        let mut lines = text.lines().peekable();
        for (line, receipt) in sent.iter().zip(receipts) {
            let is_next = lines.next_if_eq(line).is_some();
            heard += i64::from(is_next);
            let may_be = if is_next { receipt.delivered > 0 } else { receipt.delivered < 2 };
            assert!(may_be, "{line}: {receipt:?}");
        }
        assert_eq!(lines.collect::<Vec<_>>(), ["to all"], "{}", listener.describe());
    }
    assert_eq!(heard, receipts.iter().map(|receipt| receipt.delivered).sum::<i64>());
    assert!(heard > 200, "{heard} of 400 were delivered");
}

#[test]
fn four_clients_reach_each_other_and_the_broker_itself() {
    let device = Device::start(90);
    let mut anna = device.listener(0, "anna", "hall");
    let mut bert = device.listener(0, "bert", "hall");
    let mut carl = device.listener(1, "carl", "attic");
    let uuid = carl.wait_connected(&device.by);

    // Four clients with four attributes each, and the service.
    let attributes =
        ["--set", "name=dora", "--set", "room=cellar", "--set", "kind=asker", "--set", "floor=0"];
    let status = device.status(&attributes);
    println!("measured: heap {}", value(&status, "heap"));
    // The service says in its attributes that it was asked, and is found by that.
    assert_all_delivered(&device.send(0, "asked=1", &["thanks"]), 1, 1);

    // By attributes, to those on the other line; to a UUID; to everyone, the service among them.
    let numbers: Vec<String> = (0..200).map(|number| format!("message {number} to the hall")).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let receipts = device.send(1, "room=hall", &numbers);
    assert_all_delivered(&device.send(1, &uuid, &["to carl alone", "and again"]), 2, 1);
    assert_all_delivered(&device.send(0, "everyone", &["to all"]), 1, 4);
    expect_told(&device.by, [&mut anna, &mut bert], &numbers, &receipts);
    device.expect_lines(&mut carl, &["to carl alone", "and again", "to all"]);

    let status = device.status(&attributes);
    println!("after messages: {status:?}");
    assert!(value(&status, "most") <= value(&status, "worst"), "{status:?}");
    device.board.stop();
}

#[test]
fn at_its_limits_it_refuses_and_stays_up() {
    let device = Device::start(90);
    let mut anna = device.listener(0, "anna", "hall");
    let mut bert = device.listener(1, "bert", "attic");
    let mut carl = device.listener(0, "carl", "cellar");

    // Sessions: four clients and the service. Links: one more, which somebody here keeps who never says hello.
    let mut dora = device.listener(1, "dora", "cellar");
    let mut emil = device.refused(1, "emil");
    let mut half_open = TcpStream::connect(device.lines[0].address()).unwrap();
    half_open.write_all(&[100]).unwrap();
    device.refused(0, "frank").kill();
    // Whoever is refused comes again, and gets in when there is a place.
    dora.expect_exit_on(&device.by, "TERM", 0);
    emil.wait_connected(&device.by);
    emil.expect_exit_on(&device.by, "TERM", 0);
    drop(half_open);

    // Of what nobody is there for, two messages wait. A destination that is too long is none.
    device.fill("name=nobody", &["1", "2", "3"], "500ms", 2, "broker full");
    device.fill(&format!("name={}", "x".repeat(64)), &["1"], "1m", 0, "too large");
    // A queue takes four, and all of them six of this size: four for anna, two for bert, none for carl.
    let texts: Vec<String> = (1..=5).map(|number| format!("{number:064}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    anna.signal("STOP");
    bert.signal("STOP");
    device.fill("name=anna", &texts, "1m", 4, "queue full");
    device.fill("name=bert", &texts[..3], "1m", 2, "broker full");
    device.fill("name=carl", &texts[..1], "1m", 0, "broker full");

    // What was taken arrives, and then there is room again.
    anna.signal("CONT");
    bert.signal("CONT");
    device.expect_lines(&mut anna, &texts[..4]);
    device.expect_lines(&mut bert, &texts[..2]);
    assert_all_delivered(&device.send(1, "kind=lamp", &["to all lamps"]), 1, 3);
    device.expect_lines(&mut carl, &["to all lamps"]);
    let status = device.status(&[]);
    println!("at its limits: {status:?}");
    assert!(value(&status, "most") <= value(&status, "worst"), "{status:?}");
    device.board.stop();
}
