//! What an application can ask of a client, also while it holds what an event has lent it.

use super::blocks::Filler;
use super::event::{AckToken, Close, Event};
use super::handles::{Client, Commands, parts};
use crate::data::attributes::change_in_place;
use crate::data::message::{Message, MessageId};
use crate::data::patch::PatchRef;
use crate::data::value::Value;
use crate::error::{SendError, SetError};
use crate::time::Instant;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Client<B> {
    /// The next event, if any, as [`poll_event`](Self::poll_event), and the commands beside it: so that a handler can
    /// echo or forward a payload that it was lent, without a copy of its own.
    ///
    /// ```
    /// use e_pigeon_core::{Client, Event, Instant, Message};
    ///
    /// fn echo<B: AsRef<[u8]> + AsMut<[u8]>>(client: &mut Client<B>, now: Instant) {
    ///     while let Some((event, mut commands)) = client.next_event_with_commands() {
    ///         if let Event::Message(message) = event {
    ///             // Where the outbox is full, the echo is lost: this one has no promises to keep.
    ///             let _ = commands.send(now, &Message::new(&message.from.into(), message.payload));
    ///         }
    ///     }
    /// }
    /// ```
    pub fn next_event_with_commands(&mut self) -> Option<(Event<'_>, Commands<'_>)> {
        let (m, lent) = parts(&mut self.memory, self.state.lent_at);
        let event = guarded!(self.state, self.state.poll_event(m, lent))?;
        Some((event, Commands { state: &mut self.state, m }))
    }
}

impl Commands<'_> {
    /// As [`Client::send`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn send(&mut self, now: Instant, message: &Message<'_>) -> Result<MessageId, SendError> {
        let payload = message.payload;
        let taken = self.send_with(now, message, payload.len(), |filler| filler.put(payload))?;
        // As many bytes were put in as were said.
        taken.ok_or(SendError::Full)
    }

    /// Takes a message with a payload of `length` bytes; `None` where `write` puts in more or less.
    pub(super) fn send_with(
        &mut self,
        now: Instant,
        message: &Message<'_, impl ?Sized>,
        length: usize,
        write: impl FnOnce(&mut Filler<'_>),
    ) -> Result<Option<MessageId>, SendError> {
        let state = &mut *self.state;
        let now = state.advance(now);
        if !state.takes_commands() {
            return Err(SendError::Closed);
        }
        let max = state.largest_payload();
        if length > max as usize {
            return Err(SendError::TooLarge { max });
        }
        if message.to.as_bytes().len() > usize::from(state.max_destination) {
            return Err(SendError::DestinationTooLong { max: state.max_destination });
        }
        guarded!(state, state.outbox.push_message(self.m, now, message, length, write))
    }

    /// As [`Client::set`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn set(&mut self, now: Instant, key: &str, value: Value<'_>) -> Result<(), SetError> {
        self.change(now, key, Some(value))
    }

    /// As [`Client::remove`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn remove(&mut self, now: Instant, key: &str) -> Result<(), SetError> {
        self.change(now, key, None)
    }

    fn change(&mut self, now: Instant, key: &str, value: Option<Value<'_>>) -> Result<(), SetError> {
        guarded!(self.state, self.change_it(now, key, value))
    }

    fn change_it(&mut self, now: Instant, key: &str, value: Option<Value<'_>>) -> Result<(), SetError> {
        let Self { state, m } = self;
        state.advance(now);
        if !state.takes_commands() {
            return Err(SetError::Closed);
        }
        let patch = PatchRef::encode_single(key, value).map_err(SetError::Attribute)?;
        // A hello that is yet to come says it all; otherwise it goes in order with the messages.
        let in_order = state.session.is_some() || state.said.is_some();
        if in_order && !state.outbox.has_room(patch.len()) {
            return Err(SetError::Full);
        }
        let length = usize::from(state.attributes_len);
        let changed = change_in_place(state.attributes.bytes_mut(m), length, key, value);
        // At most MAX_ATTRIBUTE_BYTES.
        state.attributes_len = changed.map_err(SetError::Attribute)? as u16;
        if in_order {
            state.sets += 1;
            state.outbox.push_set(m, &patch, state.sets)?;
        }
        Ok(())
    }

    /// As [`Client::acknowledge`].
    pub fn acknowledge(&mut self, up_to: AckToken) {
        self.state.inbox.take_up_to(up_to.0 + 1);
    }

    /// As [`Client::close`].
    pub fn close(&mut self, now: Instant, how: Close) {
        self.state.advance(now);
        if !self.state.manual {
            self.state.inbox.take_lent();
        }
        self.state.close(self.m, how);
    }
}
