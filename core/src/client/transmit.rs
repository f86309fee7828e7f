//! What a client writes next, and how a frame goes out in pieces.

use super::event::Close;
use super::memory::{Cutter, Table, record};
use super::outbox::{Outbound, Outbox, milliseconds_left};
use super::presence::Wish;
use super::session::{Phase, State};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::error::AbortCode;
use crate::link::numbers::Sending;
use crate::time::Instant;
use crate::wire::control::{Abort, Control};
use crate::wire::frame::{header_len, write_header};
use crate::wire::item::{MessageItem, UpItem};
use crate::wire::kind;
use crate::wire::window::Window;

/// A frame, described so that it can be written again from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    /// That of the state.
    Hello,
    Ack(u64),
    Window(Window),
    Decline(u64),
    Message {
        entry: Outbound,
        slot: u8,
        defines: bool,
        id_step: u64,
        time_to_live_ms: u32,
    },
    Set(Outbound),
    Watch(Wish),
    Goodbye(Close),
    Ping,
    Abort(AbortCode),
    /// That of the recovery; on lossy framed transports.
    #[cfg(feature = "lossy")]
    State,
}

impl Frame {
    /// How many bytes its header has at least.
    fn least_header(&self) -> usize {
        match self {
            Self::Message { entry, .. } => header_len(entry.payload()),
            _ => 1,
        }
    }

    /// True where it has a number.
    fn is_item(&self) -> bool {
        matches!(self, Self::Decline(_) | Self::Message { .. } | Self::Set(_) | Self::Watch(_))
    }
}

/// The frame that is being written, how long its body is, and how much of the whole is out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    frame: Frame,
    body: usize,
    offset: usize,
}

impl Current {
    /// True where the frame has a number.
    pub(super) fn is_item(&self) -> bool {
        self.frame.is_item()
    }
}

impl State {
    pub(super) fn transmit(&mut self, m: &mut [u8], now: Instant, out: &mut [u8]) -> usize {
        if self.lossy.is_some() {
            return self.lossy_transmit(m, now, out);
        }
        let now = self.advance(now);
        let mut written = 0;
        let mut behind_item = false;
        while let Some(rest) = out.get_mut(written..).filter(|rest| !rest.is_empty()) {
            let current = match self.current.take() {
                Some(current) => current,
                None => {
                    // What goes before an item was written before the last one, and nothing comes in meanwhile.
                    let item = if behind_item { self.begin_item(m, now) } else { None };
                    // There is nothing to write now.
                    let Some(frame) = item.or_else(|| self.begin_frame(m, now, written)) else { break };
                    behind_item = frame.is_item();
                    // How long the body is shows when it is written. Most often it fits, behind a header that is as long as
                    // expected; otherwise it is written again, piece by piece.
                    let header = frame.least_header();
                    // Where the header alone does not fit, nothing is written yet.
                    let mut writer = Writer::new(rest.get_mut(header..).unwrap_or_default(), 0);
                    self.write_body(m, &frame, &mut writer);
                    let (body, fitted) = (writer.total(), writer.written());
                    if fitted == body && header_len(body) == header {
                        write_header(&mut Writer::new(rest, 0), body);
                        written += header + body;
                        continue;
                    }
                    Current { frame, body, offset: 0 }
                }
            };
            let mut writer = Writer::new(rest, current.offset);
            write_header(&mut writer, current.body);
            self.write_body(m, &current.frame, &mut writer);
            written += writer.written();
            let offset = current.offset + writer.written();
            if offset < header_len(current.body) + current.body {
                self.current = Some(Current { offset, ..current });
            }
        }
        if written > 0 {
            self.ping_due = false;
            if let Phase::Up(keep_alive) = &mut self.phase {
                keep_alive.speak(now);
            }
        }
        written
    }

    /// Chooses the next frame, behind so many bytes that were just written, and takes it up: from here on it is under way.
    fn begin_frame(&mut self, m: &mut [u8], now: Instant, written: usize) -> Option<Frame> {
        match self.phase {
            Phase::Opening { .. } if self.said.is_none() => {
                self.begin_hello(m);
                return Some(Frame::Hello);
            }
            Phase::Up(_) => {}
            Phase::Opening { .. } => return None,
            // Why the link has ended, while the transport is still there.
            Phase::Down { .. } | Phase::Closed => return self.last_words.take().map(Frame::Abort),
        }
        let due = self.due_acknowledgement(m);
        let window = self.due_window(m);
        let session = self.session.as_mut()?;
        if let Some(more) = due {
            session.receiving.tell(more);
            self.carried = true;
            return Some(Frame::Ack(more));
        }
        if let Some(window) = window {
            self.told_window = window;
            return Some(Frame::Window(window));
        }
        if let Some(frame) = self.begin_item(m, now) {
            return Some(frame);
        }
        if let Some(how) = self.goodbye(m) {
            self.goodbye_written = true;
            return Some(Frame::Goodbye(how));
        }
        // Whatever goes out is a sign of life; where `out` ends must not decide whether another one follows.
        (self.ping_due && written == 0).then_some(Frame::Ping)
    }

