//! Every example of the Kubernetes documentation's page on Secrets, synced as a provider returns it.
//!
//! What the checks say of each is told where people look: as advice behind the keys, and in a metric. What a new value
//! may do to an old one is in `rotation`.

/// What stores keep, made into what types require.
mod builders;
/// The two types that mint credentials, where an operator allows them.
mod gated;
/// From bad to good and back, for each type.
mod rotation;
/// One MiB, and one byte more.
mod sizes;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::secret_type::SERVICE_ACCOUNT_NAME;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::outages::{is_well, refetched, serves_last_good, untouched};
use super::{Scene, keys, value};
use crate::sync_objects::with;
use crate::world::run;

/// A file of the core's test data, by name.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../sync/core/testdata/",
            $name
        ))
        .as_slice()
    };
}
use fixture;

/// Keys and bytes of a Secret.
type Data = BTreeMap<String, Vec<u8>>;

/// Name and type, keys with the base64 of the page, and what the checks say.
type Example = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const EXAMPLES: [Example; 7] = [
    (
        "dotfile-secret",
        "",
        &[(".secret-file", "dmFsdWUtMg0KDQo=")],
        &[],
    ),
    (
        "secret-dockercfg",
        "kubernetes.io/dockercfg",
        &[(
            ".dockercfg",
            "eyJhdXRocyI6eyJodHRwczovL2V4YW1wbGUvdjEvIjp7ImF1dGgiOiJvcGVuc2VzYW1lIn19fQo=",
        )],
        &["docker.shape"],
    ),
    (
        "secret-tiger-docker",
        "kubernetes.io/dockerconfigjson",
        &[(
            ".dockerconfigjson",
            "eyJhdXRocyI6eyJteS1yZWdpc3RyeS5leGFtcGxlOjUwMDAiOnsidXNlcm5hbWUiOiJ0aWdlciIsInBhc3N3b3JkIjoicGFzczEyMzQiLCJlbWFpbCI6InRpZ2VyQGFjbWUuZXhhbXBsZSIsImF1dGgiOiJkR2xuWlhJNmNHRnpjekV5TXpRPSJ9fX0=",
        )],
        &[],
    ),
    (
        "secret-basic-auth",
        "kubernetes.io/basic-auth",
        &[("username", "YWRtaW4="), ("password", "dDBwLVNlY3JldA==")],
        &[],
    ),
    (
        "secret-ssh-auth",
        "kubernetes.io/ssh-auth",
        &[("ssh-privatekey", "UG91cmluZzYlRW1vdGljb24lU2N1YmE=")],
        &["ssh.parse", "ssh.known-hosts"],
    ),
    (
        "mysecret",
        "Opaque",
        &[("1badkey", "eA=="), ("2alsobad", "eA==")],
        &["env.name", "env.name"],
    ),
    (
        "secret-of-a-type-of-ones-own",
        "cloud-hosting.example.net/cloud-api-credentials",
        &[("key", "eA==")],
        &[],
    ),
];

/// What the checks advise, by their ids, from the message of Ready.
fn advice(message: &str) -> Vec<String> {
    let (_, advice) = message.split_once("; advice: ").unwrap_or_default();
    let ids = advice.split(", ").filter_map(|item| item.split(' ').next());
    ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// How often each check failed so far.
async fn failures(scene: &Scene) -> Result<BTreeMap<String, f64>> {
    let (_, text) = scene.controller.ask("/metrics").await?;
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("coffer_sync_check_failures_total{check=\"")?;
        let (id, count) = rest.split_once("\"} ")?;
        Some((id.to_owned(), count.parse().ok()?))
    });
    Ok(series.collect())
}

/// The checks that failed since then.
async fn failed_since(scene: &Scene, before: &BTreeMap<String, f64>) -> Result<Vec<String>> {
    let now = failures(scene).await?;
    let more = now
        .into_iter()
        .filter(|(id, count)| before.get(id).is_none_or(|before| before < count));
    Ok(more.map(|(id, _)| id).collect())
}

/// Everything that a Secret holds.
fn data(secret: &Value) -> Data {
    let keys = keys(secret).into_iter();
    let pair = |key: String| value(secret, &key).map(|bytes| (key, bytes));
    keys.filter_map(pair).collect()
}

