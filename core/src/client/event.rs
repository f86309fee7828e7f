//! The events of a client.

use crate::codec::Bytes;
use crate::data::attributes::AttributesRef;
use crate::data::message::{MessageId, Receipt, RefusalReason};
use crate::error::AbortCode;
use crate::time::{Instant, Moment};
use crate::wire::item::{PresenceState, Reply};
use core::fmt;
use uuid::Uuid;

/// Something that the peer, the network or the clock did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The transport is connected; the handshake is under way.
    Connected,
    /// The session is visible to others.
    Established(Established),
    /// The link is gone. Nothing is lost by that: sessions outlive links.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When the next connection is wanted; `None` if none is.
        retry_at: Option<Instant>,
    },
    /// A message for this client.
    Message(Delivery<'a>),
    /// What became of a message of this client.
    Receipt(Receipt),
    /// The presence of a session that matches a filter that is [watched](crate::Client::watch), or did.
    Presence(Presence<'a>),
    /// The presence that came under this watch no longer holds: a snapshot follows.
    PresenceReset(WatchId),
    /// The snapshot is complete: sessions that are not in it are gone.
    PresenceSynced(WatchId),
    /// The broker refused a watch, which has ended with that.
    WatchRefused(WatchId, RefusalReason),
    /// What `send`, `set` or `remove` refused for lack of room has room now.
    CapacityAvailable,
    /// The broker refused a change of attributes; the session keeps those it had.
    AttributesRefused(RefusalReason),
    /// The client has ended. The last event.
    Closed(CloseReason),
}

/// Kinds of events, for [`Client::poll_event_of`](crate::Client::poll_event_of); `|` joins them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFilter(u8);

impl EventFilter {
    /// All events.
    pub const ALL: Self = Self(u8::MAX);
    /// [`Connected`](Event::Connected), [`Established`](Event::Established), [`Disconnected`](Event::Disconnected) and
    /// [`Closed`](Event::Closed).
    pub const LINK: Self = Self(1);
    /// [`Receipt`](Event::Receipt).
    pub const RECEIPTS: Self = Self(1 << 1);
    /// [`CapacityAvailable`](Event::CapacityAvailable).
    pub const CAPACITY: Self = Self(1 << 2);
    /// [`AttributesRefused`](Event::AttributesRefused) and [`WatchRefused`](Event::WatchRefused).
    pub const REFUSALS: Self = Self(1 << 3);
    /// [`Presence`](Event::Presence), [`PresenceReset`](Event::PresenceReset) and
    /// [`PresenceSynced`](Event::PresenceSynced).
    pub const PRESENCE: Self = Self(1 << 4);
    /// [`Message`](Event::Message).
    pub const MESSAGES: Self = Self(1 << 5);

    /// True if the filter contains that kind.
    pub(super) fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

impl core::ops::BitOr for EventFilter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A message that came, its payload borrowed from the inbox.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery<'a> {
    /// The UUID of the sender.
    pub from: Uuid,
    /// The boot of the sender: one of its lives.
    pub boot: u64,
    /// The number of the message in that life.
    pub id: MessageId,
    /// Its content.
    pub payload: &'a [u8],
    /// True if an earlier boot of this client may have had the message, or this one if its memory of senders was too small.
    pub maybe_repeated: bool,
    /// True if it was sent to this UUID, not to a filter.
    pub direct: bool,
    /// Names the message for `acknowledge`.
    pub token: AckToken,
}

impl<'a> Delivery<'a> {
    /// A message that is not repeated and came by a filter, for what takes such events.
    pub fn new(from: Uuid, boot: u64, id: MessageId, payload: &'a [u8], token: AckToken) -> Self {
        Self { from, boot, id, payload, maybe_repeated: false, direct: false, token }
    }
}

/// With the size of the payload in place of the payload.
impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("from", &self.from)
            .field("boot", &self.boot)
            .field("id", &self.id)
            .field("payload", &Bytes(self.payload.len()))
            .field("maybe_repeated", &self.maybe_repeated)
            .field("direct", &self.direct)
            .field("token", &self.token)
            .finish()
    }
}

