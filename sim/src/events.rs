//! What the broker has to say after each call: its events, and the links that want something.

use crate::coverage::Path;
use crate::flood::FIRST;
use crate::setup::{LEAST, Medium, plain_broker};
use crate::step::client_of;
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use e_pigeon_core::{AbortCode, BrokerEvent, Limit, Ready};

/// So many units more than its budget a call may do for what it is at then: a session that begins or ends.
const LAST: u32 = 1_000;

impl World {
    /// Units of work that one call of the broker may do.
    pub(crate) fn budget(&self) -> u32 {
        self.setup.budget.max(LEAST)
    }

    /// Looks at what the broker has to say, after each call.
    pub(crate) fn after_broker(&mut self) -> Outcome {
        let (done, budget) = (self.broker.work_of_last_call(), self.budget());
        ensure!(done <= budget + LAST, "work", "a call of the broker did {done} units of work, of {budget}");
        self.worked = done;
        self.figures.work += u64::from(done);
        if done >= budget {
            self.coverage.hit(Path::Spent);
            self.model.limits.any_spent = true;
            // A search of all queues that goes on is too rare for a row, and counts with timers.
            self.note_unfinished();
        }
        for (client, attributes) in self.witness.take() {
            trace!(self, "broker: {client} is given {attributes:?}");
            self.model.given(client, attributes);
        }
        while let Some(event) = self.broker.poll_event() {
            trace!(self, "broker: {event}");
            if let BrokerEvent::LinkAborted(link, AbortCode::HandshakeTimeout) = event {
                self.makes_way(link)?;
            }
            if !self.strangers.event(&event, self.epoch)? {
                self.broker_says(event)?;
            }
        }
        self.model.settled();
        while let Some(ready) = self.broker.poll_ready() {
            let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
            if self.stranger_is_ready(ready) {
                continue;
            }
            let Some(connection) = self.connections.with_link(link, self.epoch) else {
                return Err(Violation { kind: "links", text: format!("{ready:?} of an unknown link") });
            };
            match ready {
                Ready::Transmit(_) => connection.listed = true,
                Ready::Resume(_) => connection.full = false,
                // A line stays, and waits for the next hello.
                Ready::Close(_) if self.setup.medium == Medium::Serial && !connection.client_gone => {
                    (connection.link, connection.listed, connection.full) = (None, false, false);
                    self.broker.handle_disconnected(self.now, link);
                }
                Ready::Close(_) => {
                    (connection.broker_gone, connection.ends) = (true, true);
                    connection.up.clear();
                    self.broker.handle_disconnected(self.now, link);
                }
            }
        }
        Ok(())
    }

    /// What a call leaves to others.
    fn note_unfinished(&mut self) {
        for what in self.broker.unfinished() {
            self.coverage.hit(match what {
                "presence" => Path::PresenceInTurns,
                "release" => Path::ReleaseInTurns,
                "release at a hello" => Path::HelloInTurns,
                "offers" => Path::OffersInTurns,
                "acknowledgements" => Path::AcknowledgedInTurns,
                "early items" => Path::EarlyInTurns,
                "what is left of a session" => Path::LeftInTurns,
                "closing" => Path::ClosedInTurns,
                "settling" => Path::SettledInTurns,
                "accepted" => Path::AcceptedInTurns,
                _ => Path::ExpiredInTurns,
            });
        }
    }

    /// The broker ends all links, and tells clients that it shuts down; but it stays.
    pub(crate) fn end_links(&mut self) -> Outcome {
        self.coverage.hit(Path::EndedLinks);
        self.ends_links = true;
        self.broker.close(self.now);
        self.after_broker()
    }

