//! What the integration tests share: the real program as child processes, and a network that misbehaves on demand.

// Every test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod address;
pub(crate) mod broker;
pub(crate) mod deadline;
pub(crate) mod feed;
pub(crate) mod hello;
pub(crate) mod json;
pub(crate) mod pairing;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod receipts;
pub(crate) mod recorder;
#[cfg(unix)]
pub(crate) mod serial;
pub(crate) mod stage;
pub(crate) mod steady;
pub(crate) mod text;
pub(crate) mod wire;
