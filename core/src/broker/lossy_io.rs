//! A link where frames may be lost, come twice, or in another order: what is taken, what is written, and what is written
//! again. (PROTOCOL.md, "Lossy framed transports")

use super::event::BrokerEvent;
use super::jobs::Job;
use super::links::NO_LINK;
use super::links::{Frame, Link, Phase};
use super::lossy::{Lossy, MAX_LEFT, NOT_LOSSY};
use super::receive::open_window;
use super::sessions::NO_SESSION;
use super::sources::Limit;
use super::state::Broker;
use super::work::Progress;
use super::work::{BYTES, FRAME, LINK, WRITTEN};
use crate::bug::OrBug;
use crate::codec::{Reader, Writer};
use crate::error::AbortCode;
use crate::handshake::{Verdict, judge};
use crate::link::lossy::{Incoming, LossyLink};
use crate::link::recovery::Recovery;
use crate::time::Instant;
use crate::wire::control::{Abort, Control};
use crate::wire::kind;
use crate::wire::state::StateFrame;
use alloc::boxed::Box;
use uuid::Uuid;

// Frames that come in.
impl Broker {
    pub(super) fn lossy_input(&mut self, index: u32, now: Instant, bytes: &[u8]) -> usize {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return bytes.len() };
        let room = LossyLink::input_room(link.frame_limit);
        let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return bytes.len() };
        let is_line = lossy.link.is_line;
        let mut partial = core::mem::take(&mut lossy.partial);
        let mut input = bytes;
        while !input.is_empty() {
            if is_line && self.work.is_full() {
                self.resume_link(index);
                break;
            }
            let Some(lossy) = self.lossy(index).or_bug(NOT_LOSSY) else { break };
            if let Some(frame) = lossy.link.next_frame(&mut input, &mut partial, room) {
                self.lossy_frame(index, now, frame);
            }
        }
        if let Some(lossy) = self.lossy(index) {
            lossy.partial = partial;
        }
        bytes.len() - input.len()
    }

    fn lossy(&mut self, index: u32) -> Option<&mut Lossy> {
        self.links.get_mut(index)?.lossy.as_deref_mut()
    }

    fn recovery(&mut self, index: u32) -> Option<&mut Recovery> {
        Some(&mut self.lossy(index)?.link.recovery)
    }

    /// Takes a frame. One that is damaged or belongs to another link is as if it had not come.
    fn lossy_frame(&mut self, index: u32, now: Instant, frame: &[u8]) {
        self.work.charge(FRAME + (frame.len() / BYTES) as u32);
        // It is damaged.
        let Some(frame) = Incoming::read(frame) else { return };
        let is_hello = frame.kind == kind::HELLO && frame.is_sound();
        let is_refused = is_hello && self.is_refused(index, frame.body);
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
        if lossy.shuts_down {
            return;
        }
        let is_ours = lossy.link.is_own(frame.tag);
        let is_again = is_hello && lossy.hello_tag == frame.tag;
        match &mut link.phase {
            Phase::Up { keep_alive, .. } if is_again => {
                keep_alive.hear(now);
                // The welcome was lost, or the hello comes twice.
                link.welcome = lossy.welcome.map(Box::new);
            }
            Phase::Up { keep_alive, .. } if is_ours => {
                keep_alive.hear(now);
                self.read_frame(index, frame.kind);
                match frame.fault() {
                    Some(code) => self.abort(index, Abort { code, detail: 0 }),
                    None if frame.number > 0 => self.lossy_item(index, &frame),
                    None => _ = self.frame(index, frame.body),
                }
            }
            Phase::Closing { .. } if is_ours => {
                // A client that still sends did not receive the final frame.
                match lossy.final_frame.filter(|_| frame.kind != kind::ABORT) {
                    Some(Control::Abort(abort)) => link.abort = Some(abort),
                    Some(Control::Farewell) => link.farewell = true,
                    _ => {}
                }
            }
            // Two brokers that answer each other would never end.
            Phase::Hello { .. } if frame.kind == kind::ABORT => {}
            Phase::Hello { .. } if !is_hello => {
                // It speaks to another life of this broker, or to an earlier link.
                lossy.link.tag = frame.tag;
                let code = if frame.is_sound() { AbortCode::UnexpectedFrame } else { AbortCode::Malformed };
                link.abort = Some(Abort { code, detail: 0 });
            }
            // The answer to a hello that is refused is an ABORT, which would end the link that is up: it is sent only if none is.
            phase if is_hello && (!is_refused || matches!(phase, Phase::Hello { .. })) => {
                self.start_link_again(index);
                self.lossy_hello(index, frame.tag, frame.body);
            }
            _ => {}
        }
    }

    /// True where a hello was overtaken, proves nothing, cannot be read, or is one too many: it must not end a link that is
    /// there.
    fn is_refused(&mut self, index: u32, body: &[u8]) -> bool {
        let mut reader = Reader::new(body);
        let Some(kind::HELLO) = reader.u8().ok().or_bug("this was a hello") else { return true };
        // It cannot be read.
        let Ok(Control::Hello(hello, _)) = Control::read(kind::HELLO, &mut reader) else { return true };
        let session = self.sessions.find(Uuid::from_bytes_ref(&hello.uuid));
        let facts = session.and_then(|session| self.facts(session));
        let verdict = judge(&hello, facts.as_ref());
        if matches!(verdict, Verdict::Refuse(_)) {
            return true;
        }
        let Some(link) = self.links.get(index).or_bug(NO_LINK) else { return true };
        // One that is awaited has its place already.
        let is_awaited = matches!(link.phase, Phase::Hello { .. });
        let limit = if !is_awaited && self.sources.ignores(link.source, self.now, &self.config) {
            Limit::FailedHellosPerSource
        } else if verdict == Verdict::Create && self.has_left_enough(link) {
            Limit::SessionsPerLine
        } else {
            // Nothing stands against it.
            return false;
        };
        let source = self.sources.number(link.source);
        self.push_event(BrokerEvent::Refused { source, limit });
        true
    }

    /// True where a line may leave no further session away, which it would do for a new one.
    fn has_left_enough(&self, link: &Link) -> bool {
        // On a stream there is one session.
        let Some(lossy) = &link.lossy else { return false };
        let left = lossy.left.iter().filter(|&&left| self.is_away(left)).count();
        left + usize::from(link.session().is_some()) > MAX_LEFT
    }

    /// True where a line has left sessions away, besides that one.
    pub(super) fn has_left_others(&self, index: u32, session: u32) -> bool {
        let lossy = self.links.get(index).and_then(|link| link.lossy.as_ref());
        let is_other = |&&left: &&(u32, u64)| left.0 != session && self.is_away(left);
        lossy.is_some_and(|lossy| lossy.left.iter().any(|left| is_other(&left)))
    }

    fn is_away(&self, (session, number): (u32, u64)) -> bool {
        let session = self.sessions.get(session);
        session.is_some_and(|session| session.number == number && session.link.is_none())
    }

    /// Remembers the session that a line leaves, in place of those that are over.
    fn remember_left(&mut self, index: u32, session: u32) {
        // It may have ended with its link.
        let Some(number) = self.sessions.get(session).map(|session| session.number) else { return };
        let left = self.lossy(index).or_bug(NOT_LOSSY).map(|lossy| core::mem::take(&mut lossy.left));
        let mut left = left.or_bug(NOT_LOSSY).unwrap_or_default();
        left.retain(|&left| left.0 != session && self.is_away(left));
        if left.len() >= MAX_LEFT {
            // A hello that brings a session back leaves one more, and adds none.
            left.remove(0);
        }
        left.push((session, number));
        if let Some(lossy) = self.lossy(index) {
            lossy.left = left;
        }
    }

    /// The transport has no beginning and no end that could be told: a hello is both.
    fn start_link_again(&mut self, index: u32) {
        let session = self.links.get(index).and_then(Link::session);
        self.leave(index);
        if let Some(session) = session {
            self.remember_left(index, session);
        }
        self.stop_waiting(index);
        let until = self.now + self.config.handshake_timeout;
        self.await_hello(index, until);
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        let slots = link.start_again(until);
        for slot in slots {
            self.messages.drop_destination(slot);
        }
    }

    fn lossy_hello(&mut self, index: u32, tag: u32, body: &[u8]) {
        if let Some(lossy) = self.lossy(index) {
            (lossy.link.tag, lossy.hello_tag) = (tag, tag);
        }
        self.frame(index, body);
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        let session = link.session().and_then(|session| self.sessions.get(session));
        let (Some(welcome), Some(session), Some(lossy)) = (link.welcome.as_deref(), session, &mut link.lossy)
        else {
            // The hello was refused.
            return;
        };
        // Nothing was written on this link, so what the client has received is what was written last.
        let received = session.sending.sent();
        lossy.link.establish(welcome, received);
        lossy.welcome = Some(*welcome);
    }

    /// Takes an item if it is the next one, and then those that were waiting for it.
    fn lossy_item(&mut self, index: u32, item: &Incoming<'_>) {
        let session =
            self.links.get(index).and_then(Link::session).or_bug("a link that is up has no session");
        let Some(session) = session else { return };
        let Some(received) = self.received(index).or_bug(NO_SESSION) else { return };
        let room = self.config.reorder_bytes as usize;
        let Some(Lossy { link, early, .. }) = self.lossy(index).or_bug(NOT_LOSSY) else { return };
        if !link.admit(item, received, early, room) {
            return;
        }
        self.frame(index, item.body);
        if self.received(index) == Some(item.number)
            && self.recovery(index).is_some_and(Recovery::received_one)
        {
            self.begin_job(Job::Early { session });
        }
    }

    /// Takes the items that came before the one that was missing; true when all were taken.
    ///
    /// Each may be as much work as a call has, and what one begins holds back those behind it, as if they came now.
    pub(super) fn run_early(&mut self, session: u32) -> bool {
        let link = self.sessions.get(session).or_bug(NO_SESSION).and_then(|session| session.link);
        // It may have gone, or have begun anew, and then nothing is kept.
        let Some(index) = link.and_then(|link| self.links.find(link)) else { return true };
        // It may have to wait, and is tried again then.
        self.work.charge(LINK);
        while let Some(number) = self.received(index).map(|received| received + 1)
            && self.recovery(index).is_some_and(|recovery| recovery.has_next())
        {
            // This job is one of them.
            let is_held_back = self.sessions.get(session).is_some_and(|session| session.jobs > 1);
            if self.work.is_spent() || is_held_back {
                return false;
            }
            let Some(lossy) = self.lossy(index).or_bug(NOT_LOSSY) else { return true };
            let mut early = core::mem::take(&mut lossy.early);
            // A bug, as was said.
            let Some((at, item)) = lossy.link.next_early(&early, number) else { return true };
            self.work.charge(FRAME);
            let progress = self.frame(index, item);
            let is_received = self.received(index) == Some(number);
            if let Some(lossy) = self.lossy(index) {
                if progress == Progress::Done {
                    lossy.link.remove_early(&mut early, &at);
                }
                lossy.early = early;
                if is_received {
                    lossy.link.recovery.received_one();
                }
            }
            if progress == Progress::Later {
                return false;
            }
        }
        // Now it can be said what has come.
        self.wake_link(index);
        true
    }

    /// The last item that came in order on a link that is up.
    fn received(&self, index: u32) -> Option<u64> {
        let session = self.links.get(index)?.session()?;
        Some(self.sessions.get(session)?.receiving.received())
    }

    /// The client reports its state.
    pub(super) fn receive_state(&mut self, index: u32, session: u32, state: &StateFrame) -> Result<(), AbortCode> {
        let now = self.now;
        let link = self.links.get_mut(index).and_then(|link| link.lossy.as_mut());
        let link = &mut link.ok_or(AbortCode::UnexpectedFrame)?.link;
        let sending = &mut self.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?.sending;
        match link.receive_state(state, sending, now)? {
            0 => Ok(()),
            more => self.acknowledged(index, session, more),
        }
    }
}

