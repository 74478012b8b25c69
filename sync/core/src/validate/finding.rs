//! What is wrong with a Secret, told so that it can be mended in one go.
//!
//! Texts name fields, keys and sizes. They never hold a byte of a value.

use std::collections::BTreeSet;
use std::fmt;

use super::check::{Check, Class};
use super::verdict::Verdict;
use crate::key::shown;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which check found it; its class says whether the API server would refuse the object.
    pub check: Check,
    /// Where it stands, as the API server writes it: `data[tls.key]`, `metadata.name`.
    pub field: String,
    /// What is wrong, as a lowercase fragment.
    pub what: String,
    /// What to do about it, as a lowercase fragment.
    pub remedy: String,
}

/// Everything that was found in one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    list: Vec<Finding>,
    verdict: Verdict,
    judged: bool,
}

impl Finding {
    /// Structure: the API server, or Coffer under every policy, refuses it. Otherwise it is about meaning.
    #[must_use]
    pub fn is_structure(&self) -> bool {
        self.check.class() == Class::Structure
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            check,
            field,
            what,
            remedy,
        } = self;
        write!(f, "{field}: {what}; {remedy} ({})", check.as_str())
    }
}

impl Findings {
    /// Nothing found yet. Where meaning is not judged there will be nothing to remember.
    pub(super) fn new(judged: bool) -> Self {
        Self {
            list: Vec::new(),
            verdict: Verdict::default(),
            judged,
        }
    }

    /// All findings: root causes only, in the order of the checks.
    #[must_use]
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// The findings of one class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Finding> {
        self.list
            .iter()
            .filter(move |finding| finding.check.class() == class)
    }

    /// Whether nothing may be written, whatever the policy.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.of(Class::Structure).next().is_some()
    }

    /// What must be remembered to compare a later value with this one. None where the policy is `Off`.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.judged.then_some(&self.verdict)
    }

    /// Notes a finding. A holdable check counts as failed from now on.
    pub(super) fn add(
        &mut self,
        check: Check,
        field: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if check.class() == Class::Holdable {
            self.verdict.fail(check);
        }
        self.list.push(Finding {
            check,
            field: field.into(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// Counts checks as failed that could not be made because of what was found already. They are not
    /// told: a person mends the cause.
    pub(super) fn follow(&mut self, checks: &[Check]) {
        for check in checks {
            self.verdict.fail(*check);
        }
    }

    /// Notes a finding that comes and goes with time: the verdict keeps the dates instead.
    pub(super) fn add_timed(
        &mut self,
        check: Check,
        field: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.list.push(Finding {
            check,
            field: field.to_owned(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    pub(super) fn verdict_mut(&mut self) -> &mut Verdict {
        &mut self.verdict
    }

    /// In the order of the checks, each told once.
    pub(super) fn sorted(mut self) -> Self {
        self.list.sort();
        self.list.dedup();
        self
    }

    /// The ids of the checks that were told, for tests and metrics.
    #[must_use]
    pub fn checks(&self) -> BTreeSet<Check> {
        self.list.iter().map(|finding| finding.check).collect()
    }
}

/// `data[key]`, with a key that may be anything.
pub(super) fn data_field(key: &str) -> String {
    format!("data[{}]", shown(key))
}