    /// A connection or a hello was refused: then there is as much as may be.
    fn refused(&mut self, source: u64, limit: Limit) -> Outcome {
        let config = &self.setup.broker;
        let is_client = source < FIRST as u64;
        let (path, is_right) = match limit {
            Limit::Links | Limit::LossyLinks => (Path::LinksFull, self.nobody_makes_way()),
            Limit::LinksPerSource | Limit::FailedHellosPerSource if !is_client => (Path::SourceFull, true),
            Limit::LinksPerSource => {
                let links = self.links_of(source);
                (Path::SourceFull, links >= config.max_links_per_source as usize)
            }
            Limit::FailedHellosPerSource => {
                // Those that did not become sessions have failed, or are awaited.
                let (links, ups) = self.given.get(&source).copied().unwrap_or_default();
                let is_lossy = self.setup.medium != Medium::Stream;
                let max = u64::from(config.max_failed_hellos_per_source);
                (Path::SourceFailed, max > 0 && (is_lossy || links - ups >= max))
            }
            Limit::Sessions => (Path::SessionsFull, self.is_crowded()),
            _ => (Path::SessionsFull, false),
        };
        self.coverage.hit(path);
        ensure!(is_right, "locked out", "{source} is refused for {limit:?}: {:?}", self.broker.stats());
        Ok(())
    }

    /// A link of that client has a session.
    fn is_up(&mut self, n: usize) {
        self.given.entry(n as u64 % self.setup.sources).or_default().1 += 1;
    }

    /// True where few sessions may be.
    pub(crate) fn is_crowded(&self) -> bool {
        self.setup.broker.max_sessions < plain_broker().max_sessions
    }

    /// How many links the broker has of a source of clients.
    pub(crate) fn links_of(&self, source: u64) -> usize {
        let own = self.connections.iter().filter(|(_, c)| c.client as u64 % self.setup.sources == source);
        own.filter(|(_, c)| c.link.is_some() && !c.broker_gone && c.epoch == self.epoch).count()
    }

    fn broker_says(&mut self, event: BrokerEvent) -> Outcome {
        match event {
            BrokerEvent::SessionOpened(uuid) => {
                self.is_up(client_of(uuid));
                self.model.opened(client_of(uuid));
            }
            BrokerEvent::SessionResumed(uuid) => {
                let n = client_of(uuid);
                self.is_up(n);
                let renewed = self.model.resumed(n)?;
                self.coverage.hit(if renewed { Path::Renewed } else { Path::Resumed });
                if let (Some(receipts), true) = (&mut self.receipts, renewed) {
                    receipts.renewed(self.drawn_epoch, n);
                }
                let peer = &mut self.peers[n];
                if peer.lost_up && peer.lost_down && !renewed {
                    self.coverage.hit(Path::ResumedBehind);
                }
                (peer.lost_up, peer.lost_down) = (false, false);
            }
            BrokerEvent::Refused { source, limit } => self.refused(source, limit)?,
            BrokerEvent::SessionAway(uuid) => self.model.away(self.now, client_of(uuid)),
            BrokerEvent::SessionEnded(uuid) => {
                self.coverage.hit(Path::SessionExpired);
                self.model.ended(self.now, client_of(uuid))?;
                if let Some(receipts) = &mut self.receipts {
                    receipts.ended(self.drawn_epoch, client_of(uuid));
                }
            }
            BrokerEvent::LinkAborted(link, code) => {
                let reading = self.reading;
                let own =
                    self.connections.iter().find(|(_, c)| c.link == Some(link) && c.epoch == self.epoch);
                let is_own = own.is_some_and(|(id, _)| reading == Some(id));
                let path = match code {
                    AbortCode::Silent => Path::BrokerSilent,
                    AbortCode::HandshakeTimeout => Path::HelloTimeout,
                    AbortCode::Superseded if is_own => Path::SupersededHello,
                    AbortCode::Superseded => Path::Takeover,
                    AbortCode::TakenOver => Path::TakeoverByBoot,
                    AbortCode::ShuttingDown if self.ends_links => Path::EndedLink,
                    // Where few receipts may wait, the link of a client ends that cannot know of it in time.
                    AbortCode::Full if self.setup.has_few_receipts() => Path::ReceiptsFull,
                    AbortCode::Full if self.is_crowded() => Path::SessionsFull,
                    _ => {
                        return Err(Violation {
                            kind: "aborted",
                            text: format!("the broker ended a link: {code}"),
                        });
                    }
                };
                self.coverage.hit(path);
            }
            other => ensure!(false, "events", "the broker says {other:?}"),
        }
        Ok(())
    }
}
