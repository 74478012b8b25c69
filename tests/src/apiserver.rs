//! A real kube-apiserver with its etcd, without controllers and nodes.
//!
//! The programs come from `$KUBEBUILDER_ASSETS`, else from `.tools/bin`; the flags and what is not to be
//! expected of such a server stand in `tests/cluster/README.md`. Objects are made in `objects`, those of the
//! repository's YAML files in `manifests`.

mod controllers;
mod manifests;
mod objects;

pub use controllers::Controllers;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{directory, eventually, free_port, program, random_hex};
use crate::process::Running;
use crate::tls::{Authority, install_crypto};

/// Three seconds on an idle machine; etcd alone may take twenty on a busy one.
const READY: Duration = Duration::from_secs(90);

/// A running API server. Both processes end on drop.
pub struct ApiServer {
    url: String,
    authority: String,
    admin_token: String,
    setting: Setting,
    client: Client,
    server: Running,
    etcd: Running,
    directory: TempDir,
}

impl ApiServer {
    /// The issuer's name in every service account token.
    pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

    /// Starts both and waits until requests are served.
    ///
    /// # Errors
    /// When a program is missing or ends; with the end of its log.
    pub async fn start() -> Result<Self> {
        Self::start_as(Setting::alone(free_port()?)).await
    }

    /// The same in a setting of the test's choice.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_as(setting: Setting) -> Result<Self> {
        install_crypto();
        let directory = directory("api")?;
        let (port, admin_token) = (setting.port, random_hex(16)?);
        let authority = write_files(directory.path(), &admin_token, &setting)?;
        let etcd = start_etcd(directory.path())?;
        let server = start_server(directory.path(), &setting)?;
        let url = format!("https://127.0.0.1:{port}");
        let client = connect(kubeconfig(&url, &authority, &admin_token)).await?;
        let mut started = Self {
            url,
            authority,
            admin_token,
            setting,
            client,
            directory,
            server,
            etcd,
        };
        started.ready().await?;
        Ok(started)
    }

    async fn ready(&mut self) -> Result<()> {
        eventually(READY, "a ready API server", async || {
            self.etcd.still_running()?;
            self.server.still_running()?;
            self.says_ready().await
        })
        .await
    }

    async fn says_ready(&self) -> Result<()> {
        let ready = http::Request::get("/readyz").body(Vec::new())?;
        let answer = self.client.request_text(ready).await?;
        ensure!(answer == "ok", "readyz answers {answer:?}");
        Ok(())
    }

    /// Starts a server in the place of the one that was killed, on its port and its etcd, and waits until requests
    /// are served. It ends when what is returned is dropped.
    ///
    /// # Errors
    /// When the port does not become free, or the server does not become ready; with the end of its log.
    pub async fn revive(&self) -> Result<Running> {
        eventually(READY, "the port of the killed server", async || {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, self.setting.port));
            Ok(free.map(drop)?)
        })
        .await?;
        let mut server = start_server(self.directory.path(), &self.setting)?;
        eventually(READY, "a ready API server", async || {
            server.still_running()?;
            self.says_ready().await
        })
        .await?;
        Ok(server)
    }

    /// `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the server's authority, as PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A client with all rights.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A kubeconfig with all rights, as a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn admin_kubeconfig(&self) -> Result<PathBuf> {
        self.write_kubeconfig("admin", &self.admin_token)
    }

    /// A kubeconfig with the rights of whoever has this token, as a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_of(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.write_kubeconfig(name, token)
    }

    /// Where keys, certificates and logs are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A kubeconfig of a service account, as a file; its token lives an hour.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let token = self
            .create_token(namespace, service_account, &[], None, 3600)
            .await?;
        self.write_kubeconfig(&format!("{namespace}-{service_account}"), &token.jwt)
    }

    /// A client with the rights of a service account.
    ///
    /// # Errors
    /// As [`Self::kubeconfig_for`].
    pub async fn client_for(&self, namespace: &str, service_account: &str) -> Result<Client> {
        let token = self
            .create_token(namespace, service_account, &[], None, 3600)
            .await?;
        connect(kubeconfig(&self.url, &self.authority, &token.jwt)).await
    }

    /// The keys that verify service account tokens.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn jwks(&self) -> Result<Value> {
        let request = http::Request::get("/openid/v1/jwks").body(Vec::new())?;
        Ok(serde_json::from_str(
            &self.client.request_text(request).await?,
        )?)
    }

    /// Whether a client may do this: `verb` on a resource such as `secrets` in a namespace.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn allowed(
        client: Client,
        namespace: &str,
        verb: &str,
        resource: &str,
    ) -> Result<bool> {
        let attributes = json!({"namespace": namespace, "verb": verb, "resource": resource});
        Self::reviewed(client, &attributes).await
    }

    /// The same for any `resourceAttributes` of a review, as with a group or a name.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn reviewed(client: Client, attributes: &Value) -> Result<bool> {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(serde_json::from_value(attributes.clone())?),
            ..Default::default()
        };
        let review = SelfSubjectAccessReview {
            spec,
            ..Default::default()
        };
        let answer = kube::Api::all(client)
            .create(&kube::api::PostParams::default(), &review)
            .await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// What the server wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Makes the server hang (`STOP`) or go on (`CONT`), for tests of a stalled API; or ends it (`KILL`).
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        self.server.signal(signal)
    }

    /// Ends the server at once; its etcd goes on until the drop.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill().map(|_| ())
    }

    /// A shell command that ends both and removes what they leave, for a test that ends without a drop.
    #[must_use]
    pub fn farewell(&self) -> String {
        let (server, etcd) = (self.server.pid(), self.etcd.pid());
        format!(
            "kill -KILL {server} {etcd}; rm -rf '{}'",
            self.directory.path().display()
        )
    }

    /// The server and its etcd, to look at what they take.
    #[must_use]
    pub fn pids(&self) -> [u32; 2] {
        [self.server.pid(), self.etcd.pid()]
    }

    fn write_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        // JSON is YAML too.
        fs::write(
            &path,
            kubeconfig(&self.url, &self.authority, token).to_string(),
        )?;
        Ok(path)
    }
}

