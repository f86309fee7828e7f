//! What a link keeps besides if its transport may lose frames.

use super::memory::Cutter;
use crate::config::client::ClientConfig;
use crate::error::AbortCode;
use crate::link::lossy::LossyLink;
use crate::link::numbers::{Receiving, Sending};
use crate::link::timing::Repeat;
use crate::time::Instant;
use crate::wire::cobs;
use crate::wire::control::Welcome;
use crate::wire::state::{StateFrame, tag};
use crate::wire::window::Window;

/// Why a client has a [`ClientLossy`].
pub(super) const NOT_LOSSY: &str = "a client over a lossy transport lacks what belongs to that";

/// What a client has besides on such a link. The regions lie in the part of memory behind everything else.
#[derive(Clone, Debug)]
pub(super) struct ClientLossy {
    pub(super) link: LossyLink,
    /// The sizes of the regions `partial` and `early`. What is left behind both is `staged`.
    pub(super) partial: usize,
    pub(super) early: usize,
    /// The hello or the goodbye that is repeated until it is answered.
    pub(super) request: Repeat,
}

impl ClientLossy {
    /// Cuts its memory; `None` if the framing is not lossy.
    pub(super) fn new(cutter: &mut Cutter, config: &ClientConfig, frame_limit: usize) -> Option<Self> {
        let link = LossyLink::new(config.framing)?;
        let largest = config.max_datagram();
        let (partial, staged) = if link.is_line {
            (LossyLink::input_room(frame_limit), 1 + cobs::stuffed_len(largest))
        } else {
            (0, largest)
        };
        let early = config.reorder_bytes as usize;
        cutter.region(partial.saturating_add(early).saturating_add(staged));
        Some(Self { link, partial, early, request: Repeat::default() })
    }

    /// A new link on a new transport: nothing is left of the one before.
    pub(super) fn start_link(&mut self, boot: u64, link: u64) {
        self.link.restart();
        self.link.tag = tag(boot, link);
        self.drop_staged();
        self.request.end();
    }

    /// A welcome of a broker that has all items up to `received`.
    pub(super) fn establish(&mut self, welcome: &Welcome, received: u64) {
        self.link.establish(welcome, received);
        self.request.end();
    }

    /// The transport is gone, and with it what did not go out.
    pub(super) fn drop_staged(&mut self) {
        self.link.stage(0);
    }

    /// The broker reports its state. Returns how many more items it acknowledges.
    pub(super) fn receive_state(
        &mut self,
        state: &StateFrame,
        sending: &mut Sending,
        now: Instant,
    ) -> Result<u64, AbortCode> {
        self.link.receive_state(state, sending, now)
    }

    /// The state that was begun last.
    pub(super) fn state(&self, receiving: &Receiving, window: Window) -> StateFrame {
        self.link.recovery.state(receiving.received(), receiving.acknowledged(), window)
    }

    /// When something is to be sent again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let recovery = &self.link.recovery;
        [self.request.due(recovery.round_trip()), recovery.deadline()].into_iter().flatten().min()
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.request.is_over(self.link.recovery.round_trip(), now) {
            self.request.fail();
        }
        self.link.recovery.expire(now);
    }

    /// The regions `partial`, `early` and `staged`.
    pub(super) fn regions<'a>(&self, kept: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8], &'a mut [u8]) {
        let (partial, rest) = kept.split_at_mut(self.partial.min(kept.len()));
        let (early, staged) = rest.split_at_mut(self.early.min(rest.len()));
        (partial, early, staged)
    }
}
