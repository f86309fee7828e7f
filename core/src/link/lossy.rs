//! One link on which frames may be lost, come twice, or in another order: the machine that both ends have.
//! (PROTOCOL.md, "Lossy framed transports")
//!
//! A [`LossyLink`] knows frames, tags and numbers. What a frame means in which phase, and what is written next, the client
//! and the broker decide. The link holds no bytes: each method borrows the buffer that it needs, which is a region of the
//! client's block or a `Vec` of the broker. There are three of them:
//!
//! - `partial`: the front of a frame that has not ended yet, on a line;
//! - `early`: items that came before one that is missing;
//! - `staged`: the frame that goes out.
//!
//! # States
//!
//! A link is *new* after [`LossyLink::restart`]: its tag is that of its hello, and its [`Recovery`] has seen nothing. It is
//! *established* after [`LossyLink::establish`]: its tag names the session too, and items and states come and go.
//!
//! Independently of that, the output is *idle* or *staged*. [`LossyLink::build`] writes a whole frame, because its message may be gone
//! before the last of its bytes is out; [`LossyLink::drain`] moves it out in pieces of any size.
//!
//! # Invariants
//!
//! - Frames with the tag of another link change nothing.
//! - Items are read in the order of their numbers, each once: [`LossyLink::admit`] is true only for the next one.
//! - The recovery counts an item as received beyond a missing one exactly while `early` holds it.
//! - `drained <= staged`, and a frame is staged only when the one before is out.
//! - A datagram leaves in one piece or not at all.

use super::numbers::Sending;
use super::recovery::{Place, Recovery};
use super::reorder::Reorder;
use crate::bug::OrBug;
use crate::codec::{Reader, Writer};
use crate::error::{AbortCode, BufferTooSmall};
use crate::time::Instant;
use crate::wire::cobs::{self, Unstuffing};
use crate::wire::control::Welcome;
use crate::wire::frame::Framing;
use crate::wire::kind;
use crate::wire::state::{MAX_PREFIX, Prefix, StateFrame, welcomed_tag};
#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::Range;

/// Why a frame has room in its buffer.
const SHORT: &str = "a frame is longer than its buffer";

/// The memory of a buffer that a link borrows.
pub(crate) trait Buffer {
    /// So many bytes of the buffer, which no call needs more of; their content stays.
    fn room(&mut self, length: usize) -> &mut [u8];
}

/// A region that was cut once.
impl Buffer for [u8] {
    fn room(&mut self, length: usize) -> &mut [u8] {
        self.get_mut(..length).or_bug(SHORT).unwrap_or_default()
    }
}

/// Memory that is allocated when it is needed for the first time.
#[cfg(feature = "alloc")]
impl Buffer for Vec<u8> {
    fn room(&mut self, length: usize) -> &mut [u8] {
        self.resize(length, 0);
        self
    }
}

/// One end of a link over a lossy framed transport.
#[derive(Clone, Debug)]
pub(crate) struct LossyLink {
    /// True if frames go over a line of bytes, false if each is a datagram.
    pub(crate) is_line: bool,
    /// The tag that the frames of this link carry.
    pub(crate) tag: u32,
    unstuffing: Unstuffing,
    /// Which items are under way, and which states.
    pub(crate) recovery: Recovery,
    reorder: Reorder,
    /// The length of the staged frame, and how many bytes of it are out.
    staged: usize,
    drained: usize,
}

// The life of a link.
impl LossyLink {
    /// A link of that framing; `None` if the framing loses nothing.
    pub(crate) fn new(framing: Framing) -> Option<Self> {
        framing.is_lossy().then(|| Self {
            is_line: framing == Framing::Cobs,
            tag: 0,
            unstuffing: Unstuffing::default(),
            recovery: Recovery::new(0),
            reorder: Reorder::default(),
            staged: 0,
            drained: 0,
        })
    }

    /// A new link begins on the same transport. A frame that is staged still goes out.
    pub(crate) fn restart(&mut self) {
        self.unstuffing = Unstuffing::default();
        self.recovery = Recovery::new(0);
        self.reorder.clear();
    }

    /// The hello with the tag of this link got that welcome, and the peer has all items up to `received`.
    pub(crate) fn establish(&mut self, welcome: &Welcome, received: u64) {
        self.tag = welcomed_tag(self.tag, u64::from_le_bytes(welcome.epoch), welcome.session);
        self.recovery = Recovery::new(received);
    }
}

/// A frame that came in whole.
pub(crate) struct Incoming<'a> {
    pub(crate) tag: u32,
    /// The number of the item; 0 if the frame is none.
    pub(crate) number: u64,
    /// The byte of kind, with which the body begins.
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Reads the front of a frame; `None` if it has no body or belongs to no protocol that is known.
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(frame);
        let Prefix { tag, number } = Prefix::read(&mut reader).ok()?;
        let body = reader.rest();
        Some(Self { tag, number, kind: *body.first()?, body })
    }

    /// True if items, and no other frames, have a number.
    pub(crate) fn is_sound(&self) -> bool {
        (self.kind >= kind::MESSAGE) == (self.number > 0)
    }

    /// Why the frame ends an established link, whatever its body says.
    pub(crate) fn fault(&self) -> Option<AbortCode> {
        match self.kind {
            _ if !self.is_sound() => Some(AbortCode::Malformed),
            kind::ACK | kind::WINDOW | kind::PING => Some(AbortCode::UnexpectedFrame),
            _ => None,
        }
    }
}

