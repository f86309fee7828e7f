//! A look ahead at whom the next messages are for.
//!
//! Where each message goes to somebody else, the broker waits for memory most of the time: for the list of a pair, for the
//! session in it, for the end of its queue, one after the other. Looking at those of several messages at a time lets the
//! memory fetch them together. Nothing is kept and nothing changes: it is all looked at again when the messages are taken.

use crate::broker::state::Broker;
use crate::data::destination::{DestinationRef, Target};
use crate::wire::frame::{Step, step};
use crate::wire::kind;
use core::hint::black_box;

/// So many frames are looked at together: as much as memory fetches at a time, and stays in the nearest cache.
const AHEAD: usize = 16;

/// True where a frame is a message that says anew where it goes.
#[inline]
pub(crate) fn defines(body: &[u8]) -> bool {
    const DEFINES: u8 = kind::MESSAGE | kind::MESSAGE_DEFINES;
    body.first().is_some_and(|first| first & (0xf8 | DEFINES) == DEFINES)
}

/// What a destination leads to, by its hash and then by its place in the table.
#[derive(Clone, Copy)]
enum Lead<By> {
    Session(By),
    List(By),
}

/// Looks at the first recipients of the messages at the front of `input`. Returns how many bytes it did not look at.
pub(crate) fn prefetch(broker: &Broker, mut input: &[u8], limit: usize) -> usize {
    let mut hashes = [None; AHEAD];
    for hash in &mut hashes {
        // No whole frame follows.
        let Ok(Step::InPlace(extent)) = step(&[], input, limit) else { break };
        let (frame, rest) = input.split_at(extent.total().min(input.len()));
        input = rest;
        let message = frame.get(extent.header..).filter(|body| defines(body));
        // Behind kind and alias.
        let destination = message.and_then(|body| body.get(2..));
        *hash = destination.and_then(|bytes| lead(broker, DestinationRef::trusted(bytes)));
    }
    // One step for all, then the next for all: so none waits for what another has to fetch.
    let found = hashes.map(|hash| match hash? {
        Lead::Session(hash) => broker.store.sessions.likely(hash).map(Lead::Session),
        Lead::List(hash) => broker.store.sessions.index().likely(hash).map(Lead::List),
    });
    let recipients = found.map(|found| match found? {
        Lead::Session(session) => Some(session),
        Lead::List(list) => broker.store.sessions.index().first_of(list),
    });
    for session in recipients.into_iter().flatten().filter_map(|index| broker.store.sessions.get(index)) {
        let link = session.link.filter(|link| broker.store.ready.is_awake(link.index() as u32));
        session.queue.prefetch_end();
        black_box(link);
    }
    input.len()
}

/// By what to find a destination. More bytes may follow it, and nothing was checked.
fn lead(broker: &Broker, destination: DestinationRef<'_>) -> Option<Lead<u64>> {
    match destination.target() {
        Target::Uuid(uuid) => Some(Lead::Session(broker.store.sessions.hash(uuid))),
        Target::AllOf(pairs) | Target::AnyOf(pairs) => {
            pairs.encoded().next().map(|pair| Lead::List(broker.store.sessions.index().hash(pair)))
        }
        Target::Everyone => None,
    }
}
