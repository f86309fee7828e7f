//! Every limit with its unit, its default and the reason for it. Validated once, when a machine is made.

#[macro_use]
mod declare;
#[cfg(feature = "alloc")]
pub(crate) mod broker;
#[cfg(feature = "alloc")]
pub(crate) mod buffers;
pub(crate) mod client;
#[cfg(feature = "serde")]
mod through_serde;
