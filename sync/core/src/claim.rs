//! Who may write what: which sources are ours, and which of two claims on a Secret counts.
//!
//! Who holds a Secret that exists is read from its metadata in `holder`. What follows is decided in `decide`.

mod holder;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::holder::{
    APPLY_MANAGER, Frozen, Holder, Managed, Metadata, Operation, PROBE_MANAGER, UPSTREAM_MANAGERS,
    consents, frozen, holder, keys, keys_of_ours,
};
use crate::key::name;
use crate::options::{Door, Name};
use crate::problem::{Problem, shown};

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
    if name::check(account).is_ok() {
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

/// The name of the Secret of a `secretObjects` entry, trimmed as the driver does.
///
/// # Errors
///
/// The API server would refuse the name, or versions could not be made of it; a legal form is suggested.
pub fn secret_name(written: &str, versioned: bool) -> Result<String, Problem> {
    let secret = written.trim();
    if secret.is_empty() {
        return Err(Problem::new("secretName", "it is empty", "name the Secret"));
    }
    if name::check(secret).is_err() {
        let what = format!("`{}` is no name of a Secret", shown(secret));
        let remedy =
            match name::suggestion(secret).filter(|suggested| name::check(suggested).is_ok()) {
                Some(suggested) => format!("write for example {}", shown(&suggested)),
                None => "use lowercase letters, digits, `-` and `.`, at most 253".to_owned(),
            };
        return Err(Problem::new("secretName", what, remedy));
    }
    if versioned && secret.len() > VERSIONED_NAME {
        let what = format!("`{}` leaves no room for a version", shown(secret));
        return Err(Problem::new(
            "secretName",
            what,
            format!("use at most {VERSIONED_NAME} characters"),
        ));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests;