    fn due_acknowledgement(&self, m: &[u8]) -> Option<u64> {
        let receiving = &self.session.as_ref()?.receiving;
        let received = receiving.received();
        receiving.due(self.taken(m, received))
    }

    /// The next item: first what has a number already, in the order of numbers, then declines, then watches, then the outbox.
    pub(super) fn begin_item(&mut self, m: &mut [u8], now: Instant) -> Option<Frame> {
        if self.goodbye_written {
            return None;
        }
        let session = self.session.as_mut()?;
        if session.sending.repeats() {
            return self.repeat_item(m, now);
        }
        if let Some((declined, _)) = self.inbox.next_decline(m) {
            let number = session.sending.assign(None);
            self.inbox.begin_decline(m, number);
            self.inbox.advance_decline();
            return Some(Frame::Decline(declined));
        }
        if let Some(wish) = self.watching.next_wish(m) {
            let number = session.sending.assign(None);
            self.watching.tell(m, wish, number);
            return Some(Frame::Watch(wish));
        }
        let entry = self.outbox.next_outbound(m)?;
        if !may_write(&session.sending, &entry) {
            return None;
        }
        let number = session.sending.assign((!entry.is_set()).then_some(entry.payload()));
        self.outbox.begin(m, entry.index, number)?;
        Some(self.describe(m, now, entry))
    }

    /// The next item that has a number already.
    #[cold]
    fn repeat_item(&mut self, m: &mut [u8], now: Instant) -> Option<Frame> {
        let sending = &mut self.session.as_mut()?.sending;
        let number = sending.next();
        sending.repeated(1);
        if let Some((declined, _)) = self.inbox.next_decline(m).filter(|&(_, own)| own == number) {
            self.inbox.advance_decline();
            return Some(Frame::Decline(declined));
        }
        if let Some(wish) = self.watching.told_with(m, number) {
            return Some(Frame::Watch(wish));
        }
        let entry = self.outbox.next_outbound(m)?;
        self.outbox.begin(m, entry.index, number)?;
        Some(self.describe(m, now, entry))
    }

    pub(super) fn describe(&mut self, m: &mut [u8], now: Instant, entry: Outbound) -> Frame {
        if entry.is_set() {
            return Frame::Set(entry);
        }
        let (id, deadline) = self.outbox.id_and_deadline(m, entry);
        let (slot, defines, id_step) = if self.lossy.is_some() {
            // Each item stands for itself: the one before may come later.
            (0, true, id)
        } else {
            let (slot, defines) = self.slots.choose(m, &self.outbox, &entry);
            let id_step = id - self.last_id;
            self.last_id = id;
            (slot, defines, id_step)
        };
        Frame::Message { entry, slot, defines, id_step, time_to_live_ms: milliseconds_left(now, deadline) }
    }

    pub(super) fn write_body(&self, m: &[u8], frame: &Frame, writer: &mut Writer<'_>) {
        match *frame {
            Frame::Hello => {
                if let Some(hello) = self.hello() {
                    hello.write_frame(self.hello_attributes(m), writer);
                }
            }
            Frame::Ack(more) => Control::Ack(more).write_link(writer),
            Frame::Window(window) => Control::Window(window).write_link(writer),
            Frame::Decline(number) => UpItem::Decline(number).write(writer),
            Frame::Message { entry, slot, defines, id_step, time_to_live_ms } => {
                let (retry, until_accepted) = (self.outbox.past(m, entry), entry.until_accepted());
                let head = MessageItem {
                    slot,
                    define: None,
                    id_step,
                    time_to_live_ms,
                    retry,
                    until_accepted,
                    payload: &[],
                };
                let destination = || self.outbox.pieces(m, &entry, 0, entry.destination());
                head.write_head_with(writer, defines.then(destination));
                for piece in self.outbox.pieces(m, &entry, entry.destination(), entry.payload()) {
                    writer.raw(piece);
                }
            }
            Frame::Set(entry) => {
                writer.u8(kind::SET);
                for piece in self.outbox.pieces(m, &entry, 0, entry.payload()) {
                    writer.raw(piece);
                }
            }
            Frame::Watch(wish) => self.watching.write(m, wish, writer),
            Frame::Goodbye(how) => Control::Goodbye(how == Close::EndSession).write_link(writer),
            Frame::Ping => Control::Ping.write_link(writer),
            Frame::Abort(code) => Control::Abort(Abort { code, detail: 0 }).write_link(writer),
            #[cfg(feature = "lossy")]
            Frame::State => {
                if let Some(state) = self.state() {
                    Control::State(state).write_link(writer);
                }
            }
        }
    }

