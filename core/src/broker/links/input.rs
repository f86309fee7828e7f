//! Input of links: which calls may read, and how a stream becomes frames.

use crate::broker::errors::UnknownLink;
use crate::broker::links::table::{LinkPhase, NO_LINK};
use crate::broker::links::{ending, lossy_in, prefetch, receive, schedule, turns};
use crate::broker::memory;
use crate::broker::routing::sweep;
use crate::broker::state::Broker;
use crate::broker::store::LinkId;
use crate::broker::store::work::{BYTES, FRAME, Progress};
use crate::bug::OrBug;
use crate::time::Instant;
use crate::wire::control::Abort;
use crate::wire::frame::{MAX_HEADER, Step, step};
use alloc::vec::Vec;

/// Moves the first `count` bytes of `input` behind the kept ones, and returns the rest. No frame has more than `most`
/// bytes, so the buffer grows to that and not to twice its size.
fn keep<'i>(kept: &mut Vec<u8>, input: &'i [u8], count: usize, most: usize) -> &'i [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    let needed = kept.len() + front.len();
    if needed > kept.capacity() {
        kept.reserve_exact((2 * kept.capacity()).min(most).max(needed) - kept.len());
    }
    kept.extend_from_slice(front);
    rest
}

pub(crate) fn input(
    broker: &mut Broker,
    now: Instant,
    link: LinkId,
    bytes: &[u8],
) -> Result<usize, UnknownLink> {
    let index = broker.links.find(link).ok_or(UnknownLink)?;
    if !sweep::prepare_for_messages(&mut broker.store) {
        broker.store.work.take_no_message();
    }
    memory::give_back(broker);
    if !turns::is_free(broker, index) {
        // The input is read again when the jobs of the session are done; a datagram is lost.
        if broker.links.get(index).is_some_and(|link| link.takes_datagrams()) {
            return Ok(bytes.len());
        }
        schedule::resume(broker, index);
        return Ok(0);
    }
    let state = broker.links.get_mut(index).or_bug(NO_LINK).ok_or(UnknownLink)?;
    if state.lossy.is_some() {
        let taken = lossy_in::lossy_input(broker, index, now, bytes);
        schedule::arm(broker, index);
        schedule::wake(broker, index);
        return Ok(taken);
    }
    let taken = stream_input(broker, index, now, bytes);
    receive::list_if_acknowledgement_presses(broker, index);
    Ok(taken)
}

/// Reads frames from a stream; returns the number of bytes that were read.
#[inline(never)] // What goes on before and after it does not take registers from the loop.
fn stream_input(broker: &mut Broker, index: u32, now: Instant, bytes: &[u8]) -> usize {
    let Some(state) = broker.links.get_mut(index).or_bug(NO_LINK) else { return bytes.len() };
    let mut kept = core::mem::take(&mut state.partial);
    let mut input = bytes;
    // Bytes at the end that were not prefetched.
    let mut unseen = bytes.len();
    while !input.is_empty() {
        let is_spent = broker.store.work.is_full();
        let Some(state) = broker.links.get_mut(index).or_bug(NO_LINK) else { break };
        match &mut state.phase {
            LinkPhase::Closing { .. } => {
                // A closing link drops its input.
                input = &[];
                break;
            }
            LinkPhase::Up { keep_alive, .. } => keep_alive.note_received(now),
            LinkPhase::Hello { .. } => {}
        }
        if is_spent {
            schedule::resume(broker, index);
            break;
        }
        let limit = state.frame_limit;
        let most = limit + MAX_HEADER;
        match step(&kept, input, limit) {
            Ok(Step::InPlace(extent)) => {
                let (frame, rest) = input.split_at(extent.total().min(input.len()));
                let body =
                    frame.get(extent.header..).or_bug("a frame ends in its header").unwrap_or_default();
                if prefetch::defines(body) && input.len() <= unseen {
                    unseen = prefetch::prefetch(broker, input, limit);
                }
                broker.store.work.charge(FRAME + (frame.len() / BYTES) as u32);
                match receive::frame(broker, index, body) {
                    Progress::Done => input = rest,
                    progress if turns::may_retry(broker, progress, body) => {}
                    _ => {
                        schedule::resume(broker, index);
                        break;
                    }
                }
            }
            Ok(Step::Keep(count)) => input = keep(&mut kept, input, count, most),
            Ok(Step::Complete(count, extent)) => {
                let (before, rest) = (kept.len(), keep(&mut kept, input, count, most));
                broker.store.work.charge(FRAME + (kept.len() / BYTES) as u32);
                let body = kept.get(extent.header..).or_bug("a frame ends in its header").unwrap_or_default();
                let progress = receive::frame(broker, index, body);
                if progress == Progress::Done {
                    input = rest;
                    kept.clear();
                    continue;
                }
                let goes_on = turns::may_retry(broker, progress, body);
                kept.truncate(before);
                if !goes_on {
                    schedule::resume(broker, index);
                    break;
                }
            }
            Err(code) => ending::abort(broker, index, Abort { code, detail: 0 }),
        }
    }
    if let Some(state) = broker.links.get_mut(index).or_bug(NO_LINK) {
        state.partial = kept;
    }
    bytes.len() - input.len()
}
