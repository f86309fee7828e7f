//! What messages say, and whether they came once, in order and whole; and whether each had its one receipt.

use std::collections::VecDeque;

use e_pigeon_core::{MessageId, Receipt};

/// A payload has room for a number and a stream.
pub(crate) const SMALLEST: usize = 16;
const FILLER: u8 = b'x';

/// The payloads of one stream.
pub(crate) struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    pub(crate) fn new(stream: u32, length: usize) -> Self {
        let mut bytes = vec![FILLER; length.max(SMALLEST)];
        bytes[8..12].copy_from_slice(&stream.to_le_bytes());
        Self { bytes }
    }

    /// The payload with that number, from 0.
    pub(crate) fn number(&mut self, number: u64) -> &[u8] {
        self.bytes[..8].copy_from_slice(&number.to_le_bytes());
        &self.bytes
    }
}

/// What one recipient is to get of one stream.
pub(crate) struct Expected {
    stream: u32,
    length: usize,
    next: u64,
    fault: Option<String>,
}

impl Expected {
    pub(crate) fn new(stream: u32, length: usize) -> Self {
        Self { stream, length: length.max(SMALLEST), next: 0, fault: None }
    }

    /// A message has come.
    pub(crate) fn see(&mut self, payload: &[u8]) {
        let number = payload.first_chunk().map(|number| u64::from_le_bytes(*number));
        let whole = payload.len() == self.length
            && payload.get(8..12) == Some(&self.stream.to_le_bytes())
            && payload.last() == Some(&FILLER);
        if whole && number == Some(self.next) {
            self.next += 1;
        } else {
            self.odd(number.filter(|_| whole));
        }
    }

    #[cold]
    fn odd(&mut self, number: Option<u64>) {
        let next = self.next;
        self.fault.get_or_insert_with(|| match number {
            None => format!("after message {next} one came that is not of stream {}", self.stream),
            Some(number) if number < next => format!("message {number} came again after {next}"),
            Some(number) => format!("message {number} came where {next} was due"),
        });
        self.next = number.map_or(next, |number| next.max(number + 1));
    }

    /// How many have come, as far as all were right.
    pub(crate) fn seen(&self) -> u64 {
        self.next
    }

    /// What was wrong, where `sent` should have come.
    pub(crate) fn fault(&self, sent: u64) -> Option<String> {
        let missing =
            (self.next < sent).then(|| format!("{} of {sent} messages never came", sent - self.next));
        self.fault.clone().or(missing)
    }
}

/// The messages of one sender that have no final receipt, and the receipts that were wrong.
#[derive(Default)]
pub(crate) struct Answers {
    /// How many were sent; their ids count from 1.
    sent: u64,
    /// The lowest id without a receipt.
    lowest: u64,
    /// Whether those from there on have one.
    done: VecDeque<bool>,
    answered: u64,
    fault: Option<String>,
}

impl Answers {
    /// A message was sent.
    pub(crate) fn sent(&mut self, id: MessageId) {
        if self.sent == 0 {
            self.lowest = id.0;
        }
        self.sent += 1;
        self.done.push_back(false);
    }

    /// A final receipt has come; all of `recipients` should have confirmed.
    pub(crate) fn receipt(&mut self, receipt: &Receipt, recipients: u32) {
        let Receipt::Final { id, delivered, recipients: of, reason, .. } = *receipt else { return };
        if (delivered, of) != (recipients, recipients) {
            self.fault.get_or_insert_with(|| {
                let reason = reason.map(|reason| format!(", {reason}")).unwrap_or_default();
                format!("message {id} came to {delivered} of {of} recipients, not to {recipients}{reason}")
            });
        }
        let place = id.0.checked_sub(self.lowest).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.done.get_mut(place)) {
            Some(done) if !*done => {
                *done = true;
                self.answered += 1;
            }
            _ => {
                self.fault.get_or_insert_with(|| format!("message {id} had a second receipt"));
            }
        }
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.lowest += 1;
        }
    }

    /// How many messages have no receipt yet.
    pub(crate) fn open(&self) -> u64 {
        self.sent - self.answered
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    pub(crate) fn total(&self) -> u64 {
        self.sent
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let open =
            (self.open() > 0).then(|| format!("{} of {} messages have no receipt", self.open(), self.sent));
        self.fault.clone().or(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: u64, delivered: u32, recipients: u32) -> Receipt {
        Receipt::ended(MessageId(id), delivered, recipients, None)
    }

    #[test]
    fn once_in_order_and_whole() {
        let mut payload = Payload::new(7, 64);
        let mut expected = Expected::new(7, 64);
        for number in 0..300 {
            expected.see(payload.number(number));
        }
        assert_eq!((expected.seen(), expected.fault(300)), (300, None));
        assert_eq!(expected.fault(302).as_deref(), Some("2 of 302 messages never came"));
        expected.see(payload.number(299));
        assert_eq!(expected.fault(300).as_deref(), Some("message 299 came again after 300"));

        let mut expected = Expected::new(7, 64);
        expected.see(payload.number(1));
        assert_eq!(expected.fault(2).as_deref(), Some("message 1 came where 0 was due"));
        let mut expected = Expected::new(8, 64);
        expected.see(payload.number(0));
        assert!(expected.fault(0).is_some(), "another stream");
        let mut expected = Expected::new(7, 65);
        expected.see(payload.number(0));
        assert!(expected.fault(0).is_some(), "another length");
    }

    #[test]
    fn one_receipt_each_that_counts_all() {
        let mut answers = Answers::default();
        (1..=3).for_each(|id| answers.sent(MessageId(id)));
        assert_eq!(answers.fault().as_deref(), Some("3 of 3 messages have no receipt"));
        for id in [2, 1, 3] {
            answers.receipt(&told(id, 5, 5), 5);
        }
        assert_eq!((answers.open(), answers.answered(), answers.fault()), (0, 3, None));
        answers.receipt(&told(2, 5, 5), 5);
        assert_eq!(answers.fault().as_deref(), Some("message 2 had a second receipt"));

        let mut answers = Answers::default();
        answers.sent(MessageId(1));
        answers.receipt(&told(1, 4, 5), 5);
        assert_eq!(answers.fault().as_deref(), Some("message 1 came to 4 of 5 recipients, not to 5"));
    }
}
