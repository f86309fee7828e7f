//! What became of the messages: a line of JSON for each, and the sum in the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use e_pigeon_core::{MessageId, Receipt, RefusalReason};

use crate::output::Output;

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Delivered,
    Accepted,
    Partly,
    Expired,
    Refused,
    Unanswered,
    TooLarge,
}

impl Status {
    /// The end that a receipt tells; `None` where it is not the last one.
    pub(crate) fn of(receipt: &Receipt) -> Option<Self> {
        match *receipt {
            Receipt::Accepted { last, .. } => last.then_some(Self::Accepted),
            Receipt::Final { delivered, recipients, reason, .. } => Some(match delivered {
                0 if reason == Some(RefusalReason::Expired) => Self::Expired,
                0 => Self::Refused,
                _ if delivered == recipients => Self::Delivered,
                _ => Self::Partly,
            }),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Accepted => "accepted",
            Self::Partly => "partly",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::TooLarge => "too large",
        }
    }
}

/// Counts how messages end.
pub(crate) struct Tally {
    /// Where each message gets its line, if anywhere.
    json: Option<Output>,
    ends: BTreeMap<(Status, Option<String>), u64>,
    started: Option<Instant>,
    /// How many receipts there were, and when the last of them came.
    answered: u64,
    took: Option<Duration>,
}

impl Tally {
    pub(crate) fn new(json: Option<Output>) -> Self {
        Self { json, ends: BTreeMap::new(), started: None, answered: 0, took: None }
    }

