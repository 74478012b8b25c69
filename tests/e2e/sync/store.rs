//! The whole way: a real store, the real provider on the controller's socket, and a Secret of what the store holds.
//!
//! The controller requests the token that the provider logs in with, and the store has this cluster review it. What
//! mounts make of a store is elsewhere.

/// What else may happen to such a Secret.
mod tour;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::tls::install_crypto;
use coffer_tests::vault::Vault;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::outages::{arrives, is_well, renewed, serves_last_good, untouched};
use super::{Scene, keys, value};
use crate::engines::pki;
use crate::stage::{object, settled, unique};
use crate::sync_objects::{stored, with};
use crate::world::{everything, run, store};

/// A poll that comes every half minute, give or take a tenth, and room for a busy machine.
const POLL: Duration = Duration::from_secs(75);

/// A scene whose controller requests tokens for the store's provider.
async fn scene() -> Result<Scene> {
    Scene::plain(&["--audience", "vault=vault"]).await
}

/// A store that lets the scene's account in as role `app`.
struct Login<'v> {
    vault: &'v Vault,
    mount: String,
}

impl<'v> Login<'v> {
    async fn new(scene: &Scene, vault: &'v Vault) -> Result<Self> {
        let mount = unique("kubernetes");
        scene.ground.api.trusted_by(vault, &mount).await?;
        vault.policy("everything", &everything()).await?;
        let role = json!({
            "bound_service_account_names": "app",
            "bound_service_account_namespaces": scene.namespace,
            "audience": "vault",
            "token_policies": "everything",
            "token_ttl": "20m",
        });
        vault
            .write(&format!("auth/{mount}/role/app"), &role)
            .await?;
        Ok(Self { vault, mount })
    }

    /// The class `c` of these objects.
    async fn class(&self, scene: &Scene, objects: &str) -> Result<Value> {
        self.class_named(scene, "c", objects).await
    }

    /// A class of these objects.
    async fn class_named(&self, scene: &Scene, name: &str, objects: &str) -> Result<Value> {
        let parameters = json!({
            "roleName": "app",
            "vaultAddress": self.vault.address(),
            "vaultAuthMountPath": self.mount,
            "objects": objects,
        });
        scene
            .create(json!({
                "apiVersion": "secrets-store.csi.x-k8s.io/v1",
                "kind": "SecretProviderClass",
                "metadata": {"name": name},
                "spec": {"provider": "vault", "parameters": parameters},
            }))
            .await
    }
}

/// A secret of the store, of which object `o` is the key `k`.
struct Kept<'v> {
    vault: &'v Vault,
    name: String,
}

impl<'v> Kept<'v> {
    async fn new(vault: &'v Vault, text: &str) -> Result<Self> {
        let name = unique("sync");
        let kept = Self { vault, name };
        kept.becomes(text).await?;
        Ok(kept)
    }

    async fn becomes(&self, text: &str) -> Result<()> {
        let data = json!({"k": text});
        self.vault.kv2_put("secret", &self.name, &data).await
    }

    fn objects(&self) -> String {
        object("o", &format!("secret/data/{}", self.name), "secretKey: k")
    }
}

/// The provider on the socket where the controller looks for it; it needs no API server.
async fn provider(scene: &Scene) -> Result<ProviderProcess> {
    let alone = ["--kubeconfig", "off", "--hmac-source", "generate"];
    let socket = scene.sockets.of("vault");
    settled(ProviderProcess::start_on(&socket, &alone, &[]).await?).await
}

/// An Opaque Secret of object `o`.
fn opaque(scene: &Scene) -> Value {
    scene.sync_of("a", "Opaque", &[("o", "k")])
}

