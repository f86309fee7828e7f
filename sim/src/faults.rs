//! What goes wrong: connections break, programs stop and die, the broker dies.

use crate::application::Peer;
use crate::coverage::Path;
use crate::setup::Medium;
use crate::step::{Direction, Disturbance};
use crate::violation::Outcome;
use crate::world::{World, new_broker, trace};

impl World {
    /// A connection breaks for one end or for both; of what is on its way to the broker so many bytes still arrive.
    pub(crate) fn cut(&mut self, id: u64, client: bool, broker: bool, kept: usize) -> Outcome {
        self.figures.cuts += 1;
        let path = match (client, broker) {
            (true, true) => Path::CutBoth,
            (true, false) => Path::CutClient,
            (false, true) => Path::CutBroker,
            (false, false) => return Ok(()),
        };
        self.coverage.hit(path);
        if let Some(connection) = self.connections.get(id)
            && (connection.up_tap.is_inside_frame() || connection.down_tap.is_inside_frame())
        {
            self.coverage.hit(Path::CutInFrame);
        }
        if client {
            self.client_loses(id);
        }
        if broker {
            return self.broker_loses(id);
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.up.keep(kept);
        }
        Ok(())
    }

    pub(crate) fn stall(&mut self, id: u64, is_stalled: bool) -> Outcome {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.is_stalled = is_stalled;
        }
        if is_stalled {
            self.coverage.hit(Path::Stalled);
        }
        Ok(())
    }

    pub(crate) fn disturb(&mut self, id: u64, direction: Direction, what: Disturbance) -> Outcome {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let lane = match direction {
            Direction::Up => &mut connection.up,
            Direction::Down => &mut connection.down,
        };
        if lane.disturb(what) {
            let serial = self.setup.medium == Medium::Serial;
            self.coverage.hit(if serial { Path::SerialDisturbed } else { Path::DatagramDisturbed });
        }
        Ok(())
    }

    /// The client's end of a connection breaks.
    pub(crate) fn client_loses(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(id).filter(|c| !c.client_gone) else { return };
        connection.client_gone = true;
        let n = connection.client;
        let peer = &mut self.peers[n];
        peer.lost_down |= connection.welcomed && !connection.down.is_empty();
        peer.lost_up |= connection.welcomed && connection.broker_gone;
        if self.setup.medium != Medium::Serial {
            connection.down.clear();
        }
        if peer.connection == Some(id) {
            peer.connection = None;
            peer.client.handle_disconnected(self.now);
        }
        trace!(self, "{n} loses {id}");
    }

    /// The broker's end of a connection breaks.
    pub(crate) fn broker_loses(&mut self, id: u64) -> Outcome {
        let Some(connection) = self.connections.get_mut(id).filter(|c| !c.broker_gone) else { return Ok(()) };
        connection.broker_gone = true;
        let peer = &mut self.peers[connection.client];
        peer.lost_up |= connection.welcomed && !connection.up.is_empty();
        connection.up.clear();
        if let Some(link) = connection.link {
            self.broker.handle_disconnected(self.now, link);
        }
        trace!(self, "the broker loses {id}");
        self.after_broker()
    }

    /// The broker dies, and an empty one takes its place.
    pub(crate) fn kill(&mut self, silent: bool) -> Outcome {
        self.figures.crashes += 1;
        self.coverage.hit(if silent { Path::KilledSilently } else { Path::Killed });
        trace!(self, "the broker dies");
        self.note_repeated();
        self.epoch += 1;
        self.ends_links = false;
        self.given.clear();
        for connection in self.connections.values_mut() {
            if silent && self.setup.medium == Medium::Serial && !connection.broker_gone {
                // A line has no end: what is on it is read by the next.
                self.coverage.hit(Path::LineOutlivesBroker);
                (connection.link, connection.epoch) = (None, self.epoch);
                (connection.listed, connection.full) = (false, false);
                continue;
            }
            // What was on its way to clients may still arrive, and then the end.
            (connection.broker_gone, connection.ends) = (true, true);
            connection.up.clear();
            if !silent {
                connection.down.clear();
            }
        }
        if !silent {
            for id in self.connections.ids() {
                self.client_loses(id);
            }
        }
        self.drawn_epoch = self.draw();
        self.broker = new_broker(&self.setup, self.drawn_epoch, &self.witness)?;
        self.model.killed(self.now);
        self.strangers.killed();
        // It begins to settle when it is first told the time.
        self.broker.handle_timeout(self.now);
        self.after_broker()
    }

    /// A client dies and starts again, with another boot.
    pub(crate) fn restart(&mut self, n: usize, silent: bool) -> Outcome {
        if n >= self.peers.len() {
            return Ok(());
        }
        self.figures.crashes += 1;
        self.coverage.hit(if silent { Path::RestartedSilently } else { Path::Restarted });
        self.reboot(n, silent)
    }

    /// A client that has left comes back as another boot.
    pub(crate) fn come_back(&mut self, n: usize) -> Outcome {
        self.reboot(n, false)
    }

    fn reboot(&mut self, n: usize, silent: bool) -> Outcome {
        trace!(self, "{n} starts anew");
        let is_stream = self.setup.medium == Medium::Stream;
        let own: Vec<_> =
            self.connections.iter().filter(|(_, c)| c.client == n).map(|(id, c)| (id, c.welcomed)).collect();
        for (id, welcomed) in own {
            self.client_loses(id);
            // A hello of the old boot may be read after one of the new, and must not end that.
            if !silent || !(welcomed || is_stream) {
                self.broker_loses(id)?;
            }
        }
        let (config, client) = self.start(n)?;
        let old = &mut self.peers[n];
        let (application, wanted) = (old.application.take(), old.wanted);
        let (reachable, sleeps, stopped) = (old.reachable, old.sleeps, old.stopped);
        let is_heir = old.is_heir || silent;
        let peer =
            Peer { application, reachable, sleeps, stopped: false, is_heir, ..Peer::new(config, client) };
        self.peers[n] = peer;
        self.model.restarted(n);
        if wanted.0.is_some() {
            self.set_room(n, wanted.0)?;
        }
        if wanted.1.is_some() {
            self.set_level(n, wanted.1)?;
        }
        self.peers[n].stopped = stopped;
        Ok(())
    }

    /// Counts what this life of the broker has counted.
    pub(crate) fn note_repeated(&mut self) {
        if self.broker.stats().repeated > 0 {
            self.coverage.hit(Path::RepeatedInFlight);
        }
    }
}
