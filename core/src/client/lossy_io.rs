//! A client's link where frames may be lost, come twice, or in another order: what is taken, what is written, and what is
//! written again. (PROTOCOL.md, "Lossy framed transports")

use super::event::Close;
use super::frame::ClientFrame;
use super::lossy::{Lossy, NOT_LOSSY};
use super::session::{ClientPhase, State};
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::link::lossy::{Incoming, LossyLink};
use crate::time::Instant;
use crate::wire::kind;
use crate::wire::state;
use crate::wire::window::Window;

// Frames that come in.
impl State {
    /// Takes bytes; `kept` is the part of memory that holds the regions of a lossy link.
    pub(super) fn lossy_input(&mut self, m: &mut [u8], kept: &mut [u8], now: Instant, bytes: &[u8]) {
        let Some(lossy) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return };
        let (partial, early, _) = lossy.regions(kept);
        let room = LossyLink::input_room(self.frame_limit());
        let mut input = bytes;
        // Bytes that come when the link has ended belong to it.
        while !input.is_empty() && self.is_linked() {
            let Some(lossy) = self.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
            if let Some(frame) = lossy.link.next_frame(&mut input, partial, room) {
                self.lossy_frame(m, early, now, frame);
            }
        }
    }

    /// Takes a frame. One that is damaged or belongs to another link is as if it had not come.
    fn lossy_frame(&mut self, m: &mut [u8], early: &mut [u8], now: Instant, frame: &[u8]) {
        // It is damaged.
        let Some(frame) = Incoming::read(frame) else { return };
        if !self.lossy.as_ref().is_some_and(|lossy| lossy.link.is_own(frame.tag)) {
            return;
        }
        self.heard(now);
        match (frame.kind, self.phase) {
            _ if !frame.is_sound() => self.fail(now, AbortCode::Malformed),
            (kind::ABORT, _) | (kind::WELCOME, ClientPhase::Opening { .. }) => self.frame(m, now, frame.body),
            // They come again once this client is welcomed, or the answer to a hello comes twice.
            (_, ClientPhase::Opening { .. }) | (kind::WELCOME, _) => {}
            _ => match frame.fault() {
                Some(code) => self.fail(now, code),
                None if frame.number > 0 => self.lossy_item(m, early, now, &frame),
                None => self.frame(m, now, frame.body),
            },
        }
    }

    /// Takes an item if it is the next one, and those that were waiting for it.
    fn lossy_item(&mut self, m: &mut [u8], early: &mut [u8], now: Instant, item: &Incoming<'_>) {
        let session = self.session.as_ref().or_bug("a link that is up has no session");
        let Some(received) = session.map(|session| session.receiving.received()) else { return };
        let Some(lossy) = self.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
        let room = lossy.early;
        if !lossy.link.admit(item, received, early, room) {
            return;
        }
        self.frame(m, now, item.body);
        let mut next = item.number + 1;
        while self.is_established() {
            let Some(lossy) = self.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
            if !lossy.link.recovery.received_one() {
                return;
            }
            // A bug, as was said.
            let Some((at, item)) = lossy.link.next_early(early, next) else { return };
            self.frame(m, now, item);
            // An item that ends the link is removed too.
            if let Some(lossy) = &mut self.lossy {
                lossy.link.remove_early(early, &at);
            }
            next += 1;
        }
    }

    /// The broker reports its state.
    pub(super) fn receive_state(
        &mut self,
        m: &mut [u8],
        now: Instant,
        state: &state::StateFrame,
    ) -> Result<(), AbortCode> {
        let link = &mut self.lossy.as_mut().ok_or(AbortCode::UnexpectedFrame)?.link;
        let session = self.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
        match link.receive_state(state, &mut session.sending, now)? {
            0 => Ok(()),
            more => self.acknowledged(m, more),
        }
    }
}

