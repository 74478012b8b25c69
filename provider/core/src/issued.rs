//! The life of something that was issued for a pod: when it is renewed, when it is issued anew, when it
//! is gone. Decisions only; clock and luck are passed in, renewing and asking are the shell's.
//!
//! Moments are counted on a steady clock from an origin of the shell's choice.

use std::time::Duration;

use crate::fault::Reason;
use crate::refresh::two_thirds;

/// A moment on the steady clock: the time since an origin that all moments share.
pub type Moment = Duration;

/// The first pause after a failure: a store that is started anew is there again by then.
pub const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause after failures: short against the leases that are worth having.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Renewals of what was issued together are spread over this part of a life.
const SPREAD: f64 = 0.05;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It answers as it is.
    Keep,
    /// It answers as it is, and its lease is to be renewed.
    Renew,
    /// The pod's next Mount asks for a new one; it answers only if that gives nothing usable.
    Reissue,
    /// It is over and answers nothing.
    Gone,
}

/// What became of a lease that was to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It lives for so long from now.
    Granted(Duration),
    /// The store does not renew it, now or later.
    Refused,
    /// The store gave no usable answer; another time it may.
    Failed,
}

impl Renewal {
    /// What a fault means for the lease: everything but the store's own troubles and ours is a refusal.
    #[must_use]
    pub const fn of_fault(reason: Reason) -> Self {
        let is_ours = matches!(
            reason,
            Reason::Busy | Reason::Internal | Reason::Draining | Reason::Cancelled
        );
        if reason.is_no_answer() || is_ours {
            Self::Failed
        } else {
            Self::Refused
        }
    }
}

/// The store token that a lease hangs on: the lease ends when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// When its present life began.
    pub began: Moment,
    /// When it ends.
    pub ends: Moment,
    /// Whether the store may renew it.
    pub renewable: bool,
}

impl Bearer {
    /// Past two thirds of its life, and nobody can prolong it.
    fn is_due(&self, now: Moment) -> bool {
        let life = self.ends.saturating_sub(self.began);
        !self.renewable && now >= self.began + two_thirds(life)
    }
}

/// Whether a grant shows that what was issued for `full` nears its longest life: a store then grants
/// what is left, less and less in ever more renewals.
#[must_use]
pub fn is_last_grant(granted: Duration, full: Duration) -> bool {
    granted < full / 3
}

/// The time that something issued has, and what is known of prolonging it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    began: Moment,
    ends: Option<Moment>,
    /// The life that it was issued with; grants are measured by it.
    full: Duration,
    renewable: bool,
    /// Where within the spread of renewals it stands, from 0 up to 1.
    place: f64,
    failures: u32,
    rests_until: Moment,
}

/// What of a term outlives the process: failures do not, because a new process may fare better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When its present life began.
    pub began: Moment,
    /// When it ends; none when it lasts as long as the pod.
    pub ends: Option<Moment>,
    /// The life that it was issued with.
    pub full: Duration,
    /// Whether the store may renew it.
    pub renewable: bool,
}

impl Term {
    /// The term of what was issued `now`. Without a life it lasts as long as the pod. `luck` is from 0 up
    /// to 1; it spreads the renewals of what was issued together.
    #[must_use]
    pub fn issued(now: Moment, life: Option<Duration>, renewable: bool, luck: f64) -> Self {
        let span = Span {
            began: now,
            ends: life.map(|life| now + life),
            full: life.unwrap_or_default(),
            renewable: renewable && life.is_some(),
        };
        Self::resumed(span, luck)
    }

    /// The term of what another process kept.
    #[must_use]
    pub fn resumed(span: Span, luck: f64) -> Self {
        Self {
            began: span.began,
            ends: span.ends,
            full: span.full,
            renewable: span.renewable,
            place: luck.clamp(0.0, 1.0),
            failures: 0,
            rests_until: Moment::ZERO,
        }
    }

    /// What of it outlives the process.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span {
            began: self.began,
            ends: self.ends,
            full: self.full,
            renewable: self.renewable,
        }
    }

    /// What is to be done now. `bearer` is the token that it hangs on, if it hangs on one.
    #[must_use]
    pub fn decide(&self, now: Moment, bearer: Option<&Bearer>) -> Decision {
        if self.has_ended(now) || bearer.is_some_and(|bearer| now >= bearer.ends) {
            return Decision::Gone;
        }
        if now < self.rests_until {
            return Decision::Keep;
        }
        if bearer.is_some_and(|bearer| bearer.is_due(now)) {
            return Decision::Reissue;
        }
        match (self.due(), self.renewable) {
            (Some(due), true) if now >= due + self.delay() => Decision::Renew,
            (Some(due), false) if now >= due => Decision::Reissue,
            _ => Decision::Keep,
        }
    }

    /// Whether its own life is over.
    #[must_use]
    pub fn has_ended(&self, now: Moment) -> bool {
        self.ends.is_some_and(|ends| now >= ends)
    }

    /// When it ends; none when it lasts as long as the pod.
    #[must_use]
    pub const fn ends(&self) -> Option<Moment> {
        self.ends
    }

    /// Takes over what became of a renewal that was sent at `asked` and answered `now`.
    pub fn renewed(&mut self, renewal: Renewal, asked: Moment, now: Moment, luck: f64) {
        match renewal {
            Renewal::Granted(life) if !life.is_zero() => {
                self.began = asked;
                self.ends = Some(asked + life);
                self.renewable = !is_last_grant(life, self.full);
                self.place = luck.clamp(0.0, 1.0);
                self.failures = 0;
            }
            Renewal::Granted(_) | Renewal::Refused => self.renewable = false,
            Renewal::Failed => self.failed(now, luck),
        }
    }

    /// Notes that renewing or issuing anew failed for a reason that heals: it rests for a while, but not
    /// through the rest of its life.
    pub fn failed(&mut self, now: Moment, luck: f64) {
        let left = self.ends.map(|ends| ends.saturating_sub(now) / 4);
        let longest = left.unwrap_or(LONGEST_PAUSE).max(FIRST_PAUSE);
        self.rests_until = now + pause(self.failures, luck).min(longest);
        self.failures = self.failures.saturating_add(1);
    }

    fn due(&self) -> Option<Moment> {
        Some(self.began + two_thirds(self.ends?.saturating_sub(self.began)))
    }

    fn delay(&self) -> Duration {
        let life = self.ends.unwrap_or_default().saturating_sub(self.began);
        life.mul_f64(self.place * SPREAD)
    }
}

/// The pause after so many failures before: it doubles up to a bound, and luck shortens it by up to a
/// quarter, so that what failed together does not come back together.
#[must_use]
pub fn pause(failures: u32, luck: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures));
    let bounded = doubled.min(LONGEST_PAUSE);
    bounded.mul_f64(1.0 - luck.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests;
