//! Every folder of `examples/`, as a reader would use it: its script on a real store, its pod on a real API
//! server, its class in a Mount, the files against its `expected.yaml`.
//!
//! What is overridden is what a reader has to replace too: the store's address, and paths of TLS files.
//! The store is not the shared one, because the scripts use the names that stand in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::demo::example::{Example, read_class};
use coffer_tests::demo::script::{Script, store_environment};
use coffer_tests::driver::{MountOutcome, Pod, Volume};
use coffer_tests::fixture::{directory, repository};
use coffer_tests::provider::{ProviderProcess, binary};
use coffer_tests::vault::{JwtAuth, Policy, Vault};
use k8s_openapi::api::core::v1::{Pod as PodObject, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tempfile::TempDir;

use crate::stage::provider;
use crate::world;

/// Where the service accounts of the examples are, as their roles say.
const NAMESPACE: &str = "default";

/// The files that a folder may hold; another one has to be used by a test first.
const FILES: [&str; 7] = [
    "README.md",
    "class.yaml",
    "database.yaml",
    "enable.sh",
    "expected.yaml",
    "pod.yaml",
    "setup.sh",
];

#[test]
fn every_example_mounts_the_files_that_it_promises() -> Result<()> {
    world::run(async {
        let cluster = &world::cluster().await?.api;
        let place = Place::new(cluster).await?;
        let provider = provider(&[]).await?;
        let mut failed = Vec::new();
        for name in Example::names()? {
            let tried = match Example::read(&name) {
                Ok(example) => place.try_out(&example, &provider).await,
                Err(error) => Err(error),
            };
            if let Err(error) = tried {
                failed.push(format!("{name}: {error:#}"));
            }
        }
        if let Err(error) = place.try_out_database(&provider).await {
            failed.push(format!("leased/database.yaml: {error:#}"));
        }
        ensure!(
            failed.is_empty(),
            "{}\n{}",
            failed.join("\n"),
            provider.log()
        );
        Ok(())
    })
}

#[test]
fn every_class_and_pod_passes_the_check_without_problems() -> Result<()> {
    let mut manifests = Vec::new();
    for name in Example::names()? {
        let directory = Example::read(&name)?.directory;
        manifests.extend([directory.join("class.yaml"), directory.join("pod.yaml")]);
    }
    manifests.push(repository().join("examples/leased/database.yaml"));
    let checked = std::process::Command::new(binary("coffer-provider")?)
        .arg("check")
        .args(&manifests)
        .output()?;
    let report = String::from_utf8_lossy(&checked.stdout);
    ensure!(checked.status.success(), "{report}");
    ensure!(report.contains("\n0 problems, "), "{report}");
    // Examples are copied: the only remarks may be those on their address and TLS files.
    let remarks = report.lines().filter(|line| line.contains(": warning: "));
    let others: Vec<&str> = remarks
        .filter(|line| !line.contains("policy profile strict refuses"))
        .collect();
    ensure!(others.is_empty(), "{}", others.join("\n"));
    Ok(())
}

#[test]
fn every_folder_is_complete_listed_and_described() -> Result<()> {
    let list = fs::read_to_string(repository().join("examples/README.md"))?;
    for name in Example::names()? {
        let example = Example::read(&name)?;
        ensure!(
            list.contains(&format!("[{name}]({name})")),
            "{name} is not listed"
        );
        let readme = fs::read_to_string(example.directory.join("README.md"))?;
        for file in &example.expected {
            let row = format!("| `{}` | {}", file.path, file.mode);
            ensure!(
                readme.contains(&row),
                "README.md of {name} has no row {row:?}"
            );
        }
        for entry in fs::read_dir(&example.directory)? {
            let file = entry?.file_name();
            let known = FILES.iter().any(|known| file == *known);
            ensure!(known, "{name}/{} is not used by a test", file.display());
        }
    }
    Ok(())
}

/// The servers that stand behind the examples.
struct Place<'a> {
    cluster: &'a ApiServer,
    dev: Vault,
    /// For the folder `tls`; it asks for a client certificate as well.
    tls: Vault,
    issuer: JwtAuth,
    files: TempDir,
}

