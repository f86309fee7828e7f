//! A link where frames may be lost, come twice, or in another order: what is taken, what is written, and what is written
//! again. (PROTOCOL.md, "Lossy framed transports")

use super::event::BrokerEvent;
use super::jobs::Job;
use super::links::NO_LINK;
use super::links::{Frame, Link, Phase};
use super::receive::Progress;
use super::sessions::NO_SESSION;
use super::sources::Limit;
use super::state::Broker;
use super::work::{BYTES, FRAME, LINK, WRITTEN};
use crate::bug::OrBug;
use crate::codec::{Reader, Writer};
use crate::error::AbortCode;
use crate::handshake::{Verdict, judge};
use crate::link::recovery::{Place, Recovery};
use crate::link::reorder::Reorder;
use crate::time::Instant;
use crate::wire::cobs::{self, Unstuffing};
use crate::wire::control::{Abort, Control, Welcome};
use crate::wire::frame::Framing;
use crate::wire::kind;
use crate::wire::state::{MAX_PREFIX, Prefix, State, welcomed_tag};
use crate::wire::window::Window;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use uuid::Uuid;

/// Why a link over a lossy transport must have what belongs to that.
const NOT_LOSSY: &str = "a link over a lossy transport lacks what belongs to that";

/// What a link has besides where its framing is lossy.
#[derive(Debug)]
pub(super) struct Lossy {
    framing: Framing,
    /// What the frames of this link carry, and what its hello and welcome did.
    tag: u32,
    hello_tag: u32,
    unstuffing: Unstuffing,
    /// The front of a frame that is not whole.
    partial: Vec<u8>,
    /// From a welcome on.
    recovery: Option<Recovery>,
    /// The window that was last sent to the client.
    told_window: Window,
    /// The welcome, for a hello that comes again.
    welcome: Option<Welcome>,
    reorder: Reorder,
    /// Items that came too early.
    early: Vec<u8>,
    /// The frame that goes out, and how much of it is out.
    staged: Vec<u8>,
    out: usize,
    /// How the link ended, for a peer that did not hear it.
    last_words: Option<Control<'static>>,
    /// The broker is shut down.
    shuts_down: bool,
    /// Sessions of other clients that this line has left away, by index and number; some may be over by now.
    left: Vec<(u32, u64)>,
}

/// A line leaves so many sessions away at a time. One client at its end that forgets who it is at each start, each second, is
/// never refused.
pub(super) const MAX_LEFT: usize = 4;
/// How long the session of a line stays that has left others away.
pub(super) const LINE_TIME_TO_LIVE: Duration = Duration::from_secs(5);

impl Lossy {
    /// `None` where the framing is not lossy.
    pub(super) fn new(framing: Framing) -> Option<Box<Self>> {
        framing.is_lossy().then(|| {
            Box::new(Self {
                framing,
                tag: 0,
                hello_tag: 0,
                unstuffing: Unstuffing::default(),
                partial: Vec::new(),
                recovery: None,
                told_window: Window { messages: 0, bytes: 0 },
                welcome: None,
                reorder: Reorder::default(),
                early: Vec::new(),
                staged: Vec::new(),
                out: 0,
                last_words: None,
                shuts_down: false,
                left: Vec::new(),
            })
        })
    }

    pub(super) fn takes_datagrams(&self) -> bool {
        self.framing == Framing::Datagram
    }

    /// When something is to be said again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.recovery.as_ref().and_then(Recovery::deadline)
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if let Some(recovery) = &mut self.recovery {
            recovery.expire(now);
        }
    }

    /// True where the link stays for a while after its end, because the peer may not have heard of it.
    pub(super) fn lingers(&self) -> bool {
        !self.shuts_down
    }

    /// Nobody is waited for any more.
    pub(super) fn shut_down(&mut self) {
        self.shuts_down = true;
    }

    /// A hello begins a new link on the same transport. What goes out now is finished.
    pub(super) fn start_again(&mut self) {
        self.recovery = None;
        self.welcome = None;
        self.reorder.clear();
        self.last_words = None;
    }

    /// Moves bytes of the frame that goes out to the front of `out`; says how many.
    fn drain(&mut self, out: &mut [u8]) -> usize {
        let rest = self.staged.get(self.out..).or_bug("more is out than was staged").unwrap_or_default();
        if self.framing == Framing::Datagram && rest.len() > out.len() {
            // Cut in two, it would be two datagrams that nobody can read.
            return 0;
        }
        let count = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.out += count;
        count
    }

    /// True where a frame has gone out in part.
    pub(super) fn has_staged(&self) -> bool {
        self.out < self.staged.len()
    }
}

