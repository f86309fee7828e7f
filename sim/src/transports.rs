//! What moves through connections, and what each end makes of it.

use crate::coverage::Path;
use crate::receipts::At;
use crate::setup::{LEAST, Medium, plain_broker};
use crate::step::client_of;
use crate::strangers::FIRST;
use crate::tap::Frame;
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DownItem, UpItem};
use e_pigeon_core::{Broker, BrokerEvent, Code, Limit, Ready, Reason};

/// More calls in a row than that are a call that never ends.
const ENDLESS: usize = 1_000_000;
/// So many changes of attributes, or messages that wait, are many.
const MANY: u32 = 8;
/// So many units more than its budget a call may do for what it is at then: a session that begins or ends.
const LAST: u32 = 1_000;
/// The largest buffer for output.
const OUT: usize = 4_096;

impl World {
    /// A client connects, where it wants to.
    pub(crate) fn connect(&mut self, n: usize) -> Outcome<bool> {
        let Some(peer) = self.peers.get_mut(n) else { return Ok(false) };
        if peer.stopped || !peer.reachable || !peer.client.wants_connection() {
            return Ok(false);
        }
        peer.client.handle_connected(self.now);
        // A line is there all the time, with what is left on it of the link before.
        let is_line = self.setup.medium == Medium::Serial;
        let id = match self.connections.left_line(n).filter(|_| is_line) {
            Some(id) => id,
            None => self.connections.add(n, peer.config.boot, self.epoch, self.setup.medium),
        };
        if let Some(connection) = self.connections.get_mut(id) {
            (connection.client_gone, connection.boot) = (false, peer.config.boot);
        }
        peer.connection = Some(id);
        if self.connections.iter().any(|(_, c)| c.client == n && c.client_gone && !c.broker_gone) {
            self.coverage.hit(Path::BothLinks);
        }
        trace!(self, "{n} connects by {id}");
        Ok(true)
    }

    /// The broker gets to know of a connection.
    pub(crate) fn accept(&mut self, id: u64) -> Outcome {
        let epoch = self.epoch;
        let is_behind = |n: usize| {
            self.connections.iter().any(|(newer, c)| newer > id && c.client == n && c.link.is_some())
        };
        let overtaken = self.connections.get(id).is_some_and(|c| is_behind(c.client));
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        if connection.link.is_some() || connection.broker_gone || connection.epoch != epoch {
            return Ok(());
        }
        let source = connection.client as u64 % self.setup.sources;
        match self.broker.handle_connected_over(self.now, source, self.setup.medium.framing()) {
            Ok(link) => {
                (connection.link, connection.accepted) = (Some(link), self.now);
                self.given.entry(source).or_default().0 += 1;
            }
            Err(_) => {
                if self.setup.medium == Medium::Stream {
                    connection.down.put(Broker::FULL);
                }
                (connection.broker_gone, connection.ends) = (true, true);
            }
        }
        if overtaken {
            self.coverage.hit(Path::ReorderedAccept);
        }
        self.after_broker()
    }

    /// A client writes, while less than `most` are under way.
    pub(crate) fn write_up(&mut self, n: usize, out: usize, most: usize) -> Outcome<bool> {
        let mut buffer = core::mem::take(&mut self.buffer);
        let outcome = self.write_up_from(n, out, most, &mut buffer);
        self.buffer = buffer;
        outcome
    }

    fn write_up_from(&mut self, n: usize, out: usize, most: usize, buffer: &mut Vec<u8>) -> Outcome<bool> {
        buffer.resize(OUT, 0);
        let size = self.buffer_size(out);
        let mut any = false;
        if size < 8 {
            self.coverage.hit(Path::TinyOutput);
        }
        for _ in 0..ENDLESS {
            let Some(peer) = self.peers.get_mut(n).filter(|peer| !peer.stopped) else { return Ok(any) };
            let Some(connection) = peer.connection.and_then(|id| self.connections.get_mut(id)) else {
                return Ok(any);
            };
            if connection.up.len() >= most {
                return Ok(any);
            }
            let wants = peer.client.wants_transmit();
            let written = peer.client.poll_transmit(self.now, &mut buffer[..size]);
            ensure!(wants || written == 0, "transmit", "{n} wants to write nothing and writes {written}");
            ensure!(!wants || written > 0, "transmit", "{n} wants to write and writes nothing");
            if written == 0 {
                return Ok(any);
            }
            if !connection.broker_gone {
                connection.up.put(&buffer[..written]);
            }
            if let (Some(receipts), Some(id)) = (&mut self.receipts, peer.connection) {
                let at = At {
                    now: self.now,
                    epoch: self.drawn_epoch,
                    connection: id,
                    client: n,
                    boot: peer.config.boot,
                };
                receipts.wrote(at, self.setup.medium, &buffer[..written]);
            }
            any = true;
        }
        Err(Violation { kind: "busy", text: format!("{n} writes for ever") })
    }

