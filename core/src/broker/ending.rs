//! How links end, and what becomes of their sessions.

use super::event::BrokerEvent;
use super::links::NO_LINK;
use super::links::{Frame, Link, Phase};
use super::ready::LinkId;
use super::state::Broker;
use super::timers::Timer;
use super::work::END;
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::Moment;
use crate::wire::control::Abort;
use crate::wire::kind;

impl Broker {
    /// Ends a link, and tells the peer why where that is possible.
    pub(super) fn abort(&mut self, index: u32, abort: Abort) {
        if let Some(id) = self.end_link(index, Some(abort)) {
            debug!("e_pigeon::broker", "link {index} aborted: {}", abort.code);
            self.push_event(BrokerEvent::LinkAborted(id, abort.code));
        }
    }

    /// The peer has ended a link: nothing is said to that, and nothing that it wrote before is waited for.
    pub(super) fn ended_by_peer(&mut self, index: u32) {
        self.end_link(index, None);
    }

    /// Ends a link with these last words; `None` where it was closing already.
    fn end_link(&mut self, index: u32, abort: Option<Abort>) -> Option<LinkId> {
        self.answer_displaced(index, AbortCode::Superseded);
        self.leave(index);
        let until = self.now + self.config.handshake_timeout;
        let is_open = |link: &&Link| !matches!(link.phase, Phase::Closing { .. });
        let id = self.links.get(index).filter(is_open).map(|link| link.id(index))?;
        self.give_hello_up(index);
        self.work.charge(END);
        let between_frames = !self.drop_current(index);
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        // In the middle of a frame nothing can be said, and what the frame was made of may be gone.
        link.abort = abort.filter(|_| between_frames);
        link.phase = Phase::Closing { until };
        self.wake_link(index);
        self.arm_link(index);
        Some(id)
    }

    /// Another boot says hello for the session of a link. It may be one that has died since, so the ABORT
    /// of the old link waits until something more comes from the new one, or that ends. (PROTOCOL.md, "Judging a HELLO")
    pub(super) fn displace(&mut self, old: u32, by: u32) {
        self.leave(old);
        let until = self.now + self.config.keep_alive * 3;
        let between_frames = !self.drop_current(old);
        let Some(link) = self.links.get_mut(old).or_bug(NO_LINK) else { return };
        link.phase = Phase::Closing { until };
        link.displaced = between_frames;
        // In the middle of a frame nothing can be said; who waits behind it waits on.
        let waits = if between_frames { Some(link.id(old)) } else { link.displaces.take() };
        if let Some(link) = self.links.get_mut(by).or_bug(NO_LINK) {
            link.displaces = waits;
        }
        if !between_frames {
            self.wake_link(old);
        }
        self.arm_link(old);
    }

    /// Something came on a link, or nothing will: the ABORT of the links that it displaced is certain now.
    pub(super) fn answer_displaced(&mut self, index: u32, code: AbortCode) {
        let mut next = self.links.get_mut(index).and_then(|link| link.displaces.take());
        // One that is gone has answered those behind it.
        while let Some(id) = next
            && let Some(old) = self.links.find(id)
        {
            next = self.links.get_mut(old).and_then(|link| link.displaces.take());
            self.answer(old, code);
        }
    }

    /// Sends a displaced link the reason of its end.
    pub(super) fn answer(&mut self, index: u32, code: AbortCode) {
        let until = self.now + self.config.handshake_timeout;
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        if !core::mem::take(&mut link.displaced) {
            // The transport has begun a new link since.
            return;
        }
        link.abort = Some(Abort { code, detail: 0 });
        link.phase = Phase::Closing { until };
        let id = link.id(index);
        self.wake_link(index);
        self.arm_link(index);
        self.push_event(BrokerEvent::LinkAborted(id, code));
    }

    /// A whole frame is read on a link, and the phase of that is returned. If it is up, and this is no ABORT, there is somebody
    /// at the other end: the links that it has displaced are ended for good.
    #[inline]
    pub(super) fn read_frame(&mut self, index: u32, frame_kind: u8) -> Option<Phase> {
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        if let Phase::Up { keep_alive, .. } = &mut link.phase
            && frame_kind != kind::ABORT
        {
            keep_alive.prove();
        }
        let phase = link.phase;
        if link.displaces.is_some() && matches!(phase, Phase::Up { .. }) && frame_kind != kind::ABORT {
            self.answer_displaced(index, AbortCode::TakenOver);
        }
        Some(phase)
    }

    /// Parts a link from its session, which ends where the client has said so, also if nothing can be written any more.
    pub(super) fn leave(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        let ends = link.goodbye.take() == Some(true);
        let session = link.session();
        self.detach(index);
        if let Some(session) = session.filter(|_| ends) {
            self.end_session(session);
        }
    }

    /// Parts a link from its session, which is away from now on.
    fn detach(&mut self, index: u32) {
        // It has said no hello yet, or is closing.
        let Some(session) = self.links.get(index).and_then(Link::session) else { return };
        let id = self.links.id(index);
        if let Some(state) = self.sessions.get_mut(session)
            && state.link == id
        {
            let ends_at = self.now.after(state.time_to_live);
            state.link = None;
            state.ends_at = Moment::at(ends_at);
            let uuid = state.uuid;
            debug!("e_pigeon::broker", "{uuid} is away, {} messages in its queue", state.queue.len());
            self.sessions.connected -= 1;
            self.timers.arm(ends_at, Timer::Session(session));
            self.push_event(BrokerEvent::SessionAway(uuid));
            self.note_presence(session);
        }
    }

    /// Gives up the frame that is out in part; false where there is none.
    pub(super) fn drop_current(&mut self, index: u32) -> bool {
        let current = self.links.take_current(index);
        if let Some(Frame::Deliver(message, _)) = current.map(|current| current.frame) {
            self.wrote_message(message);
        }
        current.is_some()
    }

    /// Forgets a link.
    pub(super) fn drop_link(&mut self, index: u32) {
        self.give_hello_up(index);
        self.answer_displaced(index, AbortCode::Superseded);
        self.drop_current(index);
        let Some(link) = self.links.remove(index).or_bug(NO_LINK) else { return };
        self.ready.remove_link(link.id(index));
        self.sources.part(link.source, self.now);
        if let Some(at) = link.timer.get() {
            self.timers.disarm(at, Timer::Link(index));
        }
        for slot in link.slots {
            self.messages.drop_destination(slot);
        }
    }
}
