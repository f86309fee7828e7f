//! Payloads that are values: serialised straight into the outbox, read straight from the inbox.
//!
//! The encoding is postcard's. What is not Rust, or is not to depend on the order of fields, does better with bytes.

use super::blocks::Filler;
use super::event::Delivery;
use super::handles::{Client, Commands};
use crate::data::message::{Message, MessageId};
use crate::error::SendError;
use crate::time::Instant;
use core::fmt;
use postcard::ser_flavors::{Flavor, Size};
use serde::{Deserialize, Serialize};

errors! {
    /// Why a value was not sent. Nothing has changed.
    pub enum SendAsError {
        /// As with bytes.
        Send(error: SendError) => "{error}",
        /// The value cannot be serialised, or not twice alike. The fault is the caller's.
        Value => "the value cannot be serialised",
    }
}

impl From<SendError> for SendAsError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

/// The payload is no value of this type. The fault is the sender's, or yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError;

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload does not decode as a value of this type")
    }
}

impl core::error::Error for DecodeError {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Client<B> {
    /// Takes a message whose payload is a value, in the encoding of postcard. No copy of it is made on the way.
    ///
    /// ```
    /// use e_pigeon_core::{Client, ClientConfig, Filter, Instant, Message, Secret, Uuid};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Reading<'a> {
    ///     sensor: &'a str,
    ///     millidegrees: i32,
    /// }
    ///
    /// let config = ClientConfig::new(Uuid::from_u128(1), Secret([7; 16]), 1, 1);
    /// let mut client = Client::new(config.clone(), vec![0; config.memory_needed()])?;
    /// let reading = Reading { sensor: "roof", millidegrees: -2_500 };
    /// let everyone = Filter::everyone();
    /// client.send_as(Instant::from_micros(0), &Message::to(&everyone).value(&reading))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), or the value cannot be serialised.
    pub fn send_as<T: Serialize>(
        &mut self,
        now: Instant,
        message: &Message<'_, T>,
    ) -> Result<MessageId, SendAsError> {
        self.commands().send_as(now, message)
    }
}

impl Commands<'_> {
    /// As [`Client::send_as`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn send_as<T: Serialize>(
        &mut self,
        now: Instant,
        message: &Message<'_, T>,
    ) -> Result<MessageId, SendAsError> {
        let value = message.payload;
        let length =
            postcard::serialize_with_flavor(value, Size::default()).map_err(|_| SendAsError::Value)?;
        let taken = self.send_with(now, message, length, |filler| {
            if postcard::serialize_with_flavor(value, &mut *filler).is_err() {
                filler.fail();
            }
        })?;
        taken.ok_or(SendAsError::Value)
    }
}

impl Flavor for &mut Filler<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.put(&[byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.put(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl<'a> Delivery<'a> {
    /// The payload as a value that was sent with [`Client::send_as`]. Strings and bytes in it may be borrowed.
    ///
    /// # Errors
    ///
    /// It is none of this type, or something follows it.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        match postcard::take_from_bytes(self.payload) {
            Ok((value, [])) => Ok(value),
            _ => Err(DecodeError),
        }
    }
}
