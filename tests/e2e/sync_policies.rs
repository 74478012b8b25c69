//! The admission policies of coffer-sync on a real API server: whom they bind, and to what.
//!
//! They bind the whole cluster, so they have a server of their own, where all of them are in force for every
//! case. A case has its own namespace there.

/// What authors of SecretSyncs and classes must be allowed to do.
mod author;
/// Which tokens the controller gets.
mod tokens;
/// Which Secrets the controller writes and deletes.
mod writes;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use kube::Client;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::stage::{SOON, unique};
use crate::sync_objects::{
    ACCOUNT, CLASS, RBAC, SECRET_SYNC, SYSTEM, created, deleted, judge, secret, secret_sync, token,
    tried,
};
use crate::world::end_with_us;

/// What is installed beside the definitions: the account, its rights, and all policies.
const INSTALLED: [&str; 8] = [
    RBAC,
    "charts/coffer/files/sync/rbac-delete.yaml",
    "charts/coffer/files/sync/rbac-class-status.yaml",
    "charts/coffer/files/sync/policies/write.yaml",
    "charts/coffer/files/sync/policies/delete.yaml",
    "charts/coffer/files/sync/policies/token.yaml",
    "charts/coffer/files/sync/policies/opt-in.yaml",
    "charts/coffer/files/sync/policies/author.yaml",
];

/// A server where all policies are in force.
struct Policed {
    api: ApiServer,
    /// With all rights.
    admin: Client,
    /// The controller's identity.
    controller: Client,
}

async fn policed() -> Result<&'static Policed> {
    static POLICED: OnceCell<Policed> = OnceCell::const_new();
    POLICED.get_or_try_init(start).await
}

async fn start() -> Result<Policed> {
    let api = ApiServer::start().await?;
    end_with_us(&api.farewell())?;
    api.create_namespace(SYSTEM).await?;
    for file in [SECRET_SYNC, CLASS].iter().chain(&INSTALLED) {
        api.install(file).await?;
    }
    let controller = api.client_for(SYSTEM, ACCOUNT).await?;
    let admin = api.client();
    let policed = Policed {
        api,
        admin,
        controller,
    };
    policed.in_force().await?;
    Ok(policed)
}

impl Policed {
    /// A namespace of its own, whose account `app` may be used for syncing; `default` may not.
    async fn team(&self) -> Result<String> {
        let team = unique("team");
        self.api.create_namespace(&team).await?;
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "app", "namespace": team, "labels": {"coffer.rs/allow-sync": ""}},
        });
        created(&self.admin, &account).await?;
        Ok(team)
    }

    /// An account of a namespace that has these rights there and no others.
    async fn user(&self, team: &str, name: &str, rules: &[Value]) -> Result<Client> {
        self.api.create_service_account(team, name).await?;
        let probe = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        let rules: Vec<Value> = rules.iter().cloned().chain([probe]).collect();
        self.api
            .bind(team, name, name, &Value::Array(rules))
            .await?;
        let client = self.api.client_for(team, name).await?;
        eventually(SOON, "an account's rights", async || {
            ensure!(ApiServer::allowed(client.clone(), team, "get", "pods").await?);
            Ok(())
        })
        .await?;
        Ok(client)
    }

    /// A new policy binds within seconds: waits until each denies what it is there for.
    async fn in_force(&self) -> Result<()> {
        let (team, controller) = (self.team().await?, &self.controller);
        self.api
            .create_secret(&team, "strangers", &BTreeMap::new())
            .await?;
        let strangers = secret(&team, "strangers");
        let nobody = self.user(&team, "nobody", &[author::both_kinds()]).await?;
        let dry_run = DeleteParams::default().dry_run();
        eventually(SOON, "policies in force", async || {
            let written = tried(controller, &secret(&team, "new")).await?;
            judge("write", &written, "422 'coffer-sync-write'")?;
            let gone = deleted(controller, &strangers, &dry_run).await?;
            judge("delete", &gone, "422 'coffer-sync-delete'")?;
            let foreign = token(controller, &team, "app", &["sts"], 600).await?;
            judge("token", &foreign, "422 'coffer-sync-token'")?;
            let other = token(controller, &team, "default", &["vault"], 600).await?;
            judge("opt-in", &other, "422 'coffer-sync-opt-in'")?;
            let asked = tried(&nobody, &secret_sync(&team, "new")).await?;
            judge("author", &asked, "403 'coffer-sync-author'")
        })
        .await
    }
}
