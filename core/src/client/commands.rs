//! The commands of an application to its client, also while the application holds an event.

use super::blocks::Filler;
use super::event::{AckToken, Close, Event, EventFilter};
use super::handles::{Client, Commands, parts};
use super::polling;
use crate::data::message::{Message, MessageId};
use crate::data::patch::PatchRef;
use crate::data::value::Value;
use crate::error::{SendError, SetError};
use crate::time::Instant;
use crate::wire::kind;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Client<B> {
    /// The next event, if any, as [`poll_event`](Self::poll_event), and the commands beside it: so that a handler can
    /// echo or forward the payload of an event without a copy of its own.
    ///
    /// ```
    /// use e_pigeon_core::{Client, Event, Instant, Message};
    ///
    /// fn echo<B: AsRef<[u8]> + AsMut<[u8]>>(client: &mut Client<B>, now: Instant) {
    ///     while let Some((event, mut commands)) = client.next_event_with_commands() {
    ///         if let Event::Message(message) = event {
    ///             // If the outbox is full, the echo is lost: this example promises nothing.
    ///             let _ = commands.send(now, &Message::new(&message.from.into(), message.payload));
    ///         }
    ///     }
    /// }
    /// ```
    pub fn next_event_with_commands(&mut self) -> Option<(Event<'_>, Commands<'_>)> {
        let (m, payloads) = parts(&mut self.memory, self.state.tables.payloads_at);
        let (link, tables) = (&mut self.state.link, &mut self.state.tables);
        let event = guarded!(self.state, polling::poll::<true>(link, tables, m, payloads, EventFilter::ALL))?;
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
        // The length was that of the payload.
        taken.ok_or(SendError::Full)
    }

    /// Queues a message with a payload of `length` bytes; `None` if `write` puts in more or less.
    pub(super) fn send_with(
        &mut self,
        now: Instant,
        message: &Message<'_, impl ?Sized>,
        length: usize,
        write: impl FnOnce(&mut Filler<'_>),
    ) -> Result<Option<MessageId>, SendError> {
        let (link, tables) = (&mut self.state.link, &mut self.state.tables);
        link.advance(now);
        if !link.takes_commands() {
            return Err(SendError::Closed);
        }
        let max = link.largest_payload();
        if length > max as usize {
            return Err(SendError::TooLarge { max });
        }
        let max = tables.slots.max_destination();
        if message.to.as_bytes().len() > usize::from(max) {
            return Err(SendError::DestinationTooLong { max });
        }
        guarded!(self.state, tables.outbox.push_message(self.m, link.now, message, length, write))
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
        self.state.link.advance(now);
        guarded!(self.state, self.try_change(key, value))
    }

    fn try_change(&mut self, key: &str, value: Option<Value<'_>>) -> Result<(), SetError> {
        let (link, tables) = (&mut self.state.link, &mut self.state.tables);
        if !link.takes_commands() {
            return Err(SetError::Closed);
        }
        let patch = PatchRef::encode_single(key, value).map_err(SetError::Attribute)?;
        // A hello that is yet to come contains all attributes; otherwise the change goes in order with the messages.
        let in_order = link.session.is_some() || link.output.hello.is_some();
        if in_order && !tables.outbox.has_room(1 + patch.len()) {
            return Err(SetError::Full);
        }
        tables.attributes.change(self.m, key, value).map_err(SetError::Attribute)?;
        if in_order {
            tables.attributes.changes += 1;
            tables.outbox.push_item(self.m, kind::SET, &patch, tables.attributes.changes)?;
        }
        Ok(())
    }

    /// As [`Client::acknowledge`].
    pub fn acknowledge(&mut self, up_to: AckToken) {
        self.state.tables.inbox.consume_up_to(up_to.0 + 1);
    }

    /// As [`Client::close`].
    pub fn close(&mut self, now: Instant, how: Close) {
        let (link, tables) = (&mut self.state.link, &mut self.state.tables);
        link.advance(now);
        tables.inbox.consume_peeked();
        link.close(&tables.outbox, self.m, how);
    }
}
