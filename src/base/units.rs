//! Numbers for people.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_read_well() {
        assert_eq!([size(999), size(21_500_000), size(1_000_000_000)], ["999 bytes", "21.5 MB", "1.0 GB"]);
        assert_eq!([count(0, "error"), count(1, "error")], ["0 errors", "1 error"]);
    }
}
