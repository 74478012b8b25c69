//! The node: containerd and kubelet, with Debian's runc and network plugins.
//!
//! Settings are those that this needs beside a control plane on the same machine; each that is not a default has its
//! reason here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ground::{ADDRESS, command};
use super::images::PAUSE;
use crate::fixture::{eventually, program, repository};
use crate::process::Running;

/// The name of the node.
pub(super) const NODE: &str = "node-1";
const SOCKET: &str = "/run/containerd/containerd.sock";
const READY: Duration = Duration::from_secs(60);

/// The running node.
pub(super) struct Node {
    kubelet: Running,
    containerd: Running,
    /// Images and containers: on a disk, because overlays of overlays are not to be had everywhere.
    _containers: TempDir,
}

impl Node {
    /// Starts containerd, gives it the image of sandboxes, and starts kubelet as the node of this kubeconfig.
    pub(super) async fn start(logs: &Path, kubeconfig: &Path) -> Result<Self> {
        let containers = tempfile::Builder::new()
            .prefix("node-")
            .tempdir_in(repository().join("target"))?;
        let containerd = containerd(containers.path(), logs)?;
        eventually(READY, "containerd", async || ctr(&["version"]).map(drop))
            .await
            .with_context(|| containerd.log())?;
        super::images::pause()?;
        let kubelet = kubelet(logs, kubeconfig)?;
        Ok(Self {
            kubelet,
            containerd,
            _containers: containers,
        })
    }

    /// What both wrote, for a failure.
    pub(super) fn log(&self) -> String {
        let last = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(25)..].join("\n")
        };
        format!(
            "{}\n{}",
            last(self.containerd.log()),
            last(self.kubelet.log())
        )
    }
}

/// Asks containerd, in the namespace of Kubernetes.
pub(super) fn ctr(arguments: &[&str]) -> Result<String> {
    command(
        "ctr",
        &[&["-a", SOCKET, "-n", "k8s.io"], arguments].concat(),
    )
}

fn containerd(place: &Path, logs: &Path) -> Result<Running> {
    let networks = place.join("networks");
    fs::create_dir(&networks)?;
    fs::write(
        networks.join("10-pods.conflist"),
        network(place).to_string(),
    )?;
    let config = place.join("containerd.toml");
    // Lowering an OOM score needs a capability that root in a container may lack.
    let text = format!(
        r#"version = 2
root = "{place}/images"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#,
        place = place.display(),
        networks = networks.display(),
    );
    fs::write(&config, text)?;
    let mut command = Command::new("containerd");
    command.arg("--config").arg(config);
    Running::start("containerd", &mut command, logs)
        .context("tools/install.sh node installs containerd")
}

fn network(place: &Path) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": place.join("addresses"),
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

fn kubelet(logs: &Path, kubeconfig: &Path) -> Result<Running> {
    let config = config_file()?;
    let mut command = Command::new(program(&["kubelet"])?);
    command.args([
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={ADDRESS}"),
        "--root-dir=/var/lib/kubelet".to_owned(),
    ]);
    Running::start("kubelet", &mut command, logs)
}

fn config_file() -> Result<PathBuf> {
    let path = Path::new("/var/lib/kubelet/config.json");
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        // Nobody but this test reaches it, and nobody signs certificates here.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        // The control groups of the machine are shared with whatever else runs on it, and may be of either version.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        // The disk is that of the machine: its being full is not the cluster's affair.
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        // A minute by default; volumes follow Secrets at this pace.
        "syncFrequency": "10s",
    });
    fs::write(path, config.to_string())?;
    Ok(path.to_owned())
}
