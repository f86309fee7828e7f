//! Numbers, sizes and times, as options are given them.

use std::time::Duration;

/// The largest value of an unsigned type.
fn largest<T>() -> u64 {
    u64::MAX >> (64 - 8 * size_of::<T>())
}

/// Reads a number.
pub(crate) fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let value: Option<u64> = text.parse().ok();
    let value = value.and_then(|value| value.try_into().ok());
    value.ok_or_else(|| format!("not a whole number from 0 to {}, for example 10", largest::<T>()))
}

/// Reads a number of bytes, such as `65536`, `64KiB`, `1MiB` or `1GiB`.
pub(crate) fn size<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let wrong =
        || format!("not a size from 0 to {} bytes, for example 512, 64KiB, 1MiB or 1GiB", largest::<T>());
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|digits| (digits, *unit)))
        .unwrap_or((text, 1_u64));
    let bytes = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(unit)).ok_or_else(wrong)?;
    bytes.try_into().map_err(|_| wrong())
}

/// Reads a duration such as `500ms`, `2s` or `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "not a duration, for example 500ms, 2s or 1h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers() {
        assert_eq!(size::<u32>("65536"), Ok(65_536));
        assert_eq!(size::<u32>("64KiB"), Ok(65_536));
        assert_eq!(size::<u64>("8GiB"), Ok(8 << 30));
        for text in ["", "KiB", "1kb", "-1", "1.5MiB", "4GiB"] {
            assert!(size::<u32>(text).is_err(), "{text}");
        }
        assert_eq!(number::<u8>("16"), Ok(16));
        assert!(number::<u8>("256").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(parse_duration("1").is_err());
        assert!(parse_duration("-1s").is_err());
    }
}
