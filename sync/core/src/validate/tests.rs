//! One Secret per case, judged as a whole. Every row of the reference's tables has its case.

use std::collections::BTreeMap;

use super::{Check, Class, Findings, Policy, Subject, validate};
use crate::bytes::{Data, SecretBytes};
use crate::secret_type::SecretType;

/// Bootstrap tokens.
mod bootstrap;
/// Docker files.
mod docker;
/// The examples of the Kubernetes documentation.
mod page;
/// SSH keys and basic authentication.
mod ssh;
/// What the API server refuses.
mod structure;
/// Certificates and keys.
mod tls;
/// What is doubtful in every type.
mod values;

/// When the cases are judged: within the life of every certificate of the test data.
pub(super) const NOW: &str = "2030-01-01T00:00:00Z";

/// A file of the test data, by name.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/", $name)).as_slice()
    };
}
pub(super) use fixture;

/// A Secret to be changed by a case.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) secret_type: SecretType,
    pub(super) data: Data,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) required_keys: Vec<String>,
    pub(super) service_account_exists: Option<bool>,
    pub(super) now: String,
}

impl Case {
    pub(super) fn new(secret_type: &SecretType) -> Self {
        Self {
            name: "made-up".to_owned(),
            namespace: "default".to_owned(),
            secret_type: secret_type.clone(),
            data: Data::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            required_keys: Vec::new(),
            service_account_exists: None,
            now: NOW.to_owned(),
        }
    }

    pub(super) fn with(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let bytes = SecretBytes::new(value.as_ref().to_vec());
        self.data.insert(key.to_owned(), bytes);
        self
    }

    pub(super) fn without(mut self, key: &str) -> Self {
        self.data.remove(key);
        self
    }

    pub(super) fn at(mut self, now: &str) -> Self {
        now.clone_into(&mut self.now);
        self
    }

    pub(super) fn judge(&self, policy: Policy) -> Findings {
        let subject = Subject {
            name: &self.name,
            namespace: &self.namespace,
            secret_type: &self.secret_type,
            data: &self.data,
            labels: &self.labels,
            annotations: &self.annotations,
            required_keys: &self.required_keys,
            service_account_exists: self.service_account_exists,
        };
        validate(&subject, policy, self.now.parse().unwrap())
    }

    pub(super) fn findings(&self) -> Findings {
        self.judge(Policy::Hold)
    }

    /// The ids of the checks that must not be told beside these are listed in full.
    #[track_caller]
    pub(super) fn tells(&self, expected: &[Check]) {
        let findings = self.findings();
        let told: Vec<Check> = findings.checks().into_iter().collect();
        let texts: Vec<String> = findings.list().iter().map(ToString::to_string).collect();
        assert_eq!(told, expected, "{texts:#?}");
    }

    /// The same without advisories.
    #[track_caller]
    pub(super) fn fails(&self, expected: &[Check]) {
        let findings = self.findings();
        let told: Vec<Check> = findings
            .checks()
            .into_iter()
            .filter(|check| check.class() != Class::Advisory)
            .collect();
        let texts: Vec<String> = findings.list().iter().map(ToString::to_string).collect();
        assert_eq!(told, expected, "{texts:#?}");
    }

    /// Texts of one check.
    pub(super) fn texts(&self, check: Check) -> String {
        let findings = self.findings();
        let texts: Vec<String> = findings
            .list()
            .iter()
            .filter(|finding| finding.check == check)
            .map(ToString::to_string)
            .collect();
        texts.join("\n")
    }

    /// What a memory of this value would say now.
    pub(super) fn remembers(&self) -> Vec<Check> {
        let findings = self.findings();
        let verdict = findings.verdict().unwrap();
        verdict
            .failing(self.now.parse().unwrap())
            .into_iter()
            .collect()
    }
}
