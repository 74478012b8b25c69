//! Whether a provider is asked at all: one that is down is asked by one round at a time, not by all.
//!
//! Other providers go on. Only answers that say the provider is not there count.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::queue::Object;
use crate::instant::after;

/// Fewer could be one bad moment.
const CALLS: usize = 10;
/// One broken object alone must not pause the provider of all others.
const OBJECTS: usize = 3;
const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(60);

/// How a call of the provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// With an answer, be it an error of its own.
    Answered,
    /// With UNAVAILABLE or DEADLINE_EXCEEDED.
    Unreachable,
}

/// What is known of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    calls: usize,
    objects: BTreeSet<Object>,
    probes: u32,
    until: Option<Timestamp>,
    probing: bool,
}

impl Pause {
    /// Notes how a call ended.
    pub fn note(&mut self, object: &Object, call: Call, now: Timestamp) {
        if call == Call::Answered {
            *self = Self::default();
            return;
        }
        self.calls = self.calls.saturating_add(1);
        if self.objects.len() < OBJECTS {
            self.objects.insert(object.clone());
        }
        if self.until.is_some() && !self.probing {
            // It was on its way when the pause began.
            return;
        }
        if self.calls >= CALLS && self.objects.len() >= OBJECTS {
            let wait = FIRST
                .saturating_mul(2_u32.saturating_pow(self.probes))
                .min(MOST);
            self.probes = self.probes.saturating_add(1);
            self.until = Some(after(now, wait));
            self.probing = false;
        }
    }

    /// Whether the provider is not asked now. When the pause is over, one call may be made as a probe.
    #[must_use]
    pub fn is_paused(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until || self.probing)
    }

    /// Notes that a call is made; if a pause is over, this is its probe.
    pub fn calling(&mut self) {
        self.probing = self.until.is_some();
    }

    /// Notes that a round made no call after all: if it was to be the probe, another one may be.
    pub fn unused(&mut self) {
        self.probing = false;
    }

    /// When a probe may be made.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }
}
