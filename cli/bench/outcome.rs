//! What a measurement has found, as a table for people and as JSON for scripts.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::histogram;

/// What a workload has shown.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Vec<Figure>,
    /// Deliveries that were looked at, with their receipts.
    pub(crate) checked: u64,
    /// What was promised and did not happen.
    pub(crate) faults: Vec<String>,
    /// It was ended before its time.
    pub(crate) interrupted: bool,
    /// Round trips in nanoseconds, ascending, where the workload is about them.
    pub(crate) round_trips: Vec<u64>,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// Its name in JSON.
    pub(crate) key: &'static str,
    pub(crate) value: f64,
    /// What people read behind it.
    pub(crate) unit: &'static str,
}

impl Outcome {
    pub(crate) fn add(&mut self, key: &'static str, value: f64, unit: &'static str) {
        if value.is_finite() {
            self.figures.push(Figure { key, value, unit });
        }
    }

    /// The figure of that name.
    pub(crate) fn figure(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.key == key).map(|figure| figure.value)
    }

    /// The rows of the table for a workload.
    pub(crate) fn rows(&self, name: &str, about: &str, with_histogram: bool) -> String {
        let mut text = format!("{name}  {about}\n");
        for figure in &self.figures {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:>16}  {}", number(figure.value), figure.unit);
        }
        for fault in &self.faults {
            let _ = writeln!(text, "{:>16}  {fault}", "BROKEN");
        }
        if self.faults.is_empty() && self.checked > 0 {
            let checked = whole(self.checked as f64);
            let _ = writeln!(text, "{checked:>16}  deliveries checked: once, in order, receipted");
        }
        if self.interrupted {
            let _ = writeln!(text, "{:>16}  before its time", "ended");
        }
        if with_histogram && !self.round_trips.is_empty() {
            text.push_str(&histogram::draw(&self.round_trips));
        }
        text
    }

    pub(crate) fn json(&self, name: &str, about: &str) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.key.to_owned(), figure.value.into())).collect();
        json!({
            "workload": name,
            "about": about,
            "figures": figures,
            "checked": self.checked,
            "faults": self.faults,
            "interrupted": self.interrupted,
        })
    }
}

/// A whole number, with its thousands apart.
pub(crate) fn whole(value: f64) -> String {
    number(value).split('.').next().unwrap_or_default().to_owned()
}

/// A number with three digits at least, and its thousands apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut apart = String::new();
    for (place, letter) in text.char_indices() {
        if place > 0 && place < whole && (whole - place).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(letter);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        for (value, text) in
            [(0.1974, "0.197"), (9.996, "10.00"), (42.0, "42.0"), (999.4, "999"), (1_234_567.8, "1,234,568")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!((whole(1.0), whole(64.0), whole(65_536.0)), ("1".into(), "64".into(), "65,536".into()));
    }

    #[test]
    fn the_table_and_the_json_say_the_same() {
        let mut outcome = Outcome { checked: 3_000, ..Outcome::default() };
        outcome.add("deliveries_per_second", 2_500_000.0, "deliveries a second");
        outcome.add("never_measured", f64::NAN, "of anything");
        assert_eq!(
            outcome.rows("W1", "a stream", true),
            "W1  a stream\n       2,500,000  deliveries a second\n           3,000  deliveries checked: once, in order, receipted\n"
        );
        let json = outcome.json("W1", "a stream");
        assert_eq!(json["figures"], json!({"deliveries_per_second": 2_500_000.0}));
        outcome.faults.push("message 1 came again".into());
        assert!(outcome.rows("W1", "a stream", true).ends_with("          BROKEN  message 1 came again\n"));
    }
}