    /// A message was sent: the time runs from the first.
    pub(crate) fn sent(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    /// A receipt has come.
    pub(crate) fn receipt(&mut self, receipt: &Receipt) {
        let Some(status) = Status::of(receipt) else { return };
        let reason = match *receipt {
            Receipt::Final { reason, .. } => reason.map(|reason| reason.to_string()),
            Receipt::Accepted { .. } => None,
        };
        if let Some(json) = &mut self.json {
            // An output only collects, so it takes everything.
            let _ = write_receipt(json, receipt, status, reason.as_deref());
        }
        self.answered += 1;
        self.took = self.started.map(|started| started.elapsed());
        self.end(status, reason);
    }

    /// No answer to this message is expected any longer.
    pub(crate) fn unanswered(&mut self, id: MessageId) {
        self.end(Status::Unanswered, None);
        if let Some(json) = &mut self.json {
            let _ = writeln!(json, r#"{{"id":{},"status":"unanswered"}}"#, id.0);
        }
    }

    /// A message could not be sent for its size. It has no id, and so no line.
    pub(crate) fn too_large(&mut self) {
        self.end(Status::TooLarge, None);
    }

    /// Starts to write the lines so far, and says why that is not possible.
    pub(crate) fn hand_over(&mut self) -> io::Result<()> {
        let Some(json) = &mut self.json else { return Ok(()) };
        json.hand_over();
        json.written().1
    }

    /// There is room for more lines. If there is none, the command is woken when to look again.
    pub(crate) fn has_room(&self) -> bool {
        self.json.as_ref().is_none_or(Output::has_room)
    }

    /// All lines are written.
    pub(crate) fn is_drained(&self) -> bool {
        self.json.as_ref().is_none_or(Output::is_drained)
    }

    /// How many messages have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ends.values().sum()
    }

    /// True where every message had the end that was asked for.
    pub(crate) fn is_good(&self) -> bool {
        self.ends.keys().all(|(status, _)| matches!(status, Status::Delivered | Status::Accepted))
    }

    /// The sum for people, such as `3 messages: 2 delivered, 1 expired in 0.200 s, 15 a second`.
    pub(crate) fn summary(&self) -> String {
        let ended = self.ended();
        let mut text = format!("{ended} {}", if ended == 1 { "message" } else { "messages" });
        for (place, ((status, reason), count)) in self.ends.iter().enumerate() {
            let mark = if place == 0 { ": " } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{mark}{count} {}", status.name());
            if let Some(reason) = reason.as_ref().filter(|reason| *reason != status.name()) {
                let _ = write!(text, " ({reason})");
            }
        }
        if let Some(took) = self.took {
            let seconds = took.as_secs_f64();
            let _ = write!(text, " in {seconds:.3} s");
            if self.answered > 1 {
                let _ = write!(text, ", {:.0} a second", self.answered as f64 / seconds.max(1e-6));
            }
        }
        text
    }

    fn end(&mut self, status: Status, reason: Option<String>) {
        *self.ends.entry((status, reason)).or_default() += 1;
    }
}

/// Writes a receipt as one line of JSON.
fn write_receipt(
    out: &mut impl Write,
    receipt: &Receipt,
    status: Status,
    reason: Option<&str>,
) -> io::Result<()> {
    write!(out, r#"{{"id":{},"status":"{}""#, receipt.id().0, status.name())?;
    match *receipt {
        // Who has confirmed it is not known.
        Receipt::Accepted { recipients, .. } => write!(out, r#","recipients":{recipients}"#)?,
        Receipt::Final { delivered, recipients, .. } => {
            write!(out, r#","delivered":{delivered},"recipients":{recipients}"#)?;
        }
    }
    if let Some(reason) = reason {
        // The reasons are plain words of ours, without anything to escape.
        write!(out, r#","reason":"{reason}""#)?;
    }
    out.write_all(b"}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(delivered: u32, recipients: u32, reason: Option<RefusalReason>) -> Receipt {
        Receipt::ended(MessageId(7), delivered, recipients, reason)
    }

    fn line(receipt: &Receipt) -> String {
        let mut out = Vec::new();
        let reason = match receipt {
            Receipt::Final { reason, .. } => reason.map(|reason| reason.to_string()),
            Receipt::Accepted { .. } => None,
        };
        let status = Status::of(receipt).expect("a last one");
        write_receipt(&mut out, receipt, status, reason.as_deref()).expect("a vector");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines() {
        let accepted = Receipt::accepted(MessageId(7), 2, true);
        for (receipt, expected) in [
            (ended(3, 3, None), r#"{"id":7,"status":"delivered","delivered":3,"recipients":3}"#),
            (
                ended(1, 3, Some(RefusalReason::Gone)),
                r#"{"id":7,"status":"partly","delivered":1,"recipients":3,"reason":"recipient gone"}"#,
            ),
            (
                ended(0, 0, Some(RefusalReason::Expired)),
                r#"{"id":7,"status":"expired","delivered":0,"recipients":0,"reason":"expired"}"#,
            ),
            (
                ended(0, 1, Some(RefusalReason::QueueFull)),
                r#"{"id":7,"status":"refused","delivered":0,"recipients":1,"reason":"queue full"}"#,
            ),
            (accepted, r#"{"id":7,"status":"accepted","recipients":2}"#),
        ] {
            let text = line(&receipt);
            assert_eq!(text.strip_suffix('\n'), Some(expected));
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
        }
    }

    #[test]
    fn the_sum_names_every_end() {
        let mut tally = Tally::new(None);
        assert_eq!(tally.summary(), "0 messages");
        assert!(tally.is_good());
        tally.receipt(&Receipt::accepted(MessageId(7), 1, false));
        assert_eq!(tally.ended(), 0);
        tally.receipt(&ended(2, 2, None));
        assert_eq!(tally.summary(), "1 message: 1 delivered");
        assert!(tally.is_good());
        tally.receipt(&ended(0, 0, Some(RefusalReason::Expired)));
        tally.receipt(&ended(0, 1, Some(RefusalReason::Gone)));
        tally.unanswered(MessageId(9));
        assert_eq!(
            tally.summary(),
            "4 messages: 1 delivered, 1 expired, 1 refused (recipient gone), 1 unanswered"
        );
        assert!(!tally.is_good());
    }
}
