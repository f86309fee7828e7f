//! Errors, sorted by whose fault they are, and the one table of codes that go to a peer.

use crate::data::value::AttributeError;
use core::fmt;
use core::time::Duration;

codes! {
    /// Why a link ends, as one end reports it to the other. (PROTOCOL.md, "Codes")
    pub enum AbortCode {
        /// The peer sent bytes that are no canonical frame.
        Malformed = 1 => "malformed frame",
        /// The peer sent a frame that is not allowed at this point.
        UnexpectedFrame = 2 => "frame not allowed in this state",
        /// The peer announced a frame above the limit.
        FrameTooLarge = 3 => "frame too large",
        /// The peer sent more messages than the window allows.
        WindowExceeded = 4 => "more messages than the window allows",
        /// The peer acknowledged or declined an item that this end never sent.
        BadAcknowledgement = 5 => "acknowledgement of an item that was not sent",
        /// The peer gave a message an id that is not above the one before.
        BadId = 6 => "message id not ascending",
        /// The peer used an alias that it has not defined, or defined one that does not exist.
        BadAlias = 7 => "unknown alias",
        /// The hello did not come in time.
        HandshakeTimeout = 8 => "no handshake within the time limit",
        /// No frame came for three keep-alive intervals.
        Silent = 9 => "no frame for three keep-alive intervals",
        /// Another program with this identity has connected.
        TakenOver = 10 => "this identity is in use by another program",
        /// The same client has connected again.
        Superseded = 11 => "replaced by a newer connection",
        /// The UUID belongs to a client with another secret.
        WrongSecret = 12 => "this UUID belongs to a client with another secret",
        /// The broker does not speak this version of the protocol; it speaks the one in the detail.
        Version = 13 => "protocol version not supported",
        /// The broker has as many links or sessions as it may.
        Full = 14 => "the broker is full",
        /// The broker allows fewer attributes; as many as in the detail.
        TooManyAttributes = 15 => "more attributes than the broker allows",
        /// The broker is going down.
        ShuttingDown = 16 => "the broker is shutting down",
        /// A policy of the broker does not allow the attributes of the hello.
        NotAllowed = 17 => "the broker does not allow these attributes",
    }
}

impl AbortCode {
    /// True if connecting again with the same identity and configuration cannot help.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::TakenOver | Self::WrongSecret | Self::Version | Self::TooManyAttributes | Self::NotAllowed
        )
    }
}

errors! {
    /// A configuration that cannot work. The fault is the caller's.
    pub enum ConfigError {
        /// The named limit is below the least that it may be.
        TooSmall(name: &'static str, least: Bound) => "{name} is too small: give at least {least}",
        /// The named limit is above the most that it may be.
        TooLarge(name: &'static str, most: Bound) => "{name} is too large: give at most {most}",
        /// The named limit is no multiple of 64.
        NoMultiple(name: &'static str) => "{name} is not a multiple of 64: round it up",
        /// The memory that was handed over is smaller than `memory_needed`.
        Memory {
            /// Bytes that this configuration needs.
            needed: usize,
        } => "the memory is too small: hand over at least {needed} bytes",
    }

    /// Why a message was not taken. Nothing has changed.
    pub enum SendError {
        /// The outbox has no room for it now. An event `CapacityAvailable` comes as soon as it has.
        Full => "the outbox is full: wait for the event CapacityAvailable",
        /// The payload can never be sent: it has more bytes than `max`.
        TooLarge {
            /// The most bytes that a payload may have here.
            max: u32,
        } => "the payload is too large: send at most {max} bytes",
        /// The destination can never be used: it is encoded in more bytes than `max`.
        DestinationTooLong {
            /// The most bytes that a destination may have here.
            max: u16,
        } => "the destination is too long: use at most {max} encoded bytes",
        /// The time to live is 0 (below a microsecond): the message could never arrive.
        NoTime => "the time to live is 0: give at least 1 ms",
        /// The client was closed.
        Closed => "the client is closed",
    }

    /// Why attributes were not changed. Nothing has changed.
    pub enum SetError {
        /// The key or the value breaks a limit, or there are too many. The fault is the caller's.
        Attribute(error: AttributeError) => "{error}",
        /// The outbox has no room for the change now: it goes in order with the messages. An event `CapacityAvailable`
        /// comes as soon as it has.
        Full => "the outbox is full: wait for the event CapacityAvailable",
        /// The client was closed.
        Closed => "the client is closed",
    }

    /// Why nothing is watched. Nothing has changed.
    pub enum WatchError {
        /// As many filters are watched as the configuration allows, or were a moment ago. The fault is the caller's.
        TooMany => "too many filters are watched: unwatch one, or raise `watches` in the config",
        /// The filter can never be watched: it is encoded in more bytes than `max`.
        FilterTooLong {
            /// The most bytes that a filter may have here.
            max: u16,
        } => "the filter is too long: use at most {max} encoded bytes",
        /// The client was closed.
        Closed => "the client is closed",
    }
}

/// The bound that a limit has gone beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// A number of items or bytes.
    Number(u64),
    /// A time.
    Time(Duration),
    /// What the limit of this name, as it is, makes the bound.
    Because(&'static str, u64),
}

macro_rules! bounds {
    ($($type:ty: $kind:ident),*) => { $(
        impl From<$type> for Bound {
            fn from(value: $type) -> Self {
                Self::$kind(value.into())
            }
        }
    )* };
}

bounds!(u8: Number, u16: Number, u32: Number, u64: Number, Duration: Time);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(time) => write!(f, "{time:?}"),
            Self::Because(name, number) => write!(f, "{number} for this {name}"),
        }
    }
}

/// A datagram does not fit the buffer that is to carry it. Nothing was written, and the datagram waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferTooSmall {
    /// The bytes of the datagram.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a datagram of {} bytes does not fit the buffer: use a larger one", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}
