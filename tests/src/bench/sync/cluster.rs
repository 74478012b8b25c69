//! The API server with everything that an installation of coffer-sync has, and what it counts itself.
//!
//! Objects are made and changed by its admin, whom no limit of the server holds up.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures_util::{TryStreamExt, stream};
use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::objects::{self, ACCOUNT, Size};
use super::tally::Tally;
use crate::apiserver::ApiServer;
use crate::bench::machine::Usage;
use crate::fixture::random_hex;

/// Where the controller runs, and as whom.
const SYSTEM: &str = "coffer-system";
const CONTROLLER: &str = "coffer-sync";
/// Definitions, rights and those policies that the chart has on. The right to watch Secrets is there for every
/// controller and used by those with the drift watch.
const FILES: [&str; 7] = [
    "charts/coffer/files/crds/secretsync.yaml",
    "charts/coffer/files/crds/secretproviderclass.yaml",
    "charts/coffer/files/sync/rbac.yaml",
    "charts/coffer/files/sync/rbac-drift-watch.yaml",
    "charts/coffer/files/sync/policies/write.yaml",
    "charts/coffer/files/sync/policies/delete.yaml",
    "charts/coffer/files/sync/policies/token.yaml",
];
/// Requests of the admin under way.
const AT_ONCE: usize = 16;
/// A change of it makes all objects of a class due.
const FORCE: &str = "coffer.rs/force-sync";

pub(super) struct Cluster {
    api: ApiServer,
}

impl Cluster {
    /// With namespaces, accounts and classes, without SecretSyncs.
    pub(super) async fn start(size: Size) -> Result<Self> {
        let api = ApiServer::start().await?;
        api.create_namespace(SYSTEM).await?;
        for file in FILES {
            api.install(file).await?;
        }
        for number in 0..size.namespaces() {
            let namespace = objects::namespace(number);
            api.create_namespace(&namespace).await?;
            api.create_service_account(&namespace, ACCOUNT).await?;
        }
        let cluster = Self { api };
        cluster.create(size.all().map(objects::class)).await?;
        Ok(cluster)
    }

    pub(super) fn client(&self) -> Client {
        self.api.client()
    }

    /// A new token of the controller's account each time: one lives an hour.
    pub(super) async fn kubeconfig(&self) -> Result<PathBuf> {
        self.api.kubeconfig_for(SYSTEM, CONTROLLER).await
    }

    /// Creates all of these, several at once.
    pub(super) async fn create(&self, documents: impl Iterator<Item = Value>) -> Result<()> {
        stream::iter(documents.map(anyhow::Ok))
            .try_for_each_concurrent(AT_ONCE, |document| self.create_one(document))
            .await
    }

    async fn create_one(&self, document: Value) -> Result<()> {
        let kind = ApiServer::objects(self.client(), &document)?;
        let object = serde_json::from_value(document)?;
        kind.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Makes all objects of these classes due now.
    pub(super) async fn force(&self, classes: Range<usize>) -> Result<()> {
        let mark = random_hex(4)?;
        let patch = json!({"metadata": {"annotations": {FORCE: mark}}});
        stream::iter(classes.map(anyhow::Ok))
            .try_for_each_concurrent(AT_ONCE, |class| self.change(class, &patch))
            .await
    }

    async fn change(&self, class: usize, patch: &Value) -> Result<()> {
        let classes = ApiServer::objects(self.client(), &objects::class(class))?;
        let (name, how) = (objects::class_name(class), PatchParams::default());
        classes.patch(&name, &how, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// What the server has answered about Secrets so far, by verb. A watch is counted when it ends, and the server
    /// has watches of its own, so that watches are left out.
    pub(super) async fn requests_to_secrets(&self) -> Result<Tally> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let page = self.client().request_text(request).await?;
        Ok(Tally::read(&page, "apiserver_request_total", |labels| {
            let verb = labels.get("verb");
            if labels.get("resource") != "secrets" || verb == "WATCH" {
                return None;
            }
            let dry_run = if labels.get("dry_run").is_empty() {
                ""
            } else {
                " dry run"
            };
            Some(format!("{verb}{dry_run}"))
        }))
    }

    /// Processor time of the server and its etcd so far.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let pids = self.api.pids().into_iter();
        pids.map(|pid| Usage::of(pid).map(|usage| usage.cpu)).sum()
    }
}