// Frames that go out.
impl State {
    pub(super) fn lossy_transmit(&mut self, memory: &mut [u8], now: Instant, out: &mut [u8]) -> usize {
        let now = self.advance(now);
        let (m, kept) = memory.split_at_mut(self.partial_at.min(memory.len()));
        let Some(lossy) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return 0 };
        let (_, _, staged) = lossy.regions(kept);
        let mut written = 0;
        while let Some(lossy) = &mut self.lossy
            && lossy.link.drain(staged, out, &mut written)
            && let Some((number, frame)) = self.begin_lossy_frame(m, now)
        {
            self.stage(m, staged, number, &frame);
        }
        if let (ClientPhase::Up(keep_alive), 1..) = (&mut self.phase, written) {
            keep_alive.speak(now);
        }
        written
    }

    /// Builds a frame and stages it.
    fn stage(&mut self, m: &[u8], staged: &mut [u8], number: u64, frame: &ClientFrame) {
        let Some(Lossy { link, .. }) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return };
        let front = (link.tag, number, matches!(frame, ClientFrame::Hello));
        let length = link.build(front, staged, |writer| self.write_body(m, frame, writer));
        if let Some(lossy) = &mut self.lossy {
            lossy.link.stage(length);
        }
    }

    /// Chooses the next frame and its number, 0 for none.
    fn begin_lossy_frame(&mut self, m: &mut [u8], now: Instant) -> Option<(u64, ClientFrame)> {
        match self.phase {
            ClientPhase::Opening { .. } => return self.begin_hello_again(m, now).map(|frame| (0, frame)),
            ClientPhase::Up(_) => {}
            ClientPhase::Down { .. } | ClientPhase::Closed => {
                return self.last_words.take().map(|code| (0, ClientFrame::Abort(code)));
            }
        }
        if self.begin_state(m, now) {
            return Some((0, ClientFrame::State));
        }
        let recovery = &self.lossy.as_ref()?.link.recovery;
        let (missing, has_room) = (recovery.next_missing(), recovery.has_room());
        let item = match missing {
            Some(number) => self.item_again(m, now, number).map(|frame| (number, frame)),
            None if has_room => self
                .begin_item(m, now)
                .and_then(|frame| self.session.as_ref().map(|session| (session.sending.sent(), frame))),
            None => None,
        };
        if let Some((number, frame)) = item {
            self.lossy.as_mut()?.link.recovery.wrote(number, now);
            return Some((number, frame));
        }
        self.begin_goodbye(m, now).map(|frame| (0, frame))
    }

    fn begin_hello_again(&mut self, m: &mut [u8], now: Instant) -> Option<ClientFrame> {
        let lossy = self.lossy.as_mut().filter(|lossy| !lossy.request.is_running())?;
        lossy.request.start_again(now);
        if self.said.is_none() {
            self.begin_hello(m);
        }
        Some(ClientFrame::Hello)
    }

    /// Begins a state, if one is due.
    fn begin_state(&mut self, m: &[u8], now: Instant) -> bool {
        let Some((acknowledged, window, is_news)) =
            self.standing(m).or_bug("a link that is up has no session")
        else {
            return false;
        };
        let Some(lossy) = self.lossy.as_mut().or_bug(NOT_LOSSY) else { return false };
        if !self.ping_due && !lossy.link.recovery.is_state_due(is_news) {
            return false;
        }
        lossy.link.recovery.tell(is_news, self.ping_due, now);
        if let Some(session) = &mut self.session {
            session.receiving.tell_in_handshake(acknowledged);
        }
        self.told_window = window;
        self.ping_due = false;
        true
    }

    /// The state that was begun last.
    pub(super) fn state(&self) -> Option<state::StateFrame> {
        let receiving = &self.session.as_ref()?.receiving;
        let recovery = &self.lossy.as_ref()?.link.recovery;
        Some(recovery.state(receiving.received(), receiving.told(), self.told_window))
    }

    /// What is acknowledged now, the window, and whether either differs from the last state.
    fn standing(&self, m: &[u8]) -> Option<(u64, Window, bool)> {
        let receiving = &self.session.as_ref()?.receiving;
        let acknowledged = self.taken(m, receiving.received()).max(receiving.told());
        let window = self.due_window(m);
        let is_news = acknowledged != receiving.told() || window.is_some();
        Some((acknowledged, window.unwrap_or(self.told_window), is_news))
    }

    /// The item of that number, which was written before.
    fn item_again(&mut self, m: &mut [u8], now: Instant, number: u64) -> Option<ClientFrame> {
        if let Some(declined) = self.inbox.declined_by(m, number) {
            return Some(ClientFrame::Decline(declined));
        }
        if let Some(op) = self.watching.told_with(m, number) {
            return Some(ClientFrame::Watch(op));
        }
        let entry = self.outbox.numbered(m, number)?;
        Some(self.describe(m, now, entry))
    }

    /// A goodbye, when the broker has everything else, and knows what is acknowledged.
    fn begin_goodbye(&mut self, m: &[u8], now: Instant) -> Option<ClientFrame> {
        let how = self.due_goodbye(m)?;
        let lossy = self.lossy.as_mut()?;
        lossy.request.start_again(now);
        self.goodbye_written = true;
        Some(ClientFrame::Goodbye(how))
    }

    fn due_goodbye(&self, m: &[u8]) -> Option<Close> {
        let lossy = self.lossy.as_ref()?;
        if self.goodbye_written {
            return self.closing.filter(|_| !lossy.request.is_running());
        }
        self.goodbye(m).filter(|_| lossy.link.recovery.is_settled())
    }

    pub(super) fn lossy_wants_transmit(&self, m: &[u8]) -> bool {
        let Some(lossy) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return false };
        if lossy.link.has_staged() || self.last_words.is_some() {
            return true;
        }
        match self.phase {
            ClientPhase::Opening { .. } => !lossy.request.is_running(),
            ClientPhase::Up(_) => {
                let recovery = &lossy.link.recovery;
                let is_state_due = |(_, _, is_news)| recovery.is_state_due(is_news);
                self.ping_due
                    || self.standing(m).is_some_and(is_state_due)
                    || recovery.next_missing().is_some()
                    || (recovery.has_room() && self.has_new_item(m))
                    || self.due_goodbye(m).is_some()
            }
            ClientPhase::Down { .. } | ClientPhase::Closed => false,
        }
    }
}
