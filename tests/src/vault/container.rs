//! The same servers as a container, by podman or docker.
//!
//! `TEST_VAULT_IMAGE` names an image; unset, one is made on the spot of nothing but the program `bao`,
//! for machines that can pull none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::fixture::{Hopeless, program, random_hex};

/// The image that is made on the spot.
const OWN_IMAGE: &str = "localhost/coffer-test-bao";
/// Larger limits are not permitted inside of containers that run containers.
const LIMITS: [&str; 4] = [
    "--ulimit",
    "nofile=4096:4096",
    "--ulimit",
    "nproc=4096:4096",
];

/// A running container, removed on drop.
pub(super) struct Container {
    engine: Engine,
    name: String,
}

/// The program that runs containers, and the options before its command.
struct Engine {
    program: std::path::PathBuf,
    options: &'static [&'static str],
}

impl Container {
    /// Starts a server on the host's network with these arguments and variables. It sees the directory under its
    /// own path and cannot write there.
    pub(super) async fn start(
        directory: &Path,
        arguments: &[String],
        environment: &[String],
    ) -> Result<Self> {
        let engine = Engine::find()?;
        let name = format!("coffer-test-{}", random_hex(6)?);
        let image = match std::env::var("TEST_VAULT_IMAGE") {
            Ok(image) if !image.is_empty() => image,
            _ => build(&engine, directory)?,
        };
        let mut run = engine.command();
        run.args(["run", "--detach", "--network=host", "--name", &name])
            .args(LIMITS);
        // Images of HashiCorp and OpenBao start through a script that reads this, as a user of their own.
        run.args(["--env", "SKIP_SETCAP=1", "--env", "HOME=/tmp"]);
        for variable in environment {
            run.args(["--env", variable]);
        }
        fs::set_permissions(directory, Permissions::from_mode(0o755))?;
        let place = directory.display();
        run.args(["--volume", &format!("{place}:{place}:ro")])
            .arg(image)
            .args(arguments);
        let container = Self { engine, name };
        tokio::task::spawn_blocking(move || succeed(&mut run)).await??;
        Ok(container)
    }

    /// What it wrote so far.
    pub(super) fn log(&self) -> String {
        let output = self.engine.command().args(["logs", &self.name]).output();
        let texts = output
            .map(|output| [output.stdout, output.stderr].concat())
            .unwrap_or_default();
        String::from_utf8_lossy(&texts).into_owned()
    }

    /// Fails with its log when it has ended.
    pub(super) fn still_running(&self) -> Result<()> {
        let format = ["inspect", "--format", "{{.State.Running}}", &self.name];
        let output = succeed(self.engine.command().args(format))?;
        if output.trim() == "true" {
            return Ok(());
        }
        Err(Hopeless(format!("the container ended: {}", self.log())).into())
    }

    /// The shell command that ends and removes it.
    pub(super) fn removal(&self) -> String {
        let (program, options) = (self.engine.program.display(), self.engine.options.join(" "));
        format!("'{program}' {options} rm --force --volumes {}", self.name)
    }

    /// Ends it at once.
    pub(super) fn kill(&self) -> Result<()> {
        succeed(self.engine.command().args(["kill", &self.name])).map(|_| ())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = succeed(
            self.engine
                .command()
                .args(["rm", "--force", "--volumes", &self.name]),
        );
    }
}

impl Engine {
    /// Podman with runc where there is one (its default refuses hybrid cgroups), else docker.
    fn find() -> Result<Self> {
        if let Ok(program) = program(&["podman"]) {
            let options: &[&str] = if crate::fixture::program(&["runc"]).is_ok() {
                &["--runtime", "runc"]
            } else {
                &[]
            };
            return Ok(Self { program, options });
        }
        Ok(Self {
            program: program(&["docker"])?,
            options: &[],
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.options);
        command
    }
}

/// Makes an image of nothing but the program.
fn build(engine: &Engine, directory: &Path) -> Result<String> {
    let context = directory.join("image");
    fs::create_dir(&context)?;
    fs::copy(program(&["bao"])?, context.join("bao"))?;
    fs::create_dir(context.join("tmp"))?;
    let recipe = "FROM scratch\nCOPY bao /bin/bao\nCOPY tmp /tmp\nENTRYPOINT [\"/bin/bao\"]\n";
    fs::write(context.join("Dockerfile"), recipe)?;
    succeed(
        engine
            .command()
            .args(["build", "--tag", OWN_IMAGE])
            .arg(&context),
    )?;
    fs::remove_dir_all(&context)?;
    Ok(OWN_IMAGE.to_owned())
}

/// Runs a command to its end; its standard output.
fn succeed(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("running {}", command.get_program().display()))?;
    if !status.success() {
        bail!(
            "{} ended ({status}): {}",
            command.get_program().display(),
            String::from_utf8_lossy(&stderr)
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
