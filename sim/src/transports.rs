//! What moves through connections, and what each end makes of it.

use crate::coverage::Path;
use crate::receipts::At;
use crate::setup::Medium;
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use e_pigeon_core::Broker;

/// More calls in a row than that are a call that never ends.
const ENDLESS: usize = 1_000_000;
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
            let written = peer.client.poll_transmit(self.now, &mut buffer[..size]).unwrap_or(0);
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
            self.peers[n].client.handle_input(self.now, &bytes);
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
}
