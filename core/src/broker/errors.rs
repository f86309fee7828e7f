//! Errors of calls on a broker.

use crate::error::BufferTooSmall;
use core::fmt;

/// The link does not exist, or has ended. The embedder has used the name of a closed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLink;

impl fmt::Display for UnknownLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such link: it has ended")
    }
}

impl core::error::Error for UnknownLink {}

errors! {
    /// A call has written nothing on a link.
    pub enum TransmitError {
        /// The link does not exist, or has ended.
        UnknownLink => "{UnknownLink}",
        /// The next datagram does not fit the buffer, and waits for a larger one. [`BrokerConfig::max_datagram`] bytes are
        /// always enough.
        ///
        /// [`BrokerConfig::max_datagram`]: crate::BrokerConfig::max_datagram
        BufferTooSmall(error: BufferTooSmall) => "{error}",
    }
}

/// A limit of links is reached. The client may try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyLinks;

impl fmt::Display for TooManyLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no link is free: close one, or raise the limits of the config")
    }
}

impl core::error::Error for TooManyLinks {}
