//! Messages and receipts: what goes to the broker, and what comes back about it.

use crate::codec::Bytes;
use crate::codec::{Field, Malformed, Reader, Writer};
use crate::data::destination::{Destination, DestinationRef};
use core::fmt;
use core::time::Duration;

/// The number of a message among those of one boot of its sender. Counts from 1.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long the sender keeps a message, to send it again should the broker die.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retain {
    /// Until its recipients have confirmed it. Survives everything.
    #[default]
    Delivered,
    /// Until the broker has it. Frees the outbox sooner, and survives everything but the broker's death.
    Accepted,
}

/// A message to be sent. Its content is bytes, or, with the feature `typed`, any value that serde can serialise.
///
/// ```
/// use core::time::Duration;
/// use e_pigeon_core::{Filter, Message, Retain, Value};
///
/// let lobby = Filter::all_of(&[("room", Value::from("lobby"))])?;
/// let message = Message::to(&lobby)
///     .payload(b"hello")
///     .time_to_live(Duration::from_secs(60))
///     .retain(Retain::Accepted);
/// assert_eq!(message.get_payload(), b"hello");
/// # Ok::<(), e_pigeon_core::FilterError>(())
/// ```
#[must_use = "a message does nothing until a client sends it"]
pub struct Message<'a, P: ?Sized = [u8]> {
    pub(crate) to: DestinationRef<'a>,
    pub(crate) payload: &'a P,
    pub(crate) time_to_live: Duration,
    pub(crate) retain: Retain,
}

impl<'a> Message<'a> {
    /// An empty message to a destination, a filter, or one of them that is borrowed in its encoding. It may wait for an hour
    /// and is kept until it is delivered.
    pub fn to(to: impl Into<DestinationRef<'a>>) -> Self {
        Self {
            to: to.into(),
            payload: &[],
            time_to_live: Duration::from_secs(3600),
            retain: Retain::Delivered,
        }
    }

    /// The short form of [`Message::to`]`(to).`[`payload`](Self::payload)`(payload)`.
    pub fn new(to: &'a Destination, payload: &'a [u8]) -> Self {
        Self::to(to).payload(payload)
    }

    /// Sets the content, which is opaque to the protocol.
    pub fn payload(mut self, payload: &'a [u8]) -> Self {
        self.payload = payload;
        self
    }

    /// Sets a value as the content, for [`Client::send_as`](crate::Client::send_as).
    #[cfg(feature = "typed")]
    pub fn value<T: serde::Serialize>(self, value: &'a T) -> Message<'a, T> {
        Message { to: self.to, payload: value, time_to_live: self.time_to_live, retain: self.retain }
    }
}

impl<'a, P: ?Sized> Message<'a, P> {
    /// Sets how long it may wait for its recipients, counted from the call of `send`, in whole milliseconds (rounded up, 49
    /// days at most). `send` refuses 0 with [`SendError::NoTime`](crate::SendError::NoTime).
    pub fn time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// Sets how long the sender keeps it.
    pub fn retain(mut self, retain: Retain) -> Self {
        self.retain = retain;
        self
    }

    /// The destination.
    pub fn get_to(&self) -> DestinationRef<'a> {
        self.to
    }

    /// The content.
    pub fn get_payload(&self) -> &'a P {
        self.payload
    }

    /// How long it may wait for its recipients.
    pub fn get_time_to_live(&self) -> Duration {
        self.time_to_live
    }

    /// How long the sender keeps it.
    pub fn get_retain(&self) -> Retain {
        self.retain
    }
}

impl<P: ?Sized> Clone for Message<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: ?Sized> Copy for Message<'_, P> {}

/// With the size of the content in place of the content.
impl<P: ?Sized> fmt::Debug for Message<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("to", &self.to)
            .field("payload", &Bytes(size_of_val(self.payload)))
            .field("time_to_live", &self.time_to_live)
            .field("retain", &self.retain)
            .finish()
    }
}

/// What became of a message. Each message ends in exactly one receipt for which [`Receipt::is_final`] is true.
///
/// Fields may be added; a third kind would be another protocol, and a match has to see it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The broker has the message.
    #[non_exhaustive]
    Accepted {
        /// Which message.
        id: MessageId,
        /// For how many it is; 0: no session matches yet, and the broker keeps it until one does.
        recipients: u32,
        /// True if it was sent with [`Retain::Accepted`]: nothing more follows.
        last: bool,
    },
    /// The message has ended.
    #[non_exhaustive]
    Final {
        /// Which message.
        id: MessageId,
        /// How many have confirmed it. It never says that the others have not had it.
        delivered: u32,
        /// How many it was for.
        recipients: u32,
        /// Why not all, or why none; `None` if all have confirmed it.
        reason: Option<RefusalReason>,
    },
}

