//! What strangers flood the broker with, and how many of them a world has.

/// The first client that is a stranger; a world has no more than 64.
pub(crate) const FIRST: usize = 1_000;
/// So many there are.
pub(crate) const STRANGERS: usize = 3;

/// What a stranger floods the broker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flood {
    /// Connections, each with a hello that takes the session from the one before.
    Hello,
    /// Watches of everyone that begin and end.
    Watch,
    /// Changes of its attributes, to and fro.
    Set,
    /// A decline of what it was never sent.
    Decline,
    /// Messages to any of several pairs that many have had, of those connected: nobody is found.
    AnyOf,
    /// Messages that nobody matches: some live for a moment, others for a while.
    Parked,
    /// Connections that say nothing.
    Silent,
    /// Hellos of one new identity after the other, whose sessions nobody comes back to.
    Crowd,
}
