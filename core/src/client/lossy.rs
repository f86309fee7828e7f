//! A client's link where frames may be lost, come twice, or in another order: what is taken, what is written, and what is
//! written again. (PROTOCOL.md, "Lossy framed transports")

use super::event::Close;
use super::memory::Cutter;
use super::session::{Phase, State};
use super::transmit::Frame;
use crate::bug::OrBug;
use crate::codec::{Reader, Writer};
use crate::config::client::ClientConfig;
use crate::error::AbortCode;
use crate::link::recovery::{Place, Recovery};
use crate::link::reorder::Reorder;
use crate::link::timing::{Repeat, RoundTrip};
use crate::time::Instant;
use crate::wire::cobs::{self, Unstuffing};
use crate::wire::control::Welcome;
use crate::wire::frame::Framing;
use crate::wire::kind;
use crate::wire::state::{self, MAX_PREFIX, Prefix};
use crate::wire::window::Window;

/// Why things are there.
const CUT: &str = "a region was cut too short";
const NOT_LOSSY: &str = "a client over a lossy transport lacks what belongs to that";
const NO_RECOVERY: &str = "a link that is up has no recovery";

/// What a client has besides on such a link. The regions lie in the part of memory behind everything else.
#[derive(Clone, Debug)]
pub(super) struct Lossy {
    framing: Framing,
    tag: u32,
    unstuffing: Unstuffing,
    /// From a welcome on.
    recovery: Option<Recovery>,
    reorder: Reorder,
    /// How many bytes there are for the front of a frame that is not whole, and behind it for items that came too early.
    /// What is left behind both is for the frame that goes out.
    partial: usize,
    early: usize,
    /// How much of the frame is out, and where it ends.
    out: usize,
    end: usize,
    /// The hello or the goodbye that is repeated until it is answered.
    word: Repeat,
}

impl Lossy {
    /// Cuts its memory; `None` where the framing is not lossy.
    pub(super) fn new(cutter: &mut Cutter, config: &ClientConfig, frame_limit: usize) -> Option<Self> {
        let is_line = match config.framing {
            Framing::Length => return None,
            Framing::Cobs => true,
            Framing::Datagram => false,
        };
        let largest = config.max_datagram();
        let (partial, staged) = if is_line {
            (MAX_PREFIX + frame_limit + cobs::CHECKSUM, 1 + cobs::stuffed_len(largest))
        } else {
            (0, largest)
        };
        let early = config.reorder_bytes as usize;
        cutter.region(partial.saturating_add(early).saturating_add(staged));
        Some(Self {
            framing: config.framing,
            tag: 0,
            unstuffing: Unstuffing::default(),
            recovery: None,
            reorder: Reorder::default(),
            partial,
            early,
            out: 0,
            end: 0,
            word: Repeat::default(),
        })
    }

    /// A new link: nothing is left of the one before.
    pub(super) fn start_link(&mut self, boot: u64, link: u64) {
        self.tag = state::tag(boot, link);
        self.unstuffing = Unstuffing::default();
        self.recovery = None;
        self.reorder.clear();
        self.drop_staged();
        self.word.end();
    }

    /// A welcome of a broker that has all items up to `received`.
    pub(super) fn establish(&mut self, welcome: &Welcome, received: u64) {
        self.tag = state::welcomed_tag(self.tag, u64::from_le_bytes(welcome.epoch), welcome.session);
        self.word.end();
        self.recovery = Some(Recovery::new(received));
    }

    /// The transport is gone, and with it what did not go out.
    pub(super) fn drop_staged(&mut self) {
        (self.out, self.end) = (0, 0);
    }

    /// When something is to be said again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let recovery = self.recovery.as_ref().and_then(Recovery::deadline);
        [self.word.due(self.round_trip()), recovery].into_iter().flatten().min()
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.word.is_over(self.round_trip(), now) {
            self.word.fail();
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.expire(now);
        }
    }

    fn round_trip(&self) -> &RoundTrip {
        self.recovery.as_ref().map_or(&RoundTrip::UNKNOWN, Recovery::round_trip)
    }

    /// Moves bytes of the frame that goes out to the front of `out`; says how many.
    fn drain(&mut self, kept: &[u8], out: &mut [u8]) -> usize {
        let staged = kept.get(self.partial + self.early..).or_bug(CUT).unwrap_or_default();
        let rest = staged.get(self.out..self.end).or_bug("more is out than was staged").unwrap_or_default();
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

    fn has_staged(&self) -> bool {
        self.out < self.end
    }
}

