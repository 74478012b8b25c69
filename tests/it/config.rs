//! Command line, environment and configuration file of the real binary.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use coffer_tests::fixture::directory;
use coffer_tests::provider::{ProviderProcess, binary};
use serde_json::{Value, json};

use crate::stage::{ONE, Stage};

fn run(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(binary("coffer-provider")?)
        .args(arguments)
        .env_clear()
        .output()?)
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// D22: a bad configuration ends with 64 and every problem of every source, before a socket is made.
#[tokio::test]
async fn all_problems_of_a_configuration_are_told_together() -> Result<()> {
    let place = directory("config")?;
    let socket = place.path().join("vault.sock");
    let (code, _, told) = told(&run(&[
        "-endpoint",
        &socket.display().to_string(),
        "-health-addr",
        "nowhere",
        "-cache-size",
        "many",
        "-vault-addr",
        "vault:8200",
        "--policy-profile",
        "lax",
        "--mount-deadline",
        "soon",
        "-vault-tls-skip-verify=perhaps",
        "--allowed-addresses",
        "ftp://x",
        "--log-format",
        "xml",
        "--hmac-source",
        "file",
        "--inflight",
        "0",
    ])?);
    assert_eq!(code, Some(64), "{told}");
    for option in [
        "health-addr",
        "cache-size",
        "vaultAddress",
        "policy-profile",
        "mount-deadline",
        "vault-tls-skip-verify",
        "allowed-addresses",
        "log-format",
        "hmac-key-file",
        "inflight",
    ] {
        assert!(told.contains(option), "{option} in {told}");
    }
    ensure!(!socket.exists());
    Ok(())
}

/// D22: an unknown option of the file is named with what may have been meant, and the file's values count.
#[tokio::test]
async fn a_configuration_file_is_read_and_checked() -> Result<()> {
    let place = directory("config")?;
    let file = place.path().join("coffer.yaml");
    let path = file.display().to_string();
    std::fs::write(&file, "vault-adr: https://x\n")?;
    let (code, _, text) = told(&run(&["--config", &path])?);
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("vault-adr: is no option") && text.contains("did you mean vault-addr?"),
        "{text}"
    );
    let (code, _, text) = told(&run(&["--config", "/no/such/file"])?);
    assert_eq!(code, Some(64), "{text}");

    let stage = Stage::set().await?;
    std::fs::write(
        &file,
        format!(
            "kubeconfig: 'off'\nvault-addr: {}\nvault-mount: from-the-file\n",
            stage.store.address()
        ),
    )?;
    let provider = ProviderProcess::start(
        &["--config", &path],
        &[("VAULT_ADDR", "http://127.0.0.1:1")],
    )
    .await?;
    let driver = provider.driver()?;
    driver
        .mount(&stage.volume(ONE)?.first_mount())
        .await?
        .failure()?;
    assert_eq!(stage.store.logins(), 0, "the environment beats the file");
    let address = stage.store.address();
    let provider = ProviderProcess::start(
        &["--config", &path, "-vault-addr", &address],
        &[("VAULT_ADDR", "http://127.0.0.1:1")],
    )
    .await?;
    provider
        .driver()?
        .mount(&stage.volume(ONE)?.first_mount())
        .await?
        .response()?;
    assert_eq!(
        stage.asked("auth/from-the-file/login"),
        1,
        "flags beat both"
    );
    Ok(())
}

/// D20: an unknown level is info and said so; -debug works and is called deprecated.
#[tokio::test]
async fn odd_log_levels_do_not_stop_the_process() -> Result<()> {
    let mut provider =
        ProviderProcess::start(&["-kubeconfig", "off", "-log-level", "loud"], &[]).await?;
    let log = provider.whole_log().await?;
    assert!(
        log.contains("the log level is not known: info is used"),
        "{log}"
    );
    let mut stage = Stage::with(&["-debug"]).await?;
    let volume = stage.volume(ONE)?;
    stage.content(&volume).await?;
    stage.content(&volume).await?;
    let log = stage.provider.whole_log().await?;
    assert!(log.contains("-debug is deprecated"), "{log}");
    assert!(log.contains("\"level\":\"debug\""), "{log}");
    Ok(())
}

