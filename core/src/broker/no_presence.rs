//! Stands in for presence where that is left out: each watch is refused, as with a limit of 0, and nobody is told anything.

use super::queue::Notice;
use super::sessions::NO_SESSION;
use super::state::Broker;
use super::watches::{Notes, Word};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::filter::FilterRef;
use crate::data::message::RefusalReason;
use crate::error::AbortCode;
use crate::wire::item::Refused;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Broker {
    pub(super) fn watch(&mut self, session: u32, number: u32, _: FilterRef<'_>) -> Result<(), AbortCode> {
        let state = self.sessions.get(session).or_bug(NO_SESSION).ok_or(AbortCode::UnexpectedFrame)?;
        if state.presence_items == 0 {
            return Err(AbortCode::UnexpectedFrame);
        }
        let reason = RefusalReason::BrokerFull;
        self.refuse_wish(session, Notice { refused: Refused::Watch, watch: number, reason });
        Ok(())
    }

    pub(super) fn unwatch(&self, _: u32, _: u32) {}

    pub(super) fn forget_watches(&self, _: u32) {}

    pub(super) fn note_presence(&self, _: u32) {}

    pub(super) fn seen_as(&self, _: u32) -> Option<Box<[u8]>> {
        None
    }

    pub(super) fn note_states(&self, _: u32, _: Vec<Box<[u8]>>) {}

    pub(super) fn run_notes(&self, notes: &mut Notes) -> bool {
        match *notes {}
    }

    pub(super) fn next_presence(&self, _: u32, _: u32) -> Option<Word> {
        None
    }

    pub(super) fn write_presence(&self, _: u32, word: Word, _: &mut Writer<'_>) {
        match word {}
    }
}
