//! coffer-sync against a real API server with its controllers, under the rights and policies that the chart ships.
//!
//! Most cases ask a vendor's provider whose answers they decide; those about a store have the real provider and a
//! real store behind it. Every case has its namespace and its controller.

/// Secrets that stood before us: left alone, adopted, taken over.
mod adoption;
/// The conformance cases of the upstream suite.
mod conformance;
/// Edits and deletions by others, and fights over a Secret.
mod drift;
/// Immutable Secrets, versions, and changes of type.
mod immutable;
/// Who leads, and what a change of leader leaves alone.
mod leader;
/// What no other file is about: installation, directories, lost keys, refusals.
mod lines;
/// Options and what people see of objects.
mod options;
/// What other products get wrong, line by line.
mod others;
/// Providers, stores and API servers that go away and come back.
mod outages;
/// Every example of the Kubernetes Secrets page.
mod page;
/// Which workloads restart.
mod restarts;
/// The way from a real store to a Secret.
mod store;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use coffer_tests::syncer::{Sockets, SyncProcess};
use coffer_tests::vendor::Vendor;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::stage::{SOON, unique};
use crate::sync_objects::{ACCOUNT, CLASS, RBAC, SECRET_SYNC, SYSTEM, created, secret, stored};
use crate::world::end_with_us;

/// Rights of features that not every installation has.
const EXTRA: [&str; 4] = [
    "charts/coffer/files/sync/rbac-delete.yaml",
    "charts/coffer/files/sync/rbac-drift-watch.yaml",
    "charts/coffer/files/sync/rbac-restart.yaml",
    "charts/coffer/files/sync/rbac-class-status.yaml",
];
/// Policies that the chart has on.
const POLICIES: [&str; 3] = [
    "charts/coffer/files/sync/policies/write.yaml",
    "charts/coffer/files/sync/policies/delete.yaml",
    "charts/coffer/files/sync/policies/token.yaml",
];
/// Flags of a controller that has them all.
pub(crate) const FEATURES: [&str; 4] =
    ["--drift-watch", "--recreate", "--restarts", "--spc-status"];
/// The name of the vendor's provider.
pub(crate) const VENDOR: &str = "vendor";

/// What an installation grants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// What every installation has.
    Plain,
    /// All features.
    Full,
}

/// A cluster where coffer-sync is installed.
pub(crate) struct Ground {
    pub api: ApiServer,
    /// With all rights.
    pub admin: Client,
    /// Of the controller's account.
    pub kubeconfig: PathBuf,
}

impl Ground {
    /// The shared cluster with these rights.
    pub(crate) async fn of(install: Install) -> Result<&'static Self> {
        static PLAIN: OnceCell<Ground> = OnceCell::const_new();
        static FULL: OnceCell<Ground> = OnceCell::const_new();
        let cell = match install {
            Install::Plain => &PLAIN,
            Install::Full => &FULL,
        };
        cell.get_or_try_init(|| Self::start(install)).await
    }

    /// A cluster of one's own.
    pub(crate) async fn start(install: Install) -> Result<Self> {
        let api = ApiServer::start().await?;
        let controllers = api.controllers()?;
        end_with_us(&format!("{}; {}", controllers.farewell(), api.farewell()))?;
        // It ends by the line above: what is static is never dropped.
        std::mem::forget(controllers);
        api.create_namespace(SYSTEM).await?;
        let extra: &[&str] = match install {
            Install::Plain => &[],
            Install::Full => &EXTRA,
        };
        let files = [SECRET_SYNC, CLASS, RBAC]
            .iter()
            .chain(extra)
            .chain(&POLICIES);
        for file in files {
            api.install(file).await?;
        }
        let kubeconfig = api.kubeconfig_for(SYSTEM, ACCOUNT).await?;
        let ground = Self {
            admin: api.client(),
            api,
            kubeconfig,
        };
        ground.guarded().await?;
        Ok(ground)
    }

    /// Waits until the policies are in force, which the server says a moment after it took them.
    async fn guarded(&self) -> Result<()> {
        let controller = self.api.client_for(SYSTEM, ACCOUNT).await?;
        self.api.create_namespace("guarded").await?;
        eventually(SOON, "policies in force", async || {
            let how = PatchParams::apply("probe").dry_run();
            let said =
                crate::sync_objects::applied(&controller, &secret("guarded", "x"), &how).await?;
            ensure!(said.contains("coffer-sync-write"), "{said}");
            Ok(())
        })
        .await
    }

    /// A namespace of one's own with an account `app`.
    pub(crate) async fn namespace(&self) -> Result<String> {
        let namespace = unique("team");
        self.api.create_namespace(&namespace).await?;
        self.api.create_service_account(&namespace, "app").await?;
        Ok(namespace)
    }
}

