//! Every limit with its unit, its default and the reason for it. Validated once, when a machine is made.

#[cfg(feature = "alloc")]
pub(crate) mod broker;
#[cfg(feature = "alloc")]
pub(crate) mod buffers;
mod checks;
pub(crate) mod client;
