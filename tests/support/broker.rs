//! `e-pigeon serve` as a child process that can be killed and started again at its address.

use super::address::Address;
use super::deadline::Deadline;
use super::program::{Input, Program};
use super::stage::Stage;

/// The last line of a ledger.
const LEDGER_END: &str = "  balanced";

/// A broker, through all its lives.
pub(crate) struct Broker<'a> {
    stage: &'a Stage,
    address: Address,
    /// What stands before the address on its command line.
    scheme: &'static str,
    options: Vec<String>,
    program: Program,
}

impl<'a> Broker<'a> {
    /// Starts it at a free address with these options, and waits until it accepts.
    pub(crate) fn start(stage: &'a Stage, by: &Deadline, options: &[&str]) -> Self {
        Self::start_with(stage, by, "", options)
    }

    /// The same for a line behind a socket.
    pub(crate) fn start_on_line(stage: &'a Stage, by: &Deadline, options: &[&str]) -> Self {
        Self::start_with(stage, by, "cobs:", options)
    }

    fn start_with(stage: &'a Stage, by: &Deadline, scheme: &'static str, options: &[&str]) -> Self {
        let address = stage.address();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let program = serve(stage, by, scheme, address, &options);
        Self { stage, address, scheme, options, program }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// The process of this life.
    pub(crate) fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// SIGKILL: it has no chance to save or to say anything.
    pub(crate) fn kill(&mut self) {
        assert_eq!(self.program.ended(), None, "the broker died by itself. {}", self.program.describe());
        self.program.kill();
    }

    /// Starts it again at the same address, after [`Self::kill`].
    pub(crate) fn restart(&mut self, by: &Deadline) {
        self.program = serve(self.stage, by, self.scheme, self.address, &self.options);
    }

    /// Asks for its ledger again and again until the line of this name shows this figure.
    pub(crate) fn wait_ledger(&mut self, by: &Deadline, name: &str, figure: u64) {
        let mut asked = self.program.said(LEDGER_END);
        by.wait(&format!("{figure} as {name:?} in the broker's ledger"), || {
            let told = self.program.stderr();
            let complete = self.program.said(LEDGER_END);
            if complete >= asked {
                let (_, ledger) = told.rsplit_once("ledger\n").unwrap_or_default();
                let line = ledger.lines().find(|line| line.trim_start().starts_with(name));
                if line.and_then(|line| line.split_whitespace().last()?.parse().ok()) == Some(figure) {
                    return Ok(());
                }
                self.program.signal("USR1");
                asked = complete + 1;
            }
            Err(self.program.describe())
        });
    }

    /// It must still be running; SIGTERM must end it with 0.
    pub(crate) fn stop(mut self, by: &Deadline) {
        assert_eq!(self.program.ended(), None, "the broker died by itself. {}", self.program.describe());
        self.program.expect_exit_on(by, "TERM", 0);
    }
}

/// Starts one life.
fn serve(stage: &Stage, by: &Deadline, scheme: &str, address: Address, options: &[String]) -> Program {
    let [option, place] = address.serve_option();
    let place = format!("{scheme}{place}");
    let mut arguments = vec!["serve", &option, &place];
    arguments.extend(options.iter().map(String::as_str));
    let mut program = Program::start(stage, "serve", &arguments, Input::Nothing);
    program.wait_stdout_line(by, &format!("listening on {scheme}{address}"));
    program
}
