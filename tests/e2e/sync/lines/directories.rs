//! Where the sockets of providers are: several directories, of which the first one with a provider counts.

use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, ensure};
use coffer_tests::syncer::Sockets;
use coffer_tests::vendor::Vendor;

use crate::sync::outages::{Line, arrives, class_of, is_well, renewed};
use crate::sync::{Scene, VENDOR};
use crate::world::run;

/// A provider that is in either directory.
const PROVIDER: &str = "somewhere";

/// A scene whose controller looks into its own directory first, and then into this one.
async fn scene(second: &Sockets) -> Result<Scene> {
    let second = second.path().to_str().context("a path that is no text")?;
    Scene::plain(&["--provider-dirs", second]).await
}

/// Sync §4, order of the directories.
#[test]
fn of_two_directories_with_a_provider_the_first_one_counts() -> Result<()> {
    run(async {
        let second = Sockets::new()?;
        let scene = scene(&second).await?;
        let near = Vendor::serve(&scene.sockets.of(PROVIDER))?;
        let far = Vendor::serve(&second.of(PROVIDER))?;
        near.put("f", "near");
        far.put("f", "far");
        class_of(&scene, PROVIDER).await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"near").await?;
        is_well(&scene, &sync).await?;
        ensure!(far.calls() == 0, "{} calls of the second", far.calls());
        Ok(())
    })
}

/// Sync §4, looked up again: a socket that nobody serves any more is passed over, and a provider that moves is found.
#[test]
fn a_dead_socket_is_passed_over_and_a_provider_that_moves_is_found() -> Result<()> {
    run(async {
        let second = Sockets::new()?;
        let scene = scene(&second).await?;
        let (near, far) = (scene.sockets.of(PROVIDER), second.of(PROVIDER));
        // As a process that was killed leaves it behind.
        drop(UnixListener::bind(&near)?);
        let old = Vendor::serve(&second.of("old"))?;
        old.put("f", "far");
        scene.vendor.put("f", "near");
        let line = Line::open(&far, &second.of("old"))?;
        let class = class_of(&scene, PROVIDER).await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"far").await?;
        is_well(&scene, &sync).await?;

        line.down().await?;
        std::fs::remove_file(&near)?;
        let _line = Line::open(&near, &scene.sockets.of(VENDOR))?;
        renewed(&scene, &class).await?;
        let after = arrives(&scene, "a", "k", b"near").await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        is_well(&scene, &sync).await
    })
}