/// How a server is started, apart from what all have.
pub struct Setting {
    /// Where it listens, on loopback at least.
    pub port: u16,
    /// Names and addresses besides those of loopback, for its certificate.
    pub names: Vec<String>,
    /// Users besides the admin: token, name and group.
    pub users: Vec<[String; 3]>,
    /// Flags; of one that stands there already this one counts, or is added where it is a list.
    pub flags: Vec<String>,
}

impl Setting {
    /// On loopback, for the admin and service accounts.
    #[must_use]
    pub const fn alone(port: u16) -> Self {
        Self {
            port,
            names: Vec::new(),
            users: Vec::new(),
            flags: Vec::new(),
        }
    }
}

fn binary(name: &str) -> Result<PathBuf> {
    let assets =
        std::env::var_os("KUBEBUILDER_ASSETS").map(|directory| Path::new(&directory).join(name));
    match assets {
        Some(path) => {
            ensure!(path.is_file(), "KUBEBUILDER_ASSETS has no {name}");
            Ok(path)
        }
        None => program(&[name]).context("tools/install.sh builds it"),
    }
}

/// Keys, certificates and the admin's token; the authority's certificate as PEM.
fn write_files(directory: &Path, admin_token: &str, setting: &Setting) -> Result<String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    fs::write(directory.join("sa.key"), key.serialize_pem())?;
    fs::write(directory.join("sa.pub"), key.public_key_pem())?;
    let mut tokens = format!("{admin_token},admin,admin,\"system:masters\"\n");
    for [token, name, group] in &setting.users {
        writeln!(tokens, "{token},{name},{name},\"{group}\"")?;
    }
    fs::write(directory.join("tokens.csv"), tokens)?;
    let authority = Authority::new("Coffer test cluster")?;
    let own = setting.names.iter().map(String::as_str);
    let names: Vec<&str> = ["127.0.0.1", "localhost"].into_iter().chain(own).collect();
    authority.server(&names)?.write(directory, "server")?;
    fs::write(directory.join("ca.crt"), authority.pem())?;
    Ok(authority.pem().to_owned())
}

fn start_etcd(directory: &Path) -> Result<Running> {
    let place = directory.display();
    let mut command = Command::new(binary("etcd")?);
    command.env_clear().args([
        "--name=test",
        &format!("--data-dir={place}/etcd"),
        "--unsafe-no-fsync",
        "--log-level=warn",
        &format!("--listen-client-urls=unix://{place}/etcd.sock"),
        "--advertise-client-urls=http://127.0.0.1:0",
        "--listen-peer-urls=http://127.0.0.1:0",
        "--initial-advertise-peer-urls=http://127.0.0.1:0",
        "--initial-cluster=test=http://127.0.0.1:0",
    ]);
    Running::start("etcd", &mut command, directory)
}

fn start_server(directory: &Path, setting: &Setting) -> Result<Running> {
    let place = directory.display();
    let port = setting.port;
    let mut command = Command::new(binary("kube-apiserver")?);
    command.env_clear().args([
        &format!("--etcd-servers=unix://{place}/etcd.sock"),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        &format!("--secure-port={port}"),
        &format!("--cert-dir={place}/apiserver"),
        &format!("--tls-cert-file={place}/server.crt"),
        &format!("--tls-private-key-file={place}/server.key"),
        &format!("--service-account-issuer={}", ApiServer::ISSUER),
        &format!("--service-account-signing-key-file={place}/sa.key"),
        &format!("--service-account-key-file={place}/sa.pub"),
        &format!("--token-auth-file={place}/tokens.csv"),
        "--enable-bootstrap-token-auth",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/24",
        "--endpoint-reconciler-type=none",
    ]);
    command.args(&setting.flags);
    Running::start("kube-apiserver", &mut command, directory)
}

fn kubeconfig(url: &str, authority: &str, token: &str) -> Value {
    use base64::Engine as _;
    let authority = base64::prelude::BASE64_STANDARD.encode(authority);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
    })
}

async fn connect(kubeconfig: Value) -> Result<Client> {
    let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

#[cfg(test)]
mod tests;