/// The presence of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presence<'a> {
    /// The watch whose filter the session matches, or did.
    pub watch: WatchId,
    /// The UUID of the session's client.
    pub uuid: Uuid,
    /// Connected, away, or gone: ended, or no match any more.
    pub state: PresenceState,
    /// The attributes; none if the session is gone.
    pub attributes: AttributesRef<'a>,
}

impl<'a> Presence<'a> {
    /// The presence of a session, for what takes such events.
    pub fn new(watch: WatchId, uuid: Uuid, state: PresenceState, attributes: AttributesRef<'a>) -> Self {
        Self { watch, uuid, state, attributes }
    }
}

/// Names a watch of a client. Never names another one of that client later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub(super) u32);

/// Names a message for `acknowledge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AckToken(pub(super) u64);

/// What session a client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Established {
    /// The first one.
    Fresh,
    /// The one that it had.
    Resumed,
    /// A new one, because the broker no longer knew the one before. What is unanswered is sent again.
    Lost,
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The transport was lost, or could not be had.
    TransportLost,
    /// Nothing came from the broker for three keep-alive intervals.
    Silent,
    /// The broker did not answer the hello in time.
    HandshakeTimeout,
    /// The broker ended the link; the number is the detail of the code.
    Aborted(AbortCode, u64),
    /// The broker broke the protocol.
    Protocol(AbortCode),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TransportLost => f.write_str("connection lost"),
            Self::Silent => f.write_str("no frame from the broker for three keep-alive intervals"),
            Self::HandshakeTimeout => f.write_str("the broker did not answer the handshake in time"),
            Self::Aborted(code, _) => write!(f, "the broker ended the connection: {code}"),
            Self::Protocol(code) => write!(f, "the broker violated the protocol: {code}"),
        }
    }
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The session stays at the broker, away, for its time to live.
    KeepSession,
    /// The session ends.
    EndSession,
}

/// Why a client has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// `close` was called, and the broker has confirmed it.
    Requested,
    /// Another program with this identity has connected.
    TakenOver,
    /// The broker will not have this client as it is; the number is the detail of the code.
    Refused(AbortCode, u64),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("closed"),
            Self::TakenOver => {
                f.write_str("this identity is in use by another program: stop it, or use another identity")
            }
            Self::Refused(AbortCode::WrongSecret, _) => f.write_str(
                "refused: this UUID belongs to a client with another secret: use the identity that created it",
            ),
            Self::Refused(AbortCode::Version, spoken) => {
                write!(f, "refused: the broker speaks version {spoken} of the protocol: use a client of that version")
            }
            Self::Refused(AbortCode::TooManyAttributes, max) => {
                write!(f, "refused: the broker allows at most {max} attributes: set fewer")
            }
            Self::Refused(AbortCode::NotAllowed, _) => {
                f.write_str("refused: the broker does not allow these attributes: set others")
            }
            Self::Refused(code, _) => write!(f, "refused: {code}"),
        }
    }
}

/// The events of link and session that wait. Bounded: later ones replace those that they overtake.
#[derive(Clone, Debug)]
pub(super) struct Lifecycle {
    /// How the last link ended, and when to connect again.
    reason: DisconnectReason,
    retry_at: Moment,
    disconnected: bool,
    connected: bool,
    established: Option<Established>,
    pub(super) attributes_refused: Option<RefusalReason>,
    closed: Option<Ending>,
}

/// Why a client has ended; the rest stands in how its last link did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Requested,
    Refused,
}

impl Lifecycle {
    pub(super) const NOTHING: Self = Self {
        reason: DisconnectReason::TransportLost,
        retry_at: Moment::NEVER,
        disconnected: false,
        connected: false,
        established: None,
        attributes_refused: None,
        closed: None,
    };

