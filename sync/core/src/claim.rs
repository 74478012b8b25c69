//! Who may write what: which sources are ours, which of two claims on a Secret counts, which types are allowed.
//!
//! Who holds a Secret that exists is read from its metadata in `holder`. What follows is decided in `decide`.

mod holder;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use self::holder::{
    APPLY_MANAGER, Frozen, Holder, Managed, Metadata, Operation, PROBE_MANAGER, UPSTREAM_MANAGERS,
    consents, frozen, holder, keys, keys_of_ours,
};
use crate::options::{Door, Name};
use crate::problem::{Problem, shown};

/// Types whose Secrets are credentials as such: writing one mints rights, so they are allowed by name only.
pub const GATED_TYPES: [&str; 2] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
];

/// Bytes of a name of which versions can be made: `-` and ten digits follow it.
const VERSIONED_NAME: usize = 242;

/// A SecretSync or SecretProviderClass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// What it is.
    pub door: Door,
    /// Its namespace, which is the Secret's too.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
}

impl Source {
    /// `<Kind>/<name>`, as the owner of a Secret consents to it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}", self.door.kind(), self.name)
    }
}

/// A Secret that a source wants to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who wants it.
    pub source: Source,
    /// Position in `secretObjects`; 0 for a SecretSync.
    pub index: usize,
    /// Name of the Secret.
    pub secret: String,
}

impl Claim {
    /// The older source comes first, then the lower uid, then the earlier entry.
    fn seniority(&self) -> (Timestamp, &str, usize) {
        (self.source.created, &self.source.uid, self.index)
    }
}

/// Whether a SecretSync with this `secretSyncControllerName` is ours.
#[must_use]
pub fn claims_sync(written: &str, ours: &str, claim_unnamed: bool) -> bool {
    if written.is_empty() {
        claim_unnamed
    } else {
        written == ours
    }
}

/// The ServiceAccount under which a SecretProviderClass wants to be synced; none: it is left alone.
///
/// # Errors
///
/// The annotation is there and is no name of a ServiceAccount.
pub fn opens_class(annotations: &BTreeMap<String, String>) -> Option<Result<&str, Problem>> {
    let account = annotations.get(Name::SyncAs.as_str())?;
    if dns_subdomain(account) {
        return Some(Ok(account));
    }
    let what = format!("`{}` is no name of a ServiceAccount", shown(account));
    Some(Err(Problem::new(
        Name::SyncAs.as_str(),
        what,
        "write the ServiceAccount's name",
    )))
}

/// Claims that lose against an older one on the same Secret: position of the loser and of the winner.
#[must_use]
pub fn losers(claims: &[Claim]) -> BTreeMap<usize, usize> {
    let mut winners: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (at, claim) in claims.iter().enumerate() {
        let holder = winners
            .entry((&claim.source.namespace, &claim.secret))
            .or_insert(at);
        if claim.seniority() < claims[*holder].seniority() {
            *holder = at;
        }
    }
    let lost = claims.iter().enumerate().filter_map(|(at, claim)| {
        let winner = *winners.get(&(claim.source.namespace.as_str(), claim.secret.as_str()))?;
        (winner != at).then_some((at, winner))
    });
    lost.collect()
}

/// The types that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeGate {
    named: BTreeSet<String>,
    all_others: bool,
}

impl Default for TypeGate {
    fn default() -> Self {
        Self::new(["*".to_owned()])
    }
}

impl TypeGate {
    /// From a list of types; `*` stands for all but the gated ones, which are allowed by name only.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = String>) -> Self {
        let mut named: BTreeSet<String> = list.into_iter().collect();
        Self {
            all_others: named.remove("*"),
            named,
        }
    }

    /// Whether Secrets of this type are written.
    #[must_use]
    pub fn allows(&self, type_: &str) -> bool {
        self.named.contains(type_) || self.all_others && !GATED_TYPES.contains(&type_)
    }
}

/// The name of the Secret of a `secretObjects` entry, trimmed as the driver does.
///
/// # Errors
///
/// The API server would refuse the name, or versions could not be made of it; a legal form is suggested.
pub fn secret_name(written: &str, versioned: bool) -> Result<String, Problem> {
    let name = written.trim();
    if name.is_empty() {
        return Err(Problem::new("secretName", "it is empty", "name the Secret"));
    }
    if !dns_subdomain(name) {
        let what = format!("`{}` is no name of a Secret", shown(name));
        let suggested = suggestion(name);
        let remedy = match dns_subdomain(&suggested) {
            true => format!("write for example {}", shown(&suggested)),
            false => "use lowercase letters, digits, `-` and `.`, at most 253".to_owned(),
        };
        return Err(Problem::new("secretName", what, remedy));
    }
    if versioned && name.len() > VERSIONED_NAME {
        let what = format!("`{}` leaves no room for a version", shown(name));
        return Err(Problem::new(
            "secretName",
            what,
            format!("use at most {VERSIONED_NAME} characters"),
        ));
    }
    Ok(name.to_owned())
}

fn suggestion(name: &str) -> String {
    let lower = name.to_lowercase();
    let parts = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// Whether it is a DNS-1123 subdomain of at most 253 bytes: the rule of most names.
#[must_use]
pub fn dns_subdomain(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(inner)
            && bytes.last().is_some_and(inner)
            && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests;
