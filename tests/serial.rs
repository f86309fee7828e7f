//! The real program over serial lines, which are real terminals: the same promises, with one client on each line.

#![cfg(unix)]

mod support;

use std::time::Duration;

use support::deadline::Deadline;
use support::feed;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program};
use support::receipts;
use support::serial::Line;
use support::stage::Stage;
use support::text::{Text, assert_same};

/// So many frames are never damaged: a line as it should be.
const NEVER: u64 = u64::MAX;

/// Starts a broker on these lines, and waits until it has them.
fn serve(stage: &Stage, by: &Deadline, lines: &[&Line], options: &[&str]) -> Program {
    let ends: Vec<String> = lines.iter().map(|line| line.broker_end()).collect();
    let mut arguments = vec!["serve"];
    for end in &ends {
        arguments.extend(["--serial", end]);
    }
    arguments.extend(options);
    let mut program = Program::start(stage, "serve", &arguments, Input::Nothing);
    for end in &ends {
        program.wait_stdout_line(by, &format!("listening on serial:{end}"));
    }
    program
}

fn start_listener(stage: &Stage, by: &Deadline, line: &Line, text: &Text) -> Program {
    let count = text.lines().to_string();
    Program::listen(stage, by, "listen", line.client_end(), &["--set", "room=lobby", "--count", &count])
}

fn start_sender(stage: &Stage, line: &Line, input: Input) -> Program {
    Program::send(stage, "send", line.client_end(), &["--to", "room=lobby", "--json"], input)
}

fn expect_all(by: &Deadline, text: &Text, listener: &mut Program, sender: &mut Program) {
    listener.expect_exit(by, 0);
    assert_same("the listener's output", &listener.stdout(), text.bytes());
    sender.expect_exit(by, 0);
    receipts::assert_all_delivered(&receipts::of(sender), text.lines(), 1);
}

fn lines_go_over_two_serial_lines_and_one_client_after_the_other_has_them(pairing: Pairing) {
    let by = Deadline::within(60);
    let stage = Stage::of(pairing);
    let (to_sender, to_listener) = (Line::lay(&stage, 1, NEVER), Line::lay(&stage, 2, NEVER));
    let mut broker = serve(&stage, &by, &[&to_sender, &to_listener], &[]);
    for seed in 21..23 {
        let text = Text::uneven(seed, 2_000);
        let mut listener = start_listener(&stage, &by, &to_listener, &text);
        let mut sender = start_sender(&stage, &to_sender, Input::Bytes(text.bytes().to_vec()));
        expect_all(&by, &text, &mut listener, &mut sender);
    }
    println!("{:?}", by.elapsed());
    broker.expect_exit_on(&by, "TERM", 0);
}

fn a_stream_over_damaging_lines_goes_on_when_one_was_taken_away_and_laid_again(pairing: Pairing) {
    let by = Deadline::within(90);
    let stage = Stage::of(pairing);
    let text = Text::uneven(23, 2_500);
    let (mut to_sender, mut to_listener) = (Line::lay(&stage, 3, 100), Line::lay(&stage, 4, 100));
    let mut broker = serve(&stage, &by, &[&to_sender, &to_listener], &["--keep-alive", "300ms"]);
    let mut listener = start_listener(&stage, &by, &to_listener, &text);
    let mut sender = start_sender(&stage, &to_sender, Input::Piped);
    feed::throttled(sender.take_stdin(), text.bytes().to_vec(), 2 * 1024, Duration::from_millis(10));

    listener.wait_stdout_len(&by, text.len_of(500));
    to_sender.cut();
    sender.wait_said(&by, "waiting for ", 1);
    to_sender.lay_again();
    listener.wait_stdout_len(&by, text.len_of(1_000));
    to_listener.cut();
    listener.wait_said(&by, "waiting for ", 1);
    to_listener.lay_again();
    expect_all(&by, &text, &mut listener, &mut sender);
    let (one, other) = (to_sender.damage().counts(), to_listener.damage().counts());
    println!("{:?}: {one:?} {other:?}", by.elapsed());
    assert!(one.all() >= 10 && other.all() >= 10, "too little damage for this test: {one:?} {other:?}");
    broker.expect_exit_on(&by, "TERM", 0);
}

