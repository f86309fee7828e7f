//! Stands in for watches if presence is left out: there are none.

use uuid::Uuid;

pub(crate) const MAX_UNACKNOWLEDGED: u16 = 256;

/// Nothing is ever told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PresenceNotice {}

/// Nothing is watched.
#[derive(Debug)]
pub(crate) enum Watch {}

/// Nobody is to be told.
#[derive(Debug)]
pub(crate) enum Notes {}

impl Notes {
    pub(crate) fn uuid(&self) -> Uuid {
        match *self {}
    }
}
