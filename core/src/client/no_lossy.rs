//! Stands in for links that lose frames where these are left out: there are none.

use super::memory::Cutter;
use super::session::State;
use crate::config::client::ClientConfig;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::control::Welcome;
use crate::wire::state;

/// No client has it.
#[derive(Clone, Debug)]
pub(super) enum Lossy {}

impl Lossy {
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

    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {}
    }

    pub(super) fn timeout(&mut self, _: Instant) {
        match *self {}
    }
}

/// None of these is called, for want of a [`Lossy`].
impl State {
    pub(super) fn lossy_input(&self, _: &mut [u8], _: &mut [u8], _: Instant, _: &[u8]) {}

    pub(super) fn receive_state(&self, _: &mut [u8], _: Instant, _: &state::State) -> Result<(), AbortCode> {
        Err(AbortCode::UnexpectedFrame)
    }

    pub(super) fn lossy_transmit(&self, _: &mut [u8], _: Instant, _: &mut [u8]) -> usize {
        0
    }

    pub(super) fn lossy_wants_transmit(&self, _: &[u8]) -> bool {
        false
    }
}