impl<'a> Place<'a> {
    async fn new(cluster: &'a ApiServer) -> Result<Self> {
        let (dev, tls) = tokio::try_join!(Vault::start(), Vault::start_tls(true))?;
        let place = Self {
            cluster,
            dev,
            tls,
            issuer: JwtAuth::new("https://kubernetes.default.svc.cluster.local")?,
            files: directory("examples")?,
        };
        let reviewer = "examples-reviewer";
        cluster.create_service_account(NAMESPACE, reviewer).await?;
        cluster
            .bind_cluster_role(NAMESPACE, reviewer, "system:auth-delegator")
            .await?;
        let token = cluster
            .create_token(NAMESPACE, reviewer, &[], None, 3600)
            .await?;
        for (name, text) in [
            ("ca.crt", cluster.authority()),
            ("reviewer.jwt", &token.jwt),
            ("cluster.pub", &place.issuer.public_pem()),
        ] {
            fs::write(place.files.path().join(name), text)?;
        }
        let enable = repository().join("examples/kubernetes-auth/enable.sh");
        for store in [&place.dev, &place.tls] {
            Script::run(&enable, &place.environment(store)?).await?;
        }
        Ok(place)
    }

    fn store_of(&self, example: &Example) -> &Vault {
        if example.name == "tls" {
            &self.tls
        } else {
            &self.dev
        }
    }

    /// What an operator would export before `setup.sh`.
    fn environment(&self, store: &Vault) -> Result<Vec<(String, String)>> {
        let mut environment = store_environment(store.address(), store.token())?;
        let mut add = |name: &str, value: PathBuf| {
            environment.push((name.to_owned(), value.display().to_string()));
        };
        add("KUBERNETES_HOST", self.cluster.url().into());
        add("KUBERNETES_CA", self.files.path().join("ca.crt"));
        add("REVIEWER_TOKEN", self.files.path().join("reviewer.jwt"));
        add("PUBLIC_KEY", self.files.path().join("cluster.pub"));
        if let Some(tls) = store.tls() {
            for prefix in ["BAO", "VAULT"] {
                add(&format!("{prefix}_CACERT"), tls.ca.clone());
                add(
                    &format!("{prefix}_CLIENT_CERT"),
                    tls.client_certificate.clone(),
                );
                add(&format!("{prefix}_CLIENT_KEY"), tls.client_key.clone());
            }
        }
        Ok(environment)
    }

    async fn try_out(&self, example: &Example, provider: &ProviderProcess) -> Result<()> {
        let store = self.store_of(example);
        let environment = self.environment(store)?;
        example.set_up(&environment).await?;
        // Every script says that it is safe to repeat.
        example.set_up(&environment).await?;
        let pod = self.create(example).await?;
        let mounted = self.mount(example, pod, provider).await;
        let pods = Api::<PodObject>::namespaced(self.cluster.client(), NAMESPACE);
        pods.delete(&example.name, &DeleteParams::default().grace_period(0))
            .await?;
        mounted
    }

    /// Applies `pod.yaml`.
    async fn create(&self, example: &Example) -> Result<Pod> {
        let (client, how) = (self.cluster.client(), PostParams::default());
        let account: ServiceAccount = serde_json::from_value(example.service_account.clone())?;
        let accounts = Api::namespaced(client.clone(), NAMESPACE);
        accounts.create(&how, &account).await?;
        let pod: PodObject = serde_json::from_value(example.pod.clone())?;
        let made = Api::namespaced(client, NAMESPACE)
            .create(&how, &pod)
            .await?;
        Ok(Pod {
            name: example.name.clone(),
            namespace: NAMESPACE.to_owned(),
            uid: made.metadata.uid.context("a pod without uid")?,
            service_account: example.name.clone(),
        })
    }

    async fn mount(&self, example: &Example, pod: Pod, provider: &ProviderProcess) -> Result<()> {
        let token = if example.name == "jwt-auth" {
            self.issuer.mint(&pod, "vault", 900)?
        } else {
            self.cluster
                .create_token(NAMESPACE, &example.name, &["vault"], Some(&pod), 900)
                .await?
        };
        let volume = self.replaced(example, example.volume(pod).with_token(token))?;
        let driver = provider.driver()?;
        let first = driver.mount(&volume.first_mount()).await?;
        let files = found(&first)?;
        example.verify(&files)?;
        if let Some(key) = files.get("tls.key") {
            let (_, certificate) = files.get("tls.crt").context("a key without certificate")?;
            ensure!(
                belong_together(certificate, &key.1)?,
                "the key is another certificate's"
            );
        }
        let again = driver.mount(&volume.rotation(&[])).await?;
        ensure!(found(&again)? == files, "a republish gave other files");
        ensure!(
            again.versions()? == first.versions()?,
            "a republish gave other versions"
        );
        Ok(())
    }

