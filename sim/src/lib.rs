//! A deterministic simulator for e-pigeon: clients, a broker and faulty links in one process, from one seed.
//!
//! Use it to test a change of the protocol, or a program that embeds [`e_pigeon_core`], against thousands of worlds in
//! which links break, brokers die and time passes; a seed that fails is repeated exactly and made smaller. It uses no
//! sockets and no real time; the feature `sockets` adds a kit for adapters that do. `docs/SIMULATOR.md` of the repository
//! is its manual.
//!
//! ```
//! use e_pigeon_sim::run::first_failure;
//!
//! if let Some(failure) = first_failure(0, 20) {
//!     panic!("seed {}: {}", failure.seed, failure.violation.kind);
//! }
//! ```
//!
//! - a [`Run`] is a [`Setup`] and the [`Step`]s of it; [`run::first_failure`] and [`many`] make runs from seeds, [`shrink`]
//!   makes them smaller;
//! - a [`World`] applies steps; an [`Application`] takes part in it;
//! - a [`Scenario`] writes a run by hand.

// What is indexed here are clients, whose number a world has checked.
#![allow(clippy::cast_possible_truncation)]

mod answers;
mod application;
#[cfg(feature = "fuzzing")]
pub mod bodies;
mod check;
#[cfg(feature = "sockets")]
pub mod conformance;
mod coverage;
mod ends;
mod events;
mod faults;
mod flood;
pub mod frames;
mod generate;
mod lane;
mod limits;
mod log;
pub mod many;
mod message;
mod model;
mod network;
mod overhearing;
mod presence;
mod programs;
pub mod receipts;
pub mod run;
pub mod scenario;
mod setup;
pub mod shrink;
mod source;
mod step;
mod stranger;
mod strangers;
mod swarm;
mod tap;
mod time;
mod transports;
mod violation;
mod witness;
mod world;

pub use application::Application;
pub use coverage::{Coverage, Path};
pub use flood::Flood;
pub use generate::Generator;
pub use network::Network;
pub use run::{Failure, Report, Run};
pub use scenario::Scenario;
pub use setup::{BUDGET, LEAST, LONG, Medium, Setup, ms, plain_broker, plain_client};
pub use source::{Random, Source};
pub use step::{Attributes, Direction, Disturbance, Payload, Pipe, ROOMS, Send, Step, To, client_of, uuid};
pub use swarm::Swarm;
pub use violation::{Outcome, Violation};
pub use world::{Figures, World};