// Frames that go out.
impl Broker {
    pub(super) fn lossy_transmit(&mut self, index: u32, now: Instant, out: &mut [u8]) -> usize {
        let mut written = 0;
        while let Some(Lossy { link, staged, .. }) = self.lossy(index)
            && link.drain(staged, out, &mut written)
        {
            if self.work.is_spent() {
                // The others have their turn.
                self.wake_link(index);
                break;
            }
            // There is nothing to write now.
            let Some((number, frame)) = self.begin_lossy_frame(index, now) else { break };
            let length = self.stage(index, number, &frame);
            self.work.charge(2 * WRITTEN + (length / BYTES) as u32);
        }
        written
    }

    /// Builds a frame and stages it; returns its length.
    fn stage(&mut self, index: u32, number: u64, frame: &Frame) -> usize {
        let Some(lossy) = self.lossy(index).or_bug(NOT_LOSSY) else { return 0 };
        let mut staged = core::mem::take(&mut lossy.staged);
        let is_welcome = matches!(frame, Frame::Control(Control::Welcome(_)));
        let leads = is_welcome || matches!(frame, Frame::Control(Control::Abort(_)));
        let tag = if is_welcome { lossy.hello_tag } else { lossy.link.tag };
        let lossy = self.links.get(index).and_then(|link| link.lossy.as_ref()).or_bug(NOT_LOSSY);
        let write_body = |writer: &mut Writer<'_>| self.write_body(index, frame, writer);
        let length = lossy.map_or(0, |lossy| lossy.link.build((tag, number, leads), &mut staged, write_body));
        if let Some(lossy) = self.lossy(index) {
            lossy.staged = staged;
            lossy.link.stage(length);
        }
        length
    }

