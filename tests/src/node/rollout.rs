//! What changes under running pods: values, pods of ours, versions of the chart, and the end of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::chart::{COMPONENTS, NAMESPACE};
use super::examples::Example;
use super::ground::Ground;
use super::pods;
use super::report::Report;
use crate::fixture::eventually;

const SECRET_SYNC: &str = "secretsyncs.secret-sync.x-k8s.io";
const SOCKETS: &str = "/var/run/secrets-store-csi-providers";
/// Two intervals of a poll, and kubelet's own pace.
const SOON: Duration = Duration::from_secs(180);

/// A file of the example `opaque`, as its pod mounts it.
const FILE: &str = "/etc/shop/app.properties";

/// Secrets that must not change: by name, uid and version.
pub(super) type Held = BTreeMap<String, (String, String)>;

/// The Secrets of the examples as they are now.
pub(super) async fn held(client: &Client, examples: &[&Example]) -> Result<Held> {
    let mut held = Held::new();
    for example in examples {
        let expected = &example.expected.secret;
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &expected.namespace);
        let metadata = secrets.get(&expected.name).await?.metadata;
        let state = metadata.uid.zip(metadata.resource_version);
        held.insert(expected.name.clone(), state.context("no uid")?);
    }
    Ok(held)
}

/// Fails where a Secret is gone or was written. A certificate is issued anew for a new controller, which keeps none.
pub(super) async fn unchanged(client: &Client, examples: &[&Example], before: &Held) -> Result<()> {
    let after = held(client, examples).await?;
    for (name, now) in &after {
        let state = &before[name];
        let is_issued = name == "secret-tls";
        ensure!(
            now == state || is_issued && now.0 == state.0,
            "{name} was written"
        );
    }
    Ok(())
}

/// A new value in the store becomes a new file in the pod that runs: by the poll of its SecretSync, every 30 s, and by
/// kubelet.
pub(super) async fn rotation(
    ground: &Ground,
    report: &Report,
    example: &Example,
    value: &str,
) -> Result<()> {
    let (namespace, pod) = example.pod();
    let faster = json!({"metadata": {"annotations": {"coffer.rs/refresh-interval": "30s"}}});
    let name = &example.expected.secret.name;
    example.annotate(ground, &faster).await?;
    ensure!(
        inside(pod, FILE)? != value.as_bytes(),
        "it is there already"
    );
    let path = "secret/data/shop/orders";
    let mut data = ground.vault.read(path).await?["data"]["data"].clone();
    data["properties"] = json!(value);
    ground.vault.kv2_put("secret", "shop/orders", &data).await?;
    let began = Instant::now();
    let secrets: Api<Secret> = Api::namespaced(ground.client(), namespace);
    eventually(SOON, "the new value in the Secret", async || {
        let values = secrets.get(name).await?.data.unwrap_or_default();
        ensure!(values.values().any(|it| it.0 == value.as_bytes()));
        Ok(())
    })
    .await?;
    let waited = || began.elapsed().as_secs_f64();
    report.saw(&format!("in the Secret after {:.1} s", waited()));
    eventually(SOON, "the new value in the pod", async || {
        ensure!(inside(pod, FILE)? == value.as_bytes());
        Ok(())
    })
    .await?;
    report.saw(&format!("in the pod's volume after {:.1} s", waited()));
    Ok(())
}

/// A file as a process of the pod sees it. Pods are known by their host names.
pub(super) fn inside(pod: &str, path: &str) -> Result<Vec<u8>> {
    let root = root_of(pod)?;
    fs::read(root.join(path.trim_start_matches('/'))).with_context(|| format!("{pod}: {path}"))
}

fn root_of(pod: &str) -> Result<PathBuf> {
    for entry in fs::read_dir("/proc")? {
        let root = entry?.path().join("root");
        // Processes come and go, and most are no pods.
        let name = fs::read_to_string(root.join("etc/hostname")).unwrap_or_default();
        if name.trim() == pod && root.join("bin/busybox").exists() {
            return Ok(root);
        }
    }
    bail!("no process of pod {pod}")
}

/// What the system lets a program of ours do, by its processes: user, capabilities, privileges, filter.
pub(super) fn confined(program: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let place = entry?.path();
        let name = fs::read_to_string(place.join("comm")).unwrap_or_default();
        // It may end between two looks.
        if name.trim() == program
            && let Ok(status) = status(&place)
        {
            found.push(status);
        }
    }
    ensure!(!found.is_empty(), "no process {program}");
    found.sort();
    found.dedup();
    Ok(found)
}

fn status(place: &Path) -> Result<String> {
    let text = fs::read_to_string(place.join("status"))?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        format!("{name} {}", value.unwrap_or("?"))
    };
    let fields = ["Uid:", "CapEff:", "NoNewPrivs:", "Seccomp:"].map(field);
    Ok(fields.join(" "))
}

/// Deletes the pods of a component and waits until others are ready in their place.
pub(super) async fn replaced(ground: &Ground, component: &str) -> Result<f64> {
    let client = ground.client();
    let before = pods::of(&client, NAMESPACE, component).await?;
    let began = Instant::now();
    for pod in &before {
        let name = pod.metadata.name.as_deref().context("no name")?;
        pods::delete(&client, NAMESPACE, name).await?;
    }
    eventually(SOON, "new pods", async || {
        let now = pods::of(&client, NAMESPACE, component).await?;
        let ready = now.iter().filter(|pod| pods::is_ready(pod));
        let is_old = |uid: &Option<String>| before.iter().any(|it| it.metadata.uid == *uid);
        let new = ready.filter(|pod| !is_old(&pod.metadata.uid)).count();
        ensure!(new >= before.len(), "{new} of {}", before.len());
        Ok(())
    })
    .await?;
    Ok(began.elapsed().as_secs_f64())
}

/// Waits until the socket and all pods of ours are gone.
pub(super) async fn gone(ground: &Ground) -> Result<()> {
    let client = ground.client();
    eventually(SOON, "no pod of ours", async || {
        for component in COMPONENTS {
            let left = pods::of(&client, NAMESPACE, component).await?.len();
            ensure!(left == 0, "{left} of {component}");
        }
        let left: Vec<_> = fs::read_dir(SOCKETS)?.collect::<std::io::Result<_>>()?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

/// What is left after an uninstall, in words.
pub(super) async fn left(ground: &Ground) -> Result<Vec<String>> {
    let client = ground.client();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let all = ListParams::default();
    let mut left = Vec::new();
    let mut add = |kind: &str, names: Vec<String>| left.push(format!("{kind}: {names:?}"));
    add("Secrets of ours", names(secrets.list(&all).await?));
    add("Leases", names(leases.list(&all).await?));
    add("definitions", names(definitions.list(&all).await?));
    Ok(left)
}

/// The definition of SecretSync as it is: its uid and spec's generation.
pub(super) async fn definition(ground: &Ground) -> Result<(Option<String>, Option<i64>)> {
    let definitions: Api<CustomResourceDefinition> = Api::all(ground.client());
    let metadata = definitions.get(SECRET_SYNC).await?.metadata;
    Ok((metadata.uid, metadata.generation))
}

/// Waits until the definition of SecretSync is gone, with all that it defined.
pub(super) async fn undefined(ground: &Ground) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(ground.client());
    eventually(SOON, "no definition", async || {
        let there = definitions.get_opt(SECRET_SYNC).await?.is_some();
        ensure!(!there, "it is there");
        Ok(())
    })
    .await
}

fn names<K: ResourceExt + Clone>(list: ObjectList<K>) -> Vec<String> {
    list.items.iter().map(ResourceExt::name_any).collect()
}
