//! Stands in for lossy links without the feature `lossy`: no client calls these functions.

use super::link::ClientLink;
use super::tables::Tables;
use crate::error::BufferTooSmall;

pub(super) fn input(_: &ClientLink, _: &Tables, _: &mut [u8], _: &mut [u8], _: &[u8]) {}

pub(super) fn transmit(
    _: &ClientLink,
    _: &Tables,
    _: &mut [u8],
    _: &mut [u8],
    _: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    Ok(0)
}

pub(super) fn wants_transmit(_: &ClientLink, _: &Tables, _: &[u8]) -> bool {
    false
}
