//! Which news of a volume's republishes are told to those who watch its pod, and which are not.
//!
//! The driver hides a republish that fails, so a notice is the only sign near the pod. Pure: what was
//! told before and how long ago is passed in. How a notice is written is decided in the shell.

use std::time::Duration;

/// The least time between two notices on one pod: a store that flaps must not fill the pod's list of
/// Events, and eight republishes are enough to see what lasts.
pub const PAUSE: Duration = Duration::from_secs(600);

/// How long old bytes are served before it is told: a restart or failover of a store is over by then.
pub const STALE_AFTER: Duration = Duration::from_secs(900);

/// How a republish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With files that are as they should be.
    Fresh,
    /// With the last good bytes, because the store gave no usable answer.
    Stale,
    /// Without files: the driver keeps those that are there.
    Failed,
}

/// Something worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A republish failed.
    RefreshFailed,
    /// Old bytes have been served for longer than [`STALE_AFTER`].
    ServingStale,
    /// After one of the others: files are as they should be again.
    RefreshRecovered,
}

impl Notice {
    /// The reason of the Event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RefreshFailed => "CofferRefreshFailed",
            Self::ServingStale => "CofferServingStale",
            Self::RefreshRecovered => "CofferRefreshRecovered",
        }
    }

    /// Whether somebody should look at it.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        match self {
            Self::RefreshFailed | Self::ServingStale => true,
            Self::RefreshRecovered => false,
        }
    }
}

/// What was told of a volume since its files were last as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    failed: bool,
    stale: bool,
}

impl Told {
    /// What was told after a republish that ended so and of which this was told.
    #[must_use]
    pub fn after(self, outcome: Outcome, notice: Option<Notice>) -> Self {
        if outcome == Outcome::Fresh {
            return Self::default();
        }
        Self {
            failed: self.failed || notice == Some(Notice::RefreshFailed),
            stale: self.stale || notice == Some(Notice::ServingStale),
        }
    }
}

/// How long ago things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Since the first of the volume's republishes in a row that were not fresh; zero for that one.
    pub trouble: Duration,
    /// Since the last notice on the volume's pod, whichever volume it was about; none when there was none.
    pub notice: Option<Duration>,
}

/// Decides what to tell of a republish that ended with `outcome`.
///
/// A failure and old bytes are told once each until files are fresh again. Within [`PAUSE`] of the pod's
/// last notice they wait for a later republish. A recovery never waits, and is told only of what was told.
#[must_use]
pub fn notice(told: Told, outcome: Outcome, ages: Ages) -> Option<Notice> {
    let may_tell = ages.notice.is_none_or(|age| age >= PAUSE);
    match outcome {
        Outcome::Fresh => (told.failed || told.stale).then_some(Notice::RefreshRecovered),
        Outcome::Failed => (!told.failed && may_tell).then_some(Notice::RefreshFailed),
        Outcome::Stale => {
            let is_long = ages.trouble > STALE_AFTER;
            (!told.stale && is_long && may_tell).then_some(Notice::ServingStale)
        }
    }
}

#[cfg(test)]
mod tests;