// Frames that come in.
impl LossyLink {
    /// The bytes of the largest frame, before its checksum is cut off.
    pub(crate) const fn input_room(frame_limit: usize) -> usize {
        MAX_PREFIX + frame_limit + cobs::CHECKSUM
    }

    /// Takes bytes off the front of `input`, up to the end of a frame, and returns the frame if it is undamaged and its bytes
    /// fit into `room`.
    pub(crate) fn next_frame<'a: 'b, 'b>(
        &mut self,
        input: &mut &'a [u8],
        partial: &'b mut (impl Buffer + ?Sized),
        room: usize,
    ) -> Option<&'b [u8]> {
        if !self.is_line {
            return Some(core::mem::take(input)).filter(|frame| frame.len() <= room);
        }
        let partial = partial.room(room);
        let (taken, frame) = self.unstuffing.take(input, partial);
        *input = input.get(taken..).or_bug("more was taken than came").unwrap_or_default();
        let length = frame?.ok()?;
        partial.get(..length).or_bug(SHORT)
    }

    /// True for the tag of this link.
    pub(crate) fn is_own(&self, tag: u32) -> bool {
        self.tag == tag
    }

    /// True if the item is the one after `received` and has to be read now. One further ahead is kept in `early`, of which
    /// there are `room` bytes; any other has come already.
    pub(crate) fn admit(
        &mut self,
        item: &Incoming<'_>,
        received: u64,
        early: &mut (impl Buffer + ?Sized),
        room: usize,
    ) -> bool {
        match self.recovery.place(item.number, received) {
            Place::Known => false,
            Place::Next => true,
            Place::Ahead => {
                if self.reorder.keep(early.room(room), item.number, item.body) {
                    self.recovery.kept(item.number, received);
                }
                false
            }
        }
    }

    /// The item of that number in `early`, and where it lies.
    pub(crate) fn next_early<'a>(&self, early: &'a [u8], number: u64) -> Option<(Range<usize>, &'a [u8])> {
        let at = self.reorder.find(early, number).or_bug("an item that was kept is gone")?;
        let item = early.get(at.clone()).or_bug("an item lies outside the buffer that keeps it")?;
        Some((at, item))
    }

    /// The item that lies there has been read.
    pub(crate) fn remove_early(&mut self, early: &mut [u8], at: &Range<usize>) {
        self.reorder.remove(early, at);
    }

    /// The peer reports its state. Returns how many more items it acknowledges.
    pub(crate) fn receive_state(
        &mut self,
        state: &StateFrame,
        sending: &mut Sending,
        now: Instant,
    ) -> Result<u64, AbortCode> {
        if !self.recovery.receive_state(state, now)? {
            return Ok(0);
        }
        sending.set_window(state.window);
        state.acknowledged.checked_sub(sending.acknowledged()).ok_or(AbortCode::BadAcknowledgement)
    }
}

// Frames that go out.
impl LossyLink {
    /// Builds a frame with that tag and number, 0 if it is no item, in the buffer for the staged one; returns its length.
    ///
    /// A frame that `leads` begins with a zero on a line: the line may hold a part of another frame, which must not cost the
    /// handshake.
    pub(crate) fn build(
        &self,
        (tag, number, leads): (u32, u64, bool),
        staged: &mut (impl Buffer + ?Sized),
        write_body: impl Fn(&mut Writer<'_>),
    ) -> usize {
        let write = |writer: &mut Writer<'_>| {
            Prefix { tag, number }.write(writer);
            write_body(writer);
        };
        let mut counter = Writer::counting();
        write(&mut counter);
        let length = counter.total();
        let lead = usize::from(self.is_line && leads);
        let (at, room) =
            if self.is_line { (cobs::headroom(length), cobs::stuffed_len(length)) } else { (0, length) };
        let parts = staged.room(lead + room).split_at_mut_checked(lead);
        let (zero, frame) = parts.or_bug(SHORT).unwrap_or_default();
        zero.fill(0);
        let content = frame.get_mut(at..).or_bug(SHORT).unwrap_or_default();
        write(&mut Writer::new(content, 0));
        lead + if self.is_line { cobs::stuff(frame, length) } else { length }
    }

    /// A frame of that many bytes is in the buffer for the staged one.
    pub(crate) fn stage(&mut self, length: usize) {
        (self.drained, self.staged) = (0, length);
    }

    /// Moves bytes of the frame in `staged` to `out`, behind the `written` ones. True if another frame may follow.
    pub(crate) fn drain(&mut self, staged: &[u8], out: &mut [u8], written: &mut usize) -> bool {
        let rest = staged.get(self.drained..self.staged).or_bug("more is out than was staged");
        let rest = rest.unwrap_or_default();
        let room = out.get_mut(*written..).or_bug("more was written than there is room").unwrap_or_default();
        if self.is_line || rest.len() <= room.len() {
            let count = rest.len().min(room.len());
            for (to, from) in room.iter_mut().zip(rest) {
                *to = *from;
            }
            self.drained += count;
            *written += count;
        }
        // A call fills one datagram.
        !self.has_staged() && *written < out.len() && (self.is_line || *written == 0)
    }

    /// What is out: that many bytes, or an error if there are none because a datagram did not fit.
    pub(crate) fn outcome(&self, written: usize) -> Result<usize, BufferTooSmall> {
        if self.is_line || written > 0 || !self.has_staged() {
            return Ok(written);
        }
        Err(BufferTooSmall { needed: self.staged })
    }

    /// True if a frame has not gone out, or only in part.
    pub(crate) fn has_staged(&self) -> bool {
        self.drained < self.staged
    }
}