fn a_broker_that_is_killed_and_replaced_on_the_same_lines_is_noticed(pairing: Pairing) {
    let by = Deadline::within(90);
    let stage = Stage::of(pairing);
    let text = Text::uneven(24, 2_500);
    let (to_sender, to_listener) = (Line::lay(&stage, 5, 100), Line::lay(&stage, 6, 100));
    let lines = [&to_sender, &to_listener];
    // Silence would tell after three seconds; who speaks is answered at once.
    let options = ["--keep-alive", "1s", "--settle", "3s"];
    let mut broker = serve(&stage, &by, &lines, &options);
    let mut listener = start_listener(&stage, &by, &to_listener, &text);
    let mut sender = start_sender(&stage, &to_sender, Input::Piped);
    feed::throttled(sender.take_stdin(), text.bytes().to_vec(), 2 * 1024, Duration::from_millis(10));
    for kill in 1..=2 {
        listener.wait_stdout_len(&by, text.len_of(kill * 600));
        broker.kill();
        assert!(listener.stdout_len() < text.len(), "kill {kill} came too late to be in mid-stream");
        broker = serve(&stage, &by, &lines, &options);
        let again = by.elapsed();
        sender.wait_said(&by, "connected to ", kill + 1);
        let took = by.elapsed() - again;
        assert!(took < Duration::from_secs(2), "noticed only after {took:?}");
    }
    expect_all(&by, &text, &mut listener, &mut sender);
    println!("{:?}", by.elapsed());
    broker.expect_exit_on(&by, "TERM", 0);
}

fn a_line_is_for_one_program_and_the_next_one_waits_for_it(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let line = Line::lay(&stage, 7, NEVER);
    let mut broker = serve(&stage, &by, &[&line], &[]);

    let mut second =
        Program::start(&stage, "second", &["serve", "--serial", &line.broker_end()], Input::Nothing);
    second.expect_exit(&by, 1);
    let complaints = second.complaints();
    assert!(
        complaints.len() == 1 && complaints[0].contains("another program uses the line; stop it"),
        "one line: {complaints:?}"
    );

    let mut first = Program::listen(&stage, &by, "first", line.client_end(), &[]);
    let mut next = Program::client(&stage, "next", "listen", line.client_end(), &[], Input::Nothing);
    next.wait_said(&by, "waiting for ", 1);
    assert!(next.stderr().contains("another program uses the line"), "{}", next.describe());
    first.expect_exit_on(&by, "TERM", 0);
    next.wait_connected(&by);
    next.expect_exit_on(&by, "TERM", 0);
    broker.expect_exit_on(&by, "TERM", 0);
}

fn what_is_no_line_is_told_once_and_waited_for(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    for (device, told) in
        [("/dev/no-such-line", "no such file or directory"), ("/dev/null", "this is not a serial line")]
    {
        let address = format!("serial:{device}@9600");
        let arguments = ["--to", "everyone", "--give-up-after", "500ms", "hello"];
        let mut sender = Program::send(&stage, "send", &address, &arguments, Input::Nothing);
        sender.expect_exit(&by, 3);
        let errors = sender.stderr();
        let waits =
            format!("waiting for {address}: {told}; start a broker there, or name another with --connect");
        assert_eq!(errors.lines().filter(|line| *line == waits).count(), 1, "{errors}");
    }
}

in_all_pairings! {
    over tcp
    lines_go_over_two_serial_lines_and_one_client_after_the_other_has_them,
    a_stream_over_damaging_lines_goes_on_when_one_was_taken_away_and_laid_again,
    a_broker_that_is_killed_and_replaced_on_the_same_lines_is_noticed,
    a_line_is_for_one_program_and_the_next_one_waits_for_it,
    what_is_no_line_is_told_once_and_waited_for,
}
