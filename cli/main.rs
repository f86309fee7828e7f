//! `e-pigeon`: a message broker and its clients on the command line.

mod address;
mod args;
mod bench;
mod context;
mod demo;
mod descriptors;
mod destination;
mod failure;
mod identity;
mod ledger;
mod limits;
mod lines;
mod listen;
mod lives;
mod logging;
mod memory;
mod output;
mod peers;
mod report;
mod send;
mod serve;
mod signals;
mod stderr;
mod tally;
mod terminal;
mod transport;
mod units;
mod value;
mod waiting;
mod wake;

use std::io::{self, Write};
use std::time::Duration;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::failure::Failure;

/// How long the last lines on stderr may take.
const LAST_LINES: Duration = Duration::from_millis(300);

fn main() {
    let code = match run() {
        Ok(code) => code,
        Err(failure) => {
            report::line(format_args!("error: {}", failure.line));
            failure.code
        }
    };
    stderr::flush(LAST_LINES);
    // Threads may be waiting for input that never comes, or for a reader: the program does not wait for them.
    std::process::exit(i32::from(code));
}

/// Does what the command line says, and returns the exit code.
fn run() -> Result<u8, Failure> {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => return Err(Failure::usage(args::in_one_line(&error))),
        Err(help) => {
            return match help.print().and_then(|()| io::stdout().flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stdout(&error)),
                // Help that nobody reads to its end is no error.
                _ => Ok(0),
            };
        }
    };
    stderr::start()?;
    logging::start(arguments.verbose)?;
    match arguments.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Listen(listen) => listen::run(&listen),
        Command::Send(send) => send::run(*send),
        Command::Peers(peers) => peers::run(&peers),
        Command::Demo(demo) => demo::run(&demo),
        Command::Bench(bench) => bench::run(&bench),
    }
}
