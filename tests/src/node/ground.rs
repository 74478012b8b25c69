//! What everything stands on: network and mounts of the namespaces, control plane, node, store and nameserver.
//!
//! Nothing of Coffer is here.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::{Api, Client};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::kubelet::{self, NODE};
use crate::apiserver::{ApiServer, Controllers, Setting};
use crate::demo::script::{Script, store_environment};
use crate::dns::Nameserver;
use crate::fixture::{eventually, free_port, program, random_hex};
use crate::process::Running;
use crate::vault::Vault;

/// The node's address, where pods reach whatever runs beside them.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// A minute is a slow start.
const READY: Duration = Duration::from_secs(120);
/// Where the API server says who was answered what.
const AUDIT: &str = "/var/log/audit.log";
/// The default API service, which pods ask.
const SERVICE: &str = "10.96.0.1";
/// The store as the classes of the examples name it.
const STORE: &str = "vault.vault";

/// All that runs. It ends on drop.
pub(super) struct Ground {
    pub(super) api: ApiServer,
    pub(super) vault: Vault,
    /// What `setup.sh` of an example needs.
    pub(super) environment: Vec<(String, String)>,
    pub(super) nameserver: Nameserver,
    node: kubelet::Node,
    _controllers: Controllers,
    _scheduler: Running,
    forwarder: JoinHandle<()>,
}

impl Ground {
    /// Starts everything and waits until the node is ready.
    pub(super) async fn up() -> Result<Self> {
        mounts()?;
        network()?;
        let nameserver = Nameserver::start_at((ADDRESS, 53).into()).await?;
        for name in [STORE.to_owned(), format!("{STORE}.svc.cluster.local")] {
            nameserver.host(&name, ADDRESS);
        }
        let token = random_hex(16)?;
        let api = ApiServer::start_as(setting(&token)?).await?;
        let controllers = api.all_controllers()?;
        let scheduler = scheduler(&api)?;
        let kubeconfig = api.kubeconfig_of(NODE, &token)?;
        let node = kubelet::Node::start(api.directory(), &kubeconfig).await?;
        let vault = Vault::start().await?;
        let forwarder = forward(vault.address()).await?;
        let environment = environment(&api, &vault).await?;
        let ground = Self {
            api,
            vault,
            environment,
            nameserver,
            node,
            _controllers: controllers,
            _scheduler: scheduler,
            forwarder,
        };
        ground.ready().await?;
        Ok(ground)
    }

    pub(super) fn client(&self) -> Client {
        self.api.client()
    }

    pub(super) const fn node(&self) -> &kubelet::Node {
        &self.node
    }

    async fn ready(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client());
        eventually(READY, "a ready node", async || {
            let node = nodes.get(NODE).await?;
            let status = node.status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            let ready = conditions.iter().find(|it| it.type_ == "Ready");
            let ready = ready.context("kubelet has not told yet")?;
            ensure!(ready.status == "True", "{:?}", ready.message);
            Ok(())
        })
        .await
        .with_context(|| self.node.log())?;
        // Pods get the cluster's authority from it.
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), "default");
        eventually(READY, "the cluster's authority", async || {
            Ok(maps.get("kube-root-ca.crt").await.map(drop)?)
        })
        .await
    }

    /// Runs a script of the examples against the store.
    pub(super) async fn script(&self, path: &Path) -> Result<()> {
        Script::run(path, &self.environment).await
    }

    /// Requests of accounts of a namespace: how many there were by account, and which of them the API server or a
    /// policy of it denied.
    pub(super) fn requests(namespace: &str) -> Result<(BTreeMap<String, usize>, Vec<String>)> {
        let account = format!("system:serviceaccount:{namespace}:");
        let text = fs::read_to_string(AUDIT)?;
        let mut denied = Vec::new();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
                continue;
            };
            let user = event["user"]["username"].as_str().unwrap_or_default();
            let Some(name) = user.strip_prefix(&account) else {
                continue;
            };
            *counts.entry(name.to_owned()).or_default() += 1;
            if matches!(event["responseStatus"]["code"].as_u64(), Some(403 | 422)) {
                denied.push(format!("{name}: {} {}", event["verb"], event["requestURI"]));
            }
        }
        Ok((counts, denied))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

/// Empty file systems where this machine has its own state.
fn mounts() -> Result<()> {
    for place in ["/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni"] {
        fs::create_dir_all(place)?;
        command("mount", &["-t", "tmpfs", "tmpfs", place])?;
    }
    Ok(())
}

/// Loopback, where addresses of services are answered too, and the bridge of the pods.
fn network() -> Result<()> {
    let address = format!("{ADDRESS}/24");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["route", "add", "local", "10.96.0.0/24", "dev", "lo"],
        &["link", "add", "cni0", "type", "bridge"],
        &["address", "add", &address, "dev", "cni0"],
        &["link", "set", "cni0", "up"],
    ] {
        command("ip", arguments)?;
    }
    Ok(())
}

/// Runs a program to its end.
pub(super) fn command(name: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(name).args(arguments).output();
    let output = output.with_context(|| format!("starting {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{name} {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn setting(token: &str) -> Result<Setting> {
    let policy = "/run/audit.yaml";
    fs::write(
        policy,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
    )?;
    let flags = [
        "--bind-address=0.0.0.0".to_owned(),
        "--authorization-mode=Node".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        // Nobody resolves the names of nodes here.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--audit-policy-file={policy}"),
        format!("--audit-log-path={AUDIT}"),
    ];
    Ok(Setting {
        port: 443,
        names: vec![SERVICE.to_owned(), "kubernetes.default.svc".to_owned()],
        users: vec![[
            token.to_owned(),
            format!("system:node:{NODE}"),
            "system:nodes".to_owned(),
        ]],
        flags: flags.to_vec(),
    })
}

fn scheduler(api: &ApiServer) -> Result<Running> {
    let kubeconfig = api.admin_kubeconfig()?;
    let kubeconfig = kubeconfig.display();
    let mut command = Command::new(program(&["kube-scheduler"])?);
    command.env_clear().args([
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", free_port()?),
    ]);
    Running::start("kube-scheduler", &mut command, api.directory())
}

/// Lets pods reach the store, which listens on loopback.
async fn forward(store: &str) -> Result<JoinHandle<()>> {
    let store = store.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind((ADDRESS, 8200)).await?;
    Ok(tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let store = store.clone();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(&store).await else {
                    return;
                };
                // Either side may go at any time.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    }))
}

/// The store trusts the cluster's accounts; and what the scripts of the examples need.
async fn environment(api: &ApiServer, vault: &Vault) -> Result<Vec<(String, String)>> {
    api.trusted_by(vault, "kubernetes").await?;
    store_environment(vault.address(), vault.token())
}