    /// Chooses the next frame and its number, 0 for none.
    fn begin_lossy_frame(&mut self, index: u32, now: Instant) -> Option<(u64, Frame)> {
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        let Phase::Up { session, .. } = link.phase else {
            let abort = link.abort.take().map(Control::Abort);
            let frame = abort.or_else(|| core::mem::take(&mut link.farewell).then_some(Control::Farewell))?;
            if let (Phase::Closing { .. }, Some(lossy)) = (link.phase, &mut link.lossy) {
                lossy.final_frame = Some(frame);
            }
            return Some((0, Frame::Control(frame)));
        };
        if let Some(welcome) = link.welcome.take() {
            return Some((0, Frame::Control(Control::Welcome(*welcome))));
        }
        if link.goodbye.is_some() {
            self.say_farewell(index);
            return self.begin_lossy_frame(index, now);
        }
        if let Some(state) = self.begin_state(index, session, now) {
            return Some((0, Frame::Control(Control::State(state))));
        }
        let recovery = self.recovery(index).or_bug(NOT_LOSSY)?;
        let (missing, has_room) = (recovery.next_missing(), recovery.has_room());
        let (number, frame) = match missing {
            Some(number) => (number, self.item_again(index, session, number)?),
            None if has_room => {
                let frame = self.choose_item(index, session)?;
                (self.sessions.get(session).or_bug(NO_SESSION)?.sending.sent(), frame)
            }
            // Too many are under way.
            None => return None,
        };
        self.recovery(index).or_bug(NOT_LOSSY)?.wrote(number, now);
        Some((number, frame))
    }