    pub(super) fn connect(&mut self) {
        self.connected = true;
    }

    pub(super) fn establish(&mut self, established: Established) {
        // The application must learn that a session was lost, even if another link came and went in between.
        if self.established != Some(Established::Lost) || established == Established::Lost {
            self.established = Some(established);
        }
    }

    pub(super) fn disconnect(&mut self, reason: DisconnectReason, retry_at: Moment) {
        self.connected = false;
        if self.established != Some(Established::Lost) {
            self.established = None;
        }
        (self.reason, self.retry_at, self.disconnected) = (reason, retry_at, true);
    }

    /// The client has ended; if the broker did that, its link has ended as [`disconnect`](Self::disconnect) said last.
    pub(super) fn close(&mut self, reason: CloseReason) {
        self.closed = Some(match reason {
            CloseReason::Requested => Ending::Requested,
            CloseReason::TakenOver | CloseReason::Refused(..) => Ending::Refused,
        });
    }

    /// A reply came. Those about watches are with the watches.
    pub(super) fn note_reply(&mut self, reply: Reply) {
        if let Reply::AttributesRefused(reason) = reply {
            self.attributes_refused = Some(reason);
        }
    }

    pub(super) fn has_news(&self, up: bool) -> bool {
        self.disconnected || self.connected || (up && self.established.is_some())
    }

    /// The next of these, in the order in which they happened. `up` is true if the session is established now.
    pub(super) fn poll(&mut self, up: bool) -> Option<Event<'static>> {
        if core::mem::take(&mut self.disconnected) {
            return Some(Event::Disconnected { reason: self.reason, retry_at: self.retry_at.get() });
        }
        if core::mem::take(&mut self.connected) {
            return Some(Event::Connected);
        }
        if up { self.established.take().map(Event::Established) } else { None }
    }

    pub(super) fn has_closed(&self) -> bool {
        self.closed.is_some()
    }

    pub(super) fn poll_closed(&mut self) -> Option<Event<'static>> {
        let reason = match (self.closed.take()?, self.reason) {
            (Ending::Requested, _) => CloseReason::Requested,
            (Ending::Refused, DisconnectReason::Aborted(AbortCode::TakenOver, _)) => CloseReason::TakenOver,
            (Ending::Refused, DisconnectReason::Aborted(code, detail)) => CloseReason::Refused(code, detail),
            (Ending::Refused, _) => {
                bug!("a client was refused whose link was not aborted");
                CloseReason::Requested
            }
        };
        Some(Event::Closed(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_events_replace_those_that_they_overtake_but_not_the_loss_of_a_session() {
        let mut lifecycle = Lifecycle::NOTHING;
        lifecycle.connect();
        lifecycle.establish(Established::Lost);
        lifecycle.disconnect(DisconnectReason::Silent, Moment::NEVER);
        lifecycle.connect();
        lifecycle.establish(Established::Resumed);
        let events = [(); 4].map(|()| lifecycle.poll(true));
        let ended = Event::Disconnected { reason: DisconnectReason::Silent, retry_at: None };
        assert_eq!(
            events,
            [Some(ended), Some(Event::Connected), Some(Event::Established(Established::Lost)), None]
        );
        lifecycle.establish(Established::Resumed);
        assert!(lifecycle.poll(false).is_none() && !lifecycle.has_news(false) && lifecycle.has_news(true));
        lifecycle.disconnect(DisconnectReason::Aborted(AbortCode::NotAllowed, 3), Moment::NEVER);
        let reason = CloseReason::Refused(AbortCode::NotAllowed, 3);
        lifecycle.close(reason);
        assert!(matches!(lifecycle.poll(false), Some(Event::Disconnected { .. })));
        let closed = [(); 2].map(|()| lifecycle.poll_closed());
        assert_eq!(closed, [Some(Event::Closed(reason)), None]);
    }
}
