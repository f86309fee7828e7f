//! What is written next on a link, and how a frame goes out in pieces.

use super::deliveries::QueueEntry;
use super::links::NO_LINK;
use super::links::{Current, Frame, Link, Phase};
use super::messages::MessageEntry;
use super::messages::NO_MESSAGE;
use super::queue::Next;
use super::receive::open_window;
use super::senders::NO_SENDER;
use super::senders::Sender;
use super::sessions::NO_SESSION;
use super::state::Broker;
use super::watches::Word;
use super::work::{BYTES, WRITTEN};
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::message::Past;
use crate::time::{Instant, Moment};
use crate::wire::control::Control;
use crate::wire::frame::{MAX_HEADER, header_len, write_header};
use crate::wire::item::{Deliver, DeliveryPast, DownItem, MAX_DELIVER_HEAD};
use crate::wire::limits::MAX_PRESENCE;

impl Broker {
    pub(super) fn transmit(&mut self, index: u32, now: Instant, out: &mut [u8]) -> usize {
        let Some(link) = self.links.get(index).or_bug(NO_LINK) else { return 0 };
        let (pinged, is_lossy) = (link.ping_due, link.lossy.is_some());
        let mut written = if is_lossy { self.lossy_transmit(index, now, out) } else { 0 };
        while !is_lossy && let Some(rest) = out.get_mut(written..).filter(|rest| !rest.is_empty()) {
            if self.work.is_spent() {
                // The others have their turn.
                self.wake_link(index);
                break;
            }
            let pending = self.links.take_current(index);
            let is_new = pending.is_none();
            let Some(current) = pending.or_else(|| self.begin_frame(index)) else {
                self.ready.idle(index);
                break;
            };
            let mut writer = Writer::new(rest, current.offset);
            write_header(&mut writer, current.body);
            self.write_body(index, &current.frame, &mut writer);
            written += writer.written();
            self.work.charge(WRITTEN + (writer.written() / BYTES) as u32);
            let offset = current.offset + writer.written();
            let is_whole = offset >= header_len(current.body) + current.body;
            if !is_whole {
                self.links.keep_current(index, Current { offset, ..current });
            }
            if let Frame::Deliver(message, _) = current.frame
                && is_whole != is_new
            {
                // Written in part from here on, or no longer.
                if is_new { self.messages.write(message) } else { self.wrote_message(message) }
            }
            if is_whole && is_new && matches!(current.frame, Frame::Deliver(..)) {
                let rest = out.get_mut(written..).or_bug("more was written than there is room");
                written += self.write_deliveries(index, rest.unwrap_or_default());
            }
        }
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return written };
        if written > 0
            && let Phase::Up { keep_alive, .. } = &mut link.phase
        {
            keep_alive.speak(now);
        }
        if link.is_done() {
            self.list_close(index);
        }
        if (pinged || is_lossy) && written > 0 {
            // The next sign of life is due earlier than what was waited for since this one was.
            self.arm_link(index);
        }
        written
    }

    /// Says, once, that a link is to be closed.
    pub(super) fn list_close(&mut self, index: u32) {
        let Some(id) = self.links.id(index).or_bug(NO_LINK) else { return };
        if let Some(link) = self.links.get_mut(index)
            && !core::mem::replace(&mut link.close_listed, true)
        {
            self.ready.close(id);
        }
    }

    /// Chooses the next frame of a link and takes it up: from here on it is under way.
    fn begin_frame(&mut self, index: u32) -> Option<Current> {
        let frame = self.choose_frame(index)?;
        // Whatever goes out is a sign of life; where `out` ends must not decide whether another one follows.
        self.links.get_mut(index).or_bug(NO_LINK)?.ping_due = false;
        let mut counter = Writer::counting();
        self.write_body(index, &frame, &mut counter);
        Some(Current { frame, body: counter.total(), offset: 0 })
    }

    /// After a message was chosen: writes those that come next, as long as there is room for the largest frame that each may
    /// need. What follows a message is most often another one, so this looks the link and its session up once.
    fn write_deliveries(&mut self, index: u32, out: &mut [u8]) -> usize {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return 0 };
        let Some(session) = link.session().or_bug("a delivery was written on a link without a session")
        else {
            return 0;
        };
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return 0 };
        let mut written = 0;
        // Presence comes before messages, and is looked for before each.
        while state.watches.is_empty()
            && !state.sending.repeats()
            && !self.work.is_spent()
            && let Some(delivery) = state.queue.first_unnumbered()
            && let Some(message) = self.messages.get(delivery.message)
            && let Some(sender) = self.messages.sender(message.sender)
            && !message.ended
            && message.length <= state.max_payload
            && state.sending.allows(message.length as usize)
            && let Some(rest) = out.get_mut(written..)
            && rest.len() >= MAX_HEADER + MAX_DELIVER_HEAD + message.length as usize
        {
            let head = describe(link, state.aliases, message, sender, delivery);
            let mut writer = Writer::new(rest, 0);
            write_header(&mut writer, head.head_len() + message.content().len());
            head.write_head(&mut writer);
            writer.raw(message.content());
            written += writer.written();
            self.work.charge(WRITTEN + message.length / BYTES as u32);
            state.sending.assign(Some(message.length as usize));
            state.queue.number_delivery();
        }
        written
    }

    fn choose_frame(&mut self, index: u32) -> Option<Frame> {
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        let Phase::Up { session, .. } = link.phase else {
            if let Some(abort) = link.abort.take() {
                return Some(Frame::Control(Control::Abort(abort)));
            }
            return core::mem::take(&mut link.farewell).then_some(Frame::Control(Control::Farewell));
        };
        if let Some(welcome) = link.welcome.take() {
            return Some(Frame::Control(Control::Welcome(*welcome)));
        }
        if link.goodbye.is_some() {
            self.say_farewell(index);
            return self.choose_frame(index);
        }
        let narrow = self.sessions.get(session).or_bug(NO_SESSION)?.narrow;
        if let Some(is_shut) = link.window_news(narrow) {
            link.told_shut = is_shut;
            return Some(Frame::Control(Control::Window(open_window(&self.config, is_shut))));
        }
        if self.ready.is_awake(index)
            && let Some(more) = self.due_acknowledgement(session)
        {
            let session = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
            session.receiving.tell(more);
            (session.unacknowledged, session.unacknowledged_bytes) = (0, 0);
            return Some(Frame::Control(Control::Ack(more)));
        }
        if let Some(frame) = self.choose_item(index, session) {
            return Some(frame);
        }
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        core::mem::take(&mut link.ping_due).then_some(Frame::Control(Control::Ping))
    }

    /// The client leaves, between two frames.
    pub(super) fn say_farewell(&mut self, index: u32) {
        self.leave(index);
        let until = self.now + self.config.handshake_timeout;
        if let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) {
            link.phase = Phase::Closing { until };
            link.farewell = true;
        }
        self.arm_link(index);
    }

    /// The next item: first what has a number already, then receipts, then presence as far as its client takes more,
    /// then messages as the window allows.
    pub(super) fn choose_item(&mut self, index: u32, session: u32) -> Option<Frame> {
        let epoch = self.epoch;
        let state = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
        if state.sending.repeats() {
            // On a lossy transport each item stands for itself.
            let is_lossy = self.links.get(index).is_some_and(|link| link.lossy.is_some());
            let (most, messages) = (if is_lossy { 1 } else { u32::MAX }, &self.messages);
            let has_ended = |delivery: &QueueEntry| messages.get(delivery.message).is_some_and(|m| m.ended);
            let next = state.queue.repeat(epoch, most, has_ended);
            let next = next.or_bug("an item is to be written again that is not there")?;
            state.sending.repeated(if let Next::Void(count) = next { count } else { 1 });
            return self.describe_next(index, session, next);
        }
        if state.queue.has_unnumbered_other() {
            let item = state.queue.number_other(epoch).or_bug("a receipt that waits is not there")?;
            state.sending.assign(None);
            return Some(Frame::Item(item));
        }
        if let Some(word) = self.next_presence(index, session) {
            let state = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
            state.queue.number_presence(word);
            state.sending.assign(None);
            return Some(self.describe_presence(index, session, word));
        }
        loop {
            let state = self.sessions.get_mut(session).or_bug(NO_SESSION)?;
            let delivery = state.queue.first_unnumbered()?;
            let message = self.messages.get(delivery.message).or_bug(NO_MESSAGE)?;
            let length = message.length as usize;
            if message.ended {
                self.work.charge(1);
                state.queue.drop_first_unnumbered();
                state.queue_bytes -= length as u64;
                if state.is_counted() {
                    let (sender, length) = (message.sender, message.length);
                    self.count_out(session, sender, length);
                }
                self.unname(delivery);
                continue;
            }
            if length > state.max_payload as usize {
                // It was queued for an earlier life of the client, which took larger ones.
                state.queue.drop_first_unnumbered();
                state.queue_bytes -= length as u64;
                if state.is_counted() {
                    let (sender, length) = (message.sender, message.length);
                    self.count_out(session, sender, length);
                }
                self.refuse_queued(delivery);
                continue;
            }
            if !state.sending.allows(length) {
                let ends_at = message.deadline;
                self.wait_for_head(index, ends_at);
                return None;
            }
            state.queue.number_delivery();
            state.sending.assign(Some(length));
            return self.describe(index, session, delivery);
        }
    }

    /// The first message that waits does not fit the window. It holds back the others until then, if nothing comes from the
    /// client before: nothing but a timer would tell the link that they may be written.
    fn wait_for_head(&mut self, index: u32, ends_at: Instant) {
        let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) else { return };
        link.head_ends_at = Moment::at(ends_at);
        if link.timer.get().is_none_or(|at| ends_at < at) {
            self.arm_link(index);
        }
    }

    /// An item that was written before.
    pub(super) fn describe_next(&mut self, index: u32, session: u32, next: Next) -> Option<Frame> {
        match next {
            Next::Delivery(delivery) if self.messages.get(delivery.message).is_some_and(|m| m.ended) => {
                Some(Frame::Item(DownItem::Void(1)))
            }
            Next::Delivery(delivery) => self.describe(index, session, delivery),
            Next::Void(count) => Some(Frame::Item(DownItem::Void(count))),
            Next::Presence(word) => Some(self.describe_presence(index, session, word)),
            Next::Other(item) => Some(Frame::Item(item)),
        }
    }

    fn describe_presence(&mut self, index: u32, session: u32, word: Word) -> Frame {
        let body = self.links.get_mut(index).map(|link| core::mem::take(&mut link.presence));
        let mut body = body.or_bug(NO_LINK).unwrap_or_default();
        body.resize(MAX_PRESENCE, 0);
        let mut writer = Writer::new(&mut body, 0);
        self.write_presence(session, word, &mut writer);
        let length = writer.written();
        body.truncate(length);
        if let Some(link) = self.links.get_mut(index).or_bug(NO_LINK) {
            link.presence = body;
        }
        Frame::Presence
    }

    fn describe(&mut self, index: u32, session: u32, delivery: QueueEntry) -> Option<Frame> {
        let message = self.messages.get(delivery.message).or_bug(NO_MESSAGE)?;
        let sender = self.messages.sender(message.sender).or_bug(NO_SENDER)?;
        let max = self.sessions.get(session).or_bug(NO_SESSION)?.aliases;
        let link = self.links.get_mut(index).or_bug(NO_LINK)?;
        Some(Frame::Deliver(delivery.message, describe(link, max, message, sender, delivery)))
    }

    #[inline]
    pub(super) fn write_body(&self, link: u32, frame: &Frame, writer: &mut Writer<'_>) {
        match frame {
            Frame::Presence => {
                let link = self.links.get(link).or_bug(NO_LINK);
                writer.raw(link.map_or(&[], |link| link.presence.as_slice()));
            }
            Frame::Control(control) => control.write(writer),
            Frame::Item(item) => item.write(writer),
            Frame::Deliver(message, head) => {
                head.write_head(writer);
                if let Some(message) = self.messages.get(*message).or_bug(NO_MESSAGE) {
                    writer.raw(message.content());
                }
            }
        }
    }
}

/// What a delivery says besides its payload; its sender gets an alias on the link, one of at most so many.
fn describe(
    link: &mut Link,
    max_aliases: u16,
    message: &MessageEntry,
    sender: &Sender,
    delivery: QueueEntry,
) -> Deliver<'static> {
    let (alias, define, id_step) = if link.lossy.is_some() {
        // Each item stands for itself: the one before may come later.
        (0, Some(sender.origin), message.id.cast_signed())
    } else {
        link.aliases.choose(sender.serial, sender.origin, message.id, max_aliases)
    };
    let retry = (message.past.is_some() || delivery.retry).then(|| past_of(message.past, delivery.late));
    Deliver { alias, define, id_step, retry, late: delivery.late, direct: message.direct, payload: &[] }
}

/// What a recipient is told of the past of a delivery that may be a repetition: what the sender knew, or that it was
/// parked here.
fn past_of(past: Option<Past>, late: bool) -> DeliveryPast {
    match past {
        Some(past) => past.into(),
        None if late => DeliveryPast::Parked,
        None => DeliveryPast::Sent,
    }
}
