//! What a client's application was told.

use e_pigeon_core::{AckToken, CloseReason, DisconnectReason, Established, Event, Receipt};

/// Something that a client has told its application, as far as the kit wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The session is visible to others.
    Established(Established),
    /// The link is gone.
    Disconnected(DisconnectReason),
    /// A message.
    Message {
        /// Its content.
        payload: Vec<u8>,
        /// Names it for an acknowledgement.
        token: AckToken,
    },
    /// What became of a message that was sent.
    Receipt(Receipt),
    /// What was refused for lack of room has room now.
    CapacityAvailable,
    /// The client has ended.
    Closed(CloseReason),
    /// Anything else.
    Other,
}

impl From<Event<'_>> for Heard {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Established(established) => Self::Established(established),
            Event::Disconnected { reason, .. } => Self::Disconnected(reason),
            Event::Message(message) => {
                Self::Message { payload: message.payload.to_vec(), token: message.token }
            }
            Event::Receipt(receipt) => Self::Receipt(receipt),
            Event::CapacityAvailable => Self::CapacityAvailable,
            Event::Closed(reason) => Self::Closed(reason),
            _ => Self::Other,
        }
    }
}

/// All that one client was told.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The numbers of the messages, in the order in which they came.
    pub(super) numbers: Vec<u32>,
    pub(super) last_token: Option<AckToken>,
    /// Final receipts.
    pub(super) finals: Vec<Receipt>,
    pub(super) established: Vec<Established>,
    pub(super) disconnected: Vec<DisconnectReason>,
    pub(super) capacity: usize,
    pub(super) closed: Option<CloseReason>,
}

impl Log {
    pub(super) fn note(&mut self, heard: Heard) {
        match heard {
            Heard::Established(established) => self.established.push(established),
            Heard::Disconnected(reason) => self.disconnected.push(reason),
            Heard::Message { payload, token } => {
                let (number, rest) = payload.split_first_chunk().expect("a payload has its number");
                let number = u32::from_le_bytes(*number);
                assert!(rest.iter().all(|&byte| byte == number as u8), "the payload of {number} is damaged");
                self.numbers.push(number);
                self.last_token = Some(token);
            }
            Heard::Receipt(receipt) if receipt.is_final() => self.finals.push(receipt),
            Heard::CapacityAvailable => self.capacity += 1,
            Heard::Closed(reason) => self.closed = Some(reason),
            Heard::Receipt(_) | Heard::Other => {}
        }
    }

    /// How many of the messages that were sent are answered, all of them as delivered to so many.
    pub(super) fn delivered_to(&self, recipients: u32) -> usize {
        for receipt in &self.finals {
            assert!(
                matches!(receipt, Receipt::Final { delivered, .. } if *delivered == recipients),
                "not delivered to {recipients}: {receipt:?}"
            );
        }
        self.finals.len()
    }

    /// Each message has come once, and in order, from 0 on.
    pub(super) fn assert_all(&self, count: u32) {
        let in_order = self.numbers.iter().copied().eq(0..count);
        assert!(in_order, "not 0 to {count}, each once and in order: {:?}", self.numbers);
    }
}
