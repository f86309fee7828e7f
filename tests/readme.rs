//! The README is right: its commands are run as they stand there, and their output is compared, apart from UUIDs and times. Its
//! code is that of an example. (`.ci/test` runs the commands in its `sh` blocks.)

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use support::deadline::Deadline;
use support::program::{Input, Program, program_path};
use support::stage::{Stage, free_address};

const README: &str = include_str!("../README.md");
/// How the program is called there.
const CALLED: &str = "$ cargo run --release -- ";
/// The default, which may be in use where this runs.
const ADDRESS: &str = "127.0.0.1:9999";

/// A command line behind `--`, and what it is shown to print.
struct Step {
    command: String,
    expected: String,
}

/// The terminals of the README, in its order.
fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in README.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && line.starts_with("$ ") {
            let command = line.strip_prefix(CALLED).unwrap_or_else(|| panic!("what is {line:?}?"));
            steps.push(Step { command: command.into(), expected: String::new() });
        } else if inside {
            let step = steps.last_mut().unwrap_or_else(|| panic!("no command before {line:?}"));
            step.expected.push_str(line);
            step.expected.push('\n');
        }
    }
    steps
}

/// Starts a command as a shell reads it, with stdout and stderr in one place as in a terminal.
fn start(stage: &Stage, command: &str, address: SocketAddr) -> Program {
    let option = if command.starts_with("serve") { "--listen" } else { "--connect" };
    let line = format!("exec \"$0\" {command} {option} {address} 2>&1");
    let mut shell = Command::new("sh");
    shell.args(["-c", &line, program_path()]);
    Program::spawn(stage, "readme", shell, Input::Nothing)
}

/// Numbers UUIDs as they appear, so that the same one is the same in all outputs.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl Names {
    /// The text without what is another at each run.
    fn replace(&mut self, text: &str, address: &str) -> String {
        let text = text.replace(address, ADDRESS);
        let mut lines = Vec::new();
        for line in text.lines() {
            let words: Vec<String> = line.split(' ').map(|word| self.word(word)).collect();
            lines.push(words.join(" "));
        }
        lines.join("\n")
    }

    fn word(&mut self, word: &str) -> String {
        let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        let is_time = word.len() == 5 && word.as_bytes()[1] == b'.' && word.parse::<f64>().is_ok();
        if word.len() == 36 && word.chars().all(is_hex) {
            let next = self.0.len();
            format!("UUID-{}", self.0.entry(word.into()).or_insert(next))
        } else if is_time {
            "TIME".into()
        } else {
            word.into()
        }
    }
}

#[test]
fn the_code_of_the_readme_is_that_of_an_example() {
    let (_, code) = README.split_once("```rust\n").expect("code");
    let (code, _) = code.split_once("```").expect("its end");
    assert!(
        include_str!("../examples/hello.rs").contains(code),
        "examples/hello.rs does not contain:\n{code}"
    );
}

#[test]
fn the_terminals_of_the_readme_show_what_happens() {
    let by = Deadline::within(30);
    let stage = Stage::new();
    let address = free_address();
    let (mut shown, mut seen) = (Names::default(), Names::default());
    let mut running: Vec<(Program, String)> = Vec::new();
    let steps = steps();
    assert!(steps.len() >= 6, "the terminals of the README are not found");
    for Step { command, expected } in steps {
        let mut program = start(&stage, &command, address);
        // The shown lines have to be read in the order in which the commands were started.
        let expected = shown.replace(&expected, ADDRESS);
        if command.starts_with("send ") {
            program.wait_exit(&by);
            assert_eq!(seen.replace(&program.stdout_text(), &address.to_string()), expected, "{command}");
            continue;
        }
        // The first line says that it is ready; the others come when it has something to say.
        by.wait(&command, || {
            if program.stdout_text().contains('\n') { Ok(()) } else { Err(program.describe()) }
        });
        seen.replace(&program.stdout_text(), &address.to_string());
        running.push((program, expected));
    }
    for (mut program, expected) in running.into_iter().rev() {
        by.wait("what is shown", || {
            let told = seen.replace(&program.stdout_text(), &address.to_string());
            if told == expected { Ok(()) } else { Err(format!("{told:?} instead of {expected:?}")) }
        });
        program.expect_exit_on(&by, "INT", 0);
    }
}
