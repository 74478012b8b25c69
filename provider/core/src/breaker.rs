//! Whether an address of a store is asked: not after failures in a row, and again when it proves well.
//!
//! Closed, it lets every request through and counts. Open, it lets none through; probes look whether the
//! address is well again. Half-open, it lets one request through, and that one decides. Times are readings
//! of one steady clock since any fixed moment; who probes and what is sent stands in the shell.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::fault::{Fault, Reason};

/// So many failures in a row open a breaker: one Mount alone, which tries three times, does not.
pub const FAILURES: u32 = 5;

/// The shortest time between two probes of an address. Up to a fifth is added, so that nodes do not probe together.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);

/// An address that nobody asked for so long is not probed: its pods are gone.
const ASKED_WITHIN: Duration = Duration::from_secs(600);

/// What an exchange says of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It works, whatever it answered to this request.
    Well,
    /// It gave no usable answer.
    Ill(Fault),
    /// It is not trusted, or does not trust us. Another address is better, but the store may be well.
    Untrusted(Fault),
    /// Nothing: the request ended for another cause.
    Nothing,
}

impl Sign {
    /// Whether an answer with this status is one of a store that works. The rest are 5xx, and what
    /// `sys/health` says of standbys that cannot reach an active node (Vault's API, `/sys/health`).
    #[must_use]
    pub const fn is_well(status: u16) -> bool {
        !matches!(status, 472..=474 | 500..)
    }

    /// Whether a probe's answer shows an address that requests can be sent to. Here 473 is a standby
    /// that serves or forwards.
    #[must_use]
    pub const fn is_well_probed(status: u16) -> bool {
        !matches!(status, 472 | 474 | 500..)
    }

    /// What a request without an answer says.
    #[must_use]
    pub fn of_fault(fault: &Fault) -> Self {
        match fault.reason {
            Reason::StoreState
            | Reason::StoreUnreachable
            | Reason::StoreTimeout
            | Reason::StoreError => Self::Ill(fault.clone()),
            Reason::StoreTls => Self::Untrusted(fault.clone()),
            // There was an answer, of which we would not take more.
            Reason::BadAnswer => Self::Well,
            _ => Self::Nothing,
        }
    }
}

/// What is worth a line in the log and a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// From now on calls end at once.
    Opened,
    /// It is as if nothing had been.
    Closed,
}

/// Allows one request. To be given back with what came of it, or as abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32, doubtful: bool },
    Open,
    HalfOpen { trial: bool },
}

/// The state of one address.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    /// Counts openings and closings: what was sent before one says nothing about the time after.
    era: u64,
    /// The last failure, and when the first of the row was.
    cause: Option<(Fault, Duration)>,
    asked: Duration,
    probe_at: Duration,
    /// Somebody has other addresses to turn to, so that a doubt is worth a probe.
    has_others: bool,
}

impl Breaker {
    /// Closed, first asked now.
    #[must_use]
    pub const fn new(now: Duration) -> Self {
        Self {
            state: State::Closed {
                failures: 0,
                doubtful: false,
            },
            era: 0,
            cause: None,
            asked: now,
            probe_at: now,
            has_others: false,
        }
    }

    /// Notes that somebody wants to use the address, alone or as one of several.
    pub fn asked(&mut self, now: Duration, has_others: bool) {
        self.asked = now;
        self.has_others |= has_others;
    }

    /// When it was last wanted.
    #[must_use]
    pub const fn last_asked(&self) -> Duration {
        self.asked
    }

    /// Why a request would not be let through; none if it would.
    #[must_use]
    pub fn refusal(&self, now: Duration) -> Option<Fault> {
        match self.state {
            State::Closed { .. } | State::HalfOpen { trial: false } => None,
            State::Open | State::HalfOpen { trial: true } => Some(self.last_cause(now)),
        }
    }

    /// Lets a request through.
    ///
    /// # Errors
    /// The last failure, when it does not.
    pub fn admit(&mut self, now: Duration) -> Result<Pass, Fault> {
        if let Some(fault) = self.refusal(now) {
            return Err(fault);
        }
        if self.state == (State::HalfOpen { trial: false }) {
            self.state = State::HalfOpen { trial: true };
        }
        Ok(Pass(self.era))
    }

