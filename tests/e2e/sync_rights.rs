//! What the account of coffer-sync may do with the rights that the chart gives it, asked of a real API server.
//!
//! The server has nothing but these rights, so everything else that is asked for has to be refused.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use futures_util::future::try_join_all;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::stage::SOON;
use crate::sync_objects::{ACCOUNT, RBAC, SYSTEM};
use crate::world::{end_with_us, run};

/// A namespace that is not coffer-sync's own.
const TEAM: &str = "team";

/// Resources with their groups: those that coffer-sync has to do with, and those next to them.
const RESOURCES: [(&str, &str); 22] = [
    ("", "configmaps"),
    ("", "events"),
    ("", "namespaces"),
    ("", "pods"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
    ),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "roles"),
    ("secret-sync.x-k8s.io", "secretsyncs"),
    ("secret-sync.x-k8s.io", "secretsyncs/status"),
    ("secrets-store.csi.x-k8s.io", "secretproviderclasses"),
    ("secrets-store.csi.x-k8s.io", "secretproviderclasses/status"),
    (
        "secrets-store.csi.x-k8s.io",
        "secretproviderclasspodstatuses",
    ),
];

const VERBS: [&str; 10] = [
    "bind",
    "create",
    "delete",
    "deletecollection",
    "get",
    "impersonate",
    "list",
    "patch",
    "update",
    "watch",
];

/// Rights in every namespace that the account has in every installation.
const DEFAULT: [&str; 12] = [
    "create events.events.k8s.io",
    "create secrets",
    "create serviceaccounts/token",
    "get secretproviderclasses.secrets-store.csi.x-k8s.io",
    "get secretsyncs.secret-sync.x-k8s.io",
    "list secretproviderclasses.secrets-store.csi.x-k8s.io",
    "list secretsyncs.secret-sync.x-k8s.io",
    "patch events.events.k8s.io",
    "patch secrets",
    "patch secretsyncs/status.secret-sync.x-k8s.io",
    "watch secretproviderclasses.secrets-store.csi.x-k8s.io",
    "watch secretsyncs.secret-sync.x-k8s.io",
];

/// The files that are granted with a feature, and the rights that each adds.
const OPTIONAL: [(&str, &[&str]); 4] = [
    ("rbac-delete", &["delete secrets"]),
    (
        "rbac-drift-watch",
        &["get secrets", "list secrets", "watch secrets"],
    ),
    (
        "rbac-restart",
        &[
            "get daemonsets.apps",
            "get deployments.apps",
            "get statefulsets.apps",
            "list daemonsets.apps",
            "list deployments.apps",
            "list statefulsets.apps",
            "patch daemonsets.apps",
            "patch deployments.apps",
            "patch statefulsets.apps",
        ],
    ),
    (
        "rbac-class-status",
        &["patch secretproviderclasses.secrets-store.csi.x-k8s.io"],
    ),
];

/// A server with the default rights, and a client with the account's identity.
struct Granted {
    api: ApiServer,
    account: Client,
}

async fn start() -> Result<Granted> {
    let api = ApiServer::start().await?;
    api.create_namespace(SYSTEM).await?;
    api.create_namespace(TEAM).await?;
    api.install(RBAC).await?;
    let account = api.client_for(SYSTEM, ACCOUNT).await?;
    let granted = Granted { api, account };
    granted.settled(TEAM, &DEFAULT).await?;
    Ok(granted)
}

/// The server of the cases that change nothing.
async fn granted() -> Result<&'static Granted> {
    static GRANTED: OnceCell<Granted> = OnceCell::const_new();
    GRANTED
        .get_or_try_init(async || {
            let granted = start().await?;
            end_with_us(&granted.api.farewell())?;
            Ok(granted)
        })
        .await
}

impl Granted {
    /// Every right of the matrix that the account has in a namespace, as `verb resource.group`.
    async fn rights(&self, namespace: &str) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for (group, resource) in RESOURCES {
            let asked = VERBS.map(|verb| self.right(namespace, verb, group, resource));
            found.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(found)
    }

