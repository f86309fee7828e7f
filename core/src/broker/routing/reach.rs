//! Reach: the sessions that match the destination of a message now.

use crate::broker::store::{NO_MESSAGE, Open, Store};
use crate::bug::OrBug;
use crate::data::destination::{DestinationRef, Target};
use crate::wire::item::MessageItem;
use alloc::vec::Vec;

/// Comparing the attributes of a session costs as much as counting it in this many lists.
const COMPARED: usize = 32;
/// Counting so many entries of lists costs as much as checking a session.
const COUNTED: usize = 8;
/// The most queues that get more places at once, when a message finds them full.
const MANY: usize = 1_024;

/// True if a message may be for so many that full queues must get places before. `known` is the destination of its alias.
#[cold]
pub(crate) fn may_reach_many(store: &Store, known: Option<u32>, message: &MessageItem<'_>) -> bool {
    let known = known.map(|known| store.messages.destination(known)).filter(|bytes| !bytes.is_empty());
    let lists = store.sessions.index();
    let count = match message.define.or(known.map(DestinationRef::trusted)).map(|to| to.target()) {
        Some(Target::Everyone) => lists.everyone().len(),
        Some(Target::AllOf(pairs)) => lists.rarest(pairs).0.len(),
        Some(Target::AnyOf(pairs)) => pairs.encoded().map(|pair| lists.with_pair(pair).len()).sum(),
        // The message is for one session, or has an unknown alias.
        Some(Target::Uuid(_)) | None => 1,
    };
    count > MANY
}

/// Finds the recipients of a message. Returns whether they must be connected. The caller charges a unit for each recipient;
/// this charges the sessions that were checked in vain.
pub(crate) fn resolve(store: &mut Store, index: u32, from: u32, into: &mut Vec<u32>) -> bool {
    let Some(message) = store.messages.get(index).or_bug(NO_MESSAGE) else { return false };
    let destination = DestinationRef::trusted(store.messages.destination(message.destination));
    let lists = store.sessions.index();
    let mut counted = 0;
    let mut is_compared = false;
    match destination.target() {
        Target::Uuid(uuid) => {
            let found = store.sessions.find(uuid);
            into.extend(found.filter(|&found| store.sessions.get(found).is_some_and(|s| s.receives)));
        }
        Target::Everyone => into.extend_from_slice(lists.everyone()),
        Target::AllOf(pairs) => {
            // A session with the rarest of several pairs may lack another pair.
            let (rarest, are_several) = lists.rarest(pairs.clone());
            into.extend_from_slice(rarest);
            if are_several {
                let others =
                    || pairs.clone().encoded().map(|pair| lists.with_pair(pair).len()).sum::<usize>();
                is_compared = into.len() < COMPARED || others() > COMPARED * into.len();
                if !is_compared {
                    store.counts.reach(store.sessions.places());
                    counted = into.len() + store.counts.all_of(lists, pairs, into);
                }
            }
        }
        Target::AnyOf(pairs) => {
            store.counts.reach(store.sessions.places());
            counted = store.counts.any_of(lists, pairs, into);
        }
    }
    let found = into.len();
    if is_compared {
        into.retain(|&found| {
            let session = store.sessions.get(found);
            session.is_some_and(|s| destination.matches(s.uuid, s.attributes()))
        });
    }
    if destination.exclude_self() {
        into.retain(|&found| found != from);
    }
    // For a held message it is not known which sessions were connected when it was first accepted.
    let only_connected = destination.only_connected();
    if only_connected && message.open != Open::Held {
        into.retain(|&found| store.sessions.get(found).is_some_and(|session| session.link.is_some()));
    }
    if into.len() < found || counted > 0 {
        let price = if is_compared { 4 } else { 1 };
        let in_vain = price * (found - into.len()) + counted / COUNTED;
        // There are at most 2^30 sessions, each in as many lists as a filter has pairs.
        store.work.charge(u32::try_from(in_vain).unwrap_or(u32::MAX));
    }
    only_connected
}
