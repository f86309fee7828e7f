//! Stands in for the state of lossy links in builds without them.

use crate::error::{AbortCode, BufferTooSmall};
use crate::link::numbers::Sending;
use crate::time::Instant;
use crate::wire::frame::Framing;
use crate::wire::state::StateFrame;
use alloc::boxed::Box;
use core::time::Duration;

pub(crate) const MAX_LEFT: usize = 0;
/// No session has this time to live.
pub(crate) const LINE_TIME_TO_LIVE: Duration = Duration::ZERO;

/// No link has this state.
#[derive(Debug)]
pub(crate) enum Lossy {}

impl Lossy {
    pub(crate) fn new(_: Framing) -> Option<Box<Self>> {
        None
    }

    pub(crate) fn outcome(&self, _: usize) -> Result<usize, BufferTooSmall> {
        match *self {}
    }

    pub(crate) fn takes_datagrams(&self) -> bool {
        match *self {}
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match *self {}
    }

    pub(crate) fn timeout(&mut self, _: Instant) {
        match *self {}
    }

    pub(crate) fn lingers(&self) -> bool {
        match *self {}
    }

    pub(crate) fn shut_down(&mut self) {
        match *self {}
    }

    pub(crate) fn receive_state(
        &mut self,
        _: &StateFrame,
        _: &mut Sending,
        _: Instant,
    ) -> Result<u64, AbortCode> {
        match *self {}
    }

    pub(crate) fn left(&self) -> &[(u32, u64)] {
        match *self {}
    }

    pub(crate) fn has_staged(&self) -> bool {
        match *self {}
    }
}
