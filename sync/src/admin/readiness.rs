//! Whether this process does its part: it works, or stands by to take over.

use std::sync::{Mutex, PoisonError};

/// What the process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It is not there yet; what is missing, in words.
    Starting(String),
    /// Caches are filled, and it works.
    Ready,
    /// Another process holds the Lease.
    Aside,
    /// Shutdown has begun. There is no way back.
    Draining,
}

/// What `/readyz` reads and other parts set.
#[derive(Debug)]
pub struct Readiness {
    /// Std: held to read or set it.
    standing: Mutex<Standing>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            standing: Mutex::new(Standing::Starting("nothing has started".to_owned())),
        }
    }
}

impl Readiness {
    /// Something is missing before the process can work.
    pub fn starting(&self, missing: impl Into<String>) {
        self.set(Standing::Starting(missing.into()));
    }

    /// Caches are filled, and the process works.
    pub fn ready(&self) {
        self.set(Standing::Ready);
    }

    /// Another process holds the Lease.
    pub fn standing_by(&self) {
        self.set(Standing::Aside);
    }

    /// Shutdown has begun. There is no way back.
    pub fn draining(&self) {
        self.set(Standing::Draining);
    }

    /// Whether the process does its part, in one word.
    ///
    /// # Errors
    /// One line that says what is missing.
    pub fn check(&self) -> Result<&'static str, String> {
        let now = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match &*now {
            Standing::Starting(missing) => Err(format!("starting: {missing}")),
            Standing::Ready => Ok("ok"),
            Standing::Aside => Ok("standing by"),
            Standing::Draining => Err("draining".to_owned()),
        }
    }

    fn set(&self, standing: Standing) {
        let mut now = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Standing::Draining {
            *now = standing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn whoever_works_or_stands_by_is_ready_until_the_end_begins() {
        let readiness = Readiness::default();
        assert!(readiness.check().is_err());
        readiness.starting("caches are empty");
        let missing = "starting: caches are empty".to_owned();
        assert_eq!(readiness.check(), Err(missing));
        readiness.standing_by();
        assert_eq!(readiness.check(), Ok("standing by"));
        readiness.ready();
        assert_eq!(readiness.check(), Ok("ok"));
        readiness.draining();
        readiness.ready();
        assert_eq!(readiness.check(), Err("draining".to_owned()));
    }
}