// What comes in.
impl State {
    /// Takes bytes; `kept` is the part of memory that holds what is not whole or came too early.
    pub(super) fn lossy_input(&mut self, m: &mut [u8], kept: &mut [u8], now: Instant, bytes: &[u8]) {
        let Some(lossy) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return };
        let (partial, rest) = kept.split_at_mut(lossy.partial.min(kept.len()));
        let early = rest.get_mut(..lossy.early).or_bug(CUT).unwrap_or_default();
        if lossy.framing == Framing::Datagram {
            // What comes when the link has ended is left over of it.
            if self.is_linked() && bytes.len() <= MAX_PREFIX + self.frame_limit() + cobs::CHECKSUM {
                self.lossy_frame(m, early, now, bytes);
            }
            return;
        }
        let mut input = bytes;
        while !input.is_empty() && self.is_linked() {
            let Some(lossy) = self.lossy.as_mut().or_bug(NOT_LOSSY) else { return };
            let (taken, frame) = lossy.unstuffing.take(input, partial);
            input = input.get(taken..).or_bug("more was taken than came").unwrap_or_default();
            if let Some(Ok(length)) = frame {
                let frame = partial.get(..length).or_bug("a frame is longer than its buffer");
                self.lossy_frame(m, early, now, frame.unwrap_or_default());
            }
        }
    }

    /// Takes a frame. One that is damaged or belongs to another link is as if it had not come.
    fn lossy_frame(&mut self, m: &mut [u8], early: &mut [u8], now: Instant, frame: &[u8]) {
        let mut reader = Reader::new(frame);
        // Damaged, or of no protocol that is known.
        let Ok(prefix) = Prefix::read(&mut reader) else { return };
        let body = reader.rest();
        // Without a body it says nothing.
        let Some(&frame_kind) = body.first() else { return };
        if self.lossy.as_ref().is_none_or(|lossy| lossy.tag != prefix.tag) && !canary!(IgnoresTags) {
            return;
        }
        self.heard(now);
        let is_item = frame_kind >= kind::MESSAGE;
        match (frame_kind, self.phase) {
            _ if is_item != (prefix.number > 0) => self.fail(now, AbortCode::Malformed),
            (kind::ABORT, _) | (kind::WELCOME, Phase::Opening { .. }) => self.frame(m, now, body),
            // They come again once this client is welcomed, or the answer to a hello comes twice.
            (_, Phase::Opening { .. }) | (kind::WELCOME, _) => {}
            _ if is_item => self.lossy_item(m, early, now, prefix.number, body),
            (kind::ACK | kind::WINDOW | kind::PING, _) => self.fail(now, AbortCode::UnexpectedFrame),
            _ => self.frame(m, now, body),
        }
    }

    /// Takes an item where it is the next one, and those that were waiting for it.
    fn lossy_item(&mut self, m: &mut [u8], early: &mut [u8], now: Instant, number: u64, body: &[u8]) {
        let session = self.session.as_ref().or_bug("a link that is up has no session");
        let Some(received) = session.map(|session| session.receiving.received()) else { return };
        let Some((reorder, recovery)) = self.recovery().or_bug(NO_RECOVERY) else { return };
        match recovery.place(number, received) {
            Place::Known => return,
            Place::Ahead => {
                if reorder.keep(early, number, body) {
                    recovery.kept(number, received);
                }
                return;
            }
            Place::Next => self.frame(m, now, body),
        }
        let mut next = number + 1;
        while self.is_established() {
            let Some((reorder, recovery)) = self.recovery().or_bug(NO_RECOVERY) else { return };
            if !recovery.received_one() {
                return;
            }
            let Some(at) = reorder.find(early, next).or_bug("an item that was kept is gone") else { return };
            let item = early.get(at.clone()).or_bug("an item lies outside the buffer that keeps it");
            self.frame(m, now, item.unwrap_or_default());
            // With an item that ends the link, it may go.
            if let Some((reorder, _)) = self.recovery() {
                reorder.remove(early, &at);
            }
            next += 1;
        }
    }

    fn recovery(&mut self) -> Option<(&mut Reorder, &mut Recovery)> {
        let lossy = self.lossy.as_mut()?;
        Some((&mut lossy.reorder, lossy.recovery.as_mut()?))
    }

    /// The broker tells where it stands.
    pub(super) fn heard_state(
        &mut self,
        m: &mut [u8],
        now: Instant,
        state: &state::State,
    ) -> Result<(), AbortCode> {
        let (_, recovery) = self.recovery().ok_or(AbortCode::UnexpectedFrame)?;
        if !recovery.hear(state, now)? {
            return Ok(());
        }
        let sending = &mut self.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?.sending;
        sending.set_window(state.window);
        let more =
            state.acknowledged.checked_sub(sending.acknowledged()).ok_or(AbortCode::BadAcknowledgement)?;
        if more > 0 { self.acknowledged(m, more) } else { Ok(()) }
    }
}