/// The data that these keys and bytes are.
fn data_of<B: AsRef<[u8]>>(pairs: &[(&str, B)]) -> Data {
    let pairs = pairs.iter();
    pairs
        .map(|(key, bytes)| ((*key).to_owned(), bytes.as_ref().to_vec()))
        .collect()
}

/// Creates a SecretSync whose keys are the files of the same names below its own; waits for its Secret, and for the
/// advice that was given to be exactly this. Its files are in the answer already.
async fn synced(scene: &Scene, name: &str, type_: &str, data: &Data, told: &[&str]) -> Result<()> {
    let before = failures(scene).await?;
    let files: Vec<(String, &str)> = data
        .keys()
        .map(|key| (format!("{name}/{key}"), key.as_str()))
        .collect();
    let pairs: Vec<(&str, &str)> = files
        .iter()
        .map(|(file, key)| (file.as_str(), *key))
        .collect();
    let sync = scene.create(scene.sync_of(name, type_, &pairs)).await?;
    let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
    let secret = scene.secret(name).await?.context("there is no Secret")?;
    let stored = if type_.is_empty() { "Opaque" } else { type_ };
    ensure!(secret["type"] == stored, "{name}: {}", secret["type"]);
    ensure!(self::data(&secret) == *data, "{name} holds other bytes");
    let message = ready["message"].as_str().unwrap_or_default();
    ensure!(advice(message) == told, "{name}: {message}");
    let mut expected: Vec<&str> = told.to_vec();
    expected.sort_unstable();
    expected.dedup();
    let failed = failed_since(scene, &before).await?;
    ensure!(failed == expected, "{name}: {failed:?} are counted");
    is_well(scene, &sync).await
}

/// Types §7, every row but those that follow below: synced to the byte, with exactly the warnings listed.
#[test]
fn every_example_is_synced_with_the_warnings_that_it_deserves() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let tls = data_of(&[
            ("tls.crt", fixture!("page.tls.crt")),
            ("tls.key", &b"Example data for the TLS crt field"[..]),
        ]);
        let told: &[&str] = &["tls.key-format", "tls.expired", "tls.no-san", "tls.weak"];
        let mut all = vec![("secret-tls", "kubernetes.io/tls", tls, told)];
        for (name, type_, keys, told) in EXAMPLES {
            let mut data = Data::new();
            for (key, base64) in keys {
                data.insert((*key).to_owned(), BASE64_STANDARD.decode(base64)?);
            }
            all.push((name, type_, data, told));
        }
        // One answer serves all of them.
        for (name, _, data, _) in &all {
            for (key, bytes) in data {
                scene.vendor.put(&format!("{name}/{key}"), bytes.clone());
            }
        }
        scene.class("c").await?;
        for (name, type_, data, told) in &all {
            synced(&scene, name, type_, data, told).await?;
        }
        scene
            .holds("dotfile-secret", ".secret-file", b"value-2\r\n\r\n")
            .await
            .map(|_| ())
    })
}

/// Types §7, row `empty-secret`: only a class can ask for a Secret without keys.
#[test]
fn the_empty_example_comes_through_the_door_of_classes() -> Result<()> {
    run(async {
        let scene = Scene::full(&[]).await?;
        scene.vendor.put("f", "of no use here");
        let before = failures(&scene).await?;
        let class = scene
            .create(json!({
                "apiVersion": "secrets-store.csi.x-k8s.io/v1",
                "kind": "SecretProviderClass",
                "metadata": {"name": "c", "annotations": {"coffer.rs/sync-as": "app"}},
                "spec": {
                    "provider": "vendor",
                    "secretObjects": [{"secretName": "empty-secret", "type": "Opaque", "data": []}],
                },
            }))
            .await?;
        let secret = scene
            .until("empty-secret", "a Secret without keys", |_| true)
            .await?;
        ensure!(secret["type"] == "Opaque" && keys(&secret).is_empty());
        let owners = &secret["metadata"]["ownerReferences"];
        ensure!(
            owners[0]["uid"] == class["metadata"]["uid"],
            "another owner: {owners}"
        );
        scene.told("c", "Synced").await?;
        let failed = failed_since(&scene, &before).await?;
        ensure!(failed == ["data.empty"], "{failed:?}");
        Ok(())
    })
}

