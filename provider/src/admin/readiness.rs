//! Whether Mounts may come: what must have happened since the start, and that the end has not begun.

use std::sync::atomic::{AtomicBool, Ordering};

/// Facts that other parts report and `/readyz` reads. Nothing is ready at first.
#[derive(Debug, Default)]
pub struct Readiness {
    config_parsed: AtomicBool,
    socket_bound: AtomicBool,
    version_key_settled: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// The configuration was read and is valid.
    pub fn config_parsed(&self) {
        self.config_parsed.store(true, Ordering::Release);
    }

    /// The driver's socket is in its place.
    pub fn socket_bound(&self) {
        self.socket_bound.store(true, Ordering::Release);
    }

    /// The version key was loaded, or it is known that there will be none for now.
    pub fn version_key_settled(&self) {
        self.version_key_settled.store(true, Ordering::Release);
    }

    /// Shutdown has begun. There is no way back.
    pub fn draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether Mounts may come.
    ///
    /// # Errors
    /// One line that names everything that is missing.
    pub fn check(&self) -> Result<(), String> {
        let missing: Vec<_> = [
            (
                !self.config_parsed.load(Ordering::Acquire),
                "configuration not parsed",
            ),
            (
                !self.socket_bound.load(Ordering::Acquire),
                "socket not bound",
            ),
            (
                !self.version_key_settled.load(Ordering::Acquire),
                "version key not loaded",
            ),
            (self.draining.load(Ordering::Acquire), "draining"),
        ]
        .into_iter()
        .filter_map(|(holds, what)| holds.then_some(what))
        .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn everything_that_is_missing_is_named() {
        let readiness = Readiness::default();
        let all = "configuration not parsed, socket not bound, version key not loaded";
        assert_eq!(readiness.check(), Err(all.to_owned()));
        readiness.config_parsed();
        readiness.version_key_settled();
        assert_eq!(readiness.check(), Err("socket not bound".to_owned()));
        readiness.socket_bound();
        assert_eq!(readiness.check(), Ok(()));
        readiness.draining();
        assert_eq!(readiness.check(), Err("draining".to_owned()));
    }
}