    pub(super) fn wants_transmit(&self, m: &[u8]) -> bool {
        if self.lossy.is_some() {
            return self.lossy_wants_transmit(m);
        }
        if self.current.is_some() || self.last_words.is_some() {
            return true;
        }
        match self.phase {
            Phase::Opening { .. } => self.said.is_none(),
            Phase::Up(_) => {
                self.ping_due
                    || self.due_acknowledgement(m).is_some()
                    || self.due_window(m).is_some()
                    || self.goodbye(m).is_some()
                    || self.has_new_item(m)
            }
            _ => false,
        }
    }

    /// True where an item may be written for the first time on this link.
    pub(super) fn has_new_item(&self, m: &[u8]) -> bool {
        let has_any =
            || self.inbox.has_decline() || self.watching.next_wish(m).is_some() || self.may_write_outbox(m);
        !self.goodbye_written && has_any()
    }

    fn may_write_outbox(&self, m: &[u8]) -> bool {
        let session = self.session.as_ref().or_bug("a link is up without a session");
        let Some(sending) = session.map(|session| &session.sending) else { return false };
        sending.repeats() || self.outbox.next_outbound(m).is_some_and(|entry| may_write(sending, &entry))
    }
}

/// True where the window allows an entry.
fn may_write(sending: &Sending, entry: &Outbound) -> bool {
    if entry.is_set() { !sending.is_shut() } else { sending.allows(entry.payload()) }
}

record! {
    LENGTH: u16,
    /// The destination follows.
    => DESTINATION
}

/// The destinations that the broker knows by alias on this link.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    table: Table,
    limit: u8,
    used: u8,
    next: u8,
    last: u8,
}

impl Slots {
    pub(super) fn new(cutter: &mut Cutter, slots: u8, destination_bytes: u16) -> Self {
        let table = cutter.table(DESTINATION + usize::from(destination_bytes), u32::from(slots));
        Self { table, limit: 0, used: 0, next: 0, last: 0 }
    }

    /// A new link: no alias means anything.
    pub(super) fn start_link(&mut self) {
        (self.used, self.next, self.last) = (0, 0, 0);
    }

    /// The broker knows so many.
    pub(super) fn limit(&mut self, slots: u8) {
        // There are at most 16.
        self.limit = slots.min(self.table.count() as u8).max(1);
    }

    /// The alias of an entry's destination, and whether it has to be defined.
    #[inline]
    fn choose(&mut self, m: &mut [u8], outbox: &Outbox, entry: &Outbound) -> (u8, bool) {
        // Most often it is that of the message before.
        let (mut slot, mut others) = (self.last, 0..self.used);
        while slot < self.used {
            if self.is(m, slot, outbox, entry) {
                self.last = slot;
                return (slot, false);
            }
            slot = others.next().unwrap_or(self.used);
        }
        self.define(m, outbox, entry)
    }

    /// True where an alias means an entry's destination.
    #[inline]
    fn is(&self, m: &[u8], slot: u8, outbox: &Outbox, entry: &Outbound) -> bool {
        let front = self.table.bytes(m, u32::from(slot), 0).split_first_chunk::<DESTINATION>();
        let Some((length, mut bytes)) = front.or_bug("a slot has no length") else { return false };
        LENGTH.of(length) == entry.destination && {
            let is_next = |piece| bytes.strip_prefix(piece).map(|rest| bytes = rest).is_some();
            outbox.pieces(m, entry, 0, entry.destination()).all(is_next)
        }
    }

    /// Gives an entry's destination an alias.
    fn define(&mut self, m: &mut [u8], outbox: &Outbox, entry: &Outbound) -> (u8, bool) {
        if self.table.count() == 0 {
            // Each message says where it goes.
            return (0, true);
        }
        let slot = self.next;
        self.next = if slot + 1 < self.limit { slot + 1 } else { 0 };
        self.used = self.used.max(slot + 1);
        self.last = slot;
        // A destination is at most as long as a slot; the client has checked that.
        self.table.set(m, u32::from(slot), LENGTH, entry.destination);
        let to = self.table.range(u32::from(slot), DESTINATION).start;
        outbox.copy_destination(m, entry, to);
        (slot, true)
    }
}
