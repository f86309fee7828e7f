//! What time does: links that fall silent, sessions and messages that expire, the end of the settling.

use super::jobs::Job;
use super::links::NO_LINK;
use super::links::Phase;
use super::messages::NO_MESSAGE;
use super::state::Broker;
use super::timers::Timer;
use super::work::EXPIRY;
use crate::bug::OrBug;
use crate::data::message::RefusalReason;
use crate::error::AbortCode;
use crate::time::{Instant, Moment};
use crate::wire::control::Abort;
use alloc::vec::Vec;

impl Broker {
    pub(super) fn expire(&mut self, now: Instant) {
        if self.settles_at.is_some_and(|at| now >= at) {
            self.settle();
        }
        // Each of the four kinds of work has a quarter of the call, whatever the others want, and then what these leave.
        self.make_room();
        self.sweep();
        let share = self.work.share();
        self.work.set_aside(2 * share);
        self.grow_up(now);
        self.work.give(share);
        self.timers_due(now);
        self.work.give(share);
        self.work_off();
        self.grow_up(now);
        self.timers_due(now);
        // What is left of the call is for what goes on and for what has ended in it: only one that was spent leaves anything.
        while !self.work.is_spent() && !self.cramped.is_empty() {
            self.make_room();
        }
        self.work_off();
        while !self.work.is_spent() && self.is_sweep_due() {
            self.sweep();
        }
        self.give_back();
    }

    fn grow_up(&mut self, now: Instant) {
        while !self.work.is_spent()
            && let Some(message) = self.messages.grow_up(now, self.config.accept_delay)
        {
            self.work.charge(EXPIRY);
            self.grown_up(message);
        }
    }

    fn timers_due(&mut self, now: Instant) {
        while !self.work.is_spent()
            && let Some(timer) = self.timers.pop(now)
        {
            self.work.charge(EXPIRY);
            match timer {
                Timer::Link(index) => self.link_due(index, now),
                Timer::Session(index) => self.end_session(index),
                Timer::Message(index) => self.expire_message(index),
            }
        }
    }

    /// A message is no longer young: its sender is told that it was accepted, and its deadline gets a timer.
    fn grown_up(&mut self, index: u32) {
        self.tell_accepted(index);
        self.time_message(index);
    }

    pub(super) fn time_message(&mut self, index: u32) {
        if let Some(message) = self.messages.get_mut(index)
            && !message.timed
        {
            message.timed = true;
            let at = message.deadline;
            self.timers.arm(at, Timer::Message(index));
        }
    }

    fn expire_message(&mut self, index: u32) {
        let Some(message) = self.messages.get_mut(index).or_bug(NO_MESSAGE) else { return };
        message.timed = false;
        message.reason.get_or_insert(RefusalReason::Expired);
        let pending = u64::from(core::mem::take(&mut message.pending));
        self.stats.expired += pending;
        self.stats.held -= pending;
        self.close_message(index);
        self.check_message(index);
    }

    /// Clients of the broker before have had their time to come back: all are served from now on.
    fn settle(&mut self) {
        debug!("e_pigeon::broker", "the wait for clients of the previous broker is over");
        self.settles_at = None;
        // There are at most 2^30.
        let end = self.links.places() as u32;
        self.begin_job(Job::Settle { next: 0, end });
    }

    /// Sets the timer of a link to when something is to be done about it.
    pub(super) fn arm_link(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        let at = link.deadline();
        let before = core::mem::replace(&mut link.timer, Moment::at(at)).get();
        if let Some(before) = before {
            self.timers.disarm(before, Timer::Link(index));
        }
        self.timers.arm(at, Timer::Link(index));
    }

    fn link_due(&mut self, index: u32, now: Instant) {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        link.timer = Moment::NEVER;
        match link.phase {
            Phase::Hello { until } if now >= until => {
                self.abort(index, Abort { code: AbortCode::HandshakeTimeout, detail: 0 });
            }
            Phase::Up { keep_alive, .. } if keep_alive.is_dead(now) => {
                self.abort(index, Abort { code: AbortCode::Silent, detail: 0 });
            }
            Phase::Up { keep_alive, .. } => {
                if let Some(lossy) = &mut link.lossy {
                    lossy.timeout(now);
                    self.wake_link(index);
                }
                let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
                if link.partial.is_empty() {
                    // A link that is idle holds no buffer; a busy one gets it back with the next frame that is cut.
                    link.partial = Vec::new();
                }
                let head_is_over = link.head_ends_at.get().is_some_and(|at| now >= at);
                if head_is_over {
                    link.head_ends_at = Moment::NEVER;
                }
                link.ping_due |= keep_alive.is_ping_due(now);
                if link.ping_due || head_is_over {
                    self.wake_link(index);
                }
                self.arm_link(index);
            }
            Phase::Closing { until } if now >= until && link.displaced => {
                self.answer(index, AbortCode::Superseded);
            }
            Phase::Closing { until } if now >= until => {
                // The peer does not read what there is to say.
                link.abort = None;
                // No hello begins anew here any more.
                link.lossy = None;
                link.farewell = false;
                self.drop_current(index);
                self.list_close(index);
            }
            Phase::Hello { .. } | Phase::Closing { .. } => self.arm_link(index),
        }
    }
}
