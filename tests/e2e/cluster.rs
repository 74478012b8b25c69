//! What the provider does with a real API server, and what it does without one on the mount path.
//!
//! The version key is in `version_key`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::driver::{Class, Pod, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::{DEFAULT_MEMORY, ProviderProcess};
use coffer_tests::vault::Policy;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::stage::{SOON, failure, has, mount, object, settled, text, unique};
use crate::world::{Cluster, cluster, everything, run, store};

/// Where a provider is installed: its namespace and its account's kubeconfig.
pub(crate) struct Installed {
    pub namespace: String,
    pub kubeconfig: PathBuf,
}

/// What the provider's account may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nothing that not every account may do.
    None,
    /// Read and make the Secret of the version key.
    Secret,
    /// That, and request tokens.
    SecretAndTokens,
}

/// Makes the provider's namespace and account, and waits until its rights hold.
pub(crate) async fn install(api: &ApiServer, rights: Rights) -> Result<Installed> {
    let namespace = unique("provider");
    api.create_namespace(&namespace).await?;
    let mut probes = Vec::new();
    if rights != Rights::None {
        let rules = json!([
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["vault-csi-provider-hmac-key", "openbao-csi-provider-hmac-key", "own-name"]},
        ]);
        api.bind(&namespace, "default", "coffer", &rules).await?;
        probes.push("secrets");
    }
    if rights == Rights::SecretAndTokens {
        let rules = json!([{"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}]);
        api.bind_cluster(&namespace, "default", &namespace, &rules)
            .await?;
        probes.push("serviceaccounts/token");
    }
    let client = api.client_for(&namespace, "default").await?;
    for resource in probes {
        eventually(SOON, "the account's rights", async || {
            ensure!(ApiServer::allowed(client.clone(), &namespace, "create", resource).await?);
            Ok(())
        })
        .await?;
    }
    let kubeconfig = api.kubeconfig_for(&namespace, "default").await?;
    Ok(Installed {
        namespace,
        kubeconfig,
    })
}

impl Installed {
    /// Starts the provider that is installed here and waits until it is ready.
    pub(crate) async fn start(&self, name: &str, arguments: &[&str]) -> Result<ProviderProcess> {
        settled(self.launch(name, arguments).await?).await
    }

    /// Starts it and waits only until it answers.
    pub(crate) async fn launch(&self, name: &str, arguments: &[&str]) -> Result<ProviderProcess> {
        let kubeconfig = self
            .kubeconfig
            .to_str()
            .context("a path that is not UTF-8")?;
        let ours = ["--kubeconfig", kubeconfig, "--namespace", &self.namespace];
        let arguments = [&ours, arguments].concat();
        ProviderProcess::start_as(name, &arguments, &[]).await
    }

    /// Starts it as it ships, with its memory, and waits until it is ready.
    pub(crate) async fn start_as_shipped(&self, name: &str) -> Result<ProviderProcess> {
        let kubeconfig = self
            .kubeconfig
            .to_str()
            .context("a path that is not UTF-8")?;
        let arguments = ["--kubeconfig", kubeconfig, "--namespace", &self.namespace];
        settled(ProviderProcess::start_as(name, &arguments, &DEFAULT_MEMORY).await?).await
    }
}

impl Cluster {
    /// A provider that is installed in this cluster with these rights and is ready.
    pub(crate) async fn provider(&self, rights: Rights) -> Result<ProviderProcess> {
        install(&self.api, rights).await?.start("vault", &[]).await
    }

    /// A role of the store for one namespace and account; without audience it binds none.
    pub(crate) async fn role(
        &self,
        name: &str,
        namespace: &str,
        account: &str,
        audience: Option<&str>,
    ) -> Result<()> {
        self.role_with(name, namespace, account, audience, "everything")
            .await
    }

    async fn role_with(
        &self,
        name: &str,
        namespace: &str,
        account: &str,
        audience: Option<&str>,
        policy: &str,
    ) -> Result<()> {
        let mut role = json!({
            "bound_service_account_names": account,
            "bound_service_account_namespaces": namespace,
            "token_policies": policy,
            "token_ttl": "20m",
        });
        if let Some(audience) = audience {
            role["audience"] = json!(audience);
        }
        let path = format!("auth/{}/role/{name}", self.mount);
        store().await?.vault.write(&path, &role).await.map(|_| ())
    }

    /// A namespace of its own with the role of its name, which may do everything, and a class for it.
    pub(crate) async fn team(&self, objects: &str) -> Result<(String, Class)> {
        self.team_with(objects, &everything()).await
    }

    /// The same with these rights and no others.
    pub(crate) async fn team_with(
        &self,
        objects: &str,
        rights: &Policy,
    ) -> Result<(String, Class)> {
        let team = unique("team");
        self.api.create_namespace(&team).await?;
        store().await?.vault.policy(&team, rights).await?;
        self.role_with(&team, &team, "default", None, &team).await?;
        let class = Class::new("c")
            .with("roleName", &team)
            .with("vaultAddress", store().await?.vault.address())
            .with("vaultAuthMountPath", &self.mount)
            .with("objects", objects);
        Ok((team, class))
    }

    /// The volume of a new pod, with kubelet's tokens for these audiences.
    pub(crate) async fn volume(
        &self,
        class: &Class,
        namespace: &str,
        audiences: &[&str],
    ) -> Result<Volume> {
        let pod = self
            .api
            .create_pod(namespace, &unique("p"), "default")
            .await?;
        let mut volume = Volume::new(pod.clone(), class.clone());
        for audience in audiences {
            let token = self
                .api
                .create_token(namespace, "default", &[audience], Some(&pod), 900)
                .await?;
            volume = volume.with_token(token);
        }
        Ok(volume)
    }
}

/// The sum of a metric's series that have all of these labels.
pub(crate) async fn sum(provider: &ProviderProcess, metric: &str, labels: &[&str]) -> Result<f64> {
    let (_, text) = provider.ask("/metrics").await?;
    let mut sum = 0.0;
    for line in text.lines().filter(|line| line.starts_with(metric)) {
        if labels.iter().all(|label| line.contains(label)) {
            sum += line
                .rsplit(' ')
                .next()
                .context("no value")?
                .parse::<f64>()?;
        }
    }
    Ok(sum)
}

/// Waits until the provider has the cluster's keys, by which it proves tokens, and their issuer.
async fn keys_known(provider: &ProviderProcess) -> Result<()> {
    let labels = ["verb=\"get\"", "code=\"2xx\""];
    eventually(SOON, "the cluster's keys", async || {
        ensure!(sum(provider, "coffer_kube_requests_total", &labels).await? >= 2.0);
        Ok(())
    })
    .await
}

async fn kube_requests(provider: &ProviderProcess) -> Result<f64> {
    sum(provider, "coffer_kube_requests_total", &[]).await
}

async fn secret() -> Result<String> {
    Ok(object(
        "o",
        &store().await?.secret("cluster", &json!({"k": "v"})).await?,
        "secretKey: k",
    ))
}

/// D7, §6 login: fifty pods of one account cost one login, which the API server reviews
#[test]
fn d7_kubernetes_auth_logs_fifty_pods_of_one_account_in_once() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let provider = cluster.provider(Rights::Secret).await?;
        keys_known(&provider).await?;
        let volumes =
            try_join_all((0..50).map(|_| cluster.volume(&class, &team, &["vault"]))).await?;
        let driver = provider.driver()?;
        let mounts = volumes
            .iter()
            .map(async |volume| driver.mount(&volume.first_mount()).await);
        for mounted in try_join_all(mounts).await? {
            assert_eq!(text(&mounted)?, "v");
        }
        let logins = sum(
            &provider,
            "coffer_logins_total",
            &["method=\"kubernetes\"", "result=\"ok\""],
        )
        .await?;
        assert_eq!(logins, 1.0);
        Ok(())
    })
}

