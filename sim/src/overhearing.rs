//! Reads along what passes between a client and the broker, for the trace, the coverage and the causes of receipts.

use crate::coverage::Path;
use crate::receipts::At;
use crate::tap::Frame;
use crate::world::{World, trace};
use e_pigeon_core::RefusalReason;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DownItem, UpItem};

/// So many changes of attributes, or messages that wait, are many.
const MANY: u32 = 8;

impl World {
    pub(crate) fn overhear_up(&mut self, id: u64, bytes: &[u8]) {
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

    pub(crate) fn overhear_down(&mut self, id: u64, bytes: &[u8]) {
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
                && ended.outcome.reason == Some(RefusalReason::Expired)
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