// What goes out.
impl State {
    pub(super) fn lossy_transmit(&mut self, memory: &mut [u8], now: Instant, out: &mut [u8]) -> usize {
        let now = self.advance(now);
        let (m, kept) = memory.split_at_mut(self.partial_at.min(memory.len()));
        let mut written = 0;
        while let Some(lossy) = &mut self.lossy {
            let rest = out.get_mut(written..).or_bug("more was written than there is room");
            written += lossy.drain(kept, rest.unwrap_or_default());
            let is_datagram = lossy.framing == Framing::Datagram;
            if lossy.has_staged() || written == out.len() || (is_datagram && written > 0) {
                break;
            }
            // There is nothing to say now.
            let Some((number, frame)) = self.begin_lossy_frame(m, now) else { break };
            self.stage(m, kept, number, &frame);
        }
        if let (Phase::Up(keep_alive), 1..) = (&mut self.phase, written) {
            keep_alive.speak(now);
        }
        written
    }

    /// Builds a frame, to go out in pieces of any size: what it is made of may be gone before the last of them.
    fn stage(&mut self, m: &[u8], kept: &mut [u8], number: u64, frame: &Frame) {
        let Some(lossy) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return };
        let (prefix, framing) = (Prefix { tag: lossy.tag, number }, lossy.framing);
        let buffer = kept.get_mut(lossy.partial + lossy.early..).or_bug(CUT).unwrap_or_default();
        let write = |writer: &mut Writer<'_>| {
            prefix.write(writer);
            self.write_body(m, frame, writer);
        };
        let mut counter = Writer::counting();
        write(&mut counter);
        let length = counter.total();
        let is_line = framing == Framing::Cobs;
        // A zero ends what was left on the line of a frame, or that would cost the handshake.
        let lead = usize::from(is_line && matches!(frame, Frame::Hello));
        let (zero, buffer) = buffer.split_at_mut(lead.min(buffer.len()));
        zero.fill(0);
        let at = if is_line { cobs::headroom(length) } else { 0 };
        let body = buffer.get_mut(at..).or_bug("a frame is longer than its region");
        write(&mut Writer::new(body.unwrap_or_default(), 0));
        let end = if is_line { cobs::stuff(buffer, length) } else { length };
        if let Some(lossy) = &mut self.lossy {
            (lossy.out, lossy.end) = (0, lead + end);
        }
    }

    /// Chooses the next frame and its number, 0 for none.
    fn begin_lossy_frame(&mut self, m: &mut [u8], now: Instant) -> Option<(u64, Frame)> {
        match self.phase {
            Phase::Opening { .. } => return self.begin_hello_again(m, now).map(|frame| (0, frame)),
            Phase::Up(_) => {}
            Phase::Down { .. } | Phase::Closed => {
                return self.last_words.take().map(|code| (0, Frame::Abort(code)));
            }
        }
        if self.begin_state(m, now) {
            return Some((0, Frame::State));
        }
        let (_, recovery) = self.recovery()?;
        let (missing, has_room) = (recovery.next_missing(), recovery.has_room());
        let item = match missing {
            Some(number) => self.item_again(m, now, number).map(|frame| (number, frame)),
            None if has_room => self
                .begin_item(m, now)
                .and_then(|frame| self.session.as_ref().map(|session| (session.sending.sent(), frame))),
            None => None,
        };
        if let Some((number, frame)) = item {
            self.recovery()?.1.wrote(number, now);
            return Some((number, frame));
        }
        self.begin_goodbye(m, now).map(|frame| (0, frame))
    }

    fn begin_hello_again(&mut self, m: &mut [u8], now: Instant) -> Option<Frame> {
        let lossy = self.lossy.as_mut().filter(|lossy| !lossy.word.is_running())?;
        lossy.word.start_again(now);
        if self.said.is_none() {
            self.begin_hello(m);
        }
        Some(Frame::Hello)
    }

    /// True where the peer is to be told now where this end stands.
    fn begin_state(&mut self, m: &[u8], now: Instant) -> bool {
        let ping_due = self.ping_due;
        let Some((acknowledged, window, has_news)) =
            self.standing(m).or_bug("a link that is up has no session")
        else {
            return false;
        };
        let Some((_, recovery)) = self.recovery().or_bug(NO_RECOVERY) else { return false };
        if !ping_due && !recovery.is_state_due(has_news) {
            return false;
        }
        recovery.tell(has_news, ping_due, now);
        if let Some(session) = &mut self.session {
            session.receiving.tell_in_handshake(acknowledged);
        }
        self.told_window = window;
        self.ping_due = false;
        true
    }

    /// What the peer is told last of where this end stands.
    pub(super) fn state(&self) -> Option<state::State> {
        let receiving = &self.session.as_ref()?.receiving;
        let recovery = self.lossy.as_ref()?.recovery.as_ref()?;
        Some(recovery.state(receiving.received(), receiving.told(), self.told_window))
    }

    /// Where this end stands: what is acknowledged, the window, and whether the broker knows another one.
    fn standing(&self, m: &[u8]) -> Option<(u64, Window, bool)> {
        let receiving = &self.session.as_ref()?.receiving;
        let acknowledged = self.taken(m, receiving.received()).max(receiving.told());
        let window = self.due_window(m);
        let has_news = acknowledged != receiving.told() || window.is_some();
        Some((acknowledged, window.unwrap_or(self.told_window), has_news))
    }

    /// The item of that number, which was written before.
    fn item_again(&mut self, m: &mut [u8], now: Instant, number: u64) -> Option<Frame> {
        if let Some(declined) = self.inbox.declined_by(m, number) {
            return Some(Frame::Decline(declined));
        }
        if let Some(wish) = self.watching.told_with(m, number) {
            return Some(Frame::Watch(wish));
        }
        let entry = self.outbox.numbered(m, number)?;
        Some(self.describe(m, now, entry))
    }

    /// A goodbye, when the broker has everything else, and knows what is acknowledged.
    fn begin_goodbye(&mut self, m: &[u8], now: Instant) -> Option<Frame> {
        let how = self.due_goodbye(m)?;
        let lossy = self.lossy.as_mut()?;
        lossy.word.start_again(now);
        self.goodbye_written = true;
        Some(Frame::Goodbye(how))
    }

    fn due_goodbye(&self, m: &[u8]) -> Option<Close> {
        let lossy = self.lossy.as_ref()?;
        if self.goodbye_written {
            return self.closing.filter(|_| !lossy.word.is_running());
        }
        self.goodbye(m).filter(|_| lossy.recovery.as_ref().is_some_and(Recovery::is_settled))
    }

    pub(super) fn lossy_wants_transmit(&self, m: &[u8]) -> bool {
        let Some(lossy) = self.lossy.as_ref().or_bug(NOT_LOSSY) else { return false };
        if lossy.has_staged() || self.last_words.is_some() {
            return true;
        }
        match (self.phase, &lossy.recovery) {
            (Phase::Opening { .. }, _) => !lossy.word.is_running(),
            (Phase::Up(_), Some(recovery)) => {
                let is_state_due = |(_, _, has_news)| recovery.is_state_due(has_news);
                self.ping_due
                    || self.standing(m).is_some_and(is_state_due)
                    || recovery.next_missing().is_some()
                    || (recovery.has_room() && self.has_new_item(m))
                    || self.due_goodbye(m).is_some()
            }
            _ => false,
        }
    }
}
