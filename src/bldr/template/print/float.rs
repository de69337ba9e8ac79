//! Floating point numbers as strconv's `FormatFloat` writes them.

/// The digits of a number without zeros at the end, and the place of the point: `0.digits × 10^point`.
struct Digits {
    digits: String,
    point: i32,
}

/// What a double can have at the most behind its point; more are zeros, and Rust's formatter counts to 65535.
const PRECISION_MAX: usize = 1100;

/// The number with the verb `e`, `E`, `f`, `g`, `G`, `b`, `x` or `X`; without a precision as many digits as it needs.
pub(in super::super) fn format_float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{}Inf", if sign.is_empty() { "+" } else { sign });
    }
    let value = value.abs();
    let text = match verb.to_ascii_lowercase() {
        'e' => {
            let digits = digits(value, precision.map(|precision| precision.saturating_add(1)));
            let shown = precision.unwrap_or_else(|| digits.digits.len().saturating_sub(1));
            with_exponent(&digits, shown)
        }
        'f' => match precision {
            Some(precision) => {
                let mut text = format!("{value:.*}", precision.min(PRECISION_MAX));
                text.extend(std::iter::repeat_n('0', precision.saturating_sub(PRECISION_MAX)));
                text
            }
            None => format!("{value}"),
        },
        'b' => binary(value),
        'x' => hexadecimal(value, precision),
        _ => general(value, precision.map(|precision| precision.max(1))),
    };
    let text = format!("{sign}{text}");
    if verb.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// `g`: with an exponent where that is below -4 or not below the precision.
fn general(value: f64, precision: Option<usize>) -> String {
    let digits = digits(value, precision);
    let count = digits.digits.len();
    let exponent = digits.point - 1;
    let whole = usize::try_from(digits.point).unwrap_or_default();
    let limit = match precision {
        None => 6,
        Some(precision) if precision > count && count >= whole => count,
        Some(precision) => precision,
    };
    if exponent < -4 || usize::try_from(exponent).is_ok_and(|exponent| exponent >= limit) {
        return with_exponent(&digits, count.saturating_sub(1));
    }
    plain(&digits)
}

/// Bits of the mantissa behind its first one.
const MANTISSA_BITS: u32 = 52;

/// The mantissa as a whole number, and its exponent.
fn mantissa(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let exponent = i64::try_from(bits >> MANTISSA_BITS & 0x7ff).unwrap_or_default();
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    // Without its leading one, if it is too small for that.
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << MANTISSA_BITS };
    (mantissa, exponent.max(1) - 1023 - i64::from(MANTISSA_BITS))
}

/// `b`: `4503599627370496p-52`.
fn binary(value: f64) -> String {
    let (mantissa, exponent) = mantissa(value);
    format!("{mantissa}p{exponent:+}")
}

/// `x`: `0x1.8p+01`.
fn hexadecimal(value: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = mantissa(value);
    exponent = if mantissa == 0 { 0 } else { exponent + i64::from(MANTISSA_BITS) };
    // One digit before the point, fifteen behind it.
    mantissa <<= 60 - MANTISSA_BITS;
    while mantissa != 0 && mantissa >> 60 == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        // To the nearest, of two to the even one.
        let shift = 60 - 4 * u32::try_from(precision).unwrap_or_default();
        let extra = mantissa & ((1 << shift) - 1);
        mantissa >>= shift;
        if extra | (mantissa & 1) > 1 << (shift - 1) {
            mantissa += 1;
        }
        mantissa <<= shift;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(precision) => digits.chars().chain(std::iter::repeat('0')).take(precision).collect(),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{point}{digits}p{sign}{:02}", mantissa >> 60, exponent.abs())
}

/// The first digits of a number, rounded as the exact value demands.
fn digits(value: f64, count: Option<usize>) -> Digits {
    if value == 0.0 {
        return Digits { digits: String::new(), point: 0 };
    }
    let text = match count {
        Some(count) => format!("{value:.*e}", count.saturating_sub(1).min(PRECISION_MAX)),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.replace('.', "").trim_end_matches('0').to_owned();
    Digits { digits, point: exponent.parse().unwrap_or(0) + 1 }
}

fn with_exponent(digits: &Digits, precision: usize) -> String {
    let mut all = digits.digits.chars();
    let mut text = String::from(all.next().unwrap_or('0'));
    if precision > 0 {
        text.push('.');
        text.extend(all.chain(std::iter::repeat('0')).take(precision));
    }
    let exponent = if digits.digits.is_empty() { 0 } else { digits.point - 1 };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{text}e{sign}{:02}", exponent.abs())
}

fn plain(digits: &Digits) -> String {
    let count = digits.digits.len();
    match usize::try_from(digits.point) {
        Ok(0) if count == 0 => "0".to_owned(),
        Ok(whole) if whole > 0 => {
            let (before, behind) = digits.digits.split_at(whole.min(count));
            let zeros = "0".repeat(whole.saturating_sub(count));
            let point = if behind.is_empty() { "" } else { "." };
            format!("{before}{zeros}{point}{behind}")
        }
        _ => format!("0.{}{}", "0".repeat(usize::try_from(-digits.point).unwrap_or_default()), digits.digits),
    }
}

#[cfg(test)]
mod tests {
    use super::format_float;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, verb, precision, text) in [
            (0.0, 'g', None, "0"),
            (1.0, 'g', None, "1"),
            (-1.5, 'g', None, "-1.5"),
            (0.1, 'g', None, "0.1"),
            (100_000.0, 'g', None, "100000"),
            (1_000_000.0, 'g', None, "1e+06"),
            (0.0001, 'g', None, "0.0001"),
            (0.000_012, 'g', None, "1.2e-05"),
            (1e100, 'g', None, "1e+100"),
            (123_456.789, 'g', Some(3), "1.23e+05"),
            (100.0, 'g', Some(3), "100"),
            (3.0, 'e', Some(6), "3.000000e+00"),
            (3.25, 'f', Some(1), "3.2"),
            (3.0, 'f', Some(6), "3.000000"),
            (0.0, 'e', None, "0e+00"),
            (1234.5, 'E', None, "1.2345E+03"),
            (f64::INFINITY, 'g', None, "+Inf"),
        ] {
            assert_eq!(format_float(value, verb, precision), text);
        }
        assert_eq!(format_float(1.0, 'f', Some(70_000)).len(), 70_002);
    }
}
