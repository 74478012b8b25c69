//! Every check of meaning, with Secrets that fail it and Secrets that do not.
//!
//! The server takes them all, also those that no consumer can use; what we tell of each is compared with the table.
//! What the server warns of is in `tls`, what it makes of bootstrap tokens in `bootstrap`.

/// Logins and SSH keys.
mod credentials;
/// Docker files.
mod docker;
/// Certificates and keys.
mod tls;
/// Bootstrap tokens and service account tokens.
pub(super) mod tokens;
/// What is doubtful in every type, and the user's own list of keys.
mod values;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use coffer_sync_core::secret_type::SecretType;
use coffer_sync_core::validate::{Check, Class, Findings, Policy, Subject, validate};
use jiff::Timestamp;

use super::{Case, Place, fixture};
use crate::world::run;

/// When the tables are judged. Dates in them are relative to this, and the certificates of the test data hold.
const NOW: &str = "2030-01-01T00:00:00Z";

type Area = fn() -> Result<Vec<Row>>;
/// The tables. What only a user or a list of accounts knows stands in the sample, so no check is left out.
const AREAS: [Area; 7] = [
    docker::files,
    credentials::logins,
    credentials::keys,
    tls::pairs,
    tokens::bootstrap,
    tokens::service_account,
    values::any,
];

/// A Secret, and what only our side knows of it.
pub(super) struct Sample {
    case: Case,
    required_keys: Vec<String>,
    service_account_exists: Option<bool>,
    /// It belongs into `kube-system`.
    is_system: bool,
}

/// A check, and the Secrets that it is about.
struct Row {
    check: Check,
    /// What is told of the bad ones as well.
    beside: &'static [Check],
    bad: Vec<Sample>,
    good: Vec<Sample>,
}

/// Where samples are sent.
struct Places {
    own: Place,
    system: Place,
}

impl From<Case> for Sample {
    fn from(case: Case) -> Self {
        Self {
            case,
            required_keys: Vec::new(),
            service_account_exists: None,
            is_system: false,
        }
    }
}

impl Sample {
    /// What we find in it at this moment.
    pub(super) fn findings(&self, namespace: &str, now: Timestamp) -> Findings {
        let Case {
            name,
            secret_type,
            data,
            labels,
            annotations,
        } = &self.case;
        let subject = Subject {
            name,
            namespace,
            secret_type: &SecretType::parse(secret_type),
            data,
            labels,
            annotations,
            required_keys: &self.required_keys,
            service_account_exists: self.service_account_exists,
        };
        validate(&subject, Policy::Hold, now)
    }

    fn with(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let case = self.case.with(key, value);
        Self { case, ..self }
    }

    fn without(mut self, key: &str) -> Self {
        self.case.data.remove(key);
        self
    }

    fn named(self, name: &str) -> Self {
        let case = self.case.named(name);
        Self { case, ..self }
    }
}

impl Row {
    fn of(check: Check) -> Self {
        Self {
            check,
            beside: &[],
            bad: Vec::new(),
            good: Vec::new(),
        }
    }

    fn beside(self, beside: &'static [Check]) -> Self {
        Self { beside, ..self }
    }

    fn bad(mut self, bad: impl IntoIterator<Item = impl Into<Sample>>) -> Self {
        self.bad.extend(bad.into_iter().map(Into::<Sample>::into));
        self
    }

    fn good(mut self, good: impl IntoIterator<Item = impl Into<Sample>>) -> Self {
        self.good.extend(good.into_iter().map(Into::<Sample>::into));
        self
    }

    /// Fails unless the server takes each sample, and we tell this check and its companions of each bad one, and of
    /// each good one a companion at most.
    async fn holds(&self, places: &Places) -> Result<()> {
        let bad = self.bad.iter().map(|sample| (sample, true));
        let good = self.good.iter().map(|sample| (sample, false));
        for (sample, is_bad) in bad.chain(good) {
            let compared = self.compare(sample, is_bad, places).await;
            compared.with_context(|| format!("{} in {}", self.id(), sample.case.outline()))?;
        }
        Ok(())
    }

