//! What a Secret can hold at most.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::advice;
use crate::sync::outages::{is_well, refetched, serves_last_good, untouched};
use crate::sync::{Scene, value};
use crate::world::run;

const MIB: usize = 1 << 20;

/// Types §2, §7 byte fixtures: a MiB is written with a warning, a byte more is refused and the last good value stays.
#[test]
fn a_mebibyte_is_written_and_one_byte_more_is_not() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let bytes = |count: usize| -> Vec<u8> { (0..=u8::MAX).cycle().take(count).collect() };
        scene.vendor.put("f", bytes(MIB));
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.starts_with("k (1048576 bytes); "), "{message}");
        ensure!(advice(message) == ["size.near-limit"], "{message}");
        let whole = |secret: &Value| value(secret, "k") == Some(bytes(MIB));
        let before = scene.until("a", "a MiB", whole).await?;

        scene.vendor.put("f", bytes(MIB + 1));
        refetched(&scene, &class, &sync).await?;
        let told = serves_last_good(&scene, &sync, "ControllerPatchError").await?;
        ensure!(told.starts_with("TooLarge: "), "{told}");
        ensure!(told.contains("k 1048577"), "{told}");
        scene.told("a", "SyncRefused").await?;
        untouched(&scene, &before).await?;

        scene.vendor.put("f", bytes(MIB));
        refetched(&scene, &class, &sync).await?;
        is_well(&scene, &sync).await?;
        untouched(&scene, &before).await
    })
}
