//! The client code of real drivers, in Go: grpc-go 1.56.3 of drivers up to 1.5.6, and that of 1.6.0.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_tests::driver::DriverVersion;
use coffer_tests::fixture::program;
use serde_json::{Value, json};

use crate::stage::{object, provider};
use crate::world::{run, store};

/// What the program says of each call: one object a line.
fn calls(name: &str, socket: &str, request: &str, timeout: &str) -> Result<Vec<Value>> {
    let program = program(&[name]).context("`tools/install.sh wire` builds it")?;
    let arguments = [
        "-socket", socket, "-request", request, "-count", "2", "-timeout", timeout,
    ];
    let output = Command::new(program).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// Mounts over the real socket and checks what arrives.
async fn mounts(name: &'static str, driver: DriverVersion, timeout: &'static str) -> Result<()> {
    let (store, provider) = (store().await?, provider(&[]).await?);
    let path = store.secret("wire", &json!({"k": "hello"})).await?;
    let objects = object("bar", &path, "secretKey: k, filePermission: 0600");
    let volume = store.volume(store.class(&objects))?.by(driver);
    let request = volume.rotation(&[]);
    let file = provider.directory().join("request.json");
    let text = json!({"attributes": request.attributes, "secrets": request.secrets, "target_path": request.target_path, "permission": request.permission});
    fs::write(&file, text.to_string())?;
    let (socket, file) = (
        provider.socket().display().to_string(),
        file.display().to_string(),
    );
    let answers =
        tokio::task::spawn_blocking(move || calls(name, &socket, &file, timeout)).await??;
    ensure!(answers.len() == 3, "{answers:?}");
    assert_eq!(
        (&answers[0]["code"], &answers[0]["runtime_name"]),
        (&json!("OK"), &json!("vault-csi-provider")),
        "{:?}",
        answers[0]
    );
    for mounted in &answers[1..] {
        assert_eq!(mounted["code"], "OK", "{mounted}");
        let file = json!([{"path": "bar", "mode": 0o600, "contents_base64": BASE64_STANDARD.encode("hello")}]);
        assert_eq!(mounted["files"], file);
        assert_eq!(mounted["object_version"][0]["id"], "bar");
    }
    assert_eq!(answers[1]["object_version"], answers[2]["object_version"]);
    Ok(())
}

/// §17 case 6, M3: drivers up to 1.5.6 mount: grpc-go 1.56.3, the socket's path as authority, no deadline
#[test]
fn the_client_of_old_drivers_mounts() -> Result<()> {
    run(mounts("olddriver", DriverVersion::V1_5, "0"))
}

/// §17 case 5: driver 1.6.0 mounts: grpc-go 1.79.3, `localhost` as authority, kubelet's deadline
#[test]
fn the_client_of_the_current_driver_mounts() -> Result<()> {
    run(mounts("newdriver", DriverVersion::V1_6, "120s"))
}
