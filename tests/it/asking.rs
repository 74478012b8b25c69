//! `mount --socket`: a person asks a running provider what the driver would ask.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use coffer_tests::driver::Pod;
use coffer_tests::fixture::directory;
use coffer_tests::provider::binary;
use coffer_tests::scripted::Reply;
use serde_json::{Value, json};

use crate::stage::{AUDIENCE, ONE, Stage};

/// Exit code and result of a command in which a pod of shop/web mounts [`ONE`].
fn ask(stage: &Stage, socket: &Path) -> Result<(Option<i32>, Value)> {
    let place = directory("asking")?;
    let (class, token) = (place.path().join("class.yaml"), place.path().join("token"));
    let manifest = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "class", "namespace": "shop"},
        "spec": {"provider": "vault", "parameters": {"roleName": "app", "objects": ONE}},
    });
    std::fs::write(&class, manifest.to_string())?;
    let pod = Pod::new("shop", "pod")?.with_service_account("web");
    std::fs::write(&token, stage.issuer.mint(&pod, AUDIENCE, 3600)?.jwt)?;
    let output = Command::new(binary("coffer-provider")?)
        .env_clear()
        .args(["mount", "--output", "json", "--class"])
        .arg(class)
        .arg("--token-file")
        .arg(token)
        .arg("--socket")
        .arg(socket)
        .output()?;
    let result = serde_json::from_slice(&output.stdout);
    let result = result.with_context(|| format!("{output:?}"))?;
    Ok((output.status.code(), result))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_provider_is_asked_as_the_driver_would() -> Result<()> {
    let stage = Stage::set().await?;
    stage.provider.settled().await?;
    let files = stage.mount(&stage.volume(ONE)?).await?;
    let socket = stage.provider.socket();
    let (code, result) = ask(&stage, socket)?;
    assert_eq!(code, Some(0), "{result}");
    let version = files.versions()?["a"].clone();
    assert_eq!(
        result["files"],
        json!([{"path": "a", "mode": "0644", "bytes": 1, "version": version}])
    );
    assert_eq!(result["store"], json!(socket.display().to_string()));
    assert_eq!(stage.store.logins(), 1, "the login is the provider's");

    stage.store.on("/v1/secret/data/a", Reply::errors(404, &[]));
    let (code, result) = ask(&stage, socket)?;
    assert_eq!((code, &result["reason"]), (Some(1), &json!("not_found")));
    let message = result["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("object \"a\": not found"), "{message}");

    let nobody = stage.provider.directory().join("nobody.sock");
    let (code, result) = ask(&stage, &nobody)?;
    assert_eq!((code, &result["reason"]), (Some(3), &json!("unreadable")));
    Ok(())
}
