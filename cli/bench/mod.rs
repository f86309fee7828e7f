//! `bench`: drives a broker with workloads, and tells how fast it is and what that costs.
//!
//! One thread of this process is all clients. Every delivery is looked at where it arrives, and counts when its sender has the
//! final receipt.

mod broker;
mod content;
mod curves;
mod depth;
mod histogram;
mod idle;
mod inside;
mod interrupt;
mod leaving;
mod outcome;
mod ping_pong;
mod plot;
mod process;
mod progress;
mod selective;
mod setup;
mod storm;
mod streams;
mod timing;

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use self::curves::CURVES;
use self::interrupt::Interrupt;
use self::outcome::Outcome;
use self::progress::Progress;
use self::setup::Setup;
use self::streams::Shape;
use crate::args::{self, Workload};
use crate::failure::Failure;

pub(crate) fn run(arguments: &args::Bench) -> Result<u8, Failure> {
    let chosen = arguments.chosen()?;
    let setup = Setup { arguments, interrupt: &Interrupt::catch()?, progress: Progress::new() };
    let mut report = Report::new(arguments.json);
    if let Some(path) = &arguments.plot {
        let failed = |error| Failure::system(&format!("write {}", path.display()), &error);
        // Whether it can be written is better known before than after some minutes; what is there stays until then.
        File::options().append(true).create(true).open(path).map_err(failed)?;
        let mut panels = Vec::new();
        for curve in &CURVES {
            let mut found = Vec::new();
            for &size in curve.sizes() {
                let about = curve.about(size);
                setup.progress.label(about.clone());
                let outcome = curve.measure(&setup, size)?;
                report.tell(curve.name, &about, &outcome)?;
                found.push((size, outcome));
                if setup.interrupt.asked().is_some() {
                    return report.end(&setup);
                }
            }
            panels.push(curve.panel(&found));
        }
        std::fs::write(path, plot::draw(&panels)).map_err(failed)?;
        return report.end(&setup);
    }
    for workload in chosen {
        let about = workload.about(&setup);
        setup.progress.label(format!("{} {about}", workload.name()));
        let outcome = workload.measure(&setup)?;
        report.tell(workload.name(), &about, &outcome)?;
        if setup.interrupt.asked().is_some() {
            break;
        }
    }
    report.end(&setup)
}

impl Workload {
    fn about(self, setup: &Setup<'_>) -> String {
        let size = |usual| format!("{} bytes", outcome::whole(setup.payload(usual) as f64));
        match self {
            Self::W1 => format!("stream: one sender, one recipient, {}", size(SMALL)),
            Self::W2 => format!("fan-out: one sender, a group of 100, {}", size(SMALL)),
            Self::W3 => format!("mesh: 50 pairs at once, {}", size(SMALL)),
            Self::W4 => format!("large: one sender, one recipient, {}", size(LARGE)),
            Self::W5 => format!("ping-pong: round trip between two clients, {}", size(SMALL)),
            Self::W6 => "idle: 8,000 clients with four attributes each".into(),
            Self::W7 => "selective: 100,000 sessions in the core, 1, 10 or 100 of them match".into(),
            Self::W8 => "storm: 2,000 clients come back at once, 100 queued messages each".into(),
        }
    }

    fn measure(self, setup: &Setup<'_>) -> Result<Outcome, Failure> {
        let stream = |streams, recipients, payload, window| {
            let window = setup.arguments.window.unwrap_or(window);
            streams::measure(setup, Shape { streams, recipients, payload: setup.payload(payload), window })
        };
        match self {
            Self::W1 => stream(1, 1, SMALL, 1_024),
            Self::W2 => stream(1, 100, SMALL, 128),
            Self::W3 => stream(50, 1, SMALL, 64),
            Self::W4 => stream(1, 1, LARGE, 16),
            Self::W5 => ping_pong::measure(setup, setup.payload(SMALL)),
            Self::W6 => idle::measure(setup, 8_000),
            Self::W7 => selective::measure(setup, 100_000),
            Self::W8 => storm::measure(setup, 2_000, 100),
        }
    }
}

/// Bytes of payload.
const SMALL: usize = 64;
const LARGE: usize = 64 * 1024;

/// What is told of the results.
struct Report {
    /// All so far, where they are told as JSON in the end.
    results: Option<Vec<Value>>,
    is_broken: bool,
}

impl Report {
    fn new(json: bool) -> Self {
        Self { results: json.then(Vec::new), is_broken: false }
    }

    /// Tells one result, at once where it is for people.
    fn tell(&mut self, name: &str, about: &str, outcome: &Outcome) -> Result<(), Failure> {
        self.is_broken |= !outcome.faults.is_empty();
        match &mut self.results {
            Some(results) => results.push(outcome.json(name, about)),
            None => print(&outcome.rows(name, about, io::stdout().is_terminal()))?,
        }
        Ok(())
    }

    /// Tells the rest, and returns the exit code.
    fn end(self, setup: &Setup<'_>) -> Result<u8, Failure> {
        let arguments = setup.arguments;
        if let Some(results) = self.results {
            let all = json!({
                "version": env!("CARGO_PKG_VERSION"),
                "transport": arguments.transport.name(),
                "clients_transport": arguments.clients_transport.name(),
                "connect": arguments.connect.as_ref().map(ToString::to_string),
                "pinned": arguments.pin,
                "spinning": arguments.spin,
                "results": results,
            });
            print(&format!("{all}\n"))?;
        }
        Ok(match setup.interrupt.asked() {
            Some(signal) => signal.exit_code(),
            None => u8::from(self.is_broken),
        })
    }
}

/// Writes to stdout. Whoever has closed it does not want to know.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::stdout(&error)),
        _ => Ok(()),
    }
}