/// Types §7, row "optional Secret Pod": the key goes with its file; what is not optional stays with its Secret.
#[test]
fn an_optional_key_goes_with_its_file_and_no_other_does() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("needed", "n");
        scene.vendor.put("optional", "o");
        let class = scene.class("c").await?;
        let extra = json!([{"sourcePath": "optional", "targetKey": "optional", "optional": true}]);
        let sync = scene.sync_of("a", "Opaque", &[("needed", "needed")]);
        let options = json!({"coffer.rs/extra-data": extra.to_string()});
        let sync = scene
            .create(with(sync, "/metadata/annotations", options))
            .await?;
        let holds = |expected: &'static [&'static str]| {
            move |secret: &Value| {
                keys(secret)
                    .iter()
                    .map(String::as_str)
                    .eq(expected.iter().copied())
            }
        };
        scene
            .until("a", "both keys", holds(&["needed", "optional"]))
            .await?;
        scene.vendor.remove("optional");
        refetched(&scene, &class, &sync).await?;
        let before = scene.until("a", "one key", holds(&["needed"])).await?;
        is_well(&scene, &sync).await?;
        scene.vendor.remove("needed");
        scene.vendor.put("optional", "o");
        refetched(&scene, &class, &sync).await?;
        serves_last_good(&scene, &sync, "RemoteSecretStoreFetchFailed").await?;
        untouched(&scene, &before).await
    })
}

/// Types §4.7, Sync §11: a pair with two days to live is good enough to be written, and told about twice.
#[test]
fn a_pair_that_ends_soon_is_written_and_told() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["a.example".to_owned()])?;
        let year = SignedDuration::from_hours(365 * 24);
        let soon = SignedDuration::from_hours(60);
        let (from, until) = (day(Timestamp::now() - year)?, day(Timestamp::now() + soon)?);
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        scene.vendor.put("crt", params.self_signed(&key)?.pem());
        scene.vendor.put("key", key.serialize_pem());
        scene.class("c").await?;
        let pairs = [("crt", "tls.crt"), ("key", "tls.key")];
        let sync = scene.sync_of("a", "kubernetes.io/tls", &pairs);
        let sync = scene.create(sync).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(advice(message) == ["tls.expiring"], "{message}");
        ensure!(message.contains("; expires "), "{message}");
        scene.told("a", "Synced").await?;
        scene.told("a", "ExpiresSoon").await.map(|_| ())
    })
}

/// Year, month and day.
fn day(time: Timestamp) -> Result<(i32, u8, u8)> {
    let text = time.strftime("%Y-%m-%d").to_string();
    let mut parts = text.split('-');
    let mut part = || parts.next().unwrap_or_default();
    let (year, month, day) = (part().parse()?, part().parse()?, part().parse()?);
    Ok((year, month, day))
}

/// Types §6, §7: the two types that mint credentials are refused before anybody is asked for anything.
#[test]
fn types_that_mint_credentials_are_refused_unless_an_operator_lists_them() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "x");
        scene.class("c").await?;
        let token = scene.sync_of(
            "secret-sa-sample",
            "kubernetes.io/service-account-token",
            &[("f", "extra")],
        );
        let account = json!({SERVICE_ACCOUNT_NAME: "app"});
        let token = with(token, "/spec/secretObject/annotations", account);
        let bootstrap = scene.sync_of(
            "bootstrap-token-5emitj",
            "bootstrap.kubernetes.io/token",
            &[("f", "token-id")],
        );
        for sync in [token, bootstrap] {
            let type_ = sync["spec"]["secretObject"]["type"].clone();
            let sync = scene.create(sync).await?;
            let name = sync["metadata"]["name"].as_str().unwrap_or_default();
            scene
                .says(&sync, "SecretCreated", "False", "ControllerPatchError")
                .await?;
            let ready = scene
                .says(&sync, "Ready", "False", "TypeNotAllowed")
                .await?;
            let message = ready["message"].as_str().unwrap_or_default();
            let type_ = type_.as_str().unwrap_or_default();
            ensure!(
                message.contains(type_) && message.contains("--allowed-types"),
                "{message}"
            );
            scene
                .says(&sync, "SecretUpdated", "Unknown", "NoUpdatesAttemptedYet")
                .await?;
            scene.told(name, "SyncRefused").await?;
            ensure!(scene.secret(name).await?.is_none(), "{name} was written");
        }
        ensure!(scene.vendor.calls() == 0, "the provider was asked");
        // It is asked for what may be written.
        let opaque = scene.sync("opaque").await?;
        is_well(&scene, &opaque).await
    })
}
