//! How links end, and what becomes of their sessions.

use super::links::{Frame, Link, Phase};
use super::{Broker, BrokerEvent, NO_LINK, expiry};
use crate::bug::OrBug;
use crate::time::Moment;
use crate::wire::control::Abort;

impl Broker {
    /// Ends a link, and tells the peer why where that is possible.
    pub(super) fn abort(&mut self, index: u32, abort: Abort) {
        self.leave(index);
        let until = self.now + self.config.handshake_timeout;
        let is_open = |link: &&Link| !matches!(link.phase, Phase::Closing { .. });
        // It is closing already.
        let Some(id) = self.links.get(index).filter(is_open).map(|link| link.id(index)) else { return };
        debug!("e_pigeon::broker", "link {index} is ended: {}", abort.code);
        self.give_hello_up(index);
        let between_frames = !self.drop_current(index);
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        // In the middle of a frame nothing can be said, and what the frame was made of may be gone.
        link.abort = between_frames.then_some(abort);
        link.phase = Phase::Closing { until };
        self.list(index);
        self.arm_link(index);
        self.tell(BrokerEvent::LinkAborted(id, abort.code));
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
            debug!("e_pigeon::broker", "{uuid} is away, {} in its queue", state.queue.len());
            self.sessions.connected -= 1;
            self.timers.arm(ends_at, expiry::Timer::Session(session));
            self.tell(BrokerEvent::SessionAway(uuid));
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
        self.drop_current(index);
        let Some(link) = self.links.remove(index).or_bug(NO_LINK) else { return };
        self.sources.part(link.source, self.now);
        if let Some(at) = link.timer.get() {
            self.timers.disarm(at, expiry::Timer::Link(index));
        }
        for slot in link.slots {
            self.messages.drop_destination(slot);
        }
    }
}
