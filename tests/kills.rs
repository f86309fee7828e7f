//! The broker dies and comes back without any memory: what living senders hold is not lost, doubled or given to others.

mod support;

use std::collections::HashMap;
use std::io::Write;
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

use e_pigeon_core::{Attributes, Value};
use socket2::Socket;
use support::address::Address;
use support::broker::Broker;
use support::deadline::Deadline;
use support::feed;
use support::hello::hello;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program};
use support::proxy::{Plan, Proxy};
use support::receipts::{self, Receipt};
use support::stage::Stage;
use support::text::{Text, assert_same};

const LINES: usize = 50_000;
const KILLS: usize = 5;

fn a_stream_to_three_listeners_survives_five_kills_of_the_broker(pairing: Pairing) {
    let by = Deadline::within(150);
    let stage = Stage::of(pairing);
    let text = Text::uneven(2, LINES);
    let mut broker = Broker::start(&stage, &by, &["--settle", "5s", "--keep-alive", "500ms"]);
    let plan = Plan { seed: 0xdead, mean_bytes: 512 * 1024, half_opens: 0 };
    let proxy = Proxy::start(broker.address(), plan);

    let count = LINES.to_string();
    let mut listeners = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        let arguments = ["--set", "room=lobby", "--count", &count];
        listeners.push(Program::listen(&stage, &by, name, proxy.address(), &arguments));
    }
    let mut sender =
        Program::send(&stage, "send", proxy.address(), &["--to", "room=lobby", "--json"], Input::Piped);
    // Slow enough for each life of the broker to be ended in mid-stream.
    feed::throttled(sender.take_stdin(), text.bytes().to_vec(), 32 * 1024, Duration::from_millis(10));

    for kill in 1..=KILLS {
        let goal = text.len_of(kill * LINES / (KILLS + 1));
        for listener in &mut listeners {
            listener.wait_stdout_len(&by, goal);
        }
        broker.kill();
        for listener in &listeners {
            assert!(listener.stdout_len() < text.len(), "kill {kill} came too late to be in mid-stream");
        }
        assert_eq!(sender.ended(), None, "kill {kill} came too late. {}", sender.describe());
        broker.restart(&by);
    }

    for listener in &mut listeners {
        listener.expect_exit(&by, 0);
        assert_same("a listener's output", &listener.stdout(), text.bytes());
    }
    let code = sender.wait_exit(&by);
    let counts = proxy.counts();
    println!("{:?} for {} bytes: {counts:?}", by.elapsed(), text.len());
    receipts::assert_all_delivered(&receipts::of(&sender), LINES, 3);
    assert_eq!(code, 0, "exit code of the sender. {}", sender.describe());
    assert!(counts.cuts() >= 20, "too few cuts for this test: {counts:?}");
    broker.stop(&by);
}

/// Lets the broker find a bug in itself, which only those of tests do. The connection is to be held until it has.
fn plant_bug(broker: Address, number: u128) -> Socket {
    let mut attributes = Attributes::new();
    attributes.set("planted-bug", Value::Bool(true)).expect("an attribute");
    let mut socket = broker.connect().expect("the broker accepts");
    socket.write_all(&hello(number, 1, attributes.as_ref())).expect("written");
    socket
}

fn a_broker_that_finds_bugs_in_itself_lives_three_times_more_and_then_ends(pairing: Pairing) {
    let by = Deadline::within(100);
    let stage = Stage::of(pairing);
    let text = Text::uneven(7, 10_000);
    let mut broker = Broker::start(&stage, &by, &["--settle", "500ms", "--keep-alive", "500ms"]);
    let count = text.lines().to_string();
    let arguments = ["--set", "room=lobby", "--count", &count];
    let mut listeners =
        ["anna", "bert"].map(|name| Program::listen(&stage, &by, name, broker.address(), &arguments));
    let mut sender =
        Program::send(&stage, "send", broker.address(), &["--to", "room=lobby", "--json"], Input::Piped);
    feed::throttled(sender.take_stdin(), text.bytes().to_vec(), 16 * 1024, Duration::from_millis(20));
    for bug in 1..=4 {
        for listener in &mut listeners {
            listener.wait_stdout_len(&by, text.len_of(bug * text.lines() / 6));
        }
        let planted = plant_bug(broker.address(), bug as u128);
        let program = broker.program();
        if bug == 4 {
            program.expect_exit(&by, 1);
            assert!(program.stderr().ends_with("internal error of the broker; please report it\n"));
        } else {
            by.wait("a new life of the broker", || {
                let lives = program.stderr().matches("which starts again without its state").count();
                assert_eq!(program.ended(), None, "{}", program.describe());
                if lives == bug { Ok(()) } else { Err(program.describe()) }
            });
        }
        drop(planted);
        assert_eq!(sender.ended(), None, "bug {bug} came too late. {}", sender.describe());
    }
    broker.restart(&by);
    for listener in &mut listeners {
        listener.expect_exit(&by, 0);
        assert_same("a listener's output", &listener.stdout(), text.bytes());
    }
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), text.lines(), 2);
    broker.stop(&by);
}