/// Fails if one of these texts, or any token, was written where people read.
async fn kept_secret(
    scene: &Scene,
    sync: &Value,
    provider: &mut ProviderProcess,
    texts: &[&str],
) -> Result<()> {
    let events = scene.events("a").await?;
    let now = stored(&scene.ground.admin, sync).await?;
    let places = [
        ("the log of the controller", scene.controller.log()),
        ("the log of the provider", provider.whole_log().await?),
        ("the metrics", scene.controller.ask("/metrics").await?.1),
        (
            "the list of objects",
            scene.controller.ask("/objects").await?.1,
        ),
        ("the Events", format!("{events:?}")),
        ("the SecretSync", now.to_string()),
    ];
    for (place, found) in &places {
        ensure!(!found.is_empty(), "{place}: there is nothing");
        for text in texts {
            ensure!(!found.contains(text), "{text} stands in {place}");
        }
        // How every JWT begins.
        ensure!(!found.contains("eyJhbGciOi"), "a token stands in {place}");
    }
    Ok(())
}

/// Sync §4, §5: created, and rotated by the poll alone.
#[test]
fn a_secret_of_a_store_is_created_and_follows_it_at_the_next_poll() -> Result<()> {
    run(async {
        let (scene, vault) = (scene().await?, &store().await?.vault);
        let login = Login::new(&scene, vault).await?;
        let mut provider = provider(&scene).await?;
        let (old, new) = (unique("canary"), unique("canary"));
        let kept = Kept::new(vault, &old).await?;
        login.class(&scene, &kept.objects()).await?;
        let often = json!({"coffer.rs/refresh-interval": "30s"});
        let sync = with(opaque(&scene), "/metadata/annotations", often);
        let sync = scene.create(sync).await?;
        let before = scene.holds("a", "k", old.as_bytes()).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("polled every 30s"), "{message}");

        kept.becomes(&new).await?;
        eventually(POLL, "a poll", async || {
            let secret = scene.secret("a").await?.context("there is no Secret")?;
            ensure!(value(&secret, "k").as_deref() == Some(new.as_bytes()));
            ensure!(secret["metadata"]["uid"] == before["metadata"]["uid"]);
            Ok(())
        })
        .await
        .with_context(|| scene.controller.log())?;
        is_well(&scene, &sync).await?;
        kept_secret(&scene, &sync, &mut provider, &[&old, &new]).await
    })
}

