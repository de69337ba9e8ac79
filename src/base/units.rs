//! Numbers for people.

use std::time::Duration;

/// A size: `21.5 MB`, in powers of ten.
pub fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// A number with its noun: `1 error`, `2 errors`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A number and what stands behind it, without blanks around either.
fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// A size as people write it: `10GB`, `512 MiB`, `1.5GB`, `0`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 1,
        "kb" | "k" => 1000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "tb" | "t" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let number: f64 = number.parse().ok()?;
    let bytes = number * factor as f64;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A time as people write it: `90s`, `10m`, `1.5h`, `250ms`; a number alone is seconds.
pub fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * factor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("90s", Some(90_000)),
            ("10m", Some(600_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("7", Some(7000)),
            ("", None),
            ("m", None),
            ("-1s", None),
            ("1 day", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(parse_time(text).map(|time| time.as_millis()), milliseconds, "{text}");
        }
        assert_eq!(parse_time(&"9".repeat(400)), None);
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("10GB", Some(10_000_000_000)),
            ("512 MiB", Some(512 << 20)),
            ("1.5kB", Some(1500)),
            ("0", Some(0)),
            ("7 bytes", Some(7)),
            ("", None),
            ("GB", None),
            ("-1", None),
            ("1 parsec", None),
            ("99999999TB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!([size(999), size(21_500_000), size(1_000_000_000)], ["999 bytes", "21.5 MB", "1.0 GB"]);
        assert_eq!([count(0, "error"), count(1, "error")], ["0 errors", "1 error"]);
    }
}
