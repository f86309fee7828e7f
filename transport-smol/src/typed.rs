//! Payloads that are values.

use e_pigeon_core::{DecodeError, Message, SendAsError, SendError};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::delivered::Delivered;
use crate::event::OwnedDelivery;

const FULL: SendAsError = SendAsError::Send(SendError::Full);

impl Client {
    /// As [`send`](Self::send), with a payload that is a value, in the encoding of postcard. It is serialised while this client
    /// is locked: a value must not use the client for that.
    ///
    /// # Errors
    ///
    /// The same, or the value cannot be serialised.
    pub fn send_as<T: Serialize>(&self, message: &Message<'_, T>) -> Result<Delivered, SendAsError> {
        let sent = self.shared.with(|state| {
            let sent = state.send_by(|core, now| core.send_as(now, message));
            if sent == Err(FULL) {
                state.note_refused();
            }
            sent
        });
        sent.map(|id| self.delivered(id))
    }

    /// The same, but waits while the outbox has no room, as [`send_wait`](Self::send_wait) does.
    ///
    /// # Errors
    ///
    /// As [`send_as`](Self::send_as), but never that the outbox is full.
    pub async fn send_as_wait<T: Serialize>(
        &self,
        message: &Message<'_, T>,
    ) -> Result<Delivered, SendAsError> {
        self.wait_for_room(|state| match state.send_by(|core, now| core.send_as(now, message)) {
            Err(FULL) => None,
            sent => Some(sent),
        })
        .await
    }
}

impl OwnedDelivery {
    /// The payload as a value that was sent with [`Client::send_as`]. Strings and bytes in it may be borrowed.
    ///
    /// # Errors
    ///
    /// It is none of this type, or something follows it.
    pub fn decode<'m, T: Deserialize<'m>>(&'m self) -> Result<T, DecodeError> {
        self.lend().decode()
    }
}
