//! What the broker does with each frame that comes in.

use super::deliveries::QueueEntry;
use super::jobs::Job;
use super::links::NO_LINK;
use super::links::{Current, Phase};
use super::messages::NO_MESSAGE;
use super::queue::{Acknowledged, Declined};
use super::receipts::RECEIPTS_OF_EACH;
use super::sessions::NO_SESSION;
use super::sessions::Session;
use super::state::Broker;
use super::work::OUTCOME;
use super::work::Progress;
use crate::bug::OrBug;
use crate::codec::Reader;
use crate::config::broker::BrokerConfig;
use crate::data::destination::DestinationRef;
use crate::error::AbortCode;
use crate::wire::control::{Abort, Control};
use crate::wire::item::{MessageItem, UpItem};
use crate::wire::kind;
use crate::wire::limits::VERSION;
use crate::wire::window::Window;

impl Broker {
    /// Takes a frame; one that is not allowed ends the link.
    #[inline]
    pub(super) fn frame(&mut self, link: u32, body: &[u8]) -> Progress {
        match self.try_frame(link, body) {
            Ok(taken) => taken,
            Err(abort) => {
                self.abort(link, abort);
                Progress::Done
            }
        }
    }

    fn try_frame(&mut self, link: u32, body: &[u8]) -> Result<Progress, Abort> {
        let fault = |code| Abort { code, detail: 0 };
        let malformed = |_| fault(AbortCode::Malformed);
        let mut reader = Reader::new(body);
        let frame_kind = reader.u8().map_err(malformed)?;
        // A bug, as was said.
        let Some(phase) = self.read_frame(link, frame_kind) else { return Ok(Progress::Done) };
        if frame_kind >= kind::MESSAGE {
            // Stays where it was read to: moved at once, it would be waited for.
            let item = UpItem::read(frame_kind, &mut reader);
            let item = item.as_ref().map_err(|&error| malformed(error))?;
            // Items come after the handshake.
            let Phase::Up { session, .. } = phase else { return Err(fault(AbortCode::UnexpectedFrame)) };
            if !self.cramped.is_empty()
                && let UpItem::Message(message) = item
                && self.may_reach_many(link, message)
            {
                return Ok(Progress::Later);
            }
            self.item(link, session, item).map_err(fault)?;
            // Only now: what failed must come again.
            if let Some(session) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
                session.receiving.receive();
            }
            return Ok(Progress::Done);
        }
        let control = Control::read(frame_kind, &mut reader).map_err(malformed)?;
        let done = match (control, phase) {
            (Control::HelloOfVersion(_), Phase::Hello { .. }) => {
                Err(Abort { code: AbortCode::Version, detail: VERSION })
            }
            (Control::Hello(hello, attributes), Phase::Hello { .. }) => {
                return self.hello(link, &hello, attributes);
            }
            (Control::Ack(more), Phase::Up { session, .. }) => {
                self.acknowledged(link, session, more).map_err(fault)
            }
            (Control::Window(window), Phase::Up { session, .. }) => {
                if let Some(session) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
                    session.sending.set_window(window);
                }
                self.wake_link(link);
                Ok(())
            }
            (Control::Ping, Phase::Up { .. }) => return Ok(Progress::Done),
            (Control::Abort(_), _) => {
                self.ended_by_peer(link);
                Ok(())
            }
            (Control::State(state), Phase::Up { session, .. }) => {
                self.receive_state(link, session, &state).map_err(fault)
            }
            (Control::Goodbye(end), Phase::Up { .. }) => {
                // Done when the frame that is being written is whole; what it is made of must not go before.
                if let Some(link) = self.links.get_mut(link).or_bug(NO_LINK) {
                    link.goodbye = Some(end);
                }
                self.wake_link(link);
                Ok(())
            }
            _ => Err(fault(AbortCode::UnexpectedFrame)),
        };
        done.map(|()| Progress::Done)
    }

    /// The client has acknowledged `more` items.
    pub(super) fn acknowledged(&mut self, link: u32, session: u32, more: u64) -> Result<(), AbortCode> {
        let half_written = self.links.current(link).is_some_and(Current::is_item);
        let state = self.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?;
        if more <= u64::from(self.work.left() / OUTCOME) {
            state.sending.acknowledge(more, half_written)?;
            self.take_acknowledged(session, more);
        } else {
            state.sending.clone().acknowledge(more, half_written)?;
            self.begin_job(Job::Acknowledge { session, more });
        }
        self.window_opened(session);
        Ok(())
    }

    /// The window may have opened for something that waits.
    pub(super) fn window_opened(&mut self, session: u32) {
        let waits = |state: &Session| !state.queue.is_written() || !state.watches.is_empty();
        if self.sessions.get(session).is_some_and(waits) {
            self.wake(session);
        }
    }

    /// Takes so many acknowledged items off the queue of a session.
    pub(super) fn take_acknowledged(&mut self, session: u32, more: u64) {
        // More than a queue can hold was refused.
        self.work.charge((more as u32).saturating_mul(OUTCOME));
        let mut left = more;
        while left > 0 {
            let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { break };
            let Some(item) = state.queue.acknowledge(left).or_bug("more was acknowledged than has a number")
            else {
                break;
            };
            let mut count = 1;
            match item {
                Acknowledged::Delivery(delivery) => {
                    if let Some(message) = self.messages.get(delivery.message).or_bug(NO_MESSAGE) {
                        state.queue_bytes -= u64::from(message.length);
                        state.sending.release(message.length as usize);
                        if state.is_counted() {
                            let (sender, length) = (message.sender, message.length);
                            self.count_out(session, sender, length);
                        }
                        self.confirm(delivery);
                    }
                }
                Acknowledged::Void(many, bytes) => {
                    state.sending.release_many(many, bytes as usize);
                    count = many;
                }
                Acknowledged::Receipt => self.receipts -= 1,
                Acknowledged::Other => {}
            }
            left = left.saturating_sub(u64::from(count));
        }
        self.adjust_window(session);
    }

    fn item(&mut self, link: u32, session: u32, item: &UpItem<'_>) -> Result<(), AbortCode> {
        match *item {
            UpItem::Message(ref message) => self.message(link, session, message),
            UpItem::Set(_) if self.links.get(link).is_some_and(|link| link.shut) => {
                Err(AbortCode::WindowExceeded)
            }
            UpItem::Set(patch) => {
                self.change_attributes(session, patch);
                Ok(())
            }
            UpItem::Decline(number) => {
                self.work.charge(OUTCOME);
                self.declined(session, number)
            }
            UpItem::Watch(number, filter) => self.watch(session, number, filter),
            UpItem::Unwatch(number) => {
                self.unwatch(session, number);
                Ok(())
            }
        }
    }

    fn message(&mut self, link: u32, session: u32, message: &MessageItem<'_>) -> Result<(), AbortCode> {
        let (max_messages, max_bytes) = (self.config.window_messages, u64::from(self.config.window_bytes));
        let length = message.payload.len() as u64;
        let at = self.links.get_mut(link).ok_or(AbortCode::UnexpectedFrame)?;
        let state = self.sessions.get(session).ok_or(AbortCode::UnexpectedFrame)?;
        let fits = state.unacknowledged < max_messages
            && u64::from(state.unacknowledged_bytes) + length <= max_bytes;
        // What was under way when the window was shut is one window at the most, over how many links it may come.
        if at.shut || !fits || state.since_narrow >= max_messages {
            return Err(AbortCode::WindowExceeded);
        }
        // The largest number cannot be the first of a run.
        if at.lossy.is_some() {
            // Each item stands for itself.
            at.last_id = 0;
            message.define.ok_or(AbortCode::BadAlias)?;
        }
        let id =
            at.last_id.checked_add(message.id_step).filter(|&id| id < u64::MAX).ok_or(AbortCode::BadId)?;
        at.last_id = id;
        let slot = usize::from(message.slot);
        if let Some(destination) = message.define {
            self.define_slot(link, slot, destination)?;
        }
        let destination = self.links.get(link).and_then(|link| link.slots.get(slot)).copied();
        self.take(session, id, message, destination.ok_or(AbortCode::BadAlias)?)?;
        if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
            state.unacknowledged += 1;
            // No more than the window.
            state.unacknowledged_bytes += length as u32;
            state.since_narrow += u32::from(state.narrow);
        }
        Ok(())
    }

    /// An alias of a destination gets its meaning. Aliases are used one after the other.
    fn define_slot(
        &mut self,
        link: u32,
        slot: usize,
        destination: DestinationRef<'_>,
    ) -> Result<(), AbortCode> {
        let Some(link) = self.links.get_mut(link).or_bug(NO_LINK) else { return Ok(()) };
        if slot > link.slots.len() || slot >= usize::from(self.config.destination_slots) {
            return Err(AbortCode::BadAlias);
        }
        // Of one that is too long nothing is kept: messages to it are refused.
        let is_short = destination.as_bytes().len() <= usize::from(self.config.destination_bytes);
        let bytes = if is_short { destination.as_bytes() } else { &[] };
        let index = self.messages.insert_destination(bytes);
        match link.slots.get_mut(slot) {
            Some(old) => {
                let old = core::mem::replace(old, index);
                self.messages.drop_destination(old);
            }
            None => link.slots.push(index),
        }
        Ok(())
    }

    /// The client has declined the delivery with that number.
    fn declined(&mut self, session: u32, number: u64) -> Result<(), AbortCode> {
        let state = self.sessions.get_mut(session).ok_or(AbortCode::UnexpectedFrame)?;
        let place = number.checked_sub(state.sending.acknowledged()).filter(|&place| place > 0);
        let messages = &self.messages;
        let means = |delivery: &QueueEntry| {
            let message = messages.get(delivery.message).or_bug(NO_MESSAGE)?;
            if message.ended {
                return Some(Declined::Void);
            }
            // Only what may be a repetition can be declined: else a recipient could turn each message for it into one that
            // waits for somebody else.
            (delivery.retry || message.past.is_some()).then_some(Declined::Delivery(*delivery))
        };
        let declined = place.and_then(|place| state.queue.decline(place, means));
        if let Declined::Delivery(delivery) = declined.ok_or(AbortCode::BadAcknowledgement)? {
            self.decline(delivery);
        }
        Ok(())
    }

    /// Shuts the window of a sender for which too many receipts wait, and opens it when half of them are gone. What is
    /// under way then is taken all the same. Where half of all receipts that there may be wait, few are too many.
    pub(super) fn adjust_window(&mut self, session: u32) {
        let are_many = self.receipts > u64::from(self.config.max_receipts / 2);
        let max = self.config.receipt_backlog as usize;
        let max = if are_many { max.min(RECEIPTS_OF_EACH) } else { max };
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
        if state.queue.receipt_backlog() <= RECEIPTS_OF_EACH {
            self.end_refusals(session);
        }
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
        let backlog = state.queue.receipt_backlog();
        let narrow = if state.narrow { backlog > max / 2 } else { backlog > max };
        if narrow == state.narrow {
            return;
        }
        (state.narrow, state.since_narrow) = (narrow, 0);
        self.wake(session);
    }

    /// Gives the client of a session the receipt for messages that were refused for want of one, if there are any.
    #[inline]
    pub(super) fn end_refusals(&mut self, session: u32) {
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else { return };
        if state.queue.receipts().end_refusals() {
            self.receipts += 1;
            self.wake(session);
        }
    }

    /// True if the broker has all receipts that it may have, and too many of them wait for the client of a session; or had,
    /// and too many wait still.
    #[inline]
    pub(super) fn lacks_receipts(&self, session: &Session) -> bool {
        (self.receipts >= self.config.max_receipts.into() || session.queue.is_refusing())
            && session.queue.receipt_backlog() > RECEIPTS_OF_EACH
    }

    /// Puts a link into the list of ready ones where it has items to acknowledge that press.
    ///
    /// Messages do not: each is answered within `accept_delay`, and the acknowledgement goes out with that. But half of the
    /// window does, and any other item. (PROTOCOL.md, "Items")
    pub(super) fn list_if_acknowledgement_presses(&mut self, link: u32) {
        // The link is not up.
        let Some(session) = self.links.get(link).and_then(|link| link.session()) else { return };
        // All is acknowledged.
        let Some(due) = self.due_acknowledgement(session) else { return };
        let Some(state) = self.sessions.get(session).or_bug(NO_SESSION) else { return };
        let (messages, bytes) = (u64::from(state.unacknowledged), u64::from(state.unacknowledged_bytes));
        let half = |window: u32| u64::from(window).div_ceil(2);
        if due > messages
            || messages >= half(self.config.window_messages)
            || bytes >= half(self.config.window_bytes)
        {
            self.wake_link(link);
        }
    }

    /// How many more items of a session's client are to be acknowledged.
    pub(super) fn due_acknowledgement(&self, session: u32) -> Option<u64> {
        let receiving = &self.sessions.get(session)?.receiving;
        receiving.due(receiving.received())
    }
}

/// The window that clients are given: all of it, or nothing.
pub(super) fn open_window(config: &BrokerConfig, shut: bool) -> Window {
    let (messages, bytes) = if shut { (0, 0) } else { (config.window_messages, config.window_bytes) };
    Window { messages, bytes }
}