#[test]
fn a_broker_that_finds_bugs_in_itself_lives_three_times_more_and_then_ends_on_mio() {
    a_broker_that_finds_bugs_in_itself_lives_three_times_more_and_then_ends(Pairing::MIO_MIO);
}

#[test]
fn a_broker_that_finds_bugs_in_itself_lives_three_times_more_and_then_ends_on_smol() {
    a_broker_that_finds_bugs_in_itself_lives_three_times_more_and_then_ends(Pairing::SMOL_SMOL);
}

fn a_member_cut_off_while_the_broker_dies_gets_what_was_meant_for_it_and_a_newcomer_does_not(
    pairing: Pairing,
) {
    member_away_while_the_broker_dies(pairing, Absence::CutOff);
}

fn a_member_stopped_while_the_broker_dies_gets_what_was_meant_for_it_and_a_newcomer_does_not(
    pairing: Pairing,
) {
    member_away_while_the_broker_dies(pairing, Absence::Stopped);
}

/// How a member is away: the same process all along, so it lives.
#[derive(Clone, Copy, PartialEq)]
enum Absence {
    /// Its connection is cut, and no new one comes through.
    CutOff,
    /// It is stopped by SIGSTOP.
    Stopped,
}

/// The group and the sender of the tests with a late member.
struct Group {
    present: Vec<Program>,
    late: Program,
    late_way: Proxy,
    newcomer: Option<Program>,
    sender: Program,
    pipe: ChildStdin,
    fed: Vec<String>,
}

impl Group {
    /// Two members that stay, one whose way leads through a proxy, and a sender.
    fn start(stage: &Stage, by: &Deadline, broker: Address) -> Self {
        let member = |name, address| Program::listen(stage, by, name, address, &["--set", "room=lobby"]);
        let late_way = Proxy::start_clean(broker);
        let present = vec![member("anna", broker), member("bert", broker)];
        let late = member("late", late_way.address());
        let mut sender =
            Program::send(stage, "send", broker, &["--to", "room=lobby", "--json", "-vv"], Input::Piped);
        let pipe = sender.take_stdin();
        Self { present, late, late_way, newcomer: None, sender, pipe, fed: Vec::new() }
    }

    /// Gives the sender one line. What the tests feed in all fits into the pipe, so this does not block.
    fn feed(&mut self, batch: &str, number: usize) {
        let line = format!("{batch} {number:04}");
        writeln!(self.pipe, "{line}").expect("the sender reads");
        self.fed.push(line);
    }

    fn feed_all(&mut self, batch: &str, count: usize) {
        for number in 0..count {
            self.feed(batch, number);
        }
    }

    /// Waits until the members that stay have printed everything that was fed.
    fn wait_present(&mut self, by: &Deadline) {
        let len = self.fed.iter().map(|line| line.len() + 1).sum::<usize>();
        for member in &mut self.present {
            member.wait_stdout_len(by, u64::try_from(len).expect("a short text"));
        }
    }

    fn leave(&mut self, absence: Absence, by: &Deadline) {
        match absence {
            Absence::CutOff => {
                self.late_way.refuse();
                self.late.wait_said(by, "waiting for ", 1);
            }
            Absence::Stopped => self.late.signal("STOP"),
        }
    }

    fn come_back(&mut self, absence: Absence) {
        match absence {
            Absence::CutOff => self.late_way.be_clean(),
            Absence::Stopped => self.late.signal("CONT"),
        }
    }

    /// Ends the sender's input, and all programs; returns what they have to show.
    fn finish(mut self, by: &Deadline) -> Outcome {
        drop(self.pipe);
        let code = self.sender.wait_exit(by);
        let mut outputs = Vec::new();
        let members = self.present.iter_mut().chain([&mut self.late]).chain(self.newcomer.as_mut());
        for member in members {
            member.expect_exit_on(by, "TERM", 0);
            outputs.push(member.stdout_text().lines().map(str::to_owned).collect());
        }
        Outcome { fed: self.fed, outputs, receipts: receipts::of(&self.sender), code }
    }
}

/// What is left when all programs have ended.
struct Outcome {
    fed: Vec<String>,
    /// Of the two that stayed, of the late one, of the newcomer.
    outputs: Vec<Vec<String>>,
    receipts: Vec<Receipt>,
    code: i32,
}

impl Outcome {
    /// What holds in any case: nothing twice, nothing out of order, no receipt that counts more than have the message.
    fn check(&self) {
        let position: HashMap<&str, usize> =
            self.fed.iter().enumerate().map(|(at, line)| (line.as_str(), at)).collect();
        let mut holders = vec![0_i64; self.fed.len()];
        for (who, output) in self.outputs.iter().enumerate() {
            let mut next = 0;
            for line in output {
                let at = *position.get(line.as_str()).unwrap_or_else(|| panic!("nobody sent {line:?}"));
                assert!(at >= next, "output {who} has {line:?} twice or out of order");
                next = at + 1;
                holders[at] += 1;
            }
        }
        assert_eq!(self.receipts.len(), self.fed.len(), "one final receipt per line");
        for ((receipt, line), holders) in self.receipts.iter().zip(&self.fed).zip(holders) {
            assert!(receipt.delivered <= holders, "{line:?} came to {holders}, but {receipt:?}");
            assert!(receipt.delivered <= receipt.recipients, "{line:?}: {receipt:?}");
        }
        let all = self.receipts.iter().all(|receipt| receipt.status == "delivered");
        assert_eq!(self.code, i32::from(!all), "the sender's exit code says whether all was delivered");
    }