    /// The variant of `leased` for a database, set up by the commands of its README, after `leased` itself.
    async fn try_out_database(&self, provider: &ProviderProcess) -> Result<()> {
        let postgres = world::postgres().await?;
        let leased = Example::read("leased")?;
        let commands = commands(&fs::read_to_string(leased.directory.join("README.md"))?)?;
        let here = format!("{}/postgres", postgres.address());
        let script = self.files.path().join("database.sh");
        let commands = replace(&commands, "postgres.shop:5432/shop", &here)?;
        let commands = replace(&commands, "username=store", "username=admin")?;
        let password = format!("password={}", postgres.password());
        fs::write(&script, replace(&commands, "password=…", &password)?)?;
        Script::run(&script, &self.environment(&self.dev)?).await?;
        let rights = Policy::read(&["database/creds/shop"]);
        self.dev.policy(&leased.name, &rights).await?;

        let class = read_class(&leased.directory.join("database.yaml"))?;
        let (pod, account) = (&class.name, &leased.name);
        let pod = self.cluster.create_pod(NAMESPACE, pod, account).await?;
        let token = self
            .cluster
            .create_token(NAMESPACE, account, &["vault"], Some(&pod), 900)
            .await?;
        let volume = Volume::new(pod, class)
            .with_token(token)
            .with_attribute("vaultAddress", self.dev.address());
        let driver = provider.driver()?;
        let first = driver.mount(&volume.first_mount()).await?;
        let files = found(&first)?;
        let modes: Vec<(&str, u32)> = files
            .iter()
            .map(|(path, file)| (&path[..], file.0))
            .collect();
        ensure!(
            modes == [("password", 0o400), ("username", 0o644)],
            "{modes:?}"
        );
        let text = |path: &str| String::from_utf8_lossy(&files[path].1).into_owned();
        postgres.log_in(&text("username"), &text("password"))?;
        let again = driver.mount(&volume.rotation(&[])).await?;
        ensure!(found(&again)? == files, "a republish gave another user");
        Ok(())
    }

    /// Replaces what differs from place to place: as the reader's class would say it, by volume attributes.
    fn replaced(&self, example: &Example, volume: Volume) -> Result<Volume> {
        let store = self.store_of(example);
        let mut volume = volume.with_attribute("vaultAddress", store.address());
        let Some(tls) = store.tls() else {
            return Ok(volume);
        };
        let text = fs::read_to_string(example.directory.join("class.yaml"))?;
        for (key, value) in [
            ("vaultCACertPath", tls.ca.clone()),
            ("vaultTLSServerName", "localhost".into()),
            ("vaultTLSClientCertPath", tls.client_certificate.clone()),
            ("vaultTLSClientKeyPath", tls.client_key.clone()),
        ] {
            // The client's certificate stands in comments.
            ensure!(
                text.contains(&format!("{key}: ")),
                "the class does not show {key}"
            );
            volume = volume.with_attribute(key, &value.display().to_string());
        }
        Ok(volume)
    }
}

/// The one block of shell commands of a README.
fn commands(readme: &str) -> Result<String> {
    let (_, block) = readme.split_once("```sh\n").context("no commands")?;
    let (block, _) = block.split_once("```").context("no end of the commands")?;
    Ok(format!(
        "set -eu\ncommand -v bao >/dev/null || bao() {{ vault \"$@\"; }}\n{block}"
    ))
}

/// What a reader puts in the place of an example's own value, which must stand there.
fn replace(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "{from:?} is not in: {text}");
    Ok(text.replace(from, to))
}

/// Mode and content by path.
fn found(outcome: &MountOutcome) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
    let files = outcome.response()?.files.iter();
    files
        .map(|file| {
            let mode = u32::try_from(file.mode)?;
            Ok((file.path.clone(), (mode, file.contents.to_vec())))
        })
        .collect()
}

fn belong_together(certificate: &[u8], key: &[u8]) -> Result<bool> {
    let certificate = CertificateDer::from_pem_slice(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let pair = CertifiedKey::new(vec![certificate], any_supported_type(&key)?);
    Ok(pair.keys_match().is_ok())
}
