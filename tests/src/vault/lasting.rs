//! A server whose storage outlives it: killed and started again it is the same store, sealed.
//!
//! Its storage is raft on disk, the only one of OpenBao that lasts without a database.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use super::{KvVersion, READY, Server, Vault};
use crate::fixture::{directory, eventually, free_port, program};
use crate::process::Running;

impl Vault {
    /// A plain server at `http://127.0.0.1:<port>` with KV v2 at `secret/`, initialised and unsealed. Always a
    /// process: a container would take its storage along.
    ///
    /// # Errors
    /// When no program can be found or it does not become ready.
    pub async fn start_lasting() -> Result<Self> {
        let directory = directory("vault-lasting")?;
        let (port, cluster_port) = (free_port()?, free_port()?);
        let place = directory.path();
        fs::create_dir(place.join("raft"))?;
        let text = configuration(port, cluster_port, place);
        fs::write(place.join("server.hcl"), text)?;
        let server = Server::Process(run(place)?);
        let address = format!("http://127.0.0.1:{port}");
        let mut vault = Self::new(address, String::new(), server, directory)?;
        vault.initialise().await?;
        let vault = vault.ready().await?;
        vault.enable_kv("secret", KvVersion::V2).await?;
        Ok(vault)
    }

    /// Starts what [`Self::kill`] ended, at the same address with the same storage. It is sealed then.
    ///
    /// # Errors
    /// When it is not one of [`Self::start_lasting`], or does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        if !self.directory.path().join("raft").is_dir() {
            bail!("what this store held is lost");
        }
        self.server = Server::Process(run(self.directory.path())?);
        eventually(READY, "a sealed store", async || {
            self.still_running()?;
            let status = self.health().await?;
            ensure!(status == 503, "health answers {status}");
            Ok(())
        })
        .await
    }
}

fn run(directory: &Path) -> Result<Running> {
    let mut command = Command::new(program(&["bao", "vault"])?);
    command.args(["server", "-config"]);
    command.arg(directory.join("server.hcl"));
    command.env_clear().env("HOME", directory);
    Running::start("vault", &mut command, directory)
}

/// Without the multiplier an only node waits five times as long until it leads.
fn configuration(port: u16, cluster_port: u16, directory: &Path) -> String {
    let place = directory.display();
    format!(
        r#"storage "raft" {{
  path = "{place}/raft"
  node_id = "only"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
disable_mlock = true
"#
    )
}
