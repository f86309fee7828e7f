//! What each watch of a client is told: well formed all along, and true in the end.

use crate::coverage::{Coverage, Path};
use crate::model::Model;
use crate::step::{Attributes, To, client_of};
use crate::violation::{Outcome, Violation, ensure};
use e_pigeon_core::{Event, PresenceState, RefusalReason, Roster, WatchId};

/// The watches of a client's application.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    watches: Vec<Watch>,
    roster: Roster,
}

#[derive(Clone, Debug)]
struct Watch {
    id: WatchId,
    to: To,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was told.
    New,
    /// A snapshot is being told.
    Listing,
    /// The snapshot is complete.
    Changes,
}

/// The attributes that presence tells of, as this world knows them.
fn attributes_of(attributes: e_pigeon_core::AttributesRef<'_>) -> Attributes {
    crate::witness::attributes_of(attributes)
}

impl Watcher {
    pub(crate) fn new() -> Self {
        Self { watches: Vec::new(), roster: Roster::new(10_000) }
    }

    pub(crate) fn add(&mut self, id: WatchId, to: To) {
        self.watches.push(Watch { id, to, stage: Stage::New });
    }

    /// The watch at that place, counted round, which ends.
    pub(crate) fn remove(&mut self, place: usize) -> Option<WatchId> {
        let place = place.checked_rem(self.watches.len())?;
        let id = self.watches.remove(place).id;
        self.roster.forget(id);
        Some(id)
    }

    /// Takes in an event.
    pub(crate) fn told(
        &mut self,
        client: usize,
        event: &Event<'_>,
        model: &Model,
        coverage: &mut Coverage,
    ) -> Outcome {
        let id = match *event {
            Event::Presence(presence) => presence.watch,
            Event::PresenceReset(id) | Event::PresenceSynced(id) | Event::WatchRefused(id, _) => id,
            _ => return Ok(()),
        };
        let count = self.watches.len();
        let Some(place) = self.watches.iter().position(|watch| watch.id == id) else {
            return Err(Violation {
                kind: "presence",
                text: format!("{client} is told {event:?} of a watch that has ended"),
            });
        };
        self.roster.apply(event, |_| {});
        let watch = &mut self.watches[place];
        match *event {
            Event::PresenceReset(_) => {
                if watch.stage == Stage::Changes {
                    coverage.hit(Path::FellBehind);
                }
                watch.stage = Stage::Listing;
            }
            Event::PresenceSynced(_) => {
                ensure!(
                    watch.stage == Stage::Listing,
                    "presence",
                    "{client} has a snapshot that never began: {watch:?}"
                );
                watch.stage = Stage::Changes;
                coverage.hit(Path::Synced);
            }
            Event::WatchRefused(_, reason) => {
                coverage.hit(Path::WatchRefused);
                let max = model.limits.max_watches;
                // An *unwatch* may be on its way while the broker still has the watch.
                ensure!(
                    reason == RefusalReason::BrokerFull && count + 8 > max,
                    "presence",
                    "{client} may not watch: {reason:?}, {count} of {max}"
                );
                self.watches.remove(place);
            }
            Event::Presence(presence) => {
                ensure!(
                    watch.stage != Stage::New,
                    "presence",
                    "{client} is told {event:?} before a snapshot began"
                );
                let peer = client_of(presence.uuid);
                ensure!(model.sessions.len() > peer, "presence", "{client} is told of a stranger: {event:?}");
                if presence.state != PresenceState::Gone {
                    let attributes = attributes_of(presence.attributes);
                    ensure!(
                        watch.to.matches(peer, attributes) && model.limits.receives(peer),
                        "presence",
                        "{client} is told {event:?}, which does not match {:?}",
                        watch.to
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All has come to rest: what was told is true.
    pub(crate) fn check(&self, client: usize, model: &Model) -> Outcome {
        for watch in &self.watches {
            ensure!(
                watch.stage == Stage::Changes,
                "presence",
                "{client} never got the snapshot of {watch:?}"
            );
            let mut known: Vec<_> = self
                .roster
                .peers(watch.id)
                .map(|(uuid, peer)| (client_of(uuid), peer.is_connected(), attributes_of(peer.attributes())))
                .collect();
            known.sort_unstable();
            let sessions = model.sessions.iter().enumerate();
            let here = sessions.filter(|&(n, session)| {
                session.is_open && model.limits.receives(n) && watch.to.matches(n, session.attributes)
            });
            let truth: Vec<_> =
                here.map(|(n, session)| (n, session.is_connected, session.attributes)).collect();
            ensure!(
                known == truth,
                "presence",
                "{client} knows {known:?} of {:?}, but it is {truth:?}",
                watch.to
            );
        }
        Ok(())
    }
}