// What comes in.
impl Broker {
    pub(super) fn lossy_input(&mut self, index: u32, now: Instant, bytes: &[u8]) -> usize {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return bytes.len() };
        let room = MAX_PREFIX + link.frame_limit + cobs::CHECKSUM;
        let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return bytes.len() };
        if lossy.framing == Framing::Datagram {
            if bytes.len() <= room {
                self.lossy_frame(index, now, bytes);
            }
            return bytes.len();
        }
        let mut partial = core::mem::take(&mut lossy.partial);
        partial.resize(room, 0);
        let mut input = bytes;
        while !input.is_empty() {
            if self.work.is_full() {
                self.list_resume(index);
                break;
            }
            let Some(lossy) = self.lossy(index).or_bug(NOT_LOSSY) else { break };
            let (taken, frame) = lossy.unstuffing.take(input, &mut partial);
            input = input.get(taken..).or_bug("more was taken than came").unwrap_or_default();
            if let Some(Ok(length)) = frame {
                let frame = partial.get(..length).or_bug("a frame is longer than its buffer");
                self.lossy_frame(index, now, frame.unwrap_or_default());
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
        self.lossy(index)?.recovery.as_mut()
    }

    /// Takes a frame. One that is damaged or belongs to another link is as if it had not come.
    fn lossy_frame(&mut self, index: u32, now: Instant, frame: &[u8]) {
        self.work.charge(FRAME + (frame.len() / BYTES) as u32);
        let mut reader = Reader::new(frame);
        // Damaged, or of no protocol that is known.
        let Ok(prefix) = Prefix::read(&mut reader) else { return };
        let body = reader.rest();
        // Without a body it says nothing.
        let Some(&frame_kind) = body.first() else { return };
        let is_sound = (frame_kind >= kind::MESSAGE) == (prefix.number > 0);
        let is_hello = frame_kind == kind::HELLO && is_sound;
        let is_refused = is_hello && self.is_refused(index, body);
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        let Some(lossy) = link.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
        if lossy.shuts_down {
            return;
        }
        let is_ours = lossy.tag == prefix.tag || canary!(IgnoresTags);
        let is_again = is_hello && lossy.hello_tag == prefix.tag;
        match &mut link.phase {
            Phase::Up { keep_alive, .. } if is_again => {
                keep_alive.hear(now);
                // The welcome was lost, or the hello comes twice.
                link.welcome = lossy.welcome.map(Box::new);
            }
            Phase::Up { keep_alive, .. } if is_ours => {
                keep_alive.hear(now);
                self.read_frame(index, frame_kind);
                match frame_kind {
                    _ if !is_sound => self.abort(index, Abort { code: AbortCode::Malformed, detail: 0 }),
                    kind::ACK | kind::WINDOW | kind::PING => {
                        self.abort(index, Abort { code: AbortCode::UnexpectedFrame, detail: 0 });
                    }
                    _ if prefix.number > 0 => self.lossy_item(index, prefix.number, body),
                    _ => _ = self.frame(index, body),
                }
            }
            Phase::Closing { .. } if is_ours => {
                // Whoever still speaks did not hear the end.
                match lossy.last_words.filter(|_| frame_kind != kind::ABORT) {
                    Some(Control::Abort(abort)) => link.abort = Some(abort),
                    Some(Control::Farewell) => link.farewell = true,
                    _ => {}
                }
            }
            // Two brokers that hear each other would never end.
            Phase::Hello { .. } if frame_kind == kind::ABORT => {}
            Phase::Hello { .. } if !is_hello => {
                // It speaks to another life of this broker, or to an earlier link.
                lossy.tag = prefix.tag;
                let code = if is_sound { AbortCode::UnexpectedFrame } else { AbortCode::Malformed };
                link.abort = Some(Abort { code, detail: 0 });
            }
            // Only where no link is in its way, one that is refused is told so.
            phase if is_hello && (!is_refused || matches!(phase, Phase::Hello { .. })) => {
                self.start_link_again(index);
                self.lossy_hello(index, prefix.tag, body);
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
            (lossy.tag, lossy.hello_tag) = (tag, tag);
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
        lossy.tag = welcomed_tag(tag, u64::from_le_bytes(welcome.epoch), welcome.session);
        lossy.recovery = Some(Recovery::new(received));
        lossy.told_window = welcome.window;
        lossy.welcome = Some(*welcome);
    }

    /// Takes an item where it is the next one, and those that were waiting for it.
    fn lossy_item(&mut self, index: u32, number: u64, body: &[u8]) {
        let session =
            self.links.get(index).and_then(Link::session).or_bug("a link that is up has no session");
        let Some(session) = session else { return };
        let Some(received) = self.received(index).or_bug(NO_SESSION) else { return };
        let room = self.config.reorder_bytes as usize;
        let Some(lossy) = self.lossy(index).or_bug(NOT_LOSSY) else { return };
        let Some(recovery) = lossy.recovery.as_mut().or_bug("a link that is up has no recovery") else {
            return;
        };
        match recovery.place(number, received) {
            Place::Known => return,
            Place::Ahead => {
                lossy.early.resize(room, 0);
                if lossy.reorder.keep(&mut lossy.early, number, body) {
                    recovery.kept(number, received);
                }
                return;
            }
            Place::Next => _ = self.frame(index, body),
        }
        if self.received(index) == Some(number) && self.recovery(index).is_some_and(Recovery::received_one) {
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
            let at = lossy.reorder.find(&early, number).or_bug("an item that was kept is gone");
            let item = at.clone().and_then(|at| early.get(at));
            let item = item.or_bug("an item lies outside the buffer that keeps it").unwrap_or_default();
            self.work.charge(FRAME);
            let progress = self.frame(index, item);
            let is_taken = self.received(index) == Some(number);
            if let Some(lossy) = self.lossy(index) {
                if let Some(at) = at.filter(|_| progress == Progress::Done) {
                    lossy.reorder.remove(&mut early, &at);
                }
                lossy.early = early;
                if is_taken && let Some(recovery) = &mut lossy.recovery {
                    recovery.received_one();
                }
            }
            if progress == Progress::Later {
                return false;
            }
        }
        // Now it can be said what has come.
        self.list(index);
        true
    }

    /// The last item that came in order on a link that is up.
    fn received(&self, index: u32) -> Option<u64> {
        let session = self.links.get(index)?.session()?;
        Some(self.sessions.get(session)?.receiving.received())
    }

    /// The client tells where it stands.
    pub(super) fn heard_state(&mut self, index: u32, session: u32, state: &State) -> Result<(), AbortCode> {
        let now = self.now;
        if !self.recovery(index).ok_or(AbortCode::UnexpectedFrame)?.hear(state, now)? {
            return Ok(());
        }
        let sending = &mut self.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?.sending;
        sending.set_window(state.window);
        let more =
            state.acknowledged.checked_sub(sending.acknowledged()).ok_or(AbortCode::BadAcknowledgement)?;
        if more > 0 { self.acknowledged(index, session, more) } else { Ok(()) }
    }
}

// What goes out.
impl Broker {
    pub(super) fn lossy_transmit(&mut self, index: u32, now: Instant, out: &mut [u8]) -> usize {
        let mut written = 0;
        while let Some(lossy) = self.lossy(index) {
            let rest = out.get_mut(written..).or_bug("more was written than there is room");
            written += lossy.drain(rest.unwrap_or_default());
            let is_datagram = lossy.framing == Framing::Datagram;
            if lossy.has_staged() || written == out.len() || (is_datagram && written > 0) {
                break;
            }
            if self.work.is_spent() {
                // The others have their turn.
                self.list(index);
                break;
            }
            // There is nothing to say now.
            let Some((number, frame)) = self.begin_lossy_frame(index, now) else { break };
            self.stage(index, number, &frame);
            let length = self.lossy(index).map_or(0, |lossy| lossy.staged.len());
            self.work.charge(2 * WRITTEN + (length / BYTES) as u32);
        }
        written
    }

    /// Builds a frame, to go out in pieces of any size: what it is made of may be gone before the last of them.
    fn stage(&mut self, index: u32, number: u64, frame: &Frame) {
        let Some(lossy) = self.lossy(index).or_bug(NOT_LOSSY) else { return };
        let is_welcome = matches!(frame, Frame::Control(Control::Welcome(_)));
        let tag = if is_welcome { lossy.hello_tag } else { lossy.tag };
        let (prefix, is_line) = (Prefix { tag, number }, lossy.framing == Framing::Cobs);
        let mut staged = core::mem::take(&mut lossy.staged);
        let write = |writer: &mut Writer<'_>| {
            prefix.write(writer);
            self.write_body(index, frame, writer);
        };
        let mut counter = Writer::counting();
        write(&mut counter);
        let length = counter.total();
        let (at, room) =
            if is_line { (cobs::headroom(length), cobs::stuffed_len(length)) } else { (0, length) };
        // A zero ends what was left on the line of a frame, or that would cost the handshake.
        let lead =
            usize::from(is_line && matches!(frame, Frame::Control(Control::Welcome(_) | Control::Abort(_))));
        staged.clear();
        staged.resize(lead + room, 0);
        let buffer = staged.get_mut(lead..).or_bug("it was made longer").unwrap_or_default();
        let body = buffer.get_mut(at..).or_bug("it was made longer");
        write(&mut Writer::new(body.unwrap_or_default(), 0));
        let end = if is_line { cobs::stuff(buffer, length) } else { length };
        staged.truncate(lead + end);
        if let Some(lossy) = self.lossy(index) {
            (lossy.staged, lossy.out) = (staged, 0);
        }
    }

    /// Chooses the next frame and its number, 0 for none.
    fn begin_lossy_frame(&mut self, index: u32, now: Instant) -> Option<(u64, Frame)> {
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        let Phase::Up { session, .. } = link.phase else {
            let abort = link.abort.take().map(Control::Abort);
            let words = abort.or_else(|| core::mem::take(&mut link.farewell).then_some(Control::Farewell))?;
            if let (Phase::Closing { .. }, Some(lossy)) = (link.phase, &mut link.lossy) {
                lossy.last_words = Some(words);
            }
            return Some((0, Frame::Control(words)));
        };
        if let Some(welcome) = link.welcome.take() {
            return Some((0, Frame::Control(Control::Welcome(*welcome))));
        }
        if link.goodbye.is_some() {
            self.say_farewell(index);
            return self.begin_lossy_frame(index, now);
        }
        link.window = None;
        if let Some(state) = self.begin_state(index, session, now) {
            return Some((0, Frame::Control(Control::State(state))));
        }
        let recovery = self.recovery(index).or_bug("a link that is up has no recovery")?;
        let (missing, has_room) = (recovery.next_missing(), recovery.has_room());
        let (number, frame) = match missing {
            Some(number) => (number, self.item_again(index, session, number)?),
            None if has_room => {
                let frame = self.choose_item(index, session)?;
                (self.sessions.get(session).or_bug(NO_SESSION)?.sending.sent(), frame)
            }
            // Too much is under way.
            None => return None,
        };
        self.recovery(index).or_bug("a link that is up has no recovery")?.wrote(number, now);
        Some((number, frame))
    }

    fn begin_state(&mut self, index: u32, session: u32, now: Instant) -> Option<State> {
        let window = self.present_window(index, session);
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        let state = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
        let received = state.receiving.received();
        let lossy = link.lossy.as_mut().or_bug(NOT_LOSSY)?;
        let recovery = lossy.recovery.as_mut().or_bug("a link that is up has no recovery")?;
        if recovery.has_next() {
            // Items that are here are not taken yet, and can be told neither as received nor as beyond.
            return None;
        }
        // What is received is taken at once.
        let has_news = received != state.receiving.told() || window != lossy.told_window;
        if !link.ping_due && !recovery.is_state_due(has_news) {
            return None;
        }
        state.receiving.tell_in_handshake(received);
        (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
        lossy.told_window = window;
        recovery.tell(has_news, core::mem::take(&mut link.ping_due), now);
        Some(recovery.state(received, received, window))
    }

    fn present_window(&self, index: u32, session: u32) -> Window {
        let narrow = self.sessions.get(session).is_some_and(|session| session.narrow);
        self.open_window(narrow || self.links.get(index).is_some_and(|link| link.shut))
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
