//! Bytes in: which calls may read, and frames out of a stream.

use super::errors::UnknownLink;
use super::links::{NO_LINK, Phase};
use super::lookahead;
use super::ready::LinkId;
use super::state::Broker;
use super::work::Progress;
use super::work::{BYTES, FRAME};
use crate::bug::OrBug;
use crate::time::Instant;
use crate::wire::control::Abort;
use crate::wire::frame::{MAX_HEADER, Step, step};
use alloc::vec::Vec;

impl Broker {
    pub(super) fn input(&mut self, now: Instant, link: LinkId, bytes: &[u8]) -> Result<usize, UnknownLink> {
        let index = self.links.find(link).ok_or(UnknownLink)?;
        self.sweep();
        self.give_back();
        self.make_room();
        if self.is_sweep_behind() {
            self.work.take_no_message();
        }
        if !self.is_free(index) {
            // It goes on when the jobs of its session are done; a datagram is lost.
            if self.links.get(index).is_some_and(|link| link.takes_datagrams()) {
                return Ok(bytes.len());
            }
            self.resume_link(index);
            return Ok(0);
        }
        let state = self.links.get_mut(index).or_bug(NO_LINK).ok_or(UnknownLink)?;
        if state.lossy.is_some() {
            let taken = self.lossy_input(index, now, bytes);
            self.arm_link(index);
            self.wake_link(index);
            return Ok(taken);
        }
        let taken = self.stream_input(index, now, bytes);
        self.list_if_acknowledgement_presses(index);
        Ok(taken)
    }

    /// Takes frames from a stream; returns how many bytes were taken.
    #[inline(never)] // What goes on before and after it does not take registers from the loop.
    fn stream_input(&mut self, index: u32, now: Instant, bytes: &[u8]) -> usize {
        let Some(state) = self.links.get_mut(index).or_bug(NO_LINK) else { return bytes.len() };
        let mut kept = core::mem::take(&mut state.partial);
        let mut input = bytes;
        // So many bytes at the end were not looked ahead at.
        let mut unseen = bytes.len();
        while !input.is_empty() {
            let is_spent = self.work.is_full();
            let Some(state) = self.links.get_mut(index).or_bug(NO_LINK) else { break };
            match &mut state.phase {
                Phase::Closing { .. } => {
                    // Nobody listens any more.
                    input = &[];
                    break;
                }
                Phase::Up { keep_alive, .. } => keep_alive.hear(now),
                Phase::Hello { .. } => {}
            }
            if is_spent {
                self.resume_link(index);
                break;
            }
            let limit = state.frame_limit;
            let most = limit + MAX_HEADER;
            match step(&kept, input, limit) {
                Ok(Step::InPlace(extent)) => {
                    let (frame, rest) = input.split_at(extent.total().min(input.len()));
                    let body =
                        frame.get(extent.header..).or_bug("a frame ends in its header").unwrap_or_default();
                    if lookahead::defines(body) && input.len() <= unseen {
                        unseen = self.look_ahead(input, limit);
                    }
                    self.work.charge(FRAME + (frame.len() / BYTES) as u32);
                    if self.frame(index, body) == Progress::Later {
                        self.resume_link(index);
                        break;
                    }
                    input = rest;
                }
                Ok(Step::Keep(count)) => input = keep(&mut kept, input, count, most),
                Ok(Step::Complete(count, extent)) => {
                    let (before, rest) = (kept.len(), keep(&mut kept, input, count, most));
                    self.work.charge(FRAME + (kept.len() / BYTES) as u32);
                    let body = kept.get(extent.header..).or_bug("a frame ends in its header");
                    if self.frame(index, body.unwrap_or_default()) == Progress::Later {
                        kept.truncate(before);
                        self.resume_link(index);
                        break;
                    }
                    input = rest;
                    kept.clear();
                }
                Err(code) => self.abort(index, Abort { code, detail: 0 }),
            }
        }
        if let Some(state) = self.links.get_mut(index).or_bug(NO_LINK) {
            state.partial = kept;
        }
        bytes.len() - input.len()
    }
}

/// Puts the first `count` bytes of `input` behind those that are kept, and returns the others. No frame has more than
/// `most` bytes: the buffer grows to that and not to the next double.
fn keep<'i>(kept: &mut Vec<u8>, input: &'i [u8], count: usize, most: usize) -> &'i [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    let needed = kept.len() + front.len();
    if needed > kept.capacity() {
        kept.reserve_exact((2 * kept.capacity()).min(most).max(needed) - kept.len());
    }
    kept.extend_from_slice(front);
    rest
}