    /// Takes in what came of a request. `jitter` is from 0 up to 1.
    pub fn report(&mut self, pass: Pass, sign: Sign, now: Duration, jitter: f64) -> Option<Change> {
        if pass.0 != self.era {
            return None;
        }
        match sign {
            Sign::Well => self.close(),
            Sign::Ill(fault) => self.fail(fault, 1, now, jitter),
            Sign::Untrusted(fault) => self.fail(fault, 0, now, jitter),
            Sign::Nothing => {
                self.abandoned(pass);
                None
            }
        }
    }

    /// A request that was let through ended without an outcome; the next one may be the trial.
    pub fn abandoned(&mut self, pass: Pass) {
        if pass.0 == self.era && self.state == (State::HalfOpen { trial: true }) {
            self.state = State::HalfOpen { trial: false };
        }
    }

    /// How long to wait until the next probe; none while there is nothing to find out, or nobody who
    /// wants to know.
    #[must_use]
    pub fn next_probe(&self, now: Duration) -> Option<Duration> {
        let is_due = match self.state {
            State::Open => true,
            State::Closed { doubtful, .. } => doubtful && self.has_others,
            State::HalfOpen { .. } => false,
        };
        let is_wanted = now.saturating_sub(self.asked) <= ASKED_WITHIN;
        (is_due && is_wanted).then(|| self.probe_at.saturating_sub(now))
    }

    /// Takes in what a probe found.
    pub fn probed(&mut self, is_well: bool, now: Duration, jitter: f64) {
        self.probe_at = after_pause(now, jitter);
        self.state = match self.state {
            State::Open if is_well => State::HalfOpen { trial: false },
            // What failed in a row is still counted: only a real request proves the contrary.
            State::Closed { failures, .. } if is_well => State::Closed {
                failures,
                doubtful: false,
            },
            state => state,
        };
    }

    /// Whether another address is the better choice.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        match self.state {
            State::Closed { doubtful, .. } => doubtful,
            State::Open => true,
            State::HalfOpen { trial } => trial,
        }
    }

    /// Whether the store as a whole could not answer when last asked, so that its objects fail alike.
    #[must_use]
    pub fn is_away(&self) -> bool {
        let away = |(fault, _): &(Fault, Duration)| fault.reason.is_whole_store();
        match self.state {
            State::Closed { doubtful, .. } => doubtful && self.cause.as_ref().is_some_and(away),
            State::Open | State::HalfOpen { .. } => true,
        }
    }

    /// Whether it has opened and not closed since.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    fn close(&mut self) -> Option<Change> {
        let was_open = self.is_open();
        self.state = State::Closed {
            failures: 0,
            doubtful: false,
        };
        self.cause = None;
        self.era += u64::from(was_open);
        was_open.then_some(Change::Closed)
    }

    fn fail(&mut self, fault: Fault, counts: u32, now: Duration, jitter: f64) -> Option<Change> {
        let since = self.cause.take().map_or(now, |(_, since)| since);
        self.cause = Some((fault, since));
        let State::Closed { failures, doubtful } = self.state else {
            self.open(now, jitter);
            return None;
        };
        let failures = failures + counts;
        if failures >= FAILURES {
            self.open(now, jitter);
            return Some(Change::Opened);
        }
        if !doubtful {
            self.probe_at = after_pause(now, jitter);
        }
        self.state = State::Closed {
            failures,
            doubtful: true,
        };
        None
    }

    fn open(&mut self, now: Duration, jitter: f64) {
        self.state = State::Open;
        self.era += 1;
        self.probe_at = after_pause(now, jitter);
    }

    fn last_cause(&self, now: Duration) -> Fault {
        let Some((fault, since)) = &self.cause else {
            return Fault::new(
                Reason::StoreUnreachable,
                "the store is not asked before the next probe",
                "see the log for what it answered",
            );
        };
        let seconds = now.saturating_sub(*since).as_secs();
        Fault {
            what: format!(
                "{}; failing for {seconds} s, not asked again before the next probe",
                fault.what
            ),
            retry_after: None,
            ..fault.clone()
        }
    }
}

fn after_pause(now: Duration, jitter: f64) -> Duration {
    now + PROBE_EVERY.mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0))
}
