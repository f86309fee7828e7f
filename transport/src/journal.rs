//! What a broker reports, for the log.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use e_pigeon_core::{AbortCode, BrokerEvent, Instant};

/// Refusals in a row get one line for so long, whatever strangers do.
const INTERVAL: Duration = Duration::from_secs(10);

/// Logs events of a broker: clients that come and go at level `info`, refusals at level `warn`, as one line with counts at
/// most every ten seconds. The first of them gets its line at once.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// How many were refused since the last line, by the reason.
    refused: BTreeMap<String, u64>,
    /// When the next line may be written.
    next: Option<Instant>,
}

impl Journal {
    /// Takes an event.
    pub(crate) fn note(&mut self, event: &BrokerEvent) {
        match event {
            BrokerEvent::LinkAborted(
                _,
                code @ (AbortCode::WrongSecret
                | AbortCode::Version
                | AbortCode::Full
                | AbortCode::TooManyAttributes
                | AbortCode::NotAllowed
                | AbortCode::HandshakeTimeout),
            ) => self.count(code.to_string()),
            BrokerEvent::Refused { limit, .. } => self.count(format!("{limit}")),
            other => tracing::info!("{other}"),
        }
    }

    fn count(&mut self, reason: String) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Writes the line about refusals, if there are some and it is time.
    pub(crate) fn write(&mut self, now: Instant) {
        if let Some(line) = self.line(now) {
            tracing::warn!("{line}");
        }
    }

    fn line(&mut self, now: Instant) -> Option<String> {
        if self.refused.is_empty() || self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + INTERVAL);
        let mut line = String::from("connections or clients refused: ");
        for (place, (reason, count)) in std::mem::take(&mut self.refused).into_iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(line, "{comma}{count} ({reason})");
        }
        Some(line)
    }

    /// When [`write`](Self::write) has something to write.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (!self.refused.is_empty()).then(|| self.next.unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use e_pigeon_core::Limit;

    #[test]
    fn attack_a18_and_r13_refusals_get_one_line_with_counts() {
        let mut journal = Journal::default();
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        assert_eq!((journal.line(at(0)), journal.deadline(at(0))), (None, None));
        let refused = BrokerEvent::Refused { source: 7, limit: Limit::Sessions };
        journal.note(&refused);
        let first = journal.line(at(1)).expect("the first at once");
        assert!(first.ends_with("refused: 1 (max_sessions is reached)"), "{first}");
        for _ in 0..4_813 {
            journal.note(&refused);
        }
        assert_eq!((journal.line(at(2)), journal.deadline(at(2))), (None, Some(at(11))));
        let second = journal.line(at(11)).expect("it is time");
        assert!(second.contains("4813 ("), "{second}");
        assert_eq!(journal.deadline(at(11)), None);
    }
}