    /// A datagram goes out in one call, so it has to have room.
    fn buffer_size(&self, out: usize) -> usize {
        if self.setup.medium == Medium::Datagrams { OUT } else { out.clamp(1, OUT) }
    }

    /// At most so many bytes, or datagrams, reach the broker.
    pub(crate) fn read_up(&mut self, id: u64, most: usize) -> Outcome<bool> {
        let Some(connection) = self.connections.get(id) else { return Ok(false) };
        if connection.up.is_empty() || connection.is_stalled || connection.full || connection.broker_gone {
            return Ok(false);
        }
        if connection.link.is_none() {
            self.accept(id)?;
        }
        let Some(connection) = self.connections.get_mut(id) else { return Ok(false) };
        let Some(link) = connection.link.filter(|_| !connection.broker_gone) else { return Ok(true) };
        let bytes = connection.up.take(most.max(1));
        self.reading = Some(id);
        let taken = self.broker.handle_input(self.now, link, &bytes);
        let Ok(taken) = taken else {
            return Err(Violation { kind: "links", text: format!("the broker forgot {id} on its own") });
        };
        ensure!(taken <= bytes.len(), "input", "the broker takes {taken} of {} bytes", bytes.len());
        connection.full = taken < bytes.len();
        connection.up.put_back(&bytes[taken..]);
        self.overhear_up(id, &bytes[..taken]);
        self.after_broker()?;
        self.reading = None;
        Ok(true)
    }

    /// The broker writes, while less than `most` are under way.
    pub(crate) fn write_down(
        &mut self,
        id: u64,
        out: usize,
        most: usize,
        only_listed: bool,
    ) -> Outcome<bool> {
        let mut buffer = core::mem::take(&mut self.buffer);
        let outcome = self.write_down_from(id, (out, most), only_listed, &mut buffer);
        self.buffer = buffer;
        outcome
    }

    fn write_down_from(
        &mut self,
        id: u64,
        (out, most): (usize, usize),
        only_listed: bool,
        buffer: &mut Vec<u8>,
    ) -> Outcome<bool> {
        buffer.resize(OUT, 0);
        let size = self.buffer_size(out);
        let is_stream = self.setup.medium == Medium::Stream;
        let mut any = false;
        for _ in 0..ENDLESS {
            let Some(connection) = self.connections.get_mut(id) else { return Ok(any) };
            let Some(link) = connection.link.filter(|_| !connection.broker_gone) else { return Ok(any) };
            if connection.down.len() >= most || (only_listed && !connection.listed) {
                return Ok(any);
            }
            let Ok(written) = self.broker.poll_transmit(self.now, link, &mut buffer[..size]) else {
                return Err(Violation { kind: "links", text: format!("the broker forgot {id} on its own") });
            };
            ensure!(
                connection.listed || written == 0 || !is_stream,
                "ready",
                "the broker writes {:?} to {id}, which it did not name as ready",
                &buffer[..written.min(16)]
            );
            connection.listed = written > 0;
            if written > 0 && !connection.client_gone {
                connection.down.put(&buffer[..written]);
            }
            self.after_broker()?;
            if written == 0 {
                return Ok(any);
            }
            any = true;
        }
        Err(Violation { kind: "busy", text: format!("the broker writes for ever to {id}") })
    }

