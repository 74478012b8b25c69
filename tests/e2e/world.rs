//! The servers that all cases share, each started by the first case that needs it, and the one runtime.
//!
//! A case uses names of its own on them and never stops them; what it wants to break it starts itself.

use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::random_hex;
use coffer_tests::vault::{JwtAuth, JwtRole, Policy, Vault};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::database::Postgres;

/// A case that takes longer hangs: the slowest ones take a tenth of it on a busy machine.
const CASE: Duration = Duration::from_secs(180);

/// Clients of the shared servers live on the runtime that made them, so there is one for all cases.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(Runtime::new);

/// Runs a case to its end.
pub(crate) fn run(case: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = RUNTIME
        .as_ref()
        .map_err(|error| anyhow!("no runtime: {error}"))?;
    runtime.block_on(async {
        let ended = tokio::time::timeout(CASE, case).await;
        ended.context("the case hangs")?
    })
}

/// A dev store with the auth method jwt, whose tokens the test signs.
pub(crate) struct Store {
    pub vault: Vault,
    pub issuer: JwtAuth,
    /// Where the auth method is.
    pub mount: String,
}

/// A cluster whose tokens the dev store has reviewed.
pub(crate) struct Cluster {
    pub api: ApiServer,
    /// The kubernetes auth method of the dev store.
    pub mount: String,
}

/// The shared dev store. Its role `csi` may do everything that tests do; it binds the audience `vault`.
pub(crate) async fn store() -> Result<&'static Store> {
    static STORE: OnceCell<Store> = OnceCell::const_new();
    STORE.get_or_try_init(start_store).await
}

/// The shared cluster.
pub(crate) async fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER
        .get_or_try_init(async || {
            let api = ApiServer::start().await?;
            end_with_us(&api.farewell())?;
            let mount = format!("kubernetes-{}", random_hex(4)?);
            api.trusted_by(&store().await?.vault, &mount).await?;
            Ok(Cluster { api, mount })
        })
        .await
}

/// The shared database server.
pub(crate) async fn postgres() -> Result<&'static Postgres> {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    POSTGRES
        .get_or_try_init(async || {
            let postgres = Postgres::start().await?;
            end_with_us(&postgres.farewell())?;
            Ok(postgres)
        })
        .await
}

async fn start_store() -> Result<Store> {
    Store::of(Vault::start().await?).await
}

impl Store {
    /// Prepares a server, which from then on lives as long as this process.
    pub(crate) async fn of(vault: Vault) -> Result<Self> {
        end_with_us(&vault.farewell())?;
        vault.policy("everything", &everything()).await?;
        let issuer = JwtAuth::new("https://issuer.test")?;
        let mount = format!("jwt-{}", random_hex(4)?);
        issuer.enable(&vault, &mount).await?;
        let role = JwtRole {
            name: "csi",
            audience: Some("vault"),
            subject: None,
            policies: &["everything"],
            ttl: "20m",
        };
        issuer.role(&vault, &mount, &role).await?;
        Ok(Self {
            vault,
            issuer,
            mount,
        })
    }
}

/// What the roles of these tests may do where rights are not the point.
pub(crate) fn everything() -> Policy {
    Policy::hcl(
        r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }"#,
    )
}

/// What a role needs for leased credentials and no more: to read them, and to give them back.
pub(crate) fn leased(path: &str) -> Policy {
    Policy::hcl(&format!(
        r#"path "{path}" {{ capabilities = ["read"] }}
        path "sys/leases/revoke" {{ capabilities = ["update"] }}"#
    ))
}

/// Runs a shell command when this process ends, however it does: what is static is never dropped.
///
/// The shell waits for the end of its input, which only this process holds open.
pub(crate) fn end_with_us(command: &str) -> Result<()> {
    static SHELLS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let script = format!("trap '' HUP INT TERM; read -r _; {command}");
    let shell = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the shell that cleans up")?;
    let mut shells = SHELLS.lock().map_err(|_| anyhow!("list is poisoned"))?;
    shells.push(shell);
    Ok(())
}
