//! `bootstrap.kubernetes.io/token`: what the API server's authenticator and the token cleaner look for.
//!
//! The API server stores anything of this type; a token with one flaw is no credential at all, and no
//! log says so.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};

/// The one namespace in which tokens are looked up.
const NAMESPACE: &str = "kube-system";
const NAME_PREFIX: &str = "bootstrap-token-";
const GROUP_PREFIX: &[u8] = b"system:bootstrappers:";
const USAGE_PREFIX: &str = "usage-bootstrap-";

const TOKEN_ID: &str = "token-id";
const TOKEN_SECRET: &str = "token-secret";
const GROUPS: &str = "auth-extra-groups";
const EXPIRATION: &str = "expiration";

pub(super) fn check(subject: &Subject<'_>, now: Timestamp, findings: &mut Findings) {
    check_place(subject, findings);
    check_secret(subject, findings);
    check_usage(subject, findings);
    check_groups(subject, findings);
    check_expiration(subject, now, findings);
}

fn check_place(subject: &Subject<'_>, findings: &mut Findings) {
    if subject.namespace != NAMESPACE {
        let what = "tokens are looked up in kube-system only; here it is inert";
        let remedy = "move it to the namespace kube-system";
        findings.add(
            Check::BootstrapNamespace,
            "metadata.namespace",
            what,
            remedy,
        );
    }
    let id = subject.value(TOKEN_ID).unwrap_or_default();
    if !is_plain(id, 6) {
        let what = "missing, or not exactly 6 lower-case letters and digits (a line end counts)";
        let remedy = "store the part of the token before the '.', without a line end";
        findings.add(Check::BootstrapId, data_field(TOKEN_ID), what, remedy);
        findings.follow(&[Check::BootstrapName]);
        return;
    }
    let suffix = subject.name.strip_prefix(NAME_PREFIX).unwrap_or_default();
    if suffix.as_bytes() != id {
        let what = "not 'bootstrap-token-' and the token's id, so the token is never found";
        let remedy = "name the Secret bootstrap-token-<token-id>";
        findings.add(Check::BootstrapName, "metadata.name", what, remedy);
    }
}

fn check_secret(subject: &Subject<'_>, findings: &mut Findings) {
    if !subject
        .value(TOKEN_SECRET)
        .is_some_and(|secret| is_plain(secret, 16))
    {
        let what = "missing, or not exactly 16 lower-case letters and digits (a line end counts)";
        let remedy = "store the part of the token behind the '.', without a line end";
        findings.add(
            Check::BootstrapSecret,
            data_field(TOKEN_SECRET),
            what,
            remedy,
        );
    }
}

fn check_usage(subject: &Subject<'_>, findings: &mut Findings) {
    let mut used = false;
    for (key, value) in subject
        .values()
        .filter(|(key, _)| key.starts_with(USAGE_PREFIX))
    {
        used |= value == b"true";
        if value != b"true" {
            let what = "not exactly 'true', so it counts as off";
            let remedy = "store true without quotes and line end, or leave the key out";
            findings.add(Check::BootstrapUsage, data_field(key), what, remedy);
        }
    }
    if !used {
        let what = "no usage is 'true', so the token is good for nothing";
        let remedy =
            "store true under usage-bootstrap-authentication, usage-bootstrap-signing or both";
        findings.add(Check::BootstrapUsage, "data", what, remedy);
    }
}

fn check_groups(subject: &Subject<'_>, findings: &mut Findings) {
    let groups = subject.value(GROUPS).unwrap_or_default();
    let number = |at: Option<usize>| at.map(|at| at + 1);
    let bad = number(
        groups
            .split(|byte| *byte == b',')
            .position(|group| !is_group(group)),
    );
    if let Some(number) = bad.filter(|_| !groups.is_empty()) {
        let what =
            format!("group {number} of the list is not allowed, which disables the whole token");
        let remedy = "list groups as system:bootstrappers:<lower-case letters, digits, ':' and '-'>, \
                      separated by commas without blanks";
        findings.add(Check::BootstrapGroups, data_field(GROUPS), what, remedy);
    }
}

fn check_expiration(subject: &Subject<'_>, now: Timestamp, findings: &mut Findings) {
    let text = subject.value(EXPIRATION).unwrap_or_default();
    if text.is_empty() {
        let what = "missing or empty: the token never expires";
        let remedy = "store a time like 2030-01-31T12:00:00Z";
        findings.add(
            Check::BootstrapNoExpiration,
            data_field(EXPIRATION),
            what,
            remedy,
        );
        return;
    }
    let Some(end) = rfc3339(text) else {
        let what =
            "no RFC 3339 time, which counts as expired: the token cleaner deletes the Secret";
        let remedy = "write it like 2030-01-31T12:00:00Z, in upper case, without a line end";
        findings.add(
            Check::BootstrapExpiration,
            data_field(EXPIRATION),
            what,
            remedy,
        );
        findings.follow(&[Check::BootstrapExpired]);
        return;
    };
    findings.verdict_mut().expire_at(end);
    if end <= now {
        let what = format!("expired at {end}; the token cleaner deletes the Secret");
        let remedy = "store a new token";
        findings.add_timed(
            Check::BootstrapExpired,
            &data_field(EXPIRATION),
            what,
            remedy,
        );
    }
}

fn is_plain(bytes: &[u8], length: usize) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.len() == length && bytes.iter().all(plain)
}

/// `system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]` (`BootstrapGroupPattern` of the bootstrap API).
fn is_group(group: &[u8]) -> bool {
    let Some((last, inside)) = group
        .strip_prefix(GROUP_PREFIX)
        .and_then(<[u8]>::split_last)
    else {
        return false;
    };
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let between = |byte: &u8| plain(byte) || matches!(byte, b':' | b'-');
    plain(last) && inside.len() <= 255 && inside.iter().all(between)
}

/// A time as Go's `time.RFC3339` reads it: `T` and `Z` in upper case, an hour of one digit or two, a fraction of any
/// length behind `.` or `,`, offsets of up to 24 hours and 60 minutes. Ends beyond our clock are its end.
fn rfc3339(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (
        number(date.next()?, 4)?,
        number(date.next()?, 2)?,
        number(date.next()?, 2)?,
    );
    let at = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(at);
    let mut time = time.splitn(3, ':');
    let hour = time.next()?;
    let hour = number(hour, hour.len().min(2))?;
    let (minute, second) = (number(time.next()?, 2)?, time.next()?);
    let (second, fraction) = match second.split_once(['.', ',']) {
        Some((second, fraction)) => (second, nanoseconds(fraction)?),
        None => (second, 0),
    };
    // A leap second is an error to Go.
    let second = number(second, 2).filter(|second| *second < 60)?;
    let small = |number: i32| i8::try_from(number).ok();
    let written = DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        fraction,
    );
    let utc = written
        .ok()?
        .checked_sub(SignedDuration::from_secs(offset(zone)?));
    let stamp = |utc: DateTime| Offset::UTC.to_timestamp(utc).ok();
    Some(utc.ok().and_then(stamp).unwrap_or(Timestamp::MAX))
}

/// Exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i32> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// What is finer than a nanosecond is left out.
fn nanoseconds(fraction: &str) -> Option<i32> {
    let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let padded = digits.then(|| format!("{fraction:0<9}"))?;
    padded[..9].parse().ok()
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let hours = number(hours, 2).filter(|hours| *hours <= 24)?;
    let minutes = number(minutes, 2).filter(|minutes| *minutes <= 60)?;
    Some(sign * i64::from(hours * 3600 + minutes * 60))
}