/// D7: a token of another account, or junk, never rides a warm login
#[test]
fn d7_kubernetes_auth_takes_no_foreign_token_for_a_warm_login() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let other = unique("other");
        cluster.api.create_namespace(&other).await?;
        let provider = cluster.provider(Rights::Secret).await?;
        let own = cluster.volume(&class, &team, &["vault"]).await?;
        assert_eq!(text(&mount(&provider, &own).await?)?, "v");
        let foreign = cluster.volume(&class, &other, &["vault"]).await?;
        let mut forged = own.clone();
        forged.tokens.clone_from(&foreign.tokens);
        let told = failure(&mount(&provider, &forged).await?)?;
        has(
            &told,
            &["Unauthenticated: failed to login", "not authorized"],
        )?;
        let mut junk = own.clone();
        for token in junk.tokens.iter_mut().flatten() {
            token.jwt.push('x');
        }
        has(
            &failure(&mount(&provider, &junk).await?)?,
            &["failed to login"],
        )
    })
}

/// D6: 250 mounts at start read the Secret of the version key not once more, and ask the API server nothing
#[test]
fn d6_no_mount_with_the_drivers_token_asks_the_api_server() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let provider = cluster.provider(Rights::SecretAndTokens).await?;
        let volume = cluster.volume(&class, &team, &["vault"]).await?;
        keys_known(&provider).await?;
        let before = kube_requests(&provider).await?;
        let driver = provider.driver()?;
        let mounts = (0..250).map(|n| {
            let mut volume = volume.clone();
            volume.name = format!("v{n}");
            let driver = driver.clone();
            async move { driver.mount(&volume.first_mount()).await }
        });
        for mounted in try_join_all(mounts).await? {
            assert_eq!(text(&mounted)?, "v");
        }
        assert_eq!(kube_requests(&provider).await?, before);
        let reads = sum(
            &provider,
            "coffer_kube_requests_total",
            &["verb=\"create\""],
        )
        .await?;
        ensure!(reads <= 1.0, "{reads} writes to the API server");
        Ok(())
    })
}

