//! The additional state of a link whose transport may lose frames.

use crate::error::{AbortCode, BufferTooSmall};
use crate::link::lossy::LossyLink;
use crate::link::numbers::Sending;
use crate::time::Instant;
use crate::wire::control::{Control, Welcome};
use crate::wire::frame::Framing;
use crate::wire::state::StateFrame;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// The bug if a link over a lossy transport has no such state.
pub(crate) const NOT_LOSSY: &str = "a link over a lossy transport lacks what belongs to that";

/// The additional state of a link with lossy framing.
#[derive(Debug)]
pub(crate) struct Lossy {
    pub(crate) link: LossyLink,
    /// The tag of the hello, which the welcome carries too.
    pub(crate) hello_tag: u32,
    /// The buffers of the link.
    pub(crate) partial: Vec<u8>,
    pub(crate) early: Vec<u8>,
    pub(crate) staged: Vec<u8>,
    /// The welcome, for a repetition of the hello.
    pub(crate) welcome: Option<Welcome>,
    /// The frame that ended the link, for a peer that did not receive it.
    pub(crate) final_frame: Option<Control<'static>>,
    /// The broker shuts down.
    pub(crate) shuts_down: bool,
    /// Sessions of other clients that this line has left away, by index and number; some may have ended.
    pub(crate) left: Vec<(u32, u64)>,
}

/// The most sessions that a line may leave away. It is enough for one client that starts once a second and never keeps its
/// session.
pub(crate) const MAX_LEFT: usize = 4;
/// How long a session stays away if its line has left others away too.
pub(crate) const LINE_TIME_TO_LIVE: Duration = Duration::from_secs(5);

impl Lossy {
    /// `None` if the framing is not lossy.
    pub(crate) fn new(framing: Framing) -> Option<Box<Self>> {
        let link = LossyLink::new(framing)?;
        Some(Box::new(Self {
            link,
            hello_tag: 0,
            partial: Vec::new(),
            early: Vec::new(),
            staged: Vec::new(),
            welcome: None,
            final_frame: None,
            shuts_down: false,
            left: Vec::new(),
        }))
    }

    pub(crate) fn outcome(&self, written: usize) -> Result<usize, BufferTooSmall> {
        self.link.outcome(written)
    }

    pub(crate) fn takes_datagrams(&self) -> bool {
        !self.link.is_line
    }

    /// When a frame is to be sent again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.link.recovery.deadline()
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        self.link.recovery.expire(now);
    }

    /// True if the link stays for a while after its end, because the peer may not have received its final frame.
    pub(crate) fn lingers(&self) -> bool {
        !self.shuts_down
    }

    /// Ends the link without waiting for its peer.
    pub(crate) fn shut_down(&mut self) {
        self.shuts_down = true;
    }

    /// Starts a new link on the same transport, for a hello. The staged frame still goes out.
    pub(crate) fn start_again(&mut self) {
        self.link.restart();
        self.welcome = None;
        self.final_frame = None;
    }

    /// Processes the state that the client reports. Returns the number of items that it has newly received.
    pub(crate) fn receive_state(
        &mut self,
        state: &StateFrame,
        sending: &mut Sending,
        now: Instant,
    ) -> Result<u64, AbortCode> {
        self.link.receive_state(state, sending, now)
    }

    pub(crate) fn left(&self) -> &[(u32, u64)] {
        &self.left
    }

    /// True if a frame is not written, or only in part.
    pub(crate) fn has_staged(&self) -> bool {
        self.link.has_staged()
    }
}
