//! What the operator lets a class name, under both profiles.

use anyhow::{Result, ensure};
use coffer_tests::driver::Class;
use coffer_tests::scripted::ScriptedStore;
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, class};

/// D17, H6, T3: under `strict` nothing leaves for an address, over a channel or with a method that nobody allowed.
#[tokio::test]
async fn strict_refuses_what_the_operator_did_not_name() -> Result<()> {
    let other = ScriptedStore::start().await?;
    let stage = Stage::with(&["--policy-profile", "strict", "--allow-plain-http"]).await?;
    let plain = class(ONE);
    let mut failures = Failures::default();
    for (row, class, words) in [
        (
            "address",
            plain.clone().with("vaultAddress", &other.address()),
            "is not an allowed address",
        ),
        (
            "metadata",
            plain.clone().with("vaultAddress", "http://169.254.169.254"),
            "is not an allowed address",
        ),
        (
            "socket",
            plain.clone().with("vaultAddress", "unix:///run/x.sock"),
            "is not an allowed address",
        ),
        (
            "CA file",
            plain.clone().with("vaultCACertPath", "/etc/passwd"),
            "vaultCACertPath",
        ),
        (
            "CA directory",
            plain.clone().with("vaultCADirectory", "/etc"),
            "vaultCADirectory",
        ),
        (
            "way up",
            plain
                .clone()
                .with("vaultCACertPath", "/etc/coffer/tls/../../passwd"),
            "vaultCACertPath",
        ),
        (
            "client key",
            plain
                .clone()
                .with("vaultTLSClientCertPath", "/c")
                .with("vaultTLSClientKeyPath", "/k"),
            "vaultTLSClientKeyPath",
        ),
        (
            "skip-verify",
            plain.clone().with("vaultSkipTLSVerify", "true"),
            "vaultSkipTLSVerify",
        ),
        (
            "method",
            method("DELETE"),
            "DELETE is not an allowed method",
        ),
    ] {
        failures.note(row, forbidden(&stage, class, words).await);
    }
    assert_eq!((stage.store.connections(), other.connections()), (0, 0));
    failures.note(
        "the operator's own",
        stage.content(&stage.volume(ONE)?).await,
    );
    failures.none()
}

/// Policy refuses a mount of the class, in these words.
async fn forbidden(stage: &Stage, class: Class, words: &str) -> Result<()> {
    let volume = stage.volume_of("web", class)?;
    let text = stage
        .refused(&volume, Code::PermissionDenied, "not_allowed")
        .await?;
    ensure!(text.contains(words), "{text}");
    Ok(())
}

fn method(method: &str) -> Class {
    class(&format!(
        "- {{objectName: a, secretPath: x, method: {method}}}"
    ))
}

/// H6: under `strict` a token does not travel over plain http, not even to an address that is allowed.
#[tokio::test]
async fn strict_refuses_plain_http() -> Result<()> {
    let far = "http://vault.invalid:8200";
    let stage = Stage::with(&["--policy-profile", "strict", "--allowed-addresses", far]).await?;
    let volume = stage.volume_of("web", class(ONE).with("vaultAddress", far))?;
    let text = stage
        .refused(&volume, Code::PermissionDenied, "not_allowed")
        .await?;
    assert!(text.contains("over plain http"), "{text}");
    // Loopback leaves no node.
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    Ok(())
}

/// I6: under `strict` a token for the API server's own audience is not even requested.
#[tokio::test]
async fn strict_refuses_the_audience_of_the_api_server() -> Result<()> {
    let stage = Stage::with(&["--policy-profile", "strict", "--allow-plain-http"]).await?;
    let mut volume = stage.volume(ONE)?;
    volume.tokens = None;
    let text = stage
        .refused(&volume, Code::PermissionDenied, "not_allowed")
        .await?;
    assert!(text.contains("audience: names no audience"), "{text}");
    assert!(stage.store.requests().is_empty());
    Ok(())
}

