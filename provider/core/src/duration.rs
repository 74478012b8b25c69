//! Durations as people write them in classes and flags: Go's form, or bare seconds.
//!
//! What a duration is for, and whether zero makes sense there, is decided by who reads it.

use std::time::Duration;

/// Reads a Go duration of one or more parts (`1m30s`, `1.5h`, `250ms`), or a bare number of seconds.
/// None for everything else, negative ones included.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    if text.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (part, tail) = parse_part(rest)?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total)
}

/// One number with its unit, and what stands behind it.
fn parse_part(text: &str) -> Option<(Duration, &str)> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, tail) = text.split_at(text.find(|c| !is_number(c))?);
    let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
    let scale = match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * scale;
    Some((Duration::try_from_secs_f64(seconds).ok()?, tail))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_duration;

    #[test]
    fn durations_are_gos_or_seconds() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("250000us", Some(250)),
            ("250000µs", Some(250)),
            ("45", Some(45_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("5 s", None),
            ("-1s", None),
            ("1e9h", None),
            ("1.2.3s", None),
            ("99999999999999999999s", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
