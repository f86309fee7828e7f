//! Events of a client, owned.

use std::time::Duration;

use e_pigeon_core::{
    AckToken, Attributes, CloseReason, Delivery, DisconnectReason, Established, Event as Lent, Instant,
    MessageId, PresenceState, Receipt, RefusalReason, Uuid, WatchId,
};

/// Something that the peer, the network or the clock did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The transport is connected; the handshake is under way.
    Connected,
    /// The session is visible to others.
    Established(Established),
    /// The link is gone. Nothing is lost by that: sessions outlive links.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// How long after this event was taken the next connection is tried; `None` where none is.
        retry_in: Option<Duration>,
    },
    /// A message for this client.
    Message(OwnedDelivery),
    /// The receipt of a message whose outcome was turned [into an event](crate::Delivered::into_event).
    Receipt(Receipt),
    /// What `send`, `set` or `remove` refused for lack of room has room now.
    CapacityAvailable,
    /// The broker refused a change of attributes; the session keeps those it had.
    AttributesRefused(RefusalReason),
    /// Somebody under a watch, in a snapshot or because of a change.
    Presence(Box<Presence>),
    /// What was told under this watch no longer holds: a snapshot follows.
    PresenceReset(WatchId),
    /// The snapshot is complete: whoever was not named in it is gone.
    PresenceSynced(WatchId),
    /// The broker refused a watch, which has ended with that.
    WatchRefused(WatchId, RefusalReason),
    /// The client has ended. The last event.
    Closed(CloseReason),
}

/// A session that a watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Under which watch this is told.
    pub watch: WatchId,
    /// Who it is.
    pub uuid: Uuid,
    /// Connected, away, or gone: ended, or no match any more.
    pub state: PresenceState,
    /// The attributes; none where gone.
    pub attributes: Attributes,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedDelivery {
    /// Who sent it.
    pub from: Uuid,
    /// In which life.
    pub boot: u64,
    /// Its number among the messages of that life.
    pub id: MessageId,
    /// Its content.
    pub payload: Box<[u8]>,
    /// True where it may have been had before by an earlier boot of this client, or by this one where its memory of
    /// senders was too small.
    pub maybe_repeated: bool,
    /// True where it was sent to this UUID, not to a filter.
    pub direct: bool,
    /// Names the message for [`Client::acknowledge`](crate::Client::acknowledge).
    pub token: AckToken,
}

impl OwnedDelivery {
    /// The same message as the core lends it.
    pub(crate) fn lend(&self) -> Delivery<'_> {
        let mut delivery = Delivery::new(self.from, self.boot, self.id, &self.payload, self.token);
        (delivery.maybe_repeated, delivery.direct) = (self.maybe_repeated, self.direct);
        delivery
    }
}

impl Event {
    /// An event of the core's; `None` where this crate does not know it.
    pub(crate) fn from_core(lent: Lent<'_>, now: Instant) -> Option<Self> {
        Some(match lent {
            Lent::Connected => Self::Connected,
            Lent::Established(established) => Self::Established(established),
            Lent::Disconnected { reason, retry_at } => {
                let retry_in = retry_at.map(|at| at.saturating_duration_since(now));
                Self::Disconnected { reason, retry_in }
            }
            Lent::Message(message) => Self::Message(OwnedDelivery {
                from: message.from,
                boot: message.boot,
                id: message.id,
                payload: message.payload.into(),
                maybe_repeated: message.maybe_repeated,
                direct: message.direct,
                token: message.token,
            }),
            Lent::Receipt(receipt) => Self::Receipt(receipt),
            Lent::CapacityAvailable => Self::CapacityAvailable,
            Lent::AttributesRefused(reason) => Self::AttributesRefused(reason),
            Lent::Presence(presence) => Self::Presence(Box::new(Presence {
                watch: presence.watch,
                uuid: presence.uuid,
                state: presence.state,
                attributes: presence.attributes.into(),
            })),
            Lent::PresenceReset(watch) => Self::PresenceReset(watch),
            Lent::PresenceSynced(watch) => Self::PresenceSynced(watch),
            Lent::WatchRefused(watch, reason) => Self::WatchRefused(watch, reason),
            Lent::Closed(reason) => Self::Closed(reason),
            _ => return None,
        })
    }

    /// The same event as the core tells it, for what takes those, such as a [`Roster`](e_pigeon_core::Roster).
    /// A time that is left counts from `now`.
    #[must_use]
    pub fn lend(&self, now: Instant) -> Lent<'_> {
        match self {
            Self::Connected => Lent::Connected,
            Self::Established(established) => Lent::Established(*established),
            Self::Disconnected { reason, retry_in } => {
                Lent::Disconnected { reason: *reason, retry_at: retry_in.map(|left| now + left) }
            }
            Self::Message(message) => Lent::Message(message.lend()),
            Self::Receipt(receipt) => Lent::Receipt(*receipt),
            Self::CapacityAvailable => Lent::CapacityAvailable,
            Self::AttributesRefused(reason) => Lent::AttributesRefused(*reason),
            Self::Presence(presence) => Lent::Presence(e_pigeon_core::Presence::new(
                presence.watch,
                presence.uuid,
                presence.state,
                presence.attributes.as_ref(),
            )),
            Self::PresenceReset(watch) => Lent::PresenceReset(*watch),
            Self::PresenceSynced(watch) => Lent::PresenceSynced(*watch),
            Self::WatchRefused(watch, reason) => Lent::WatchRefused(*watch, *reason),
            Self::Closed(reason) => Lent::Closed(*reason),
        }
    }
}
