//! Items: what a link numbers. A message is read and written here some million times a second, so it is done by
//! hand, in the same format as everything else.

mod down;
mod up;

pub use down::{
    Accepted, Deliver, DeliveryPast, DownItem, Final, MAX_DELIVER_HEAD, Origin, PresenceState, Reply,
};
pub use up::{MessageItem, UpItem};
