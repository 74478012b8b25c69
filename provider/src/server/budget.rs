//! How long a Mount may take: less than the caller waits, so that the answer is always ours.
//!
//! A deadline that runs out in the library or the client ends in a code that kubelet does not take as
//! final, and driver 1.6 then starts pods with empty volumes.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// What is left to the caller to receive the answer.
const MARGIN: Duration = Duration::from_secs(2);

/// The budget of a call: the caller's time less a margin, at most `limit`.
pub(super) fn of(metadata: &MetadataMap, limit: Duration) -> Duration {
    let header = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok());
    let Some(timeout) = header.and_then(parse) else {
        return limit;
    };
    // Of a very short time half is kept, so that something is tried at all.
    let ours = if timeout > 2 * MARGIN {
        timeout - MARGIN
    } else {
        timeout / 2
    };
    ours.min(limit)
}

/// A budget as it is told: a short one in milliseconds, because it may be less than a second.
pub(super) fn shown(budget: Duration) -> String {
    if budget < Duration::from_secs(10) {
        return format!("{} ms", budget.as_millis());
    }
    format!("{} s", budget.as_secs())
}

/// At most eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse(text: &str) -> Option<Duration> {
    let digits = text.get(..text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match text.as_bytes().last()? {
        b'H' => Some(Duration::from_secs(value * 3600)),
        b'M' => Some(Duration::from_secs(value * 60)),
        b'S' => Some(Duration::from_secs(value)),
        b'm' => Some(Duration::from_millis(value)),
        b'u' => Some(Duration::from_micros(value)),
        b'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::metadata::MetadataMap;

    use super::{of, shown};

    #[test]
    fn a_mount_ends_before_its_caller_gives_up() {
        let limit = Duration::from_secs(30);
        for (header, expected) in [
            ("120000m", 30_000),
            ("2M", 30_000),
            ("10S", 8000),
            ("5000m", 3000),
            ("4S", 2000),
            ("1m", 0),
            ("999n", 0),
            ("", 30_000),
            ("x", 30_000),
            ("S", 30_000),
            ("-1S", 30_000),
            ("123456789S", 30_000),
            ("1é", 30_000),
        ] {
            let mut metadata = MetadataMap::new();
            if let Ok(value) = header.parse() {
                metadata.insert("grpc-timeout", value);
            }
            assert_eq!(of(&metadata, limit).as_millis(), expected, "{header}");
        }
        assert_eq!(
            of(&MetadataMap::new(), limit),
            limit,
            "old drivers send none on rotation"
        );
    }
    #[test]
    fn a_budget_below_a_second_is_not_told_as_nothing() {
        for (millis, expected) in [
            (0, "0 ms"),
            (500, "500 ms"),
            (9_999, "9999 ms"),
            (10_000, "10 s"),
            (118_999, "118 s"),
        ] {
            assert_eq!(shown(Duration::from_millis(millis)), expected);
        }
    }
}