    async fn compare(&self, sample: &Sample, is_bad: bool, places: &Places) -> Result<()> {
        let place = places.of(sample);
        place.dry_run(&sample.case).await?.taken()?;
        let now: Timestamp = NOW.parse()?;
        let findings = sample.findings(&place.namespace, now);
        let (told, list) = (findings.checks(), findings.list());
        let mut companions: BTreeSet<Check> = self.beside.iter().copied().collect();
        if is_bad {
            companions.insert(self.check);
            ensure!(told == companions, "bad, and we find {list:?}");
        } else {
            ensure!(told.is_subset(&companions), "good, and we find {list:?}");
        }
        // What a later value is compared with.
        let remembered = findings.verdict().context("nothing to remember")?;
        let holdable = self.check.class() == Class::Holdable;
        let is_remembered = remembered.failing(now).contains(&self.check);
        ensure!(is_remembered == (is_bad && holdable), "{remembered}");
        Ok(())
    }

    fn id(&self) -> &'static str {
        self.check.as_str()
    }
}

impl Places {
    fn of(&self, sample: &Sample) -> &Place {
        if sample.is_system {
            &self.system
        } else {
            &self.own
        }
    }
}

/// Has both sides judge one table.
fn judged(area: Area) -> Result<()> {
    run(async {
        let places = Places {
            own: Place::new().await?,
            system: Place::named("kube-system").await?,
        };
        for row in area()? {
            row.holds(&places).await?;
        }
        Ok(())
    })
}

/// Types §4.3 and §4.4, the table of `docker.` checks
#[test]
fn the_server_stores_docker_files_that_kubelet_cannot_use_and_we_tell_them() -> Result<()> {
    judged(docker::files)
}

/// Types §4.5, the `basic.` checks
#[test]
fn the_server_stores_logins_that_no_client_can_send_and_we_tell_them() -> Result<()> {
    judged(credentials::logins)
}

/// Types §4.6, the `ssh.` checks
#[test]
fn the_server_stores_keys_that_openssh_does_not_read_and_we_tell_them() -> Result<()> {
    judged(credentials::keys)
}

/// Types §4.7, the table of `tls.` checks
#[test]
fn the_server_stores_pairs_that_no_client_accepts_and_we_tell_them() -> Result<()> {
    judged(tls::pairs)
}

/// Types §4.8, the `bootstrap.` checks
#[test]
fn the_server_stores_bootstrap_tokens_that_it_does_not_admit_and_we_tell_them() -> Result<()> {
    judged(tokens::bootstrap)
}

/// Types §2.3, §2 row "`type` free text", and §4.1 `custom.required`: the checks for all types
#[test]
fn the_server_stores_what_is_doubtful_in_any_type_and_we_tell_it() -> Result<()> {
    judged(values::any)
}

/// Types §4.2, row "names a ServiceAccount that does not exist": `sa.missing`, and that there are better tokens
#[test]
fn the_server_stores_tokens_without_an_account_and_we_tell_them() -> Result<()> {
    judged(tokens::service_account)
}

/// Types §1: every id that a policy can hold or warn of has its row, without an exception
#[test]
fn every_check_of_meaning_has_secrets_that_fail_it_and_secrets_that_do_not() -> Result<()> {
    let mut proved = BTreeSet::new();
    for area in AREAS {
        for row in area()? {
            ensure!(!row.bad.is_empty() && !row.good.is_empty(), "{}", row.id());
            proved.insert(row.check);
        }
    }
    let meaning = Check::ALL
        .iter()
        .copied()
        .filter(|check| check.class() != Class::Structure);
    let all: BTreeSet<Check> = meaning.collect();
    let differing: Vec<&Check> = all.symmetric_difference(&proved).collect();
    ensure!(differing.is_empty(), "{differing:?}");
    Ok(())
}
