//! The store of the demo: a dev server, the examples' side of it, and an issuer that plays the cluster.
//!
//! Without a cluster nobody reviews tokens, so the roles that `setup.sh` writes for the kubernetes auth
//! method are mirrored to the jwt method, with the same policies, audience and service account.

use std::fs;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::example::Example;
use super::screen::Screen;
use super::script::{Script, store_environment};
use crate::driver::{Pod, ServiceToken};
use crate::fixture::{program, repository};
use crate::vault::{JwtAuth, JwtRole, Vault};

/// Where the jwt method is, as `examples/jwt-auth` has it.
pub(super) const MOUNT: &str = "jwt";
/// Longer than the demo runs; kubelet's tokens live an hour.
const TOKEN_SECONDS: i64 = 3600;

/// The running store.
pub(super) struct Store {
    vault: Vault,
    issuer: JwtAuth,
    environment: Vec<(String, String)>,
}

impl Store {
    /// Gets the program if need be, and starts a dev server.
    pub(super) async fn start(screen: &Screen) -> Result<Self> {
        ensure!(
            std::env::var_os("TEST_VAULT_ADDR").is_none(),
            "TEST_VAULT_ADDR is set: the demo writes to a store of its own only"
        );
        if program(&["bao", "vault"]).is_err() {
            screen.detail("OpenBao is not here yet: tools/install.sh gets it, once")?;
            let install = repository().join("tools/install.sh");
            Script::run_with(&install, &["bao"], &[]).await?;
        }
        let vault = Vault::start().await?;
        let issuer = JwtAuth::new("https://kubernetes.default.svc.cluster.local")?;
        let key = vault.directory().join("cluster.pub");
        fs::write(&key, issuer.public_pem())?;
        let mut environment = store_environment(vault.address(), vault.token())?;
        let key = key.to_str().context("a directory that is not UTF-8")?;
        environment.push(("PUBLIC_KEY".to_owned(), key.to_owned()));
        Ok(Self {
            vault,
            issuer,
            environment,
        })
    }

    pub(super) const fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(super) fn address(&self) -> &str {
        self.vault.address()
    }

    /// The keys that prove the tokens of this demo.
    pub(super) fn jwks(&self) -> Value {
        self.issuer.jwks()
    }

    pub(super) async fn title(&self) -> Result<String> {
        Ok(format!("version {}", self.vault.version().await?))
    }

    /// Runs the examples' scripts: `jwt-auth` first, because it mounts the method that the others use.
    pub(super) async fn set_up(&self, examples: &[(Example, usize)]) -> Result<()> {
        self.vault.enable_auth("kubernetes", "kubernetes").await?;
        let (first, others) = examples.split_first().context("no example")?;
        first.0.set_up(&self.environment).await?;
        let others = others.iter().map(async |(example, _)| {
            example.set_up(&self.environment).await?;
            self.mirror(&example.name).await
        });
        try_join_all(others).await.map(|_| ())
    }

    async fn mirror(&self, name: &str) -> Result<()> {
        let role = self
            .vault
            .read(&format!("auth/kubernetes/role/{name}"))
            .await?;
        let role = &role["data"];
        let text = |value: &Value| {
            let text = value.as_str().map(str::to_owned);
            text.with_context(|| format!("the role {name} is not complete"))
        };
        let account = text(&role["bound_service_account_names"][0])?;
        let namespace = text(&role["bound_service_account_namespaces"][0])?;
        let policy = text(&role["token_policies"][0])?;
        ensure!(
            role["token_policies"] == json!([policy]),
            "several policies"
        );
        let role = JwtRole {
            name,
            audience: Some(&text(&role["audience"])?),
            subject: Some(&format!("system:serviceaccount:{namespace}:{account}")),
            policies: &[&policy],
            ttl: "20m",
        };
        self.issuer.role(&self.vault, MOUNT, &role).await
    }

    /// A token as kubelet would hand it over.
    pub(super) fn token(&self, pod: &Pod) -> Result<ServiceToken> {
        self.issuer.mint(pod, "vault", TOKEN_SECONDS)
    }
}