/// A namespace, a vendor's provider and a controller.
pub(crate) struct Scene {
    pub ground: &'static Ground,
    pub namespace: String,
    pub vendor: Vendor,
    pub sockets: Sockets,
    pub controller: SyncProcess,
    arguments: Vec<String>,
}

impl Scene {
    /// With the rights of every installation.
    pub(crate) async fn plain(arguments: &[&str]) -> Result<Self> {
        Self::start(Install::Plain, arguments).await
    }

    /// With all features.
    pub(crate) async fn full(arguments: &[&str]) -> Result<Self> {
        let arguments = [&FEATURES, arguments].concat();
        Self::start(Install::Full, &arguments).await
    }

    async fn start(install: Install, arguments: &[&str]) -> Result<Self> {
        let ground = Ground::of(install).await?;
        let namespace = ground.namespace().await?;
        let sockets = Sockets::new()?;
        let vendor = Vendor::serve(&sockets.of(VENDOR))?;
        let own = ["--watch-namespaces", &namespace, "--leader-elect=false"];
        let arguments: Vec<String> = [&own, arguments]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let controller = launch(ground, &sockets, &arguments).await?;
        Ok(Self {
            ground,
            namespace,
            vendor,
            sockets,
            controller,
            arguments,
        })
    }

    /// Ends the controller and starts another one.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.controller.stop().await?;
        self.again().await
    }

    /// Starts another controller in place of one that ended.
    pub(crate) async fn again(&mut self) -> Result<()> {
        self.controller = launch(self.ground, &self.sockets, &self.arguments).await?;
        Ok(())
    }

    /// Creates an object in the namespace.
    pub(crate) async fn create(&self, mut object: Value) -> Result<Value> {
        object["metadata"]["namespace"] = json!(self.namespace);
        let made = created(&self.ground.admin, &object).await?;
        Ok(serde_json::to_value(made)?)
    }

    /// Merges a patch into an object.
    pub(crate) async fn merge(&self, object: &Value, patch: &Value) -> Result<Value> {
        let objects = ApiServer::objects(self.ground.admin.clone(), object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let how = PatchParams {
            field_manager: Some("hand".to_owned()),
            ..PatchParams::default()
        };
        let patched = objects.patch(name, &how, &Patch::Merge(patch)).await?;
        Ok(serde_json::to_value(patched)?)
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, object: &Value) -> Result<()> {
        let how = kube::api::DeleteParams::default();
        let said = crate::sync_objects::deleted(&self.ground.admin, object, &how).await?;
        ensure!(said == "ok", "{said}");
        Ok(())
    }

    /// A class `name` of the vendor's provider.
    pub(crate) async fn class(&self, name: &str) -> Result<Value> {
        self.create(json!({
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": name},
            "spec": {"provider": VENDOR, "parameters": {"a": "b"}},
        }))
        .await
    }

    /// A SecretSync of class `c` with these pairs of file and key.
    pub(crate) fn sync_of(&self, name: &str, type_: &str, pairs: &[(&str, &str)]) -> Value {
        let data: Vec<Value> = pairs
            .iter()
            .map(|(file, key)| json!({"sourcePath": file, "targetKey": key}))
            .collect();
        json!({
            "apiVersion": "secret-sync.x-k8s.io/v1alpha1",
            "kind": "SecretSync",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "secretProviderClassName": "c",
                "serviceAccountName": "app",
                "secretSyncControllerName": "coffer.rs/sync",
                "secretObject": {"type": type_, "data": data},
            },
        })
    }

    /// Creates one: an Opaque Secret whose key `k` is file `f`.
    pub(crate) async fn sync(&self, name: &str) -> Result<Value> {
        self.create(self.sync_of(name, "Opaque", &[("f", "k")]))
            .await
    }

    /// A Secret of the namespace as a document without content.
    pub(crate) fn secret_named(&self, name: &str) -> Value {
        secret(&self.namespace, name)
    }

    /// A Secret as it is; none if there is none.
    pub(crate) async fn secret(&self, name: &str) -> Result<Option<Value>> {
        let objects = ApiServer::objects(self.ground.admin.clone(), &self.secret_named(name))?;
        let found = objects.get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// Waits for a Secret that is as it should be.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(SOON, what, async || {
            let secret = self.secret(name).await?.context("there is no Secret")?;
            ensure!(check(&secret), "{}", redacted(&secret));
            Ok(secret)
        })
        .await
        .with_context(|| self.controller.log())
    }

    /// Waits until a Secret holds these bytes under this key.
    pub(crate) async fn holds(&self, name: &str, key: &str, bytes: &[u8]) -> Result<Value> {
        let what = format!("Secret {name} with {key}");
        self.until(name, &what, |secret| {
            value(secret, key) == Some(bytes.to_vec())
        })
        .await
    }

    /// Waits until a Secret is gone.
    pub(crate) async fn gone(&self, name: &str) -> Result<()> {
        eventually(SOON, "no Secret", async || {
            ensure!(self.secret(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await
        .with_context(|| self.controller.log())
    }

    /// Waits until a condition of an object has this status and reason, for the generation that it has now.
    pub(crate) async fn says(
        &self,
        object: &Value,
        condition: &str,
        status: &str,
        reason: &str,
    ) -> Result<Value> {
        let what = format!("{condition}={status}/{reason}");
        eventually(SOON, &what, async || {
            let now = stored(&self.ground.admin, object).await?;
            let found = condition_of(&now, condition);
            let found = found.with_context(|| format!("{}", now["status"]))?;
            ensure!(
                found["status"] == status && found["reason"] == reason,
                "{}",
                now["status"]
            );
            ensure!(
                found["observedGeneration"] == now["metadata"]["generation"],
                "an older generation: {}",
                now["status"]
            );
            Ok(found.clone())
        })
        .await
        .with_context(|| self.controller.log())
    }

    /// Waits for an Event about an object.
    pub(crate) async fn told(&self, object: &str, reason: &str) -> Result<Value> {
        let what = format!("an Event {reason} about {object}");
        eventually(SOON, &what, async || {
            let events = self.events(object).await?;
            let found = events.iter().find(|event| event["reason"] == reason);
            found.cloned().with_context(|| format!("{events:?}"))
        })
        .await
        .with_context(|| self.controller.log())
    }

    /// All Events about an object.
    pub(crate) async fn events(&self, object: &str) -> Result<Vec<Value>> {
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            self.namespace
        );
        let request = http::Request::get(path).body(Vec::new())?;
        let list: Value = self.ground.admin.request(request).await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let ours = items
            .into_iter()
            .filter(|event| event["regarding"]["name"] == object);
        Ok(ours.collect())
    }

    /// Makes an object due now.
    pub(crate) async fn force(&self, object: &Value) -> Result<()> {
        let force = unique("force");
        let patch = match object["kind"].as_str() {
            Some("SecretSync") => json!({"spec": {"forceSynchronization": force}}),
            _ => json!({"metadata": {"annotations": {"coffer.rs/force-sync": force}}}),
        };
        self.merge(object, &patch).await.map(|_| ())
    }

    /// Makes an object due and waits until its round has asked the vendor.
    pub(crate) async fn round(&self, object: &Value) -> Result<()> {
        let before = self.metric_of_rounds().await?;
        self.force(object).await?;
        eventually(SOON, "another round", async || {
            ensure!(self.metric_of_rounds().await? > before);
            Ok(())
        })
        .await
        .with_context(|| self.controller.log())
    }

    async fn metric_of_rounds(&self) -> Result<f64> {
        let (_, text) = self.controller.ask("/metrics").await?;
        let counts = text
            .lines()
            .filter(|line| line.starts_with("coffer_sync_reconciles_total{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(counts.sum())
    }
}

async fn launch(ground: &Ground, sockets: &Sockets, arguments: &[String]) -> Result<SyncProcess> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    SyncProcess::start(&ground.kubeconfig, sockets, &arguments).await
}

/// A condition of an object.
pub(crate) fn condition_of<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == name)
}

/// The bytes of a key.
pub(crate) fn value(secret: &Value, key: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = secret["data"][key].as_str()?;
    base64::prelude::BASE64_STANDARD.decode(text).ok()
}

/// A Secret with its metadata alone, for messages.
fn redacted(secret: &Value) -> Value {
    json!({"metadata": secret["metadata"], "type": secret["type"], "keys": keys(secret)})
}

/// Its keys.
pub(crate) fn keys(secret: &Value) -> Vec<String> {
    let data = secret["data"].as_object();
    data.map(|data| data.keys().cloned().collect())
        .unwrap_or_default()
}

/// Longer than any round of these cases takes.
pub(crate) const LATER: Duration = Duration::from_secs(60);
