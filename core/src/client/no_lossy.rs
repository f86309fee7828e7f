//! Stands in for the type of links that may lose frames: there are none.

use super::memory::Cutter;
use crate::config::client::ClientConfig;
use crate::error::AbortCode;
use crate::link::numbers::Sending;
use crate::time::Instant;
use crate::wire::control::Welcome;
use crate::wire::state::StateFrame;

/// No client has it.
#[derive(Clone, Debug)]
pub(super) enum ClientLossy {}

impl ClientLossy {
    pub(super) fn new(_: &mut Cutter, _: &ClientConfig, _: usize) -> Option<Self> {
        None
    }

    pub(super) fn start_link(&mut self, _: u64, _: u64) {
        match *self {}
    }

    pub(super) fn establish(&mut self, _: &Welcome, _: u64) {
        match *self {}
    }

    pub(super) fn drop_staged(&mut self) {
        match *self {}
    }

    pub(super) fn receive_state(
        &mut self,
        _: &StateFrame,
        _: &mut Sending,
        _: Instant,
    ) -> Result<u64, AbortCode> {
        match *self {}
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn timeout(&mut self, _: Instant) {
        match *self {}
    }
}
