//! How cost grows with what is asked for: the same figure at several sizes.

use super::depth;
use super::idle;
use super::outcome::{Outcome, whole};
use super::plot::{Line, Panel};
use super::selective;
use super::setup::Setup;
use super::streams::{self, Shape};
use crate::failure::Failure;

/// One curve: what is varied, and which figures are looked at.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    title: &'static str,
    across: &'static str,
    up: &'static str,
    sizes: &'static [u32],
    /// The keys of the figures, and what they are called in the plot.
    figures: &'static [(&'static str, &'static str)],
    measure: fn(&Setup<'_>, u32) -> Result<Outcome, Failure>,
}

/// All that are drawn.
pub(crate) const CURVES: [Curve; 5] = [
    Curve {
        name: "recipients",
        title: "One sender, a message to many",
        across: "recipients per message",
        up: "CPU s of the broker per million deliveries",
        sizes: &[1, 10, 100, 1_000],
        figures: &[("broker_cpu_seconds_per_million", "deliveries of 64 bytes")],
        measure: |setup, recipients| {
            let window = if recipients == 1 { 1_024 } else { 128 };
            let shape = Shape { streams: 1, recipients, payload: setup.payload(64), window };
            streams::measure(setup, shape)
        },
    },
    Curve {
        name: "idle",
        title: "Idle clients with four attributes each",
        across: "clients",
        up: "bytes of the broker per client",
        sizes: &[100, 1_000, 8_000],
        figures: &[("broker_bytes_per_client", "resident bytes")],
        measure: |setup, clients| idle::measure(setup, clients as usize),
    },
    Curve {
        name: "connect",
        title: "Clients that connect",
        across: "clients",
        up: "µs of the broker's CPU per connect",
        sizes: &[1_000, 2_000, 4_000, 8_000],
        figures: &[("broker_cpu_microseconds_per_connect", "connects")],
        measure: |setup, clients| idle::measure(setup, clients as usize),
    },
    Curve {
        name: "sessions",
        title: "Messages that match few of many, in the core",
        across: "sessions",
        up: "ns",
        sizes: &[1_000, 10_000, 100_000, 1_000_000],
        figures: &[
            ("nanoseconds_per_message", "per message"),
            ("nanoseconds_per_recipient", "per recipient"),
            ("whole_nanoseconds_per_recipient", "with receipt"),
        ],
        measure: selective::measure,
    },
    Curve {
        name: "queue",
        title: "The queue of a client that is away, in the core",
        across: "messages in the queue",
        up: "ns per message",
        sizes: &[10, 100, 1_000, 10_000, 100_000],
        figures: &[("nanoseconds_to_queue", "to queue"), ("nanoseconds_to_drain", "to drain")],
        measure: |_, messages| depth::measure(messages),
    },
];

impl Curve {
    /// What is measured at a size, for people.
    pub(crate) fn about(&self, size: u32) -> String {
        format!("{}: {} {}", self.title.to_lowercase(), whole(f64::from(size)), self.across)
    }

    pub(crate) fn sizes(&self) -> &'static [u32] {
        self.sizes
    }

    pub(crate) fn measure(&self, setup: &Setup<'_>, size: u32) -> Result<Outcome, Failure> {
        (self.measure)(setup, size)
    }

    /// The panel of what was found at each size.
    pub(crate) fn panel(&self, found: &[(u32, Outcome)]) -> Panel {
        let line = |&(key, name): &(&'static str, &'static str)| Line {
            name,
            points: found
                .iter()
                .filter_map(|(size, outcome)| Some((f64::from(*size), outcome.figure(key)?)))
                .collect(),
        };
        Panel {
            title: self.title,
            across: self.across,
            up: self.up,
            lines: self.figures.iter().map(line).collect(),
        }
    }
}
