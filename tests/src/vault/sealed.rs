//! A server with TLS, initialised and unsealed through its API: not a dev server.
//!
//! Its storage is memory. It can ask each client for a certificate.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;

use super::{READY, Server, TlsFiles, Vault};
use crate::fixture::{directory, eventually, free_port};
use crate::tls::{Authority, http_client_trusting};

impl Vault {
    /// A server with TLS at `https://127.0.0.1:<port>` (its certificate also says `localhost`), with KV v2 at
    /// `secret/`. A container where the dev server is one; never a shared server, which has a configuration of
    /// its own.
    ///
    /// # Errors
    /// When no program can be found or it does not become ready.
    pub async fn start_tls(client_certificate_required: bool) -> Result<Self> {
        let directory = directory("vault-tls")?;
        let tls = write_certificates(directory.path())?;
        let port = free_port()?;
        let address = format!("https://127.0.0.1:{port}");
        let config = directory.path().join("server.hcl");
        fs::write(
            &config,
            configuration(port, directory.path(), client_certificate_required),
        )?;
        let arguments = ["server", "-config", &config.display().to_string()].map(str::to_owned);
        let server = Server::start(directory.path(), &arguments, &[]).await?;
        let mut vault = Self::new(address, String::new(), server, directory)?;
        vault.client = client(&tls)?;
        vault.tls = Some(tls);
        vault.initialise().await?;
        let vault = vault.ready().await?;
        vault.enable_kv("secret", super::KvVersion::V2).await?;
        Ok(vault)
    }

    pub(super) async fn initialise(&mut self) -> Result<()> {
        eventually(READY, "a store to initialise", async || {
            self.still_running()?;
            let status = self.health().await?;
            ensure!(status == 501, "health answers {status}");
            Ok(())
        })
        .await?;
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let reply = self.call(Method::PUT, "sys/init", Some(&body)).await?;
        let text = |pointer: &str| {
            let value = reply.pointer(pointer).and_then(|value| value.as_str());
            value
                .map(str::to_owned)
                .context("initialising gave no key or token")
        };
        self.unseal_key = Some(text("/keys_base64/0")?);
        self.token = text("/root_token")?;
        self.unseal().await
    }
}

fn write_certificates(directory: &Path) -> Result<TlsFiles> {
    let authority = Authority::new("Coffer test authority")?;
    let ca = directory.join("ca.crt");
    fs::write(&ca, authority.pem())?;
    authority
        .server(&["127.0.0.1", "localhost"])?
        .write(directory, "server")?;
    let (client_certificate, client_key) = authority
        .client("coffer-provider")?
        .write(directory, "client")?;
    Ok(TlsFiles {
        ca,
        client_certificate,
        client_key,
    })
}

fn configuration(port: u16, directory: &Path, client_certificate_required: bool) -> String {
    let place = directory.display();
    format!(
        r#"storage "inmem" {{}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{place}/server.crt"
  tls_key_file = "{place}/server.key"
  tls_client_ca_file = "{place}/ca.crt"
  tls_require_and_verify_client_cert = {client_certificate_required}
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{port}"
disable_mlock = true
"#
    )
}

/// A client that trusts only the test's authority and shows the client certificate.
fn client(tls: &TlsFiles) -> Result<reqwest::Client> {
    let authority = fs::read_to_string(&tls.ca)?;
    let mut identity = fs::read(&tls.client_certificate)?;
    identity.extend(fs::read(&tls.client_key)?);
    let identity = reqwest::Identity::from_pem(&identity)?;
    Ok(http_client_trusting(&[&authority])?
        .identity(identity)
        .build()?)
}
