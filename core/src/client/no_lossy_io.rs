//! Stands in for links that lose frames where these are left out: there are none.

use super::session::State;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::state;

/// None of these is called, for want of a [`Lossy`].
impl State {
    pub(super) fn lossy_input(&self, _: &mut [u8], _: &mut [u8], _: Instant, _: &[u8]) {}

    pub(super) fn receive_state(
        &self,
        _: &mut [u8],
        _: Instant,
        _: &state::StateFrame,
    ) -> Result<(), AbortCode> {
        Err(AbortCode::UnexpectedFrame)
    }

    pub(super) fn lossy_transmit(&self, _: &mut [u8], _: Instant, _: &mut [u8]) -> usize {
        0
    }

    pub(super) fn lossy_wants_transmit(&self, _: &[u8]) -> bool {
        false
    }
}
