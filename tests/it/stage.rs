//! What nearly every case needs: a scripted store, an issuer of tokens, a provider that knows its keys, the driver.
//!
//! Only the set-up and short words for it; what should happen is asserted in the cases.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use coffer_provider::dns::Nameservers;
use coffer_tests::driver::{Class, Driver, MountOutcome, Pod, Volume};
use coffer_tests::fixture::directory;
use coffer_tests::in_process::InProcess;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::{Arrived, Reply, ScriptedStore};
use coffer_tests::vault::JwtAuth;
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;

/// The audience that the driver's tokens are for.
pub(crate) const AUDIENCE: &str = "vault";

/// A class with one object `a`: key `k` of `secret/data/a`.
pub(crate) const ONE: &str = "- {objectName: a, secretPath: secret/data/a, secretKey: k}";

/// Everything of one case; it ends on drop.
pub(crate) struct Stage {
    pub(crate) store: ScriptedStore,
    pub(crate) issuer: JwtAuth,
    pub(crate) provider: ProviderProcess,
    pub(crate) driver: Driver,
    /// Holds the issuer's keys as long as the provider may read them.
    _keys: TempDir,
    arguments: Vec<String>,
}

impl Stage {
    /// A provider that can prove the issuer's tokens, and a store with `k` = `v` at `secret/data/a`.
    pub(crate) async fn set() -> Result<Self> {
        Self::with(&[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn with(arguments: &[&str]) -> Result<Self> {
        Self::build(arguments, &[], true).await
    }

    /// The same in another environment, such as `DEFAULT_MEMORY`.
    pub(crate) async fn with_environment(
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        Self::build(arguments, environment, true).await
    }

    /// A provider that can prove no token.
    pub(crate) async fn without_keys(arguments: &[&str]) -> Result<Self> {
        Self::build(arguments, &[], false).await
    }

    async fn build(arguments: &[&str], environment: &[(&str, &str)], keys: bool) -> Result<Self> {
        let store = ScriptedStore::start().await?;
        store.put("secret/data/a", json!({"k": "v"}));
        let issuer = JwtAuth::new("https://issuer.example")?;
        let place = directory("jwks")?;
        let jwks = place.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks().to_string())?;
        let address = store.address();
        let jwks = jwks.to_str().context("a directory that is not UTF-8")?;
        let mut all = vec!["-kubeconfig", "off", "-vault-addr", &address];
        if keys {
            all.extend(["-jwks-file", jwks]);
        }
        all.extend(arguments);
        let arguments = all.iter().map(|&one| one.to_owned()).collect();
        let provider = ProviderProcess::start(&all, environment).await?;
        let driver = provider.driver()?;
        Ok(Self {
            store,
            issuer,
            provider,
            driver,
            _keys: place,
            arguments,
        })
    }

    /// Starts the provider again, with the same arguments, after it has ended.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.provider = self.another().await?;
        self.driver = self.provider.driver()?;
        Ok(())
    }

    /// Another provider with the same arguments, as while one version takes over from another.
    pub(crate) async fn another(&self) -> Result<ProviderProcess> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let provider = ProviderProcess::start(&arguments, &[]).await?;
        provider.settled().await?;
        Ok(provider)
    }

    /// A volume of a new pod of `shop/web` with a token of its own.
    pub(crate) fn volume(&self, objects: &str) -> Result<Volume> {
        self.volume_of("web", class(objects))
    }

    /// A volume of a new pod of another account, with any class.
    pub(crate) fn volume_of(&self, account: &str, class: Class) -> Result<Volume> {
        let pod = Pod::new("shop", "pod")?.with_service_account(account);
        let token = self.issuer.mint(&pod, AUDIENCE, 3600)?;
        Ok(Volume::new(pod, class).with_token(token))
    }

    /// Publishes as at a pod's start; the reply is judged as the driver should.
    pub(crate) async fn mount(&self, volume: &Volume) -> Result<MountOutcome> {
        self.driver.mount(&volume.first_mount()).await
    }

    /// The contents of the one file of a mount that succeeds.
    pub(crate) async fn content(&self, volume: &Volume) -> Result<String> {
        let files = self.mount(volume).await?.files()?;
        let (_, bytes) = files.first_key_value().context("no file")?;
        Ok(String::from_utf8(bytes.to_vec())?)
    }

    /// The text of a mount that fails with this code and for this reason.
    pub(crate) async fn refused(
        &self,
        volume: &Volume,
        code: Code,
        reason: &str,
    ) -> Result<String> {
        let outcome = self.mount(volume).await?;
        check_failure(&outcome, code, reason)
    }

    /// The logins that arrived.
    pub(crate) fn login_requests(&self) -> Vec<Arrived> {
        let requests = self.store.requests();
        requests.into_iter().filter(Arrived::is_login).collect()
    }

    /// How many requests went to a path below `/v1/`.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.store.count(&format!("/v1/{path}"))
    }
}

/// The same with the provider in this process, whose clock the case moves.
pub(crate) struct Simulation {
    pub(crate) store: ScriptedStore,
    pub(crate) issuer: JwtAuth,
    pub(crate) provider: InProcess,
    /// Holds the issuer's keys as long as the provider may read them.
    keys: TempDir,
}

