//! Errors of calls on a broker.

use core::fmt;

/// There is no such link; it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLink;

impl fmt::Display for UnknownLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such link: it has ended")
    }
}

impl core::error::Error for UnknownLink {}

/// There are as many links as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyLinks;

impl fmt::Display for TooManyLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no link is free: close one, or raise the limits of the config")
    }
}

impl core::error::Error for TooManyLinks {}