impl Receipt {
    /// Makes a [`Receipt::Accepted`].
    pub const fn accepted(id: MessageId, recipients: u32, last: bool) -> Self {
        Self::Accepted { id, recipients, last }
    }

    /// Makes a [`Receipt::Final`].
    pub const fn ended(
        id: MessageId,
        delivered: u32,
        recipients: u32,
        reason: Option<RefusalReason>,
    ) -> Self {
        Outcome::new(delivered, recipients, reason).receipt(id)
    }

    /// Which message it is about.
    pub fn id(&self) -> MessageId {
        match *self {
            Self::Accepted { id, .. } | Self::Final { id, .. } => id,
        }
    }

    /// True if nothing more follows for this message.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Final { .. } | Self::Accepted { last: true, .. })
    }
}

codes! {
    /// Why a message was not confirmed by all that it was for. If several apply, the first that happened.
    pub enum RefusalReason {
        /// Its time to live was over.
        Expired = 1 => "expired",
        /// The queue of a recipient is full.
        QueueFull = 2 => "queue full",
        /// The payload is larger than a recipient or the broker takes, or the destination longer.
        TooLarge = 3 => "too large",
        /// The broker holds as much as it may.
        BrokerFull = 4 => "broker full",
        /// A policy of the broker does not allow it.
        NotAllowed = 5 => "not allowed",
        /// The session of a recipient ended before it confirmed.
        Gone = 6 => "recipient gone",
        /// It was for connected sessions, and none was.
        Nobody = 7 => "nobody connected",
        /// A recipient declined it: it came too late for the order, or it was meant for others.
        Declined = 8 => "declined",
    }
}

/// How a message has ended, as in [`Receipt::Final`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The recipients that have confirmed it.
    pub delivered: u32,
    /// The recipients that it was for.
    pub recipients: u32,
    /// Why not all, or why no recipient.
    pub reason: Option<RefusalReason>,
}

impl Outcome {
    /// How a message has ended that so many of so many have confirmed.
    pub const fn new(delivered: u32, recipients: u32, reason: Option<RefusalReason>) -> Self {
        Self { delivered, recipients, reason }
    }

    /// The final receipt of a message that has ended like this.
    pub(crate) const fn receipt(self, id: MessageId) -> Receipt {
        let Self { delivered, recipients, reason } = self;
        Receipt::Final { id, delivered, recipients, reason }
    }
}

impl Field for Outcome {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (delivered, recipients) = (reader.u32()?, reader.u32()?);
        if delivered > recipients {
            return Err(Malformed);
        }
        // A reason is there exactly if it is needed: some have not confirmed the message, or it was for none.
        let needs_reason = delivered < recipients || recipients == 0;
        let reason = if needs_reason { Some(RefusalReason::read(reader)?) } else { None };
        Ok(Self::new(delivered, recipients, reason))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(self.delivered);
        writer.u32(self.recipients);
        if let Some(reason) = self.reason {
            reason.write(writer);
        }
    }
}

/// What the sender knows about an earlier sending of a message that it sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It was written to a link; nothing came back.
    Sent,
    /// No session matched when it was first sent.
    Parked,
    /// It was accepted for some session.
    Taken(Taken),
}

fields! {
    /// The first *accepted* with recipients that reached the sender.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Taken {
        /// For how many it was accepted.
        pub recipients: u32,
        /// The life of the broker that accepted it.
        pub epoch: u64 = raw_u64,
        /// The newest session number of that life at that moment.
        pub session: u64,
        /// True if it answered the first sending, so that recipients had it in the order of sending.
        pub answered_first: bool,
    }
}

impl Past {
    const SENT: u8 = 0;
    const PARKED: u8 = 1;
    const TAKEN: u8 = 2;

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            Self::SENT => Self::Sent,
            Self::PARKED => Self::Parked,
            // An acceptance for no recipient promises nothing.
            Self::TAKEN => match Taken::read(reader)? {
                Taken { recipients: 0, .. } => return Err(Malformed),
                taken => Self::Taken(taken),
            },
            _ => return Err(Malformed),
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Sent => writer.u8(Self::SENT),
            Self::Parked => writer.u8(Self::PARKED),
            Self::Taken(taken) => {
                writer.u8(Self::TAKEN);
                taken.write(writer);
            }
        }
    }
}
