//! The roster that a client keeps for its application: connected and away sessions.

use std::sync::Arc;

use e_pigeon_core::{Client, Roster};

/// A roster, and the copy that was last handed out.
#[derive(Debug, Default)]
pub(crate) struct RosterCache {
    roster: Option<Roster>,
    shown: Option<Arc<Roster>>,
    is_news: bool,
}

impl RosterCache {
    /// Keeps one from now on.
    pub(crate) fn begin(&mut self, max_peers: usize) {
        *self = Self { roster: Some(Roster::new(max_peers)), ..Self::default() };
    }

    /// Takes the presence events of the client; true if there was one.
    pub(crate) fn update(&mut self, client: &mut Client<Box<[u8]>>) -> bool {
        let Self { roster, shown, is_news } = self;
        let Some(roster) = roster else { return false };
        roster.update(client, |_| {
            *shown = None;
            *is_news = true;
        })
    }

    /// The roster as it is now; empty if none is kept. It is copied once after each change, and only if somebody asks for it.
    pub(crate) fn show(&mut self) -> Arc<Roster> {
        let Self { roster, shown, .. } = self;
        let copy = || Arc::new(roster.clone().unwrap_or_else(|| Roster::new(0)));
        shown.get_or_insert_with(copy).clone()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.is_news
    }

    /// The roster, if it has changed since the last call.
    pub(crate) fn take_news(&mut self) -> Option<Arc<Roster>> {
        std::mem::take(&mut self.is_news).then(|| self.show())
    }
}
