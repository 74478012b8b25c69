//! The resourceVersions of all Secrets and SecretSyncs at a moment, to see whether a round moved one.
//!
//! Listed by metadata, in pages, by the admin: never while something is measured.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::apiserver::ApiServer;

const PAGE: u32 = 500;

/// All that a round could move.
pub(super) struct Seen {
    secrets: Versions,
    syncs: Versions,
}

/// resourceVersions by namespace and name.
#[derive(Debug, Default)]
struct Versions(BTreeMap<(String, String), String>);

impl Seen {
    pub(super) async fn of(client: &Client) -> Result<Self> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret"});
        let sync = json!({"apiVersion": "secret-sync.x-k8s.io/v1alpha1", "kind": "SecretSync"});
        Ok(Self {
            secrets: Versions::of(client, &secret).await?,
            syncs: Versions::of(client, &sync).await?,
        })
    }

    /// How many Secrets and how many SecretSyncs changed, came or went.
    pub(super) fn moved(&self, before: &Self) -> [usize; 2] {
        [
            self.secrets.moved(&before.secrets),
            self.syncs.moved(&before.syncs),
        ]
    }
}

impl Versions {
    async fn of(client: &Client, kind: &Value) -> Result<Self> {
        let objects = ApiServer::objects(client.clone(), kind)?;
        let mut found = BTreeMap::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = objects.list_metadata(&page).await?;
            found.extend(list.items.into_iter().map(|object| {
                let metadata = object.metadata;
                let namespace = metadata.namespace.unwrap_or_default();
                let name = metadata.name.unwrap_or_default();
                let version = metadata.resource_version.unwrap_or_default();
                ((namespace, name), version)
            }));
            match list.metadata.continue_ {
                Some(token) if !token.is_empty() => page = page.continue_token(&token),
                _ => return Ok(Self(found)),
            }
        }
    }

    fn moved(&self, before: &Self) -> usize {
        let now = self.0.iter();
        let changed = now.filter(|(name, version)| before.0.get(*name) != Some(*version));
        let gone = before.0.keys().filter(|name| !self.0.contains_key(*name));
        changed.count() + gone.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(all: &[(&str, &str)]) -> Versions {
        let all = all.iter().map(|(name, version)| {
            let name = ("team".to_owned(), (*name).to_owned());
            (name, (*version).to_owned())
        });
        Versions(all.collect())
    }

    #[test]
    fn what_changed_came_or_went_is_counted() {
        let before = versions(&[("a", "1"), ("b", "2"), ("c", "3")]);
        for (after, moved) in [
            ([("a", "1"), ("b", "2"), ("c", "3")], 0),
            ([("a", "4"), ("b", "2"), ("c", "3")], 1),
            ([("a", "4"), ("b", "2"), ("d", "5")], 3),
        ] {
            assert_eq!(versions(&after).moved(&before), moved, "{after:?}");
        }
    }
}
