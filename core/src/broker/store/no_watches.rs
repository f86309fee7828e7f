//! Stands in for watches in builds without presence.

use uuid::Uuid;

pub(crate) const MAX_UNACKNOWLEDGED: u16 = 256;

/// No notice exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PresenceNotice {}

/// No watch exists.
#[derive(Debug)]
pub(crate) enum Watch {}

/// No notification exists.
#[derive(Debug)]
pub(crate) enum Notes {}

impl Notes {
    pub(crate) fn uuid(&self) -> Uuid {
        match *self {}
    }
}
