//! A PostgreSQL server of our own, for the store's database engine.
//!
//! It refuses to run as root, so it runs as `postgres` or `nobody` where the tests do.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::{directory, eventually, free_port, program, random_hex};
use coffer_tests::process::Running;
use coffer_tests::vault::Vault;
use serde_json::json;
use tempfile::TempDir;

/// Half a second on an idle machine.
const READY: Duration = Duration::from_secs(60);

/// A running server. It ends on drop.
pub(crate) struct Postgres {
    server: Running,
    port: u16,
    password: String,
    directory: TempDir,
}

impl Postgres {
    /// Makes a database cluster and starts it on loopback; every login needs its password.
    pub(crate) async fn start() -> Result<Self> {
        let binaries = binaries()?;
        let directory = directory("postgres")?;
        let (port, password) = (free_port()?, random_hex(8)?);
        let (place, user) = (directory.path(), unprivileged()?);
        fs::write(place.join("password"), &password)?;
        if let Some((uid, gid)) = user {
            chown(place, Some(uid), Some(gid))?;
            chown(place.join("password"), Some(uid), Some(gid))?;
        }
        let made = run_as(user, &binaries.join("initdb"), place)
            .args(["-D", "data", "-U", "admin", "--pwfile=password"])
            .args([
                "--auth=scram-sha-256",
                "--no-sync",
                "--no-locale",
                "-E",
                "UTF8",
            ])
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut command = run_as(user, &binaries.join("postgres"), place);
        command
            .args(["-D", "data", "-k", "", "-h", "127.0.0.1", "-F"])
            .args(["-p", &port.to_string()]);
        let server = Running::start("postgres", &mut command, place)?;
        let mut started = Self {
            server,
            port,
            password,
            directory,
        };
        started.ready().await?;
        Ok(started)
    }

    async fn ready(&mut self) -> Result<()> {
        eventually(READY, "a database that answers", async || {
            self.server.still_running()?;
            self.log_in("admin", &self.password)
        })
        .await
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The password of its user `admin`, who may make others.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Logs in with a name and a password and asks for something.
    pub(crate) fn log_in(&self, user: &str, password: &str) -> Result<()> {
        let asked = Command::new(program(&["psql"])?)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", user])
            .args(["-w", "-t", "-A", "-c", "select current_user", "postgres"])
            .env_clear()
            .env("PGPASSWORD", password)
            .output()?;
        let (said, refused) = (
            String::from_utf8_lossy(&asked.stdout),
            String::from_utf8_lossy(&asked.stderr),
        );
        ensure!(
            asked.status.success(),
            "the login of {user} fails: {refused}"
        );
        ensure!(said.trim() == user, "{user} is {said}");
        Ok(())
    }

    /// Mounts the database engine at `mount`; its role `reader` gives users that live for `ttl`.
    pub(crate) async fn engine(&self, vault: &Vault, mount: &str, ttl: &str) -> Result<()> {
        vault.enable_engine(mount, "database", &json!({})).await?;
        let url = format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        );
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "reader",
            "connection_url": url,
            "username": "admin",
            "password": self.password,
        });
        vault
            .write(&format!("{mount}/config/main"), &connection)
            .await?;
        let create = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
        let role = json!({
            "db_name": "main",
            "creation_statements": [create],
            "default_ttl": ttl,
            "max_ttl": "24h",
        });
        vault.write(&format!("{mount}/roles/reader"), &role).await?;
        Ok(())
    }

    /// A shell command that ends it and removes what it leaves.
    pub(crate) fn farewell(&self) -> String {
        // QUIT ends its children too, without waiting for clients.
        let (pid, place) = (self.server.pid(), self.directory.path().display());
        format!("kill -QUIT {pid}; sleep 0.5; kill -KILL {pid}; rm -rf '{place}'")
    }
}

/// Where Debian puts them, newest first, else where `initdb` of the `PATH` is.
fn binaries() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    match found.pop() {
        Some(bin) => Ok(bin),
        None => {
            let initdb = program(&["initdb"]).context("`tools/install.sh debian` installs it")?;
            Ok(initdb.parent().unwrap_or(Path::new("/")).to_path_buf())
        }
    }
}

/// The user and group to run as; none when we are not root.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let user = find("postgres").or_else(|| find("nobody"));
    user.map(Some)
        .context("neither `postgres` nor `nobody` is a user here")
}

fn run_as(user: Option<(u32, u32)>, binary: &Path, place: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(place).env_clear().env("HOME", place);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
