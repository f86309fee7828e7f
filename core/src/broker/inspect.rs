//! Sessions and links as the operator sees them.

use crate::broker::links::sources::Sources;
use crate::broker::links::table::{Link, LinkPhase, Links};
use crate::broker::store::{LinkId, NO_SESSION, Session, Sessions};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::time::Instant;
use uuid::Uuid;

/// A session in the iterator [`Broker::sessions`](crate::Broker::sessions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo<'a> {
    /// The UUID of its client.
    pub uuid: Uuid,
    /// The boot of its client.
    pub boot: u64,
    /// The attributes of its client.
    pub attributes: AttributesRef<'a>,
    /// The link of its client; `None` while that is away.
    pub link: Option<LinkId>,
    /// When the session ends if its client stays away; `None` while that is connected.
    pub ends_at: Option<Instant>,
    /// True if the session receives messages.
    pub receives: bool,
    /// Messages in its queue, unacknowledged ones included.
    pub queued: usize,
    /// Bytes of payload in its queue.
    pub queued_bytes: u64,
}

/// A link in the iterator [`Broker::links`](crate::Broker::links).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// The name of the link.
    pub id: LinkId,
    /// The source of the link: the number that was given to [`Broker::handle_connected`](crate::Broker::handle_connected).
    pub source: u64,
    /// The state of the link.
    pub state: LinkState,
    /// True if the transport may lose frames.
    pub is_lossy: bool,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// The link has no session yet.
    Handshake,
    /// The link has the session of this client.
    Established(Uuid),
    /// The link has ended, and its transport is not closed yet.
    Closing,
}

impl<'a> SessionInfo<'a> {
    pub(crate) fn of(session: &'a Session) -> Self {
        Self {
            uuid: session.uuid,
            boot: session.boot,
            attributes: session.attributes(),
            link: session.link,
            ends_at: session.ends_at.get().filter(|_| session.link.is_none()),
            receives: session.receives,
            queued: session.queue.len(),
            queued_bytes: session.queue_bytes,
        }
    }
}

impl LinkInfo {
    fn of(index: u32, link: &Link, sessions: &Sessions, sources: &Sources) -> Self {
        let state = match link.phase {
            LinkPhase::Hello { .. } => LinkState::Handshake,
            LinkPhase::Up { session, .. } => {
                let session = sessions.get(session).or_bug(NO_SESSION);
                session.map_or(LinkState::Closing, |session| LinkState::Established(session.uuid))
            }
            LinkPhase::Closing { .. } => LinkState::Closing,
        };
        Self { id: link.id(index), source: sources.number(link.source), state, is_lossy: link.is_lossy() }
    }

    pub(crate) fn all<'a>(
        links: &'a Links,
        sessions: &'a Sessions,
        sources: &'a Sources,
    ) -> impl Iterator<Item = Self> + use<'a> {
        links.iter().map(|(index, link)| Self::of(index, link, sessions, sources))
    }
}