/// D30, D5: with an account without any right mounts work by the driver's tokens, with empty versions and a warning
#[test]
fn d30_an_account_without_rights_is_enough_with_the_drivers_tokens() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let mut provider = cluster.provider(Rights::None).await?;
        let mounted = mount(&provider, &cluster.volume(&class, &team, &["vault"]).await?).await?;
        assert_eq!(text(&mounted)?, "v");
        assert_eq!(mounted.versions()?["o"], "");
        has(
            &provider.whole_log().await?,
            &["no version key yet", "grant get on it"],
        )
    })
}

/// D30, §15 case 10, §6 fallback: where RBAC forbids to request a token the error says both ways out
#[test]
fn d30_a_forbidden_token_request_says_what_to_add() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let class = class.with("audience", "https://store.example");
        let installed = install(&cluster.api, Rights::Secret).await?;
        let provider = installed.start("vault", &[]).await?;
        let volume = cluster.volume(&class, &team, &["aud1"]).await?;
        let told = failure(&mount(&provider, &volume).await?)?;
        has(
            &told,
            &[
                "FailedPrecondition: ",
                "failed to create a service account token for requesting pod",
                &team,
                "forbidden",
                "add audience \"https://store.example\" to tokenRequests",
                "serviceaccounts/token",
            ],
        )?;
        let off = installed
            .start("vault", &["--token-request", "off"])
            .await?;
        let told = failure(&mount(&off, &volume).await?)?;
        has(&told, &["--token-request=auto"])
    })
}

