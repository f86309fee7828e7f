//! What both ends of a link do alike: numbers and windows of items, the keep-alive, and what a transport needs on which frames
//! may be lost.

pub(crate) mod keep_alive;
#[cfg(feature = "lossy")]
pub(crate) mod lossy;
pub(crate) mod numbers;
#[cfg(feature = "lossy")]
pub(crate) mod recovery;
#[cfg(feature = "lossy")]
pub(crate) mod reorder;
#[cfg(feature = "lossy")]
pub(crate) mod timing;
