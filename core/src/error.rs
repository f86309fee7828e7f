//! Errors, sorted by whose fault they are, and the one table of codes that a peer is told.

use core::fmt;
use core::time::Duration;

/// Why a link ends, as one end tells the other. (PROTOCOL.md, "Codes")
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum AbortCode {
    /// The peer sent bytes that are no canonical frame.
    Malformed = 1,
    /// The peer sent a frame that is not allowed at this point.
    UnexpectedFrame = 2,
    /// The peer announced a frame above the limit.
    FrameTooLarge = 3,
    /// The peer sent more messages than the window allows.
    WindowExceeded = 4,
    /// The peer acknowledged or declined what it was never sent.
    BadAcknowledgement = 5,
    /// The peer gave a message an id that is not above the one before.
    BadId = 6,
    /// The peer used an alias that it has not defined, or defined one that does not exist.
    BadAlias = 7,
    /// The hello did not come in time.
    HandshakeTimeout = 8,
    /// Nothing was heard for three keep-alive intervals.
    Silent = 9,
    /// Another program with this identity has connected.
    TakenOver = 10,
    /// The same client has connected again.
    Superseded = 11,
    /// The UUID belongs to somebody with another secret.
    WrongSecret = 12,
    /// The broker does not speak this version of the protocol; it speaks the one in the detail.
    Version = 13,
    /// The broker has as many links or sessions as it may.
    Full = 14,
    /// The broker allows fewer attributes; as many as in the detail.
    TooManyAttributes = 15,
    /// The broker is going down.
    ShuttingDown = 16,
    /// A policy of the broker does not allow the attributes of the hello.
    NotAllowed = 17,
}

impl AbortCode {
    const ALL: [Self; 17] = [
        Self::Malformed,
        Self::UnexpectedFrame,
        Self::FrameTooLarge,
        Self::WindowExceeded,
        Self::BadAcknowledgement,
        Self::BadId,
        Self::BadAlias,
        Self::HandshakeTimeout,
        Self::Silent,
        Self::TakenOver,
        Self::Superseded,
        Self::WrongSecret,
        Self::Version,
        Self::Full,
        Self::TooManyAttributes,
        Self::ShuttingDown,
        Self::NotAllowed,
    ];

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == code)
    }

    /// True where connecting again with the same identity and configuration cannot help.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::TakenOver | Self::WrongSecret | Self::Version | Self::TooManyAttributes | Self::NotAllowed
        )
    }
}

impl fmt::Display for AbortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed frame",
            Self::UnexpectedFrame => "frame not allowed in this state",
            Self::FrameTooLarge => "frame too large",
            Self::WindowExceeded => "more messages than the window allows",
            Self::BadAcknowledgement => "acknowledgement of an item that was not sent",
            Self::BadId => "message id not ascending",
            Self::BadAlias => "unknown alias",
            Self::HandshakeTimeout => "no handshake within the time limit",
            Self::Silent => "no frame for three keep-alive intervals",
            Self::TakenOver => "this identity is in use by another program",
            Self::Superseded => "replaced by a newer connection",
            Self::WrongSecret => "this UUID belongs to a client with another secret",
            Self::Version => "protocol version not supported",
            Self::Full => "the broker is full",
            Self::TooManyAttributes => "more attributes than the broker allows",
            Self::ShuttingDown => "the broker is shutting down",
            Self::NotAllowed => "the broker does not allow these attributes",
        })
    }
}

/// A configuration that cannot work. The fault is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The named limit is below the least that it may be.
    TooSmall(&'static str, Bound),
    /// The named limit is above the most that it may be.
    TooLarge(&'static str, Bound),
    /// The named limit is no multiple of 64.
    NoMultiple(&'static str),
    /// The memory that was handed over is smaller than `memory_needed`.
    Memory {
        /// Bytes that this configuration needs.
        needed: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall(name, least) => write!(f, "{name} is too small: give at least {least}"),
            Self::TooLarge(name, most) => write!(f, "{name} is too large: give at most {most}"),
            Self::NoMultiple(name) => write!(f, "{name} is not a multiple of 64: round it up"),
            Self::Memory { needed } => {
                write!(f, "the memory is too small: hand over at least {needed} bytes")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

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

/// Why a message was not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The outbox has no room for it now. An event `CapacityAvailable` comes as soon as it has.
    Full,
    /// The payload can never be sent: it has more bytes than `max`.
    TooLarge {
        /// The most bytes that a payload may have here.
        max: u32,
    },
    /// The destination can never be used: it is encoded in more bytes than `max`.
    DestinationTooLong {
        /// The most bytes that a destination may have here.
        max: u16,
    },
    /// The time to live is 0 (below a microsecond): the message could never arrive.
    NoTime,
    /// The client was closed.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the outbox is full: wait for the event CapacityAvailable"),
            Self::TooLarge { max } => write!(f, "the payload is too large: send at most {max} bytes"),
            Self::DestinationTooLong { max } => {
                write!(f, "the destination is too long: use at most {max} encoded bytes")
            }
            Self::NoTime => f.write_str("the time to live is 0: give at least 1 ms"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for SendError {}

/// Why attributes were not changed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetError {
    /// The key or the value breaks a limit, or there are too many. The fault is the caller's.
    Attribute(crate::data::value::AttributeError),
    /// The outbox has no room for the change now: it goes in order with the messages. An event `CapacityAvailable`
    /// comes as soon as it has.
    Full,
    /// The client was closed.
    Closed,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(error) => error.fmt(f),
            Self::Full => f.write_str("the outbox is full: wait for the event CapacityAvailable"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for SetError {}

/// Why nothing is watched. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchError {
    /// As many filters are watched as the configuration allows, or were a moment ago. The fault is the caller's.
    TooMany,
    /// The filter can never be watched: it is encoded in more bytes than `max`.
    FilterTooLong {
        /// The most bytes that a filter may have here.
        max: u16,
    },
    /// The client was closed.
    Closed,
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => {
                f.write_str("too many filters are watched: unwatch one, or raise `watches` in the config")
            }
            Self::FilterTooLong { max } => {
                write!(f, "the filter is too long: use at most {max} encoded bytes")
            }
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for WatchError {}
