//! What may be answered from memory, and until when. Ages and luck are passed in.
//!
//! A plain read answers republishes until the refresh interval has passed, and after that only while
//! the store gives no usable answer. What was issued for a pod (a lease, the answer to a writing
//! request, a certificate) is kept for that pod until two thirds of its life.

use std::time::Duration;

use crate::fault::{Phase, Reason};
use crate::gojson::Json;
use crate::request::Request;
use crate::response::Response;

/// How far the files of running pods lag behind the store when nobody says anything: below kubelet's
/// shortest pause between two republishes (60 s), so that a lone pod's next republish reads fresh.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(45);

/// The longest interval: a year is as good as never.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 24 * 3600);

/// How old a read may be that answers the first mount of a pod: a storm of pods is one read.
pub const FIRST_MOUNT: Duration = Duration::from_secs(1);

/// The share of an interval that jitter may take away, so that not everything is due at once. It never
/// adds: nobody waits longer than was promised.
const JITTER: f64 = 0.1;

/// How long a denial is remembered at least; luck makes it up to three times as long.
const DENIAL: Duration = Duration::from_secs(10);

/// What the operator says about refreshing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshRules {
    /// Interval of classes that name none.
    pub interval: Duration,
    /// The shortest interval that a class may have.
    pub floor: Duration,
    /// The longest interval that a class may have.
    pub ceiling: Duration,
    /// How old the last good bytes may be that answer while the store cannot; none for any age, zero for
    /// never.
    pub max_stale: Option<Duration>,
}

impl Default for RefreshRules {
    fn default() -> Self {
        Self {
            interval: DEFAULT_INTERVAL,
            floor: Duration::ZERO,
            ceiling: LONGEST_INTERVAL,
            max_stale: None,
        }
    }
}

impl RefreshRules {
    /// The interval of a class that asks for one, or for none.
    #[must_use]
    pub fn interval_of(&self, asked: Option<Duration>) -> Duration {
        let ceiling = self.ceiling.min(LONGEST_INTERVAL).max(self.floor);
        asked.unwrap_or(self.interval).clamp(self.floor, ceiling)
    }

    /// Whether bytes of this age may answer a Mount for which the store gave no usable answer. A denial
    /// or a missing secret is an answer, and is never covered up.
    #[must_use]
    pub fn may_answer_stale(&self, phase: Phase, reason: Reason, age: Duration) -> bool {
        phase == Phase::Refresh
            && reason.is_no_answer()
            && self.max_stale.is_none_or(|limit| age < limit)
    }
}

/// How old a read must not be to answer a Mount. `jitter` is a number from 0 up to 1, drawn once per
/// read.
#[must_use]
pub fn promised(phase: Phase, interval: Duration, jitter: f64) -> Duration {
    match phase {
        Phase::First => FIRST_MOUNT.min(interval),
        Phase::Refresh => interval.mul_f64(1.0 - JITTER * jitter.clamp(0.0, 1.0)),
    }
}

/// How long ago a read that is still under way may have begun to answer a Mount as well: no longer than
/// what is remembered, and always so long that a storm of equal Mounts is one read.
#[must_use]
pub fn joinable(phase: Phase, interval: Duration) -> Duration {
    match phase {
        Phase::First => FIRST_MOUNT,
        Phase::Refresh => promised(phase, interval, 1.0).max(FIRST_MOUNT),
    }
}

/// How long a denial answers in the store's place: a denied path must not cost a request per retry of
/// kubelet. `luck` is a number from 0 up to 1.
#[must_use]
pub fn denial_life(interval: Duration, luck: f64) -> Duration {
    DENIAL
        .mul_f64(1.0 + 2.0 * luck.clamp(0.0, 1.0))
        .min(interval)
}

/// How an answer may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is a plain read: asked for again at the next Mount.
    ReadAgain,
    /// It was issued for one pod and answers that pod's Mounts for so long from now; none when it
    /// names no end, so that it lasts as long as the pod.
    KeepForPod(Option<Duration>),
}

/// Decides how an answer may be used again. `now` is seconds since the epoch.
#[must_use]
pub fn freshness(request: &Request, response: &Response, now: i64) -> Freshness {
    let certificate = response.data().and_then(|data| certificate_life(data, now));
    let lease = response
        .lease()
        .map(|lease| lease.life)
        .filter(|life| !life.is_zero());
    let auth = response
        .auth()
        .and_then(|auth| auth.get("lease_duration"))
        .and_then(Json::as_i64)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    let life = [certificate, lease, auth].into_iter().flatten().min();
    match life {
        Some(life) => Freshness::KeepForPod(Some(two_thirds(life))),
        None if request.generates() || response.lease().is_some() => Freshness::KeepForPod(None),
        None => Freshness::ReadAgain,
    }
}

/// Two thirds of a life: late enough to be worth the wait, early enough to survive an outage.
#[must_use]
pub const fn two_thirds(life: Duration) -> Duration {
    Duration::from_secs(life.as_secs() * 2 / 3)
}

/// How long the certificate in a PKI answer still lives; none when there is no private key beside it,
/// because then nothing was issued and the certificate was only read.
fn certificate_life(data: &Json, now: i64) -> Option<Duration> {
    data.get("private_key")?;
    // The engine always says it; a pair that somebody put into a key-value store has none.
    data.get("serial_number")?;
    let pem = data.get("certificate").and_then(Json::as_str)?;
    let not_after = not_after(pem)?;
    Some(Duration::from_secs(
        u64::try_from(not_after - now).unwrap_or(0),
    ))
}

fn not_after(pem: &str) -> Option<i64> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests;