    /// Fails unless all lines of this batch are in this output.
    fn assert_has(&self, who: usize, batch: &str) {
        let missing: Vec<_> =
            self.batch(batch).filter(|(_, line)| !self.outputs[who].contains(line)).take(5).collect();
        assert!(missing.is_empty(), "output {who} lacks, among others, {missing:?}");
    }

    /// Fails if any line of this batch is in this output.
    fn assert_has_none(&self, who: usize, batch: &str) {
        let extra: Vec<_> =
            self.batch(batch).filter(|(_, line)| self.outputs[who].contains(line)).take(5).collect();
        assert!(extra.is_empty(), "output {who} has, among others, {extra:?}");
    }

    /// Fails unless the receipts of this batch say `delivered`, to so many.
    fn assert_delivered_to(&self, batch: &str, recipients: i64) {
        let receipts: Vec<Receipt> = self.batch(batch).map(|(receipt, _)| receipt.clone()).collect();
        receipts::assert_all_delivered(&receipts, receipts.len(), recipients);
        assert!(!receipts.is_empty(), "nothing was sent as {batch:?}");
    }

    fn batch(&self, batch: &str) -> impl Iterator<Item = (&Receipt, &String)> {
        let prefix = format!("{batch} ");
        self.receipts.iter().zip(&self.fed).filter(move |(_, line)| line.starts_with(&prefix))
    }
}

/// How many lines the sender gets while the broker dies.
const MID: usize = 600;

const FIRST: usize = 0;
const SECOND: usize = 1;
const LATE: usize = 2;
const NEWCOMER: usize = 3;

/// The broker dies in mid-stream while one member is away; a newcomer joins the group before that member returns, long after settling.
fn member_away_while_the_broker_dies(pairing: Pairing, absence: Absence) {
    let by = Deadline::within(60);
    let stage = Stage::of(pairing);
    let mut broker = Broker::start(&stage, &by, &["--settle", "1s", "--keep-alive", "500ms"]);
    let mut group = Group::start(&stage, &by, broker.address());

    group.feed_all("together", 100);
    group.wait_present(&by);
    group.late.wait_stdout_line(&by, "together 0099");

    group.leave(absence, &by);
    group.feed_all("before", 100);
    group.wait_present(&by);
    // The sender has the interim receipts of all that was fed: it knows the recipients of each message.
    group.sender.wait_stderr(&by, &format!("message {} is accepted for 3\n", group.fed.len()));

    // In mid-stream: bursts well below what a recipient remembers per sender, and more of them after the broker is dead.
    for number in 0..MID {
        if number == MID / 2 {
            let last = format!("mid {:04}", number / 2);
            group.present[FIRST].wait_stdout_line(&by, &last);
            broker.kill();
        }
        group.feed("mid", number);
        if number % 10 == 9 {
            thread::sleep(Duration::from_millis(5));
        }
    }
    broker.restart(&by);
    let newcomer = Program::listen(&stage, &by, "newcomer", broker.address(), &["--set", "room=lobby"]);
    group.newcomer = Some(newcomer);

    // Everybody else is through; much more than settling has passed; only then the late one is let back.
    group.wait_present(&by);
    thread::sleep(Duration::from_secs(2));
    assert!(!group.late.stdout_text().contains("mid 0599"), "the late one is not away");
    group.come_back(absence);
    // Its session at the new broker is there from then on.
    group.late.wait_said(&by, "connected to ", 2);
    group.late.wait_stdout_line(&by, "before 0099");

    group.feed_all("after", 100);
    group.wait_present(&by);
    let outcome = group.finish(&by);
    outcome.check();

    for who in [FIRST, SECOND] {
        assert_eq!(outcome.outputs[who], outcome.fed, "who was there all along has everything");
    }
    for batch in ["together", "before", "after"] {
        outcome.assert_has(LATE, batch);
    }
    outcome.assert_delivered_to("together", 3);
    outcome.assert_delivered_to("before", 3);
    outcome.assert_delivered_to("after", 4);
    outcome.assert_has_none(NEWCOMER, "together");
    outcome.assert_has_none(NEWCOMER, "before");
    outcome.assert_has(NEWCOMER, "after");
    broker.stop(&by);
}

in_all_pairings! {
    a_stream_to_three_listeners_survives_five_kills_of_the_broker,
    a_member_cut_off_while_the_broker_dies_gets_what_was_meant_for_it_and_a_newcomer_does_not,
    a_member_stopped_while_the_broker_dies_gets_what_was_meant_for_it_and_a_newcomer_does_not,
}