/// Sync §4, §15: a provider that is killed and started again, first with the same value behind it, then with another.
#[test]
fn a_provider_that_is_killed_and_started_again_costs_no_secret_a_byte() -> Result<()> {
    run(async {
        let (scene, vault) = (scene().await?, &store().await?.vault);
        let login = Login::new(&scene, vault).await?;
        let mut first = provider(&scene).await?;
        let (old, new) = (unique("canary"), unique("canary"));
        let kept = Kept::new(vault, &old).await?;
        let class = login.class(&scene, &kept.objects()).await?;
        let sync = scene.create(opaque(&scene)).await?;
        let before = scene.holds("a", "k", old.as_bytes()).await?;
        is_well(&scene, &sync).await?;

        first.kill()?;
        renewed(&scene, &class).await?;
        serves_last_good(&scene, &sync, "ProviderError").await?;
        untouched(&scene, &before).await?;
        let mut second = provider(&scene).await?;
        scene.force(&sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await?;
        scene.told("a", "SyncRecovered").await?;

        second.kill()?;
        renewed(&scene, &class).await?;
        serves_last_good(&scene, &sync, "ProviderError").await?;
        kept.becomes(&new).await?;
        let mut third = provider(&scene).await?;
        scene.force(&sync).await?;
        let after = arrives(&scene, "a", "k", new.as_bytes()).await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        is_well(&scene, &sync).await?;
        kept_secret(&scene, &sync, &mut third, &[&old, &new]).await
    })
}

/// Sync §15: a store that is sealed and unsealed, then killed and started again with another value.
#[test]
fn a_store_that_is_away_costs_no_secret_a_byte() -> Result<()> {
    run(async {
        let scene = scene().await?;
        let mut vault = Vault::start_lasting().await?;
        let (old, new) = (unique("canary"), unique("canary"));
        let name = Kept::new(&vault, &old).await?.name;
        let objects = object("o", &format!("secret/data/{name}"), "secretKey: k");
        let login = Login::new(&scene, &vault).await?;
        let class = login.class(&scene, &objects).await?;
        let mut provider = provider(&scene).await?;
        let sync = scene.create(opaque(&scene)).await?;
        let before = scene.holds("a", "k", old.as_bytes()).await?;
        is_well(&scene, &sync).await?;

        vault.seal().await?;
        renewed(&scene, &class).await?;
        serves_last_good(&scene, &sync, "ProviderError").await?;
        untouched(&scene, &before).await?;
        vault.unseal().await?;
        scene.force(&sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await?;

        vault.kill()?;
        renewed(&scene, &class).await?;
        serves_last_good(&scene, &sync, "ProviderError").await?;
        untouched(&scene, &before).await?;
        vault.start_again().await?;
        vault.unseal().await?;
        let data = json!({"k": new});
        vault.kv2_put("secret", &name, &data).await?;
        scene.force(&sync).await?;
        let after = arrives(&scene, "a", "k", new.as_bytes()).await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        is_well(&scene, &sync).await?;
        kept_secret(&scene, &sync, &mut provider, &[&old, &new]).await
    })
}

/// Types §5, row `tls.json`: a pair that a PKI issued as one, with its authority; another one for another question.
#[test]
fn a_pair_of_a_pki_becomes_a_tls_secret() -> Result<()> {
    run(async {
        let (scene, vault) = (scene().await?, &store().await?.vault);
        let login = Login::new(&scene, vault).await?;
        let mut provider = provider(&scene).await?;
        let mount = pki(vault).await?;
        let objects = |hours: u32| {
            let arguments = format!(
                "method: PUT, secretArgs: {{common_name: test.example.com, ttl: {hours}h}}"
            );
            object("bundle", &format!("{mount}/issue/test"), &arguments)
        };
        let class = login.class(&scene, &objects(24)).await?;
        let sync = scene.sync_of("a", "kubernetes.io/tls", &[("bundle", "tls.json")]);
        let sync = scene.create(sync).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("; expires "), "{message}");
        ensure!(!message.contains("advice"), "{message}");
        let first = scene.secret("a").await?.context("there is no Secret")?;
        ensure!(first["type"] == "kubernetes.io/tls");
        ensure!(keys(&first) == ["ca.crt", "tls.crt", "tls.key"]);
        is_pair(&first)?;
        let root = vault.read(&format!("{mount}/cert/ca")).await?;
        let root = root["data"]["certificate"].as_str().context("no root")?;
        let authority = value(&first, "ca.crt").unwrap_or_default();
        ensure!(authority.trim_ascii() == root.trim().as_bytes());

        let parameters = json!({"spec": {"parameters": {"objects": objects(23)}}});
        scene.merge(&class, &parameters).await?;
        let another = |secret: &Value| value(secret, "tls.crt") != value(&first, "tls.crt");
        let second = scene.until("a", "another pair", another).await?;
        is_pair(&second)?;
        ensure!(second["metadata"]["uid"] == first["metadata"]["uid"]);
        is_well(&scene, &sync).await?;
        let secret_lines = |secret: &Value| -> Vec<String> {
            let key = value(secret, "tls.key").unwrap_or_default();
            let text = String::from_utf8_lossy(&key).into_owned();
            let lines = text.lines().filter(|line| line.len() == 64);
            lines.map(str::to_owned).collect()
        };
        let lines = [secret_lines(&first), secret_lines(&second)].concat();
        ensure!(!lines.is_empty(), "a key without lines");
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        kept_secret(&scene, &sync, &mut provider, &lines).await
    })
}

/// Fails unless a TLS server could serve with it: one certificate, and the key that belongs to it.
fn is_pair(secret: &Value) -> Result<()> {
    install_crypto();
    let crt = value(secret, "tls.crt").context("no tls.crt")?;
    let key = value(secret, "tls.key").context("no tls.key")?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&crt).collect::<Result<_, _>>()?;
    ensure!(chain.len() == 1, "{} certificates", chain.len());
    let key = PrivateKeyDer::from_pem_slice(&key)?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(())
}
