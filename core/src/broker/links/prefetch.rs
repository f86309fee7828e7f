//! Prefetching of the recipients of the next messages.
//!
//! If each message goes to a different session, the broker spends most of its time waiting for memory: for the list of a
//! pair, for the session in it, for the end of its queue, one after the other. Reading these for several messages at a time
//! lets the memory fetch them together. Nothing is kept or changed: all is read again when the messages are processed.
//!
//! The workload W7 of docs/PERFORMANCE.md has such messages. Without this module, one of them costs 2.36 times as much until
//! it is in the queue of its recipient. A stream to one destination (W1, W2) names it once, so nothing is prefetched there,
//! and 1,000 messages cost two instructions more.
//!
//! Each read is kept by a `black_box`, because the compiler drops reads whose results are not used, and safe code has no
//! stable prefetch instruction. What the same message of W7 costs without one of the reads:
//!
//! | read | of the cost with all |
//! | --- | ---: |
//! | the length of a list's pair, in another part of its record than the members | 1.13 |
//! | whether the link of the session is in the list of ready ones | 1.14 |
//! | the free place at the end of the queue, for which [`Deliveries`] is not a `VecDeque` | 1.55 |
//! | without all three, and that of the session | 1.77 |
//!
//! Measured on 2026-11-30 on two cores of a virtual machine that others used too: medians of the ratios of 11 to 35 runs in
//! turns.
//!
//! [`Deliveries`]: crate::broker::store::deliveries::Deliveries

use crate::broker::state::Broker;
use crate::data::destination::{DestinationRef, Target};
use crate::wire::frame::{Step, step};
use crate::wire::kind;
use core::hint::black_box;

/// The number of frames to prefetch together: as much as memory fetches at a time, and the nearest cache keeps.
const AHEAD: usize = 16;

/// True if a frame is a message that defines its destination.
#[inline]
pub(crate) fn defines(body: &[u8]) -> bool {
    const DEFINES: u8 = kind::MESSAGE | kind::MESSAGE_DEFINES;
    body.first().is_some_and(|first| first & (0xf8 | DEFINES) == DEFINES)
}

/// The session or list of a destination, first by its hash and then by its place in the table.
#[derive(Clone, Copy)]
enum Lead<By> {
    Session(By),
    List(By),
}

/// Prefetches the first recipients of the messages at the front of `input`. Returns the number of bytes that are left.
pub(crate) fn prefetch(broker: &Broker, mut input: &[u8], limit: usize) -> usize {
    let mut hashes = [None; AHEAD];
    for hash in &mut hashes {
        // No further whole frame is there.
        let Ok(Step::InPlace(extent)) = step(&[], input, limit) else { break };
        let (frame, rest) = input.split_at(extent.total().min(input.len()));
        input = rest;
        let message = frame.get(extent.header..).filter(|body| defines(body));
        // The destination is behind the kind and the alias.
        let destination = message.and_then(|body| body.get(2..));
        *hash = destination.and_then(|bytes| lead(broker, DestinationRef::trusted(bytes)));
    }
    // Each step is done for all messages before the next, so that none waits for the memory of another.
    let found = hashes.map(|hash| match hash? {
        Lead::Session(hash) => broker.store.sessions.likely(hash).map(Lead::Session),
        Lead::List(hash) => broker.store.sessions.index().likely(hash).map(Lead::List),
    });
    let recipients = found.map(|found| match found? {
        Lead::Session(session) => Some(session),
        Lead::List(list) => {
            let (session, pair_len) = broker.store.sessions.index().first_of(list)?;
            black_box(pair_len);
            Some(session)
        }
    });
    for session in recipients.into_iter().flatten().filter_map(|index| broker.store.sessions.get(index)) {
        let link = session.link.filter(|link| broker.store.ready.is_awake(link.index() as u32));
        black_box(session.queue.free_place());
        black_box(link);
    }
    input.len()
}

/// The hash by which to find a destination. More bytes may follow it, and its encoding was not checked.
fn lead(broker: &Broker, destination: DestinationRef<'_>) -> Option<Lead<u64>> {
    match destination.target() {
        Target::Uuid(uuid) => Some(Lead::Session(broker.store.sessions.hash(uuid))),
        Target::AllOf(pairs) | Target::AnyOf(pairs) => {
            pairs.encoded().next().map(|pair| Lead::List(broker.store.sessions.index().hash(pair)))
        }
        Target::Everyone => None,
    }
}
