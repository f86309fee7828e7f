//! Stands in for links that lose frames where these are left out: there are none.

use super::state::Broker;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::state::StateFrame;

/// None of these is called, for want of a [`Lossy`]; a frame that only such links have is refused.
impl Broker {
    pub(super) fn lossy_input(&self, _: u32, _: Instant, bytes: &[u8]) -> usize {
        bytes.len()
    }

    pub(super) fn lossy_transmit(&self, _: u32, _: Instant, _: &mut [u8]) -> usize {
        0
    }

    pub(super) fn has_left_others(&self, _: u32, _: u32) -> bool {
        false
    }

    pub(super) fn receive_state(&self, _: u32, _: u32, _: &StateFrame) -> Result<(), AbortCode> {
        Err(AbortCode::UnexpectedFrame)
    }
    pub(super) fn run_early(&self, _: u32) -> bool {
        true
    }
}
