//! Latencies, drawn with letters.

use std::fmt::Write as _;

/// The widest bar.
const WIDTH: usize = 50;
/// The most rows.
const ROWS: usize = 24;

/// The value that so large a part of the ascending `values` does not exceed.
pub(crate) fn quantile(values: &[u64], part: f64) -> u64 {
    let place = (values.len() as f64 * part).ceil() as usize;
    values.get(place.saturating_sub(1).min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Rows of a quarter of a doubling each, from nanoseconds that ascend.
pub(crate) fn draw(values: &[u64]) -> String {
    let row = |value: u64| ((value.max(1) as f64).log2() * 4.0).floor() as usize;
    let (Some(&first), Some(_)) = (values.first(), values.last()) else { return String::new() };
    // What is rarer than the last row but one goes with it.
    let (low, high) = (row(first), row(quantile(values, 0.9999)).min(row(first) + ROWS - 1));
    let mut counts = vec![0_u64; high - low + 1];
    for &value in values {
        counts[row(value).clamp(low, high) - low] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or_default().max(1);
    let mut text = String::new();
    for (place, &count) in counts.iter().enumerate() {
        let from = ((low + place) as f64 / 4.0).exp2() / 1_000.0;
        let width = usize::try_from(count * WIDTH as u64 / most).unwrap_or(WIDTH);
        // What is there is seen. Writing to a string does not fail.
        let bar = "#".repeat(width.max(usize::from(count > 0)));
        let more = if place + 1 == counts.len() { " and more" } else { "" };
        let _ = writeln!(text, "{from:>13.1} µs  {count:>9}  {bar}{more}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!(quantile(&values, 0.5), 500);
        assert_eq!(quantile(&values, 0.999), 999);
        assert_eq!(quantile(&values, 1.0), 1000);
        assert_eq!(quantile(&[7], 0.001), 7);
        assert_eq!(quantile(&[], 0.5), 0);
    }

    #[test]
    fn every_value_is_in_a_row() {
        let mut values: Vec<u64> = (0..10_000).map(|n| 40_000 + n % 7_000).collect();
        values.push(30_000_000);
        values.sort_unstable();
        let text = draw(&values);
        let counted: u64 =
            text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
        assert_eq!(counted, 10_001, "{text}");
        assert!(text.lines().count() <= ROWS);
        assert!(text.contains(&"#".repeat(WIDTH)));
        assert_eq!(draw(&[]), "");
    }
}
