//! What time does: a link that falls silent, a session that is over, messages that expire.

use super::event::DisconnectReason;
use super::lossy::Lossy;
use super::session::{ClientPhase, State};
use crate::error::AbortCode;
use crate::time::Instant;

impl State {
    pub(super) fn timeout(&mut self, m: &mut [u8], now: Instant) {
        let now = self.advance(now);
        match self.phase {
            ClientPhase::Opening { until } if now >= until => {
                self.give_up(now, DisconnectReason::HandshakeTimeout, Some(AbortCode::HandshakeTimeout));
            }
            ClientPhase::Up(keep_alive) if keep_alive.is_dead(now) => {
                self.give_up(now, DisconnectReason::Silent, Some(AbortCode::Silent));
            }
            ClientPhase::Up(keep_alive) => self.ping_due |= keep_alive.is_ping_due(now),
            _ => {}
        }
        let is_linked = self.is_linked();
        if let Some(lossy) = self.lossy.as_mut().filter(|_| is_linked) {
            lossy.timeout(now);
        }
        self.forget_what_is_over(m, now);
        if self.outbox.earliest_deadline().is_some_and(|at| now >= at) {
            self.outbox.expire(m, now);
        }
    }

    pub(super) fn forget_what_is_over(&mut self, m: &mut [u8], now: Instant) {
        if self.forget_at().is_some_and(|at| now >= at) {
            if let Some(session) = self.session.take() {
                self.epochs.forget(session.epoch);
            }
            // Nothing is under way any more, and the next hello says all attributes.
            self.outbox.restart(m, now, self.sets);
            self.outbox.recheck_deadlines(now);
        }
    }

    /// When a session that has no link is over at the broker.
    fn forget_at(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        // A hello that names it may be under way.
        if self.is_linked() {
            None
        } else {
            self.up_or_lost_at.get().map(|lost| lost.after(session.time_to_live))
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let link = match self.phase {
            ClientPhase::Down { retry_at } => Some(retry_at).filter(|&at| !self.transport && at > self.now),
            ClientPhase::Opening { until } => Some(until),
            ClientPhase::Up(keep_alive) if self.ping_due => Some(keep_alive.dead_at()),
            ClientPhase::Up(keep_alive) => Some(keep_alive.dead_at().min(keep_alive.ping_at())),
            ClientPhase::Closed => return None,
        };
        let lossy = self.lossy.as_ref().filter(|_| self.is_linked()).and_then(Lossy::deadline);
        [link, lossy, self.forget_at(), self.outbox.earliest_deadline()].into_iter().flatten().min()
    }
}
