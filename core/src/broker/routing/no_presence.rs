//! Stands in for presence in builds without it: each watch is refused, as with a limit of 0, and no changes are reported.

use crate::broker::routing::rights;
use crate::broker::store::{NO_SESSION, Notes, PresenceNotice, Store};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::filter::FilterRef;
use crate::data::message::RefusalReason;
use crate::error::AbortCode;
use crate::wire::item::Reply;
use alloc::boxed::Box;
use alloc::vec::Vec;

pub(crate) fn watch(store: &mut Store, session: u32, number: u32, _: FilterRef<'_>) -> Result<(), AbortCode> {
    let state = store.sessions.get(session).or_bug(NO_SESSION).ok_or(AbortCode::UnexpectedFrame)?;
    if state.presence_items == 0 {
        return Err(AbortCode::UnexpectedFrame);
    }
    let reason = RefusalReason::BrokerFull;
    rights::reply(store, session, Reply::WatchRefused(number, reason));
    Ok(())
}

pub(crate) fn unwatch(_: &mut Store, _: u32, _: u32) {}

pub(crate) fn forget_watches(_: &mut Store, _: u32) {}

pub(crate) fn note_presence(_: &mut Store, _: u32) {}

pub(crate) fn seen_as(_: &Store, _: u32) -> Option<Box<[u8]>> {
    None
}

pub(crate) fn note_states(_: &mut Store, _: u32, _: Vec<Box<[u8]>>) {}

pub(crate) fn run_notes(_: &mut Store, notes: &mut Notes) -> bool {
    match *notes {}
}

pub(crate) fn next_presence(_: &mut Store, _: u32) -> Option<PresenceNotice> {
    None
}

pub(crate) fn write_presence(_: &Store, _: u32, notice: PresenceNotice, _: &mut Writer<'_>) {
    match notice {}
}
