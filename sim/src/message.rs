//! A message as the model keeps it: for which clients it may be, which have it, and which receipts its sender has.

use crate::step::{Attributes, Send, To};
use e_pigeon_core::{Instant, Receipt};
use std::collections::BTreeSet;

/// Sender, its boot, and the id.
pub(crate) type Key = (usize, u64, u64);

/// A set of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(pub(crate) u64);

impl Set {
    pub(crate) fn has(self, client: usize) -> bool {
        self.0 >> client & 1 == 1
    }

    pub(crate) fn add(&mut self, client: usize) {
        self.0 |= 1 << client;
    }

    pub(crate) fn remove(&mut self, client: usize) {
        self.0 &= !(1 << client);
    }

    pub(crate) fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A payload, which nobody wants to read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content(pub(crate) Vec<u8>);

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A message, from `send` on.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) sent: Send,
    pub(crate) payload: Content,
    pub(crate) deadline: Instant,
    pub(crate) certain: Set,
    pub(crate) possible: Set,
    /// The recipients, where an *accepted* has fixed them and they are known one by one.
    pub(crate) promised: Set,
    /// The last *accepted* that was told.
    pub(crate) accepted: Option<u32>,
    pub(crate) answer: Option<Receipt>,
    /// When it was sent, and when it was surely no longer with the broker, in the order of commands and events of applications.
    pub(crate) sent_at: u64,
    pub(crate) left_at: Option<u64>,
    pub(crate) handed: BTreeSet<(usize, u64)>,
    /// Whose application has confirmed it.
    pub(crate) taken: Set,
    /// How often the broker died since it was sent.
    pub(crate) kills: u32,
    /// It may have been sent twice, or a recipient may have lost its memory of it: the broker died, or a session was
    /// renewed or ended.
    pub(crate) disturbed: bool,
    /// The same, and not only because the broker died.
    pub(crate) lost: bool,
    /// A possible recipient's session has ended.
    pub(crate) gone: bool,
    /// A session was given attributes since it was sent.
    pub(crate) joined: bool,
    /// They were not those that it had before.
    pub(crate) changed: bool,
}

impl Sent {
    pub(crate) fn matches(&self, client: usize, attributes: Attributes) -> bool {
        let is_own = self.sent.exclude_self && client == self.sent.from;
        !is_own && self.sent.to.matches(client, attributes)
    }

    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.sent.to, To::Client(_))
    }

    /// Somebody has matched it all the time, so it cannot have been parked.
    pub(crate) fn was_never_parked(&self) -> bool {
        !self.certain.is_empty()
    }
}