    fn begin_state(&mut self, index: u32, session: u32, now: Instant) -> Option<StateFrame> {
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        let state = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
        let received = state.receiving.received();
        let window_news = link.window_news(state.narrow);
        let recovery = &mut link.lossy.as_mut().or_bug(NOT_LOSSY)?.link.recovery;
        if recovery.has_next() {
            // Items that are here are not read yet, and can be reported neither as received nor as beyond.
            return None;
        }
        // A broker acknowledges an item when it receives it.
        let is_news = received != state.receiving.told() || window_news.is_some();
        if !link.ping_due && !recovery.is_state_due(is_news) {
            return None;
        }
        recovery.tell(is_news, core::mem::take(&mut link.ping_due), now);
        state.receiving.tell_in_handshake(received);
        (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
        link.told_shut = window_news.unwrap_or(link.told_shut);
        let window = open_window(&self.config, link.told_shut);
        Some(link.lossy.as_ref().or_bug(NOT_LOSSY)?.link.recovery.state(received, received, window))
    }

    /// The item of that number, which was written before.
    fn item_again(&mut self, index: u32, session: u32, number: u64) -> Option<Frame> {
        let epoch = self.epoch;
        let state = self.sessions.get(session).or_bug(NO_SESSION)?;
        let place = number.checked_sub(state.sending.acknowledged() + 1);
        let place = place.or_bug("an item is missing that was acknowledged")?;
        let next = state.queue.at(place, epoch).or_bug("an item is missing that has no number")?;
        self.describe_next(index, session, next)
    }
}
