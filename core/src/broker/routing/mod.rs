//! Routing: from a message to its recipients, and from their acknowledgements to its receipt, in terms of the
//! [tables](super::store). No function here knows a link.
//!
//! Effects are recorded in the tables: a link that has something to write in the ready list, work for a later call as a
//! job, a deadline as a timer, an event for the operator. The states of a message are in PROTOCOL.md, "Broker".

pub(crate) mod accept;
pub(crate) mod acknowledge;
pub(crate) mod deliver;
pub(crate) mod outcome;
#[cfg_attr(not(feature = "presence"), path = "no_presence.rs")]
pub(crate) mod presence;
pub(crate) mod reach;
pub(crate) mod release;
pub(crate) mod rights;
pub(crate) mod sessions;
pub(crate) mod shares;
pub(crate) mod sweep;
pub(crate) mod waiting;
pub(crate) mod windows;
