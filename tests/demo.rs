//! `demo`, as people and scripts run it.

mod support;

use std::process::Command;
use std::time::Duration;

use support::deadline::Deadline;
use support::program::{Input, Program, program_path};
use support::stage::{Stage, text_of};

/// The longest that it may take: what is promised, and as much again for machines that do many things at once.
const LONGEST: Duration = Duration::from_secs(20);

fn expect_kept(demo: &mut Program, by: &Deadline) {
    demo.expect_exit(by, 0);
    let output = demo.stdout_text();
    let last = output.lines().last().unwrap_or_default();
    assert!(last.starts_with("all ") && last.ends_with(" promises are kept"), "{output}");
    assert!(!output.contains("BROKEN"), "{output}");
    for told in ["seed ", "connections are cut", "the broker is killed", "cleo is back", "kept    once "] {
        assert!(output.contains(told), "{told:?} is not in {output}");
    }
    assert_eq!(demo.stderr(), "", "it has nothing to complain about");
}

#[test]
fn two_at_once_keep_every_promise_without_terminal_and_without_stdin() {
    let by = Deadline::within(60);
    let stage = Stage::new();
    let mut first = Program::start(&stage, "first", &["demo"], Input::Nothing);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" demo --seed 7 <&-", program_path()]);
    let mut second = Program::spawn(&stage, "second", command, Input::Nothing);
    expect_kept(&mut first, &by);
    expect_kept(&mut second, &by);
    assert!(by.elapsed() < LONGEST, "{:?}", by.elapsed());
    assert!(second.stdout_text().contains("seed 7 "), "{}", second.stdout_text());
}

#[test]
fn with_stdout_closed_it_ends_quietly() {
    let by = Deadline::within(60);
    let stage = Stage::new();
    let status = stage.path("status");
    let script = "{ timeout 30 \"$0\" demo; echo $? > \"$1\"; } | head -n 2";
    let mut command = Command::new("sh");
    command.args(["-c", script, program_path(), text_of(&status)]);
    let mut read_no_further = Program::spawn(&stage, "head", command, Input::Nothing);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" demo >&-", program_path()]);
    let mut closed = Program::spawn(&stage, "closed", command, Input::Nothing);

    read_no_further.expect_exit(&by, 0);
    assert_eq!(read_no_further.stdout_text().lines().count(), 2);
    let code = std::fs::read_to_string(&status).expect("the exit code of `demo`");
    assert_eq!(code.trim(), "0");
    closed.expect_exit(&by, 0);
    for demo in [&read_no_further, &closed] {
        assert_eq!(demo.stderr(), "", "quietly");
    }
}
