//! Unquoted dates in `secretArgs`, which the peers read as times and send as RFC 3339 text.
//!
//! The accepted forms are those that yaml.v3 tries (`parseTimestamp` in its resolve.go) as Go's
//! `time.Parse` reads them, with its leniencies: one-digit months, days and times, any number of
//! fraction digits. jiff's parsers are stricter, so only its calendar is used.

use jiff::civil::Date;

/// The RFC 3339 text that Go writes for a date or time; none if the text is neither.
///
/// A time that Go reads but cannot write as JSON (a zone of 24 hours) is none as well.
pub(super) fn rfc3339(text: &str) -> Option<String> {
    let mut scan = Scan(text);
    let year = scan.digits(4, 4)?;
    scan.byte(b"-")?;
    let month = scan.digits(1, 2)?;
    scan.byte(b"-")?;
    let day = scan.digits(1, 2)?;
    let (year, month) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?);
    let date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    let date = format!("{year:04}-{month:02}-{day:02}", day = date.day());
    if scan.0.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let zoned = scan.byte(b"Tt").is_some();
    if !zoned {
        scan.spaces()?;
    }
    let clock = scan.clock()?;
    let zone = if zoned { scan.zone()? } else { "Z".to_owned() };
    scan.0.is_empty().then(|| format!("{date}T{clock}{zone}"))
}

/// What is left of the text.
struct Scan<'a>(&'a str);

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.bytes().next()
    }

    /// Takes one of these bytes.
    fn byte(&mut self, wanted: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|b| wanted.contains(b))?;
        self.0 = &self.0[1..];
        Some(byte)
    }

    /// Takes digits, at least `min` and at most `max` of them.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let run = self
            .0
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count()
            .min(max);
        if run < min {
            return None;
        }
        let (digits, rest) = self.0.split_at(run);
        self.0 = rest;
        digits.parse().ok()
    }

    /// A number of one or two digits below a limit.
    fn below(&mut self, limit: u32) -> Option<u32> {
        self.digits(1, 2).filter(|value| *value < limit)
    }

    fn spaces(&mut self) -> Option<()> {
        self.byte(b" ")?;
        self.0 = self.0.trim_start_matches(' ');
        Some(())
    }

    /// `hh:mm:ss` with an optional fraction, written with two digits each.
    fn clock(&mut self) -> Option<String> {
        let hour = self.below(24)?;
        self.byte(b":")?;
        let minute = self.below(60)?;
        self.byte(b":")?;
        let second = self.below(60)?;
        let fraction = self.fraction();
        Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
    }

    /// A fraction of at most nine digits without trailing zeros; further digits are dropped.
    fn fraction(&mut self) -> String {
        let rest = self.0.as_bytes();
        let dotted = matches!(rest.first(), Some(b'.' | b','));
        let run = rest
            .iter()
            .skip(1)
            .take_while(|b| b.is_ascii_digit())
            .count();
        if !dotted || run == 0 {
            return String::new();
        }
        let digits = &self.0[1..=run.min(9)];
        self.0 = &self.0[run + 1..];
        match digits.trim_end_matches('0') {
            "" => String::new(),
            kept => format!(".{kept}"),
        }
    }

    /// `Z` or an offset. Go reads minutes up to 60 and writes them as hours and minutes again.
    fn zone(&mut self) -> Option<String> {
        let Some(sign) = self.byte(b"+-") else {
            self.byte(b"Z")?;
            return Some("Z".to_owned());
        };
        let hours = self.digits(2, 2)?;
        self.byte(b":")?;
        let minutes = self.digits(2, 2).filter(|minutes| *minutes <= 60)?;
        let offset = hours * 60 + minutes;
        match offset {
            0 => Some("Z".to_owned()),
            1440.. => None,
            _ => Some(format!(
                "{}{:02}:{:02}",
                char::from(sign),
                offset / 60,
                offset % 60
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_and_times_become_rfc3339() {
        for (text, expected) in [
            ("2024-01-02", "2024-01-02T00:00:00Z"),
            ("2024-1-2", "2024-01-02T00:00:00Z"),
            ("0000-1-1", "0000-01-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02t3:4:5Z", "2024-01-02T03:04:05Z"),
            ("2024-01-02 03:04:05", "2024-01-02T03:04:05Z"),
            ("2024-01-02   03:04:05.120", "2024-01-02T03:04:05.12Z"),
            ("2024-01-02T03:04:05.000Z", "2024-01-02T03:04:05Z"),
            (
                "2024-01-02T03:04:05.1234567899Z",
                "2024-01-02T03:04:05.123456789Z",
            ),
            ("2024-01-02T03:04:05+02:30", "2024-01-02T03:04:05+02:30"),
            ("2024-01-02T03:04:05-00:00", "2024-01-02T03:04:05Z"),
            ("2024-01-02T03:04:05+01:60", "2024-01-02T03:04:05+02:00"),
        ] {
            assert_eq!(rfc3339(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_date() {
        for text in [
            "",
            "2024",
            "24-01-02",
            "2024-13-01",
            "2023-02-29",
            "2024-00-01",
            "2024-01-02 ",
            "2024-01-02T",
            "2024-01-02T24:00:00Z",
            "2024-01-02T03:04:60Z",
            "2024-01-02T03:04Z",
            "2024-01-02T03:04:05",
            "2024-01-02 03:04:05Z",
            "2024-01-02T03:04:05.Z",
            "2024-01-02T03:04:05+0200",
            "2024-01-02x",
            "12024-01-02",
            "2024-01-02T03:04:05z",
            "2024-001-02",
            "2024-01-02T03:04:05é",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
