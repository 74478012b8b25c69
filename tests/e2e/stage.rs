//! What most cases begin with: a provider without an API server, a class for the shared store, a mount.
//!
//! Cases about the API server set their provider up in `cluster`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{Class, MountOutcome, Pod, ServiceToken, Volume};
use coffer_tests::fixture::random_hex;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::ScriptedStore;
use serde_json::Value;

use crate::world::Store;

/// How long a provider may take for what it does beside the mounts.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A provider that knows no API server and makes its version key itself.
pub(crate) async fn provider(arguments: &[&str]) -> Result<ProviderProcess> {
    provider_as("vault", arguments, &[]).await
}

/// The same under another name and with an environment.
pub(crate) async fn provider_as(
    name: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<ProviderProcess> {
    let alone = ["--kubeconfig", "off", "--hmac-source", "generate"];
    let arguments = [&alone, arguments].concat();
    settled(ProviderProcess::start_as(name, &arguments, environment).await?).await
}

/// Waits until a provider is ready, so that its version key is there.
pub(crate) async fn settled(provider: ProviderProcess) -> Result<ProviderProcess> {
    provider.settled().await?;
    Ok(provider)
}

/// A name of one's own on a shared server.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}", random_hex(4).unwrap_or_default())
}

/// One object of a class as YAML: `{objectName: <name>, secretPath: <path>, <rest>}`.
pub(crate) fn object(name: &str, path: &str, rest: &str) -> String {
    format!("- {{objectName: \"{name}\", secretPath: \"{path}\", {rest}}}\n")
}

impl Store {
    /// A class for the role `csi` of this store.
    pub(crate) fn class(&self, objects: &str) -> Class {
        Class::new("c")
            .with("roleName", "csi")
            .with("vaultAddress", self.vault.address())
            .with("vaultAuthMountPath", &self.mount)
            .with("objects", objects)
    }

    /// A class with one object `o` that is the key `k` of the secret at `path`.
    pub(crate) fn class_of(&self, path: &str) -> Class {
        self.class(&object("o", path, "secretKey: k"))
    }

    /// A volume of a new pod, with a token for the audience `vault`.
    pub(crate) fn volume(&self, class: Class) -> Result<Volume> {
        let pod = Pod::new("default", "p")?;
        let token = self.issuer.mint(&pod, "vault", 900)?;
        Ok(Volume::new(pod, class).with_token(token))
    }

    /// Mounts a class in a new pod.
    pub(crate) async fn mount(
        &self,
        provider: &ProviderProcess,
        class: Class,
    ) -> Result<MountOutcome> {
        mount(provider, &self.volume(class)?).await
    }

    /// Sets a KV v2 secret of its own; its path as a class has it.
    pub(crate) async fn secret(&self, name: &str, data: &Value) -> Result<String> {
        let name = unique(name);
        self.vault.kv2_put("secret", &name, data).await?;
        Ok(format!("secret/data/{name}"))
    }
}

/// Mounts a volume for the first time; the log of the provider stands in the error.
pub(crate) async fn mount(provider: &ProviderProcess, volume: &Volume) -> Result<MountOutcome> {
    let mounted = provider.driver()?.mount(&volume.first_mount()).await;
    mounted.with_context(|| provider.log())
}

/// Mounts a volume once more, for the same files and versions.
pub(crate) async fn stays(
    provider: &ProviderProcess,
    volume: &Volume,
    first: &MountOutcome,
) -> Result<()> {
    let again = mount(provider, volume).await?;
    assert_eq!(
        (texts(&again)?, again.versions()?),
        (texts(first)?, first.versions()?)
    );
    Ok(())
}

/// The files of a mount that should have succeeded, as texts.
pub(crate) fn texts(outcome: &MountOutcome) -> Result<BTreeMap<String, String>> {
    let files = outcome.files()?.into_iter();
    let text = |bytes: bytes::Bytes| String::from_utf8_lossy(&bytes).into_owned();
    Ok(files.map(|(path, bytes)| (path, text(bytes))).collect())
}

/// The file `o` as a text.
pub(crate) fn text(outcome: &MountOutcome) -> Result<String> {
    texts(outcome)?.remove("o").context("there is no file `o`")
}

/// The text of a mount that should have failed, with its code in front: `InvalidArgument: …`.
pub(crate) fn failure(outcome: &MountOutcome) -> Result<String> {
    let status = outcome.failure()?;
    ensure!(
        !status.message().contains('\n'),
        "more than one line: {status:?}"
    );
    Ok(format!("{:?}: {}", status.code(), status.message()))
}

/// Fails unless the text has all parts.
pub(crate) fn has(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in: {text}");
    }
    Ok(())
}

/// A class for a scripted store, which lets everybody in.
pub(crate) fn scripted_class(store: &ScriptedStore, objects: &str) -> Class {
    Class::new("c")
        .with("roleName", "csi")
        .with("vaultAddress", &store.address())
        .with("objects", objects)
}

/// A volume of a new pod with a token that nobody verifies.
pub(crate) fn scripted_volume(class: Class) -> Result<Volume> {
    let volume = Volume::new(Pod::new("default", "p")?, class);
    Ok(volume.with_token(ServiceToken::new("vault", "not.a.jwt")))
}
