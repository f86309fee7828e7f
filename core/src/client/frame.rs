//! The frames that a client writes, each described by what it is made from.

use super::event::Close;
use super::outbox::Outbound;
use super::presence::WatchOp;
use crate::error::AbortCode;
use crate::wire::frame::header_len;
use crate::wire::window::Window;

/// A frame, described so that it can be written again from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClientFrame {
    /// That of the state.
    Hello,
    Ack(u64),
    Window(Window),
    Decline(u64),
    Message {
        entry: Outbound,
        slot: u8,
        defines: bool,
        id_step: u64,
        time_to_live_ms: u32,
    },
    /// An item without a receipt.
    Item(Outbound),
    Watch(WatchOp),
    Goodbye(Close),
    Ping,
    Abort(AbortCode),
    /// That of the recovery; on lossy framed transports.
    #[cfg(feature = "lossy")]
    State,
}

impl ClientFrame {
    /// How many bytes its header has at least.
    pub(super) fn least_header(&self) -> usize {
        match self {
            Self::Message { entry, .. } => header_len(entry.payload()),
            _ => 1,
        }
    }

    /// True if it has a number.
    pub(super) fn is_item(&self) -> bool {
        matches!(self, Self::Decline(_) | Self::Message { .. } | Self::Item(_) | Self::Watch(_))
    }
}

/// The frame that is being written, how long its body is, and how much of the whole is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartialFrame {
    pub(super) frame: ClientFrame,
    pub(super) body: usize,
    pub(super) offset: usize,
}
