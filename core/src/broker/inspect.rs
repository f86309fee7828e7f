//! What an operator sees of sessions and links.

use crate::broker::links::sources::Sources;
use crate::broker::links::table::{Link, LinkPhase, Links};
use crate::broker::store::{LinkId, NO_SESSION, Session, Sessions};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::time::Instant;
use uuid::Uuid;

/// A session, as [`Broker::sessions`](crate::Broker::sessions) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo<'a> {
    /// Its client.
    pub uuid: Uuid,
    /// The life of that client.
    pub boot: u64,
    /// Its attributes.
    pub attributes: AttributesRef<'a>,
    /// The link that it is connected by; `None` while it is away.
    pub link: Option<LinkId>,
    /// When it ends if its client stays away; `None` while it is connected.
    pub ends_at: Option<Instant>,
    /// True if destinations match it at all.
    pub receives: bool,
    /// Messages in its queue, those that were sent and not acknowledged included.
    pub queued: usize,
    /// Bytes of payload in its queue.
    pub queued_bytes: u64,
}

/// A link, as [`Broker::links`](crate::Broker::links) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// Its name.
    pub id: LinkId,
    /// Where it comes from: the number that was given to [`Broker::handle_connected`](crate::Broker::handle_connected).
    pub source: u64,
    /// How far it is.
    pub state: LinkState,
    /// True over a transport that may lose frames.
    pub is_lossy: bool,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// It has no session yet.
    Handshake,
    /// It is the link of the session of this client.
    Established(Uuid),
    /// It has ended, and its transport is not closed yet.
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
