//! Rights: asks the policy what a session may do, and replies to requests.

use crate::broker::store::{NO_SESSION, Requester, Store};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::data::destination::DestinationRef;
#[cfg(feature = "presence")]
use crate::data::filter::FilterRef;
use crate::wire::item::Reply;
use uuid::Uuid;

/// Whether a session may send to a destination in the table.
pub(crate) fn may_send(store: &Store, session: u32, to: u32) -> bool {
    // Without a policy everything is allowed.
    let Some(policy) = &store.guard.0 else { return true };
    let to = DestinationRef::trusted(store.messages.destination(to));
    subject(store, session).is_some_and(|from| policy.may_send(from, to))
}

pub(crate) fn may_have(store: &Store, who: Uuid, attributes: AttributesRef<'_>) -> bool {
    store.guard.0.as_ref().is_none_or(|policy| policy.may_have(who, attributes))
}

#[cfg(feature = "presence")]
pub(crate) fn may_watch(store: &Store, session: u32, filter: FilterRef<'_>) -> bool {
    // Without a policy everything is allowed.
    let Some(policy) = &store.guard.0 else { return true };
    subject(store, session).is_some_and(|who| policy.may_watch(who, filter))
}

fn subject(store: &Store, session: u32) -> Option<Requester<'_>> {
    let session = store.sessions.get(session)?;
    Some(Requester { uuid: session.uuid, attributes: session.attributes() })
}

/// Replies to an item of a client.
pub(crate) fn reply(store: &mut Store, session: u32, reply: Reply) {
    if let Some(state) = store.sessions.get_mut(session).or_bug(NO_SESSION) {
        debug!("e_pigeon::broker", "{}: {reply:?}", state.uuid);
        state.queue.push_reply(reply);
    }
    store.wake(session);
}
