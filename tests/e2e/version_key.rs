//! The Secret of the version key: made once, found, raced for, broken, replaced.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::cluster::{Installed, Rights, install, sum};
use crate::stage::{SOON, has, mount, text};
use crate::world::{cluster, run, store};

const NAME: &str = "vault-csi-provider-hmac-key";

async fn installed() -> Result<(&'static ApiServer, Installed, Api<Secret>)> {
    let api = &cluster().await?.api;
    let installed = install(api, Rights::Secret).await?;
    let secrets = Api::namespaced(api.client(), &installed.namespace);
    Ok((api, installed, secrets))
}

/// The version of one secret in a new pod; class and bytes are always the same.
async fn version(provider: &ProviderProcess) -> Result<String> {
    let store = store().await?;
    store
        .vault
        .kv2_put("secret", "version-key", &json!({"k": "v"}))
        .await?;
    let mounted = mount(
        provider,
        &store.volume(store.class_of("secret/data/version-key"))?,
    )
    .await?;
    ensure!(text(&mounted)? == "v");
    mounted.versions()?.remove("o").context("no version")
}

/// How many requests of this kind the provider sent to the API server.
async fn asked(provider: &ProviderProcess, verb: &str, code: &str) -> Result<f64> {
    let labels = [format!("verb=\"{verb}\""), format!("code=\"{code}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    sum(provider, "coffer_kube_requests_total", &labels).await
}

/// §14 hmac none, §5 -hmac-secret-name: the Secret is made with 32 bytes, immutable, under its name
#[test]
fn a_version_key_that_is_not_there_is_made() -> Result<()> {
    run(async {
        let (_, installed, secrets) = installed().await?;
        for (name, arguments, expected) in [
            ("vault", &[][..], NAME),
            ("openbao", &[][..], "openbao-csi-provider-hmac-key"),
            ("vault", &["-hmac-secret-name", "own-name"][..], "own-name"),
        ] {
            let provider = installed.start(name, arguments).await?;
            let made = secrets.get(expected).await?;
            let key = made
                .data
                .context("no data")?
                .remove("key")
                .context("no key")?;
            assert_eq!(
                (key.0.len(), made.immutable),
                (32, Some(true)),
                "{expected}"
            );
            ensure!(made.metadata.labels.is_none(), "{:?}", made.metadata.labels);
            assert_eq!(
                (
                    asked(&provider, "get", "404").await?,
                    asked(&provider, "create", "2xx").await?
                ),
                (1.0, 1.0)
            );
        }
        Ok(())
    })
}

/// §14 hmac exists: an existing key of any length is read once, and versions are those of its formula
#[test]
fn a_version_key_that_is_there_is_used() -> Result<()> {
    run(async {
        let (api, installed, _) = installed().await?;
        api.create_secret(&installed.namespace, NAME, &BTreeMap::from([("key", "k")]))
            .await?;
        let provider = installed.start("vault", &[]).await?;
        assert_eq!(asked(&provider, "create", "2xx").await?, 0.0);
        let (input, key) = (
            r#"{"ObjectName":"o","SecretPath":"secret/data/version-key","SecretKey":"k","Method":"","SecretArgs":null,"FilePermission":0,"Encoding":""}v"#,
            ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"k"),
        );
        let expected = base64::Engine::encode(
            &base64::prelude::BASE64_URL_SAFE,
            ring::hmac::sign(&key, input.as_bytes()),
        );
        assert_eq!(version(&provider).await?, expected);
        Ok(())
    })
}

/// §14 hmac lost race: of providers that start at once all use the key that won
#[test]
fn a_lost_race_for_the_version_key_takes_the_winners() -> Result<()> {
    run(async {
        let (_, installed, _) = installed().await?;
        let starts = (0..6).map(|_| installed.start("vault", &[]));
        let providers = futures_util::future::try_join_all(starts).await?;
        let (mut versions, mut made) = (Vec::new(), 0.0);
        for provider in &providers {
            versions.push(version(provider).await?);
            made += asked(provider, "create", "2xx").await?;
        }
        versions.dedup();
        assert_eq!((versions.len(), made), (1, 1.0));
        Ok(())
    })
}

/// §14 hmac missing key: a Secret without the key is told with its name, and pods start with empty versions
#[test]
fn a_version_key_without_its_entry_is_told() -> Result<()> {
    run(async {
        let (api, installed, _) = installed().await?;
        api.create_secret(
            &installed.namespace,
            NAME,
            &BTreeMap::from([("other", "x")]),
        )
        .await?;
        let mut provider = installed.start("vault", &[]).await?;
        assert_eq!(version(&provider).await?, "");
        let hint = format!("Secret {}/{NAME} has no data key", installed.namespace);
        has(
            &provider.whole_log().await?,
            &[&hint, "delete it, and a new one is made"],
        )
    })
}

/// §15 case 11: versions are the same in a new pod and on another node, and others after the Secret was deleted
#[test]
fn case_15_11_versions_last_until_the_secret_is_deleted() -> Result<()> {
    run(async {
        let (_, installed, secrets) = installed().await?;
        let arguments = ["--hmac-refresh", "1s"];
        let provider = installed.start("vault", &arguments).await?;
        let first = version(&provider).await?;
        assert_eq!(version(&provider).await?, first);
        let node = installed.start("vault", &arguments).await?;
        assert_eq!(version(&node).await?, first);
        secrets.delete(NAME, &DeleteParams::default()).await?;
        let second = eventually(SOON, "another version", async || {
            let version = version(&provider).await?;
            ensure!(version != first && !version.is_empty());
            Ok(version)
        })
        .await?;
        secrets
            .get(NAME)
            .await
            .context("the Secret is made again")?;
        eventually(SOON, "the same version on the other node", async || {
            ensure!(version(&node).await? == second);
            Ok(())
        })
        .await
    })
}
