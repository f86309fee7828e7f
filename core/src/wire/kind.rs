//! Kinds of frames and items: the first byte of each. (PROTOCOL.md, "Frames")

/// A client introduces itself.
pub const HELLO: u8 = 0x01;
/// The broker gives it a session.
pub const WELCOME: u8 = 0x02;
/// The link ends, and why.
pub const ABORT: u8 = 0x03;
/// The broker wants a proof of identity. Reserved: carries 32 bytes.
pub const CHALLENGE: u8 = 0x04;
/// The client's answer to a challenge. Reserved: carries 32 bytes.
pub const PROOF: u8 = 0x05;
/// More items are acknowledged.
pub const ACK: u8 = 0x06;
/// The window has changed.
pub const WINDOW: u8 = 0x07;
/// I am here.
pub const PING: u8 = 0x08;
/// The client leaves.
pub const GOODBYE: u8 = 0x09;
/// The broker has noted it.
pub const FAREWELL: u8 = 0x0a;
/// The state of this end. On lossy framed transports only, in place of acknowledgements, windows and pings.
pub const STATE: u8 = 0x0b;

/// A message to the broker: `0x10` with the flags below.
pub const MESSAGE: u8 = 0x10;
/// A message's destination follows, and gets the alias.
pub const MESSAGE_DEFINES: u8 = 0x01;
/// A message is sent again on another session than before.
pub const MESSAGE_RETRY: u8 = 0x02;
/// A message is kept only until it is accepted.
pub const MESSAGE_UNTIL_ACCEPTED: u8 = 0x04;
/// Attributes change.
pub const SET: u8 = 0x18;
/// A delivery is declined.
pub const DECLINE: u8 = 0x19;
/// The client watches a filter.
pub const WATCH: u8 = 0x1a;
/// The client no longer wants to know.
pub const UNWATCH: u8 = 0x1b;

/// A message to a recipient: `0x20` with the flags below.
pub const DELIVER: u8 = 0x20;
/// A delivery's sender follows, and gets the alias.
pub const DELIVER_DEFINES: u8 = 0x01;
/// A delivery may be a repetition; its past follows.
pub const DELIVER_RETRY: u8 = 0x02;
/// A delivery was parked before, so it may come out of order.
pub const DELIVER_LATE: u8 = 0x04;
/// A delivery is for this UUID, not for a filter.
pub const DELIVER_DIRECT: u8 = 0x08;
/// Messages were accepted.
pub const ACCEPTED: u8 = 0x30;
/// Messages have ended.
pub const FINAL: u8 = 0x31;
/// A change of attributes or a watch was refused.
pub const REFUSAL: u8 = 0x32;
/// Deliveries that had numbers have ended: nothing comes in their places.
pub const VOID: u8 = 0x34;
/// A session that is watched matches, has changed or is gone.
pub const PRESENCE: u8 = 0x38;
/// What the client knows of presence no longer holds; a snapshot follows.
pub const PRESENCE_RESET: u8 = 0x39;
/// The snapshot is complete.
pub const PRESENCE_SYNCED: u8 = 0x3a;
