//! One redirect is followed, to servers that the token is meant for, and nowhere else.

use anyhow::Result;
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::json;
use tonic::Code;

use crate::stage::{ONE, Stage, class};

const READ: &str = "/v1/secret/data/a";
const WRITE: &str = "- {objectName: a, secretPath: pki/issue/web, method: PUT, secretArgs: {common_name: a.example}, secretKey: k}";

fn to(location: &str) -> Reply {
    Reply::text(307, "").header("location", location)
}

/// S5: a standby's redirect is followed with method, body, token and namespace.
#[tokio::test]
async fn a_relative_redirect_is_followed_with_all_that_was_sent() -> Result<()> {
    let stage = Stage::set().await?;
    stage
        .store
        .on("/v1/pki/issue/web", to("/v1/pki/active?standby=no"));
    stage
        .store
        .on("/v1/pki/active", Reply::data(&json!({"k": "issued"})));
    let volume = stage.volume_of("web", class(WRITE).with("vaultNamespace", "team/a"))?;
    assert_eq!(stage.content(&volume).await?, "issued");
    let asked = stage.store.requests();
    let [login, before, after] = asked.as_slice() else {
        panic!("{} requests", asked.len());
    };
    assert_eq!(
        (
            login.header("x-vault-token"),
            login.header("x-vault-namespace")
        ),
        (None, Some("team/a"))
    );
    assert_eq!(
        (after.path.as_str(), after.query.as_str()),
        ("/v1/pki/active", "standby=no")
    );
    assert_eq!((&after.method, &after.body), (&before.method, &before.body));
    assert_eq!(after.json(), json!({"common_name": "a.example"}));
    for name in ["x-vault-token", "x-vault-namespace", "x-vault-request"] {
        assert!(after.header(name).is_some(), "{name}");
        assert_eq!(after.header(name), before.header(name), "{name}");
    }
    Ok(())
}

/// S5: a second hop is not taken.
#[tokio::test]
async fn a_second_redirect_is_refused() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(READ, to("/v1/secret/data/b"));
    stage.store.on("/v1/secret/data/b", to("/v1/secret/data/c"));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "bad_answer")
        .await?;
    assert!(
        text.contains("redirects where it must not be followed"),
        "{text}"
    );
    assert!(stage.asked("secret/data/b") > 0);
    assert_eq!(stage.asked("secret/data/c"), 0);
    Ok(())
}

/// S5: a redirect that is refused is told at once: asked for again it would be refused again.
#[tokio::test]
async fn a_refused_redirect_is_asked_for_once() -> Result<()> {
    let stage = Stage::set().await?;
    let foreign = ScriptedStore::start().await?;
    stage.store.on(
        "/v1/pki/issue/web",
        to(&format!("{}/v1/pki/issue/web", foreign.address())),
    );
    stage
        .store
        .on(READ, to(&format!("{}{READ}", foreign.address())));
    for (objects, path) in [(WRITE, "pki/issue/web"), (ONE, "secret/data/a")] {
        let volume = stage.volume(objects)?;
        let text = stage.refused(&volume, Code::Unknown, "bad_answer").await?;
        assert!(
            text.contains("the token is not meant for that host"),
            "{text}"
        );
        assert!(!text.contains("may have been issued"), "{text}");
        assert_eq!(stage.asked(path), 1, "{path}");
    }
    assert_eq!(foreign.connections(), 0);
    Ok(())
}

/// S5, D32: a host that nobody named sees no request at all, neither of a read nor of a login.
#[tokio::test]
async fn a_foreign_host_sees_nothing() -> Result<()> {
    let stage = Stage::set().await?;
    let foreign = ScriptedStore::start().await?;
    stage
        .store
        .on(READ, to(&format!("{}{READ}", foreign.address())));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "bad_answer")
        .await?;
    assert!(
        text.contains("the token is not meant for that host"),
        "{text}"
    );
    stage.store.on_login(to(&format!(
        "{}/v1/auth/kubernetes/login",
        foreign.address()
    )));
    let volume = stage.volume_of("other", class(ONE))?;
    let text = stage.refused(&volume, Code::Unknown, "bad_answer").await?;
    assert!(text.starts_with("failed to login: "), "{text}");
    assert_eq!((foreign.connections(), foreign.requests().len()), (0, 0));
    Ok(())
}

/// S5: another host is followed when the operator listed it.
#[tokio::test]
async fn a_host_that_the_operator_listed_is_followed() -> Result<()> {
    let active = ScriptedStore::start().await?;
    let stage = Stage::with(&["--allowed-addresses", &active.address()]).await?;
    active.on(READ, Reply::data(&json!({"k": "from the active node"})));
    stage
        .store
        .on(READ, to(&format!("{}{READ}", active.address())));
    assert_eq!(
        stage.content(&stage.volume(ONE)?).await?,
        "from the active node"
    );
    let asked = active.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("x-vault-token"), Some("hvs.scripted-1"));
    Ok(())
}

/// S5, D1: redirects of other kinds, and those that lead nowhere, are answers that make no sense.
#[tokio::test]
async fn other_redirects_are_not_followed() -> Result<()> {
    let stage = Stage::set().await?;
    for reply in [
        Reply::text(303, "").header("location", "/v1/secret/data/b"),
        Reply::text(308, "").header("location", "/v1/secret/data/b"),
        Reply::text(307, ""),
        to("//127.0.0.1/v1/secret/data/b"),
        to("ftp://127.0.0.1/v1/secret/data/b"),
        to("secret/data/b"),
    ] {
        stage.store.on(READ, reply);
        stage
            .refused(&stage.volume(ONE)?, Code::Unknown, "bad_answer")
            .await?;
        assert_eq!(stage.asked("secret/data/b"), 0);
    }
    Ok(())
}
