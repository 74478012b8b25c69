//! Names of providers as label values: a class may name any, so only so many are told apart.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::manifest::is_provider_name;

/// Names that are told apart. A cluster has a handful of providers, and each costs three dozen series.
const MOST: usize = 32;

/// What all others count as.
const OTHER: &str = "other";

/// The names that came so far.
#[derive(Debug, Default)]
pub(super) struct Providers {
    /// Std: held for a look-up.
    known: Mutex<BTreeSet<Arc<str>>>,
}

impl Providers {
    /// The label value of a name, and whether it came for the first time.
    pub(super) fn of(&self, name: &str) -> (Arc<str>, bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return (Arc::clone(known), false);
        }
        if known.len() >= MOST || !is_provider_name(name) {
            return (Arc::from(OTHER), false);
        }
        let new: Arc<str> = Arc::from(name);
        known.insert(Arc::clone(&new));
        (new, true)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Providers};

    #[test]
    fn names_are_told_apart_up_to_a_bound() {
        let providers = Providers::default();
        for number in 0..MOST {
            let name = format!("p{number}");
            assert_eq!(providers.of(&name), (name.as_str().into(), true));
            assert_eq!(providers.of(&name), (name.as_str().into(), false));
        }
        assert_eq!(providers.of("one-more"), ("other".into(), false));
        assert_eq!(providers.of("p0"), ("p0".into(), false));
    }

    #[test]
    fn a_text_that_is_no_name_is_never_a_label() {
        let providers = Providers::default();
        for text in ["", "a/b", "a\"b", "ü", &"a".repeat(31)] {
            assert_eq!(providers.of(text), ("other".into(), false), "{text}");
        }
    }
}
