//! Stands in for presence without the feature: no filter is watched, and no item comes.

use super::event::{Event, EventFilter};
use super::memory::Cutter;
use crate::codec::Writer;
use crate::config::client::ClientConfig;
use crate::data::message::RefusalReason;

/// False if nothing of presence is read.
pub(super) const IS_READ: bool = false;

/// No item is ever written.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchOp {}

/// Nothing.
#[derive(Clone, Debug)]
pub(super) struct Watching;

impl Watching {
    pub(super) fn new(_: &mut Cutter, _: &ClientConfig) -> Self {
        Self
    }

    pub(super) fn cut_items(&mut self, _: &mut Cutter, _: &ClientConfig, _: usize) {}

    pub(super) fn items(&self) -> u16 {
        0
    }

    pub(super) fn start_session(&self, _: &mut [u8]) {}

    pub(super) fn next_op(&self, _: &[u8]) -> Option<WatchOp> {
        None
    }

    pub(super) fn sent_as(&self, _: &[u8], _: u64) -> Option<WatchOp> {
        None
    }

    pub(super) fn note_sent(&self, _: &mut [u8], op: WatchOp, _: u64) {
        match op {}
    }

    pub(super) fn write(&self, _: &[u8], op: WatchOp, _: &mut Writer<'_>) {
        match op {}
    }

    pub(super) fn acknowledge(&self, _: &mut [u8], _: u64) {}

    /// As of a watch that was never begun.
    pub(super) fn refuse(&self, _: &mut [u8], _: u32, _: RefusalReason) -> bool {
        true
    }

    /// As under a watch that was never begun.
    pub(super) fn push(&self, _: &mut [u8], _: usize, _: u64, _: u32, _: &[u8]) -> bool {
        true
    }

    pub(super) fn is_used(&self) -> bool {
        false
    }

    pub(super) fn has_event(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }

    pub(super) fn poll<'m>(&self, _: &mut [u8], _: &'m [u8], _: EventFilter) -> Option<Event<'m>> {
        None
    }

    pub(super) fn consume_peeked(&self, _: &mut [u8], _: &[u8]) {}

    pub(super) fn acknowledged(&self, _: &[u8], received: u64) -> u64 {
        received
    }
}
