//! Secrets that moved without us: their objects are due a moment later.
//!
//! Whether an edit touched what is ours is found out by the round.

use coffer_sync_core::decide::Target;
use coffer_sync_core::schedule::{Object, after_drift};
use jiff::Timestamp;

use super::Controller;
use crate::watch::Moved;

impl Controller {
    pub(super) fn moved(&mut self, moved: Moved) {
        let object = self.aims.get(&moved.key).cloned();
        let is_gone = moved.state.is_none();
        match moved.state {
            Some(state) => self.secrets.insert(moved.key, state),
            None => self.secrets.remove(&moved.key),
        };
        let Some(object) = object else { return };
        if is_gone {
            self.vanished(&object);
        } else {
            self.compare(&object);
        }
    }

    fn vanished(&mut self, object: &Object) {
        let Some(tracked) = self.tracked.get_mut(object) else {
            return;
        };
        match &mut tracked.memory {
            Some(memory) => memory.lose(),
            // The round that runs may be what made it go.
            None => {
                tracked.gone = true;
                return;
            }
        }
        let provider = tracked.provider.clone();
        self.queue
            .insert(object.clone(), &provider, after_drift(Timestamp::now()));
    }

    /// Compares what the watch saw with what our last write left behind.
    pub(super) fn compare(&mut self, object: &Object) {
        let Some(tracked) = self.tracked.get_mut(object) else {
            return;
        };
        let Some(memory) = &mut tracked.memory else {
            (tracked.moved, tracked.gone) = (true, false);
            return;
        };
        let state = tracked.aim.as_ref().and_then(|aim| self.secrets.get(aim));
        let (Some(state), Some(applied)) = (state, &memory.history.applied) else {
            return;
        };
        if state.uid != applied.uid {
            memory.unsee(Target::Unknown);
        } else if is_newer(&state.resource_version, &applied.resource_version) {
            if let Target::Present(present) = &mut memory.target {
                present.resource_version.clone_from(&state.resource_version);
            }
        } else {
            return;
        }
        let provider = tracked.provider.clone();
        self.queue
            .insert(object.clone(), &provider, after_drift(Timestamp::now()));
    }
}

/// Whether a state came after another. The watch may lag behind our own write.
fn is_newer(seen: &str, applied: &str) -> bool {
    match (seen.parse::<u64>(), applied.parse::<u64>()) {
        (Ok(seen), Ok(applied)) => seen > applied,
        _ => seen != applied,
    }
}

#[cfg(test)]
mod tests {
    use super::is_newer;

    #[test]
    fn a_watch_that_lags_behind_is_no_drift() {
        for (seen, applied, newer) in [
            ("10", "9", true),
            ("9", "10", false),
            ("10", "10", false),
            ("a", "b", true),
            ("a", "a", false),
        ] {
            assert_eq!(is_newer(seen, applied), newer, "{seen} {applied}");
        }
    }
}
