//! A look ahead at whom the next messages are for.
//!
//! Where each message goes to somebody else, the broker waits for memory most of the time: for the list of a pair, for the
//! session in it, for the end of its queue, one after the other. Looking at those of several messages at a time lets the
//! memory fetch them together. Nothing is kept and nothing changes: it is all looked at again when the messages are taken.

use super::Broker;
use crate::filter::{DestinationRef, Target};
use crate::framing::{Step, step};
use crate::wire::kind;
use core::hint::black_box;

/// So many frames are looked at together: as much as memory fetches at a time, and stays in the nearest cache.
const AHEAD: usize = 16;

/// True where a frame is a message that says anew where it goes.
#[inline]
pub(super) fn defines(body: &[u8]) -> bool {
    const DEFINES: u8 = kind::MESSAGE | kind::MESSAGE_DEFINES;
    body.first().is_some_and(|first| first & (0xf8 | DEFINES) == DEFINES)
}

/// What a destination leads to, by its hash alone.
#[derive(Clone, Copy)]
enum Lead {
    /// In the table of sessions.
    Session(u32),
    /// In the table of lists.
    List(u32),
}

impl Broker {
    /// Looks at the first recipients of the messages at the front of `input`. Returns how many bytes it did not look at.
    pub(super) fn look_ahead(&self, mut input: &[u8], limit: usize) -> usize {
        let mut leads = [None; AHEAD];
        for lead in &mut leads {
            let Ok(Step::InPlace(extent)) = step(&[], input, limit) else { break };
            let (frame, rest) = input.split_at(extent.total().min(input.len()));
            input = rest;
            let message = frame.get(extent.header..).filter(|body| defines(body));
            // Behind kind and alias.
            let destination = message.and_then(|body| body.get(2..));
            *lead = destination.and_then(|bytes| self.lead(DestinationRef::trusted(bytes)));
        }
        // One step for all, then the next for all: so none waits for what another has to fetch.
        let recipients = leads.map(|lead| match lead? {
            Lead::Session(session) => Some(session),
            Lead::List(list) => self.sessions.index().first_of(list),
        });
        for session in recipients.into_iter().flatten().filter_map(|index| self.sessions.get(index)) {
            let link = session.link.filter(|link| self.links.is_roused(link.index() as u32));
            black_box((session.queue.len(), link));
        }
        input.len()
    }

    /// What a destination leads to, most likely. More bytes may follow it, and nothing was checked.
    fn lead(&self, destination: DestinationRef<'_>) -> Option<Lead> {
        match destination.target() {
            Target::Uuid(uuid) => self.sessions.lead(uuid).map(Lead::Session),
            Target::AllOf(pairs) | Target::AnyOf(pairs) => {
                pairs.encoded().next().and_then(|pair| self.sessions.index().lead(pair)).map(Lead::List)
            }
            Target::Everyone => None,
        }
    }
}
