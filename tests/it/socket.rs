//! The socket's file: what stands in its place, who takes it over, who removes it.

use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::{directory, free_port};
use coffer_tests::provider::{ProviderProcess, binary};

use crate::stage::{ONE, Stage};

const OFF: [&str; 2] = ["-kubeconfig", "off"];

/// Runs a provider that should end by itself.
fn run(socket: &Path) -> Result<Output> {
    run_at(socket, &format!("127.0.0.1:{}", free_port()?))
}

/// The same, with an address for probes of the test's choice.
fn run_at(socket: &Path, health: &str) -> Result<Output> {
    let socket = socket.to_str().context("a path that is not UTF-8")?;
    let mut command = Command::new(binary("coffer-provider")?);
    command
        .args(["-endpoint", socket, "-health-addr", health])
        .args(OFF)
        .env_clear();
    Ok(command.output()?)
}

/// D29, P1: a socket file that nobody listens on any more is replaced, by one that only its owner can use.
#[tokio::test]
async fn a_stale_socket_is_replaced() -> Result<()> {
    let place = directory("socket")?;
    let socket = place.path().join("vault.sock");
    drop(UnixListener::bind(&socket)?);
    ensure!(socket.exists(), "the file outlives its listener");
    let provider = ProviderProcess::start_on(&socket, &OFF, &[]).await?;
    provider.driver()?.version().await?;
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(place.path())?.count(),
        1,
        "nothing else is left in the directory"
    );
    Ok(())
}

/// P1: so is the socket of a process that was killed.
#[tokio::test]
async fn the_socket_of_a_killed_process_is_replaced() -> Result<()> {
    let place = directory("socket")?;
    let socket = place.path().join("vault.sock");
    let mut first = ProviderProcess::start_on(&socket, &OFF, &[]).await?;
    let driver = first.driver()?;
    driver.version().await?;
    first.kill()?;
    ensure!(socket.exists());
    let _second = ProviderProcess::start_on(&socket, &OFF, &[]).await?;
    // The same client: it dials again by the same path.
    driver.version().await?;
    Ok(())
}

/// P2: whatever else stands at the path is left alone, and the process ends with 64, path and cause.
#[tokio::test]
async fn what_is_no_socket_is_left_alone() -> Result<()> {
    let place = directory("socket")?;
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir(at("directory.sock"))?;
    std::fs::write(at("file.sock"), "mine")?;
    let elsewhere = UnixListener::bind(at("elsewhere"))?;
    symlink(at("elsewhere"), at("link.sock"))?;
    for (name, kind) in [
        ("directory.sock", "a directory"),
        ("file.sock", "a plain file"),
        ("link.sock", "a symlink"),
    ] {
        let output = run(&at(name))?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(name) && told.contains(kind), "{told}");
    }
    assert!(at("directory.sock").is_dir());
    assert_eq!(std::fs::read_to_string(at("file.sock"))?, "mine");
    assert!(at("link.sock").is_symlink());
    drop(elsewhere);
    Ok(())
}

/// P2: a directory that is not there is a configuration that cannot be used.
#[tokio::test]
async fn a_missing_directory_is_told() -> Result<()> {
    let place = directory("socket")?;
    let output = run(&place.path().join("none/vault.sock"))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(
        told.contains("none") && told.contains("must exist"),
        "{told}"
    );
    Ok(())
}

/// D29, P3: a second instance takes the name over, and the end of the first leaves the new socket in place.
#[tokio::test]
async fn an_overlapping_restart_leaves_the_new_socket() -> Result<()> {
    let mut stage = Stage::set().await?;
    let socket = stage.provider.socket().to_path_buf();
    let address = stage.store.address();
    let arguments = ["-kubeconfig", "off", "-vault-addr", &address];
    stage.content(&stage.volume(ONE)?).await?;
    let mut second = ProviderProcess::start_on(&socket, &arguments, &[]).await?;
    // The driver's open connection still leads to the first.
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    assert_eq!(stage.store.logins(), 1);
    let (status, told) = stage.provider.ask("/livez").await?;
    assert_eq!(status, 503, "{told}");

    assert!(stage.provider.stop().await?.success());
    ensure!(std::fs::symlink_metadata(&socket)?.file_type().is_socket());
    let driver = second.driver()?;
    assert_eq!(
        driver
            .mount(&stage.volume(ONE)?.first_mount())
            .await?
            .files()?["a"],
        "v"
    );
    // The driver's own client finds the new one by the same path.
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    assert!(second.stop().await?.success());
    ensure!(!socket.exists(), "the last one removes its own");
    Ok(())
}

/// P3: a second instance that cannot start, because its address for probes is taken, leaves the first one's socket alone.
#[tokio::test]
async fn a_start_that_fails_leaves_the_socket_of_the_one_that_serves() -> Result<()> {
    let stage = Stage::set().await?;
    let socket = stage.provider.socket().to_path_buf();
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let health = taken.local_addr()?.to_string();
    let inode = std::fs::symlink_metadata(&socket)?.ino();
    let output = run_at(&socket, &health)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains(&format!("--health-addr {health}")), "{told}");

    assert_eq!(std::fs::symlink_metadata(&socket)?.ino(), inode);
    // A client of its own dials the path anew.
    stage.provider.driver()?.version().await?;
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    assert_eq!(stage.provider.ask("/livez").await?.0, 200);
    Ok(())
}

/// P3: a socket that somebody deleted makes the process not live, so that it is started again.
#[tokio::test]
async fn a_deleted_socket_is_noticed() -> Result<()> {
    let provider = ProviderProcess::start(&OFF, &[]).await?;
    assert_eq!(provider.ask("/livez").await?.0, 200);
    std::fs::remove_file(provider.socket())?;
    let (status, told) = provider.ask("/livez").await?;
    assert_eq!(status, 503);
    assert!(
        told.contains("cannot connect to the provider socket"),
        "{told}"
    );
    Ok(())
}