/// §6 fallback: a token is requested where the driver sent none, one for others, an empty or an expired one
#[test]
fn a_kubernetes_auth_token_is_requested_when_the_drivers_will_not_do() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let provider = cluster.provider(Rights::SecretAndTokens).await?;
        let none = cluster.volume(&class, &team, &[]).await?;
        let other = cluster.volume(&class, &team, &["aud1", "aud2"]).await?;
        let mut empty = cluster.volume(&class, &team, &["vault"]).await?;
        for token in empty.tokens.iter_mut().flatten() {
            token.jwt.clear();
        }
        let mut expired = cluster.volume(&class, &team, &["vault"]).await?;
        for token in expired.tokens.iter_mut().flatten() {
            "2020-01-01T00:00:00Z".clone_into(&mut token.expires);
        }
        for (number, volume) in [none, other, empty, expired].iter().enumerate() {
            let mounted = mount(&provider, volume).await?;
            assert_eq!(
                text(&mounted).with_context(|| format!("volume {number}"))?,
                "v"
            );
        }
        let requests = sum(
            &provider,
            "coffer_kube_requests_total",
            &["verb=\"create\"", "code=\"2xx\""],
        )
        .await?;
        // One made the Secret.
        assert_eq!(requests, 5.0);
        Ok(())
    })
}

/// §6 fallback: a pod that the API server does not know gets no token
#[test]
fn no_token_is_requested_for_a_pod_that_is_not_there() -> Result<()> {
    run(async {
        let cluster = cluster().await?;
        let (team, class) = cluster.team(&secret().await?).await?;
        let provider = cluster.provider(Rights::SecretAndTokens).await?;
        let told =
            failure(&mount(&provider, &Volume::new(Pod::new(&team, "ghost")?, class)).await?)?;
        has(
            &told,
            &[
                "failed to create a service account token for requesting pod",
                "ghost",
            ],
        )
    })
}

/// D5: versions stay as they are while the API server is away
#[test]
fn d5_versions_stay_while_the_api_server_is_away() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("away", &json!({"k": "v"})).await?;
        let mut api = ApiServer::start().await?;
        let provider = install(&api, Rights::Secret)
            .await?
            .start("vault", &["--hmac-refresh", "100ms"])
            .await?;
        let volume = store.volume(store.class_of(&path))?;
        let before = mount(&provider, &volume).await?.versions()?;
        ensure!(!before["o"].is_empty(), "no version at the start");
        api.kill()?;
        let failed = async || {
            ensure!(
                sum(&provider, "coffer_kube_requests_total", &["code=\"error\""]).await? >= 2.0
            );
            Ok(())
        };
        eventually(
            Duration::from_secs(30),
            "a look at the key that fails",
            failed,
        )
        .await?;
        let after = mount(&provider, &volume).await?;
        assert_eq!((text(&after)?, after.versions()?), ("v".to_owned(), before));
        let changed: Value = json!({"k": "changed"});
        let name = path.trim_start_matches("secret/data/");
        store.vault.kv2_put("secret", name, &changed).await?;
        eventually(SOON, "a changed version", async || {
            let mounted = mount(&provider, &volume).await?;
            ensure!(text(&mounted)? == "changed" && mounted.versions()? != after.versions()?);
            Ok(())
        })
        .await
    })
}

/// D5: a provider that starts while the API server is slow waits a moment for the key rather than let versions fall empty
#[test]
fn d5_the_first_mount_after_a_start_waits_for_the_version_key() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("slow", &json!({"k": "v"})).await?;
        let api = ApiServer::start().await?;
        let installed = install(&api, Rights::Secret).await?;
        let volume = store.volume(store.class_of(&path))?;
        let before = mount(&installed.start("vault", &[]).await?, &volume)
            .await?
            .versions()?;
        api.signal(rustix::process::Signal::STOP)?;
        let fresh = installed.launch("vault", &[]).await?;
        // It has read the store and still does not answer: nothing but the key is missing.
        let waits = async || {
            let read = ["op=\"read\"", "status=\"2xx\""];
            ensure!(sum(&fresh, "coffer_store_requests_total", &read).await? == 1.0);
            ensure!(sum(&fresh, "coffer_mount_in_flight", &[]).await? == 1.0);
            Ok(())
        };
        let (mounted, waited) = tokio::join!(mount(&fresh, &volume), async {
            let waited = eventually(SOON, "a mount that waits for the key", waits).await;
            api.signal(rustix::process::Signal::CONT)?;
            waited
        });
        waited?;
        assert_eq!(mounted?.versions()?, before);
        Ok(())
    })
}
