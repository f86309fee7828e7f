//! Links: their input, their output, and their ends. A link reads into [routing](super::routing) and writes from the
//! [tables](super::store), neither of which knows of links.

pub(crate) mod admission;
pub(crate) mod due;
#[cfg(feature = "lossy")]
pub(crate) mod early;
pub(crate) mod ending;
pub(crate) mod hello;
pub(crate) mod hellos;
pub(crate) mod input;
pub(crate) mod items;
#[cfg_attr(not(feature = "lossy"), path = "no_lossy.rs")]
pub(crate) mod lossy;
#[cfg(feature = "lossy")]
pub(crate) mod lossy_in;
#[cfg(feature = "lossy")]
pub(crate) mod lossy_out;
#[cfg(not(feature = "lossy"))]
pub(crate) mod no_lossy_io;
pub(crate) mod prefetch;
pub(crate) mod receive;
pub(crate) mod schedule;
pub(crate) mod sources;
pub(crate) mod table;
pub(crate) mod transmit;
pub(crate) mod turns;

#[cfg(not(feature = "lossy"))]
pub(crate) use {no_lossy_io as early, no_lossy_io as lossy_in, no_lossy_io as lossy_out};