/// §5 -version, §5 -output: every form of --version that the peers print, with one dash or two.
#[tokio::test]
async fn version_is_printed_in_the_forms_of_the_peers() -> Result<()> {
    for arguments in [
        &["-version"][..],
        &["--version"],
        &["-version", "-output", "json"],
        &["--version", "--output=json-pretty"],
    ] {
        let (code, text, _) = told(&run(arguments)?);
        let version: Value = serde_json::from_str(&text)?;
        assert_eq!(
            (code, &version["version"]),
            (Some(0), &json!(env!("CARGO_PKG_VERSION"))),
            "{arguments:?}"
        );
        assert!(version["minDriverVersion"].is_string(), "{text}");
    }
    let (code, text, _) = told(&run(&["-version", "-output", "yaml"])?);
    assert!(code == Some(0) && text.starts_with("version: "), "{text}");
    let (code, _, text) = told(&run(&["-version", "-output", "xml"])?);
    assert!(code == Some(2) && text.contains("json-pretty"), "{text}");
    Ok(())
}

/// D22: a variable of ours that no option has is named at the start with the nearest one, never its value.
#[tokio::test]
async fn a_misspelt_variable_is_warned_about() -> Result<()> {
    let environment = [("COFFER_VAULT_ADR", "https://marker-x")];
    let mut provider = ProviderProcess::start(&["-kubeconfig", "off"], &environment).await?;
    let log = provider.whole_log().await?;
    let words = "COFFER_VAULT_ADR is not known and ignored: did you mean COFFER_VAULT_ADDR?";
    assert_eq!(log.matches(words).count(), 1, "{log}");
    assert!(!log.contains("marker-x"), "{log}");
    Ok(())
}

/// D22: what was typed wrong ends with 2 and a hint; help and completions with 0.
#[tokio::test]
async fn usage_help_and_completions() -> Result<()> {
    let (code, _, text) = told(&run(&["--no-such-flag"])?);
    assert_eq!(code, Some(2), "{text}");
    for (typed, meant) in [
        ("-endpoin", "'--endpoint'"),
        ("-vault-adr", "'--vault-addr'"),
    ] {
        let (code, _, text) = told(&run(&[typed, "x"])?);
        assert!(code == Some(2) && text.contains(meant), "{text}");
    }
    let (code, text, _) = told(&run(&["--help"])?);
    assert!(code == Some(0) && text.contains("--vault-addr"), "{text}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, text, _) = told(&run(&["completions", shell])?);
        assert!(
            code == Some(0) && text.contains("coffer-provider"),
            "{shell}"
        );
    }
    let (code, _, _) = told(&run(&["completions", "cmd"])?);
    assert_eq!(code, Some(2));
    Ok(())
}

/// D22: `check` ends with 0 for a good class, 1 for findings, 2 without a file, 3 for one that cannot be read.
#[tokio::test]
async fn check_tells_by_its_exit_code() -> Result<()> {
    let place = directory("check")?;
    let file = place.path().join("class.yaml");
    let path = file.display().to_string();
    let manifest = |objects: &str, more: &str| {
        format!(
            "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{name: a}}\nspec:\n  provider: vault\n  parameters:\n    roleName: app\n{more}    objects: |\n      {objects}\n"
        )
    };
    let bad = ONE.replace("secretKey", "encoding: rot13, secretKey");
    for (text, arguments, expected) in [
        (manifest(ONE, ""), &["check"][..], Some(0)),
        (manifest(&bad, ""), &["check"], Some(1)),
        (
            manifest(ONE, "    vaultAdress: https://x\n"),
            &["check"],
            Some(0),
        ),
        (
            manifest(ONE, "    vaultAdress: https://x\n"),
            &["check", "--strict"],
            Some(1),
        ),
    ] {
        std::fs::write(&file, &text)?;
        let output = told(&run(&[arguments, &[&path]].concat())?);
        assert_eq!(output.0, expected, "{arguments:?} {text} {output:?}");
    }
    assert_eq!(run(&["check"])?.status.code(), Some(2));
    assert_eq!(run(&["check", "/no/such/file"])?.status.code(), Some(3));
    Ok(())
}
