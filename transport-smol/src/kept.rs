//! Who is here, kept by a client for its application.

use std::sync::Arc;

use e_pigeon_core::{Client, Roster};

/// A roster, as it is and as it was last shown.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    roster: Option<Roster>,
    shown: Option<Arc<Roster>>,
    is_news: bool,
}

impl Kept {
    /// Keeps one from now on.
    pub(crate) fn begin(&mut self, max_peers: usize) {
        *self = Self { roster: Some(Roster::new(max_peers)), ..Self::default() };
    }

    /// Takes in what the client has; true where that was something.
    pub(crate) fn update(&mut self, client: &mut Client<Box<[u8]>>) -> bool {
        let Self { roster, shown, is_news } = self;
        let Some(roster) = roster else { return false };
        roster.update(client, |_| {
            *shown = None;
            *is_news = true;
        })
    }

    /// The roster as it is now; empty where none is kept. Copied once after each change that somebody looks at.
    pub(crate) fn show(&mut self) -> Arc<Roster> {
        let Self { roster, shown, .. } = self;
        let copy = || Arc::new(roster.clone().unwrap_or_else(|| Roster::new(0)));
        shown.get_or_insert_with(copy).clone()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.is_news
    }

    /// The roster, where it has changed since the last time.
    pub(crate) fn take_news(&mut self) -> Option<Arc<Roster>> {
        std::mem::take(&mut self.is_news).then(|| self.show())
    }
}
