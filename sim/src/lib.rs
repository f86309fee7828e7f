//! A deterministic simulator for e-pigeon: clients, a broker and faulty links in one process, from one seed.

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
