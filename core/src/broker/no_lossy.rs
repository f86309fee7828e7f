//! Stands in for the type of links that may lose frames: there are none.

use crate::time::Instant;
use crate::wire::frame::Framing;
use alloc::boxed::Box;
use core::time::Duration;

pub(super) const MAX_LEFT: usize = 0;
/// Of no session.
pub(super) const LINE_TIME_TO_LIVE: Duration = Duration::ZERO;

/// No link has it.
#[derive(Debug)]
pub(super) enum Lossy {}

impl Lossy {
    pub(super) fn new(_: Framing) -> Option<Box<Self>> {
        None
    }

    pub(super) fn takes_datagrams(&self) -> bool {
        match *self {}
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn timeout(&mut self, _: Instant) {
        match *self {}
    }

    pub(super) fn lingers(&self) -> bool {
        match *self {}
    }

    pub(super) fn shut_down(&mut self) {
        match *self {}
    }

    pub(super) fn has_staged(&self) -> bool {
        match *self {}
    }
}