async fn in_process(
    store: &ScriptedStore,
    jwks: &Path,
    nameservers: Nameservers,
    options: &[(&str, &str)],
) -> Result<InProcess> {
    let jwks = jwks.to_str().context("a directory that is not UTF-8")?;
    let address = store.address();
    let mut all = vec![("vault-addr", address.as_str()), ("jwks-file", jwks)];
    all.extend(options);
    InProcess::asking(nameservers, &all).await
}

impl Simulation {
    /// A store with `k` = `v` at `secret/data/a`, and a provider with further options.
    pub(crate) async fn set(options: &[(&str, &str)]) -> Result<Self> {
        Self::asking(Nameservers::System, options).await
    }

    /// The same with SRV records of nameservers that the machine does not know.
    pub(crate) async fn asking(nameservers: Nameservers, options: &[(&str, &str)]) -> Result<Self> {
        let store = ScriptedStore::start().await?;
        store.put("secret/data/a", json!({"k": "v"}));
        let issuer = JwtAuth::new("https://issuer.example")?;
        let place = directory("jwks")?;
        let jwks = place.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks().to_string())?;
        let provider = in_process(&store, &jwks, nameservers, options).await?;
        Ok(Self {
            store,
            issuer,
            provider,
            keys: place,
        })
    }

    /// Another provider with the same store, which remembers nothing.
    pub(crate) async fn restarted(&self, options: &[(&str, &str)]) -> Result<InProcess> {
        let jwks = self.keys.path().join("jwks.json");
        in_process(&self.store, &jwks, Nameservers::System, options).await
    }

    /// A volume of a new pod of an account, with a token that outlives every simulation.
    pub(crate) fn volume(&self, account: &str, class: Class) -> Result<Volume> {
        let pod = Pod::new("shop", "pod")?.with_service_account(account);
        let token = self.issuer.mint(&pod, AUDIENCE, 7 * 24 * 3600)?;
        Ok(Volume::new(pod, class).with_token(token))
    }

    /// The volume with a token that kubelet has renewed; it has a longer life in the simulation's time.
    pub(crate) fn renewed(&self, volume: &Volume) -> Result<Volume> {
        let token = self.issuer.mint(&volume.pod, AUDIENCE, 8 * 24 * 3600)?;
        Ok(Volume {
            tokens: Some(vec![token]),
            ..volume.clone()
        })
    }

    /// The line of a mount that fails.
    pub(crate) async fn fault(&self, volume: &Volume) -> Result<String> {
        let mounted = self.provider.mount(&volume.first_mount()).await;
        Ok(mounted.err().context("mounted")?.to_string())
    }

    /// Names and contents of the files of a mount that succeeds.
    pub(crate) async fn mount(&self, volume: &Volume) -> Result<Vec<(String, String)>> {
        let mounted = self.provider.mount(&volume.first_mount()).await;
        let files = mounted.map_err(|fault| anyhow!("{fault}"))?.files;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(files
            .iter()
            .map(|file| (file.path.clone(), text(file.contents.expose())))
            .collect())
    }

    /// How many requests went to a path below `/v1/`.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.store.count(&format!("/v1/{path}"))
    }
}

/// A class with role `app`.
pub(crate) fn class(objects: &str) -> Class {
    Class::new("class")
        .with("roleName", "app")
        .with("objects", objects)
}

/// Objects `o0`, `o1`, … that read key `k` of `secret/data/0`, `secret/data/1`, …
pub(crate) fn many(count: usize) -> String {
    let mut objects = String::new();
    for at in 0..count {
        let line = format!("- {{objectName: o{at}, secretPath: secret/data/{at}, secretKey: k}}\n");
        objects.push_str(&line);
    }
    objects
}

/// The text of a failed mount, which is one line that fits into an Event and ends with its reason.
pub(crate) fn check_failure(outcome: &MountOutcome, code: Code, reason: &str) -> Result<String> {
    let status = outcome.failure()?;
    let text = status.message();
    ensure!(status.code() == code, "{:?}: {text}", status.code());
    ensure!(text.ends_with(&format!("[{reason}]")), "{text}");
    ensure!(text.len() < 1024, "{} bytes: {text}", text.len());
    ensure!(!text.chars().any(char::is_control), "{text:?}");
    Ok(text.to_owned())
}

/// A reply with a lease and a user name.
pub(crate) fn leased(lease: &str, user: &str, seconds: u64) -> Reply {
    let document = json!({
        "request_id": user, "lease_id": lease, "renewable": true, "lease_duration": seconds,
        "data": {"username": user, "password": format!("password of {user}")},
        "wrap_info": null, "warnings": null, "auth": null,
    });
    Reply::json(200, &document)
}

/// A row per failed expectation, so that one run names them all.
#[derive(Default)]
pub(crate) struct Failures(String);

impl Failures {
    /// Notes an error under its row.
    pub(crate) fn note<T>(&mut self, row: &str, outcome: Result<T>) {
        if let Err(error) = outcome {
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{row}: {error:#}");
        }
    }

    /// Fails when anything was noted.
    pub(crate) fn none(self) -> Result<()> {
        ensure!(self.0.is_empty(), "{}", self.0);
        Ok(())
    }
}