    async fn right(
        &self,
        namespace: &str,
        verb: &str,
        group: &str,
        resource: &str,
    ) -> Result<Option<String>> {
        let attributes =
            json!({"namespace": namespace, "verb": verb, "group": group, "resource": resource});
        let shown = match group {
            "" => format!("{verb} {resource}"),
            _ => format!("{verb} {resource}.{group}"),
        };
        Ok(self.may(&attributes).await?.then_some(shown))
    }

    async fn may(&self, attributes: &Value) -> Result<bool> {
        ApiServer::reviewed(self.account.clone(), attributes).await
    }

    /// Waits until the account has exactly these rights: the authorizer sees roles through its own watch.
    async fn settled(&self, namespace: &str, expected: &[&str]) -> Result<()> {
        let expected: BTreeSet<String> = expected.iter().map(|&right| right.to_owned()).collect();
        eventually(SOON, "exactly the expected rights", async || {
            let found = self.rights(namespace).await?;
            let missing: Vec<&String> = expected.difference(&found).collect();
            let beyond: Vec<&String> = found.difference(&expected).collect();
            ensure!(found == expected, "missing {missing:?}, beyond {beyond:?}");
            Ok(())
        })
        .await
    }
}

/// Section 13: with the default file alone the account has the rights of the table and no others
#[test]
fn the_default_rights_are_those_of_the_table_and_no_others() -> Result<()> {
    run(async { granted().await?.settled(TEAM, &DEFAULT).await })
}

/// Section 13: in its own namespace the account has its key and its Lease, by name, and no others there
#[test]
fn in_its_own_namespace_the_account_has_one_secret_and_one_lease() -> Result<()> {
    run(async {
        let granted = granted().await?;
        let own = [&DEFAULT[..], &["create leases.coordination.k8s.io"]].concat();
        granted.settled(SYSTEM, &own).await?;
        let (key, lease, other) = ("coffer-sync-hmac", "coffer-sync", "other");
        let leases = "coordination.k8s.io";
        for (namespace, verb, group, resource, name, expected) in [
            (SYSTEM, "get", "", "secrets", key, true),
            (SYSTEM, "patch", "", "secrets", key, true),
            (SYSTEM, "update", "", "secrets", key, false),
            (SYSTEM, "delete", "", "secrets", key, false),
            (SYSTEM, "list", "", "secrets", key, false),
            (SYSTEM, "get", "", "secrets", other, false),
            (TEAM, "get", "", "secrets", key, false),
            (SYSTEM, "get", leases, "leases", lease, true),
            (SYSTEM, "update", leases, "leases", lease, true),
            (SYSTEM, "patch", leases, "leases", lease, true),
            (SYSTEM, "delete", leases, "leases", lease, false),
            (SYSTEM, "get", leases, "leases", other, false),
            (SYSTEM, "update", leases, "leases", other, false),
            (TEAM, "get", leases, "leases", lease, false),
            (TEAM, "create", leases, "leases", lease, false),
        ] {
            let attributes = json!({
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "name": name,
            });
            let found = granted.may(&attributes).await?;
            assert_eq!(found, expected, "{attributes}");
        }
        Ok(())
    })
}

/// Section 13: each file of a feature adds exactly its rights, and takes them along when it goes
#[test]
fn each_optional_file_adds_exactly_its_rights() -> Result<()> {
    run(async {
        // A server of its own, because the other cases count on the default rights.
        let granted = start().await?;
        let mut all = DEFAULT.to_vec();
        for (name, added) in OPTIONAL {
            let file = format!("charts/coffer/files/sync/{name}.yaml");
            granted.api.install(&file).await?;
            let expected = [&DEFAULT[..], added].concat();
            granted.settled(TEAM, &expected).await?;
            granted.api.uninstall(&file).await?;
            granted.settled(TEAM, &DEFAULT).await?;
            all.extend(added);
        }
        for (name, _) in OPTIONAL {
            let file = format!("charts/coffer/files/sync/{name}.yaml");
            granted.api.install(&file).await?;
        }
        granted.settled(TEAM, &all).await
    })
}
