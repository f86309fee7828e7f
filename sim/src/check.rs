//! What must hold after every step, and what must hold in the end.

use crate::application::Peer;
use crate::violation::{Outcome, ensure};
use crate::world::World;
use e_pigeon_core::wire::limits::MAX_SLOTS;

impl World {
    /// The books balance, and nothing is above its limit.
    pub(crate) fn check_bounds(&self) -> Outcome {
        let stats = self.broker.stats();
        let config = &self.setup.broker;
        ensure!(!self.broker.is_broken(), "books", "an invariant of the broker is broken");
        ensure!(stats.is_balanced(), "books", "the books do not balance: {stats:?}");
        let sessions = u64::from(stats.sessions);
        // A sweep is due at half of that, and one call takes no more than 256 messages before it.
        let ended = 2 * (u64::from(config.max_messages) / 4).max(1_024) + 256 + u64::from(config.max_links);
        let bounds = [
            ("links", u64::from(stats.links), u64::from(config.max_links)),
            ("sessions", sessions, u64::from(config.max_sessions)),
            ("connected sessions", u64::from(stats.connected), sessions.min(u64::from(stats.links))),
            ("messages", stats.open, stats.kept.min(config.max_messages.into())),
            ("messages that have ended", stats.kept - stats.open, ended),
            ("queued messages", stats.held, config.max_queued.into()),
            ("waiting messages", stats.waiting, u64::from(config.max_held).min(stats.open)),
            (
                "waiting messages of all senders",
                stats.waiting,
                stats.senders * u64::from(config.sender_waiting),
            ),
            ("offers", stats.offers, 8 * u64::from(config.max_held)),
            ("bytes of payload", stats.payload_bytes, config.max_message_bytes),
            // What is left of the queue of a session that has ended takes the place of one.
            (
                "deliveries",
                stats.held,
                u64::from(config.max_sessions).saturating_mul(config.queue_messages.into()),
            ),
            ("senders", stats.senders, sessions + stats.kept),
            ("destinations", stats.destinations, stats.kept + u64::from(stats.links) * u64::from(MAX_SLOTS)),
        ];
        for (name, count, bound) in bounds {
            ensure!(count <= bound, "bounds", "{count} {name} where {bound} may be: {stats:?}");
        }
        let waits = self.model.must_wait(self.now);
        ensure!(
            !waits || stats.taken == 0 || self.strangers.any,
            "settling",
            "the broker takes messages too soon: {stats:?}"
        );
        let open = self.model.sessions.iter().filter(|session| session.is_open).count() as u64;
        let connected = self.model.sessions.iter().filter(|session| session.is_connected).count() as u64;
        let strangers = self.strangers.sessions();
        ensure!(
            (open + strangers.0, connected + strangers.1) == (sessions, u64::from(stats.connected)),
            "sessions",
            "{open} are open, {connected} connected, and of strangers {strangers:?}: {stats:?}"
        );
        Ok(())
    }

    /// Everything was answered, and everybody knows.
    pub(crate) fn is_quiet(&self) -> bool {
        let stats = self.broker.stats();
        let is_empty = stats.open == 0 && stats.held == 0 && stats.kept == 0 && stats.payload_bytes == 0;
        let all_said = self.peers.iter().zip(&self.model.sessions).all(|(p, s)| p.wanted == s.attributes);
        // A link that has ended may linger for those who did not hear of it.
        is_empty
            && stats.links == stats.connected
            && stats.connected as usize == self.peers.len()
            && self.strangers.sessions().0 == 0
            && all_said
            && self.peers.iter().all(|peer| {
                let client = &peer.client;
                self.knows_the_broker(peer)
                    && !peer.leaves
                    && !client.has_event()
                    && client.unanswered().next().is_none()
                    && peer.lent.is_empty()
                    && peer.refused.is_none()
            })
    }

    /// True where the client is on a link of the present broker. On a line it may not know yet that there is another.
    pub(crate) fn knows_the_broker(&self, peer: &Peer) -> bool {
        let connection = peer.connection.and_then(|id| self.connections.get(id));
        peer.client.is_established()
            && connection.is_some_and(|c| {
                !c.broker_gone && c.down_tap.welcome.is_some_and(|(_, epoch)| epoch == self.drawn_epoch)
            })
    }

    /// The present boot of each client.
    pub(crate) fn boots(&self) -> Vec<u64> {
        self.peers.iter().map(|peer| peer.config.boot).collect()
    }

    fn what_is_left(&self) -> String {
        let unanswered: Vec<(usize, u64)> = self
            .peers
            .iter()
            .enumerate()
            .flat_map(|(n, peer)| peer.client.unanswered().map(move |id| (n, id.0)))
            .collect();
        let up: Vec<bool> = self.peers.iter().map(|peer| peer.client.is_established()).collect();
        let refused: Vec<bool> = self.peers.iter().map(|peer| peer.refused.is_some()).collect();
        let lent: Vec<usize> = self.peers.iter().map(|peer| peer.lent.len()).collect();
        format!(
            "unanswered (sender, id) {unanswered:?}, established {up:?}, waiting for room {refused:?}, lent {lent:?}, {:?}",
            self.broker.stats()
        )
    }

    /// Whoever is connected knows who is here.
    pub(crate) fn check_presence(&self) -> Outcome {
        let connected = self.peers.iter().enumerate().filter(|(_, peer)| peer.client.is_established());
        connected.into_iter().try_for_each(|(n, peer)| peer.watcher.check(n, &self.model))
    }

    /// Everything has come to its end.
    pub(crate) fn finish(&mut self) -> Outcome {
        self.note_repeated();
        ensure!(self.is_quiet(), "stuck", "it does not come to an end: {}", self.what_is_left());
        let boots = self.boots();
        self.model.finish(self.now, |client, boot| boots[client] == boot)?;
        self.check_presence()?;
        for (n, peer) in self.peers.iter().enumerate() {
            let (wanted, has) = (peer.wanted, self.model.sessions[n].attributes);
            ensure!(wanted == has, "attributes", "{n} wants {wanted:?}, and the broker has {has:?}");
        }
        let stats = self.broker.stats();
        let sessions = u64::from(stats.sessions);
        let slots = u64::from(stats.links) * u64::from(MAX_SLOTS);
        let is_base = sessions == self.peers.len() as u64
            && stats.links == stats.sessions
            && stats.connected == stats.sessions
            && stats.senders == sessions
            && stats.destinations <= slots
            && (stats.waiting, stats.offers) == (0, 0);
        ensure!(is_base, "memory", "the broker holds more than its sessions: {stats:?}");
        Ok(())
    }
}