    /// At most so many bytes, or datagrams, reach the client.
    pub(crate) fn read_down(&mut self, id: u64, most: usize) -> Outcome<bool> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(false) };
        let n = connection.client;
        if connection.client_gone || connection.is_stalled || self.peers[n].stopped {
            return Ok(false);
        }
        let bytes = connection.down.take(most.max(1));
        if !bytes.is_empty() {
            let taken = self.peers[n].client.handle_input(self.now, &bytes);
            ensure!(taken == bytes.len(), "input", "{n} takes {taken} of {} bytes", bytes.len());
            connection.welcomed |= self.peers[n].client.is_established();
            self.overhear_down(id, &bytes);
            if self.knows_the_broker(&self.peers[n]) {
                let named = self.connections.get(id).and_then(|c| c.down_tap.named);
                if named.is_some_and(|named| named < self.setup.broker.session_ttl) {
                    self.coverage.hit(Path::ShorterLife);
                }
                self.model.welcomed(n, named);
            }
        }
        let ended = self.connections.get(id).is_some_and(|c| c.broker_gone && c.ends && c.down.is_empty());
        if ended {
            self.client_loses(id);
            return Ok(true);
        }
        self.leave_if_wanted(n)?;
        Ok(!bytes.is_empty())
    }

    /// A client whose connection is of no more use writes its last words and goes.
    pub(crate) fn leave_if_wanted(&mut self, n: usize) -> Outcome {
        if self.peers[n].client.wants_disconnect()
            && let Some(id) = self.peers[n].connection
        {
            self.write_up(n, OUT, usize::MAX)?;
            self.client_loses(id);
        }
        Ok(())
    }

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
            if let BrokerEvent::LinkAborted(link, Code::HandshakeTimeout) = event {
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
                    Code::Silent => Path::BrokerSilent,
                    Code::HandshakeTimeout => Path::HelloTimeout,
                    Code::Superseded if is_own => Path::SupersededHello,
                    Code::Superseded => Path::Takeover,
                    Code::TakenOver => Path::TakeoverByBoot,
                    Code::ShuttingDown if self.ends_links => Path::EndedLink,
                    // Where few receipts may wait, the link of a client ends that cannot know of it in time.
                    Code::Full if self.setup.has_few_receipts() => Path::ReceiptsFull,
                    Code::Full if self.is_crowded() => Path::SessionsFull,
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

    // What is overheard.

    fn overhear_up(&mut self, id: u64, bytes: &[u8]) {
        let medium = self.setup.medium;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let n = connection.client;
        let at =
            At { now: self.now, epoch: self.drawn_epoch, connection: id, client: n, boot: connection.boot };
        let mut tap = core::mem::take(&mut connection.up_tap);
        let mut lines = Vec::new();
        let traced = self.is_traced();
        let mut window = None;
        let mut sets = 0;
        tap.feed(medium, bytes, |tap, body| {
            let Ok(frame) = Frame::read(body, true) else { return };
            if traced {
                lines.push(frame.to_string());
            }
            if let Frame::Control(Control::Hello(hello, _)) = &frame {
                window = Some(hello.known.map_or(hello.window, |known| known.window).messages);
                if hello.known.is_none() && self.model.sessions[n].was_told {
                    self.coverage.hit(Path::ForgottenByClient);
                }
            }
            tap.note_up(&frame, &mut self.coverage);
            sets += u32::from(matches!(frame, Frame::Up(UpItem::Set(_))));
            if let Some(receipts) = &mut self.receipts {
                receipts.up(at, tap, &frame);
            }
        });
        for line in lines {
            trace!(self, "broker < {id}: {line}");
        }
        if sets >= MANY {
            self.coverage.hit(Path::SetBurst);
        }
        if sets > 0 && self.broker.stats().waiting >= u64::from(MANY) {
            self.coverage.hit(Path::ParkedPairs);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(window) = window {
            connection.hello_window = Some(window);
        }
        if tap.is_full(connection.down_tap.window(), connection.down_tap.acknowledged) {
            self.coverage.hit(Path::WindowFull);
        }
        connection.up_tap = tap;
    }

    fn overhear_down(&mut self, id: u64, bytes: &[u8]) {
        let medium = self.setup.medium;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (n, boot) = (connection.client, connection.boot);
        let at = At { now: self.now, epoch: self.drawn_epoch, connection: id, client: n, boot };
        let mut tap = core::mem::take(&mut connection.down_tap);
        let mut lines = Vec::new();
        let traced = self.is_traced();
        tap.feed(medium, bytes, |tap, body| {
            let Ok(frame) = Frame::read(body, false) else { return };
            if traced {
                lines.push(frame.to_string());
            }
            if let Frame::Down(DownItem::Final(ended)) = frame
                && ended.reason == Some(Reason::Expired)
            {
                let ids = ended.first..ended.first + u64::from(ended.count);
                self.peers[n].written_finals.extend(ids);
            }
            if let Frame::Control(Control::Abort(_)) = frame {
                return;
            }
            let delivery = tap.note_down(&frame, &mut self.coverage);
            let delivery = delivery.map(|(key, repeated)| {
                if self.model.messages.get(&key).is_some_and(|m| m.handed.contains(&(n, boot))) {
                    self.coverage.hit(Path::HadIt);
                }
                let highest = self.model.logs.highest(n, (key.0, key.1));
                (key, repeated && key.2 + self.model.limits.seen_window(n) <= highest)
            });
            if delivery.is_some_and(|(_, is_below)| is_below) {
                self.coverage.hit(Path::BelowWindow);
            }
            if let Some(receipts) = &mut self.receipts {
                receipts.down(at, tap, &frame, delivery);
            }
        });
        for line in lines {
            trace!(self, "{n} < {id}: {line}");
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if tap.is_full(connection.hello_window, connection.up_tap.acknowledged) {
            self.coverage.hit(Path::InboxFull);
        }
        connection.down_tap = tap;
    }
}