/// D17: the operator's lists bind under `compat` as well, all of them before any request.
#[tokio::test]
async fn lists_bind_under_both_profiles() -> Result<()> {
    let lists = [
        "--allowed-addresses",
        "https://vault.example:8200",
        "--allowed-namespaces",
        "team",
        "--allowed-auth-mounts",
        "jwt",
        "--allowed-methods",
        "GET",
        "--allowed-tls-dirs",
        "/etc/vault-tls",
    ];
    for profile in ["compat", "strict"] {
        let stage = Stage::with(
            &[
                &lists[..],
                &["--policy-profile", profile, "--allow-plain-http"],
            ]
            .concat(),
        )
        .await?;
        let plain = class(ONE);
        let mut failures = Failures::default();
        for (row, class, words) in [
            (
                "address",
                plain.clone().with("vaultAddress", "https://other.example"),
                "is not an allowed address; ask the operator to add it to --allowed-addresses (",
            ),
            (
                "namespace",
                plain.clone().with("vaultNamespace", "other"),
                "vaultNamespace: \"other\" is not allowed",
            ),
            (
                "auth mount",
                plain.clone().with("vaultAuthMountPath", "kubernetes"),
                "vaultAuthMountPath: \"kubernetes\"",
            ),
            ("method", method("PUT"), "PUT is not an allowed method"),
            (
                "TLS file",
                plain
                    .clone()
                    .with("vaultCACertPath", "/etc/coffer/tls/ca.pem"),
                "vaultCACertPath",
            ),
        ] {
            failures.note(row, forbidden(&stage, class, words).await);
        }
        assert_eq!(stage.store.connections(), 0);
        let listed = plain
            .clone()
            .with("vaultNamespace", "team")
            .with("vaultAuthMountPath", "jwt");
        failures.note(
            "what is listed",
            stage.content(&stage.volume_of("web", listed)?).await,
        );
        failures.none()?;
    }
    Ok(())
}

/// D17, T2: with a locked connection neither class nor pod chooses where the token goes.
#[tokio::test]
async fn a_locked_connection_is_the_operators() -> Result<()> {
    let stage = Stage::with(&["--lock-connection"]).await?;
    let volume = stage.volume(ONE)?;
    let own = stage.store.address();
    for (key, value) in [
        ("vaultAddress", own.as_str()),
        ("vaultNamespace", "team"),
        ("vaultAuthMountPath", "jwt"),
        ("vaultSkipTLSVerify", "true"),
        ("vaultTLSServerName", "other.example"),
    ] {
        for volume in [
            volume.clone().with_attribute(key, value),
            stage.volume_of("web", class(ONE).with(key, value))?,
        ] {
            let text = stage
                .refused(&volume, Code::PermissionDenied, "not_allowed")
                .await?;
            assert!(text.contains("is locked by the operator"), "{key}: {text}");
        }
    }
    assert_eq!(stage.store.connections(), 0);
    assert_eq!(stage.content(&volume).await?, "v");
    Ok(())
}

/// H6, D17: `compat` lets the peers' habits through and counts what `strict` would refuse.
#[tokio::test]
async fn compat_counts_what_strict_would_refuse() -> Result<()> {
    let stage = Stage::set().await?;
    let other = ScriptedStore::start().await?;
    other.put("secret/data/a", json!({"k": "other"}));
    let at = |address: &str| stage.volume_of("web", class(ONE).with("vaultAddress", address));
    assert_eq!(stage.content(&at(&other.address())?).await?, "other");
    let far = at("http://vault.invalid:8200")?;
    stage
        .refused(&far, Code::Unknown, "store_unreachable")
        .await?;
    for (rule, expected) in [
        ("address", 2.0),
        ("http", 1.0),
        ("skip_verify", 0.0),
        ("tls_path", 0.0),
    ] {
        let series = format!("coffer_policy_warnings_total{{rule=\"{rule}\"}}");
        assert_eq!(
            stage.provider.metric(&series).await?,
            Some(expected),
            "{rule}"
        );
    }
    Ok(())
}

/// D17, T2: what a pod writes into its volume beats the class, and is judged like it.
#[tokio::test]
async fn a_pods_attributes_are_judged_like_the_class() -> Result<()> {
    let stage = Stage::with(&["--allowed-addresses", "https://vault.example"]).await?;
    let other = ScriptedStore::start().await?;
    let volume = stage
        .volume(ONE)?
        .with_attribute("vaultAddress", &other.address());
    stage
        .refused(&volume, Code::PermissionDenied, "not_allowed")
        .await?;
    assert_eq!((stage.store.connections(), other.connections()), (0, 0));
    let role = stage.volume(ONE)?.with_attribute("roleName", "of-the-pod");
    stage.content(&role).await?;
    assert_eq!(stage.store.requests()[0].json()["role"], "of-the-pod");
    Ok(())
}

/// D19: a class that asks for verification cannot undo the operator's skip, and is told so in the log.
#[tokio::test]
async fn a_class_that_asks_in_vain_for_verification_is_warned_about() -> Result<()> {
    let mut stage = Stage::with(&["-vault-tls-skip-verify"]).await?;
    let volume = stage.volume_of("web", class(ONE).with("vaultSkipTLSVerify", "false"))?;
    for _ in 0..3 {
        assert_eq!(stage.content(&volume).await?, "v");
    }
    let log = stage.provider.whole_log().await?;
    assert_eq!(log.matches("cannot undo").count(), 1, "{log}");
    Ok(())
}
