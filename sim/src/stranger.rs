//! A stranger, and what the broker says of it.

use crate::flood::{FIRST, Flood, STRANGERS};
use crate::step::client_of;
use crate::violation::{Outcome, ensure};
use e_pigeon_core::{AbortCode, BrokerEvent, Instant, LinkId, Uuid};
use std::collections::BTreeSet;

/// One of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stranger {
    /// Its link, and in which life of the broker.
    pub(crate) link: Option<(LinkId, usize)>,
    /// The link before, while the broker takes leave of it.
    pub(crate) left: Option<LinkId>,
    pub(crate) link_number: u64,
    /// Written and not taken by the broker.
    pub(crate) pending: Vec<u8>,
    /// Input waits for `Ready::Resume`.
    pub(crate) full: bool,
    /// What it still floods the broker with, and how much of it.
    pub(crate) floods: Option<(Flood, usize)>,
    /// The broker has ended its link.
    pub(crate) aborted: bool,
    /// The broker wants to write to it.
    pub(crate) listed: bool,
    /// How many watches it began on this link.
    pub(crate) watches: u32,
    /// The id of its last message, and of the last on this link.
    pub(crate) last_id: u64,
    pub(crate) last_on_link: u64,
    /// Connections without a hello, each with the time of its beginning; and those that the broker has ended.
    pub(crate) silent: Vec<(LinkId, Instant)>,
    pub(crate) ended: Vec<LinkId>,
    /// How many identities it has made up.
    pub(crate) made_up: usize,
    /// What it has read of a frame.
    pub(crate) kept: Vec<u8>,
}

impl Stranger {
    /// True where the broker reads what it writes.
    pub(crate) fn can_write(&self) -> bool {
        self.link.is_some() && !self.aborted
    }

    /// The step from the last message on this link to the next.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        let step = self.last_id - self.last_on_link;
        self.last_on_link = self.last_id;
        step
    }
}

/// All of them, and what the broker says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strangers {
    pub(crate) all: [Stranger; STRANGERS],
    /// Those whose session is there, and those of them that are connected.
    pub(crate) open: BTreeSet<usize>,
    pub(crate) connected: BTreeSet<usize>,
    /// There ever was one.
    pub(crate) any: bool,
}

impl Strangers {
    /// How many sessions they have, and how many of these are connected.
    pub(crate) fn sessions(&self) -> (u64, u64) {
        (self.open.len() as u64, self.connected.len() as u64)
    }

    /// The broker has died.
    pub(crate) fn killed(&mut self) {
        self.open.clear();
        self.connected.clear();
        for stranger in &mut self.all {
            (stranger.link, stranger.left, stranger.full) = (None, None, false);
            stranger.pending.clear();
            stranger.silent.clear();
            (stranger.floods, stranger.aborted) = (None, false);
            stranger.ended.clear();
        }
    }

    /// The connection without a hello that has that link: whose.
    pub(crate) fn silent_with(&mut self, link: LinkId) -> Option<&mut Stranger> {
        let is_its = |s: &&mut Stranger| s.silent.iter().any(|s| s.0 == link) || s.ended.contains(&link);
        self.all.iter_mut().find(is_its)
    }

    pub(crate) fn with_link(&mut self, link: LinkId, epoch: usize) -> Option<&mut Stranger> {
        let is_its = |s: &&mut Stranger| s.link == Some((link, epoch)) || s.left == Some(link);
        self.all.iter_mut().find(is_its)
    }

    /// An event that is about one of them; false where it is about a client.
    pub(crate) fn event(&mut self, event: &BrokerEvent, epoch: usize) -> Outcome<bool> {
        let stranger = |uuid: &Uuid| client_of(*uuid).checked_sub(FIRST);
        match event {
            BrokerEvent::SessionOpened(uuid) | BrokerEvent::SessionResumed(uuid) => {
                let Some(n) = stranger(uuid) else { return Ok(false) };
                self.open.insert(n);
                self.connected.insert(n);
            }
            BrokerEvent::SessionAway(uuid) => {
                let Some(n) = stranger(uuid) else { return Ok(false) };
                self.connected.remove(&n);
            }
            BrokerEvent::SessionEnded(uuid) => {
                let Some(n) = stranger(uuid) else { return Ok(false) };
                self.open.remove(&n);
                self.connected.remove(&n);
            }
            BrokerEvent::LinkAborted(link, code) => {
                if let Some(stranger) = self.silent_with(*link) {
                    stranger.silent.retain(|silent| silent.0 != *link);
                    stranger.ended.push(*link);
                    ensure!(
                        matches!(code, AbortCode::HandshakeTimeout | AbortCode::ShuttingDown),
                        "aborted",
                        "the broker ended a link without a hello: {code}"
                    );
                    return Ok(true);
                }
                let Some(stranger) = self.with_link(*link, epoch) else { return Ok(false) };
                stranger.aborted |= stranger.left != Some(*link);
                let is_earned = matches!(
                    code,
                    AbortCode::Superseded
                        | AbortCode::BadId
                        | AbortCode::BadAcknowledgement
                        | AbortCode::WindowExceeded
                        | AbortCode::Silent
                        | AbortCode::HandshakeTimeout
                        | AbortCode::Full
                        | AbortCode::ShuttingDown
                );
                ensure!(is_earned, "aborted", "the broker ended the link of a stranger: {code}");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
