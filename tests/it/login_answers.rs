//! What a store, or whatever stands in its place, may answer to a login.
//!
//! Each case: that mount fails with a final code, nothing is kept of it, and the process serves on.

use anyhow::{Result, ensure};
use coffer_tests::scripted::Reply;
use serde_json::{Value, json};
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class};

fn auth(fields: Value) -> Reply {
    Reply::json(
        200,
        &json!({"request_id": "r", "data": null, "auth": fields}),
    )
}

fn odd_answers() -> Vec<(&'static str, Reply)> {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let token = |token: Value, ttl: Value| {
        auth(json!({"client_token": token, "lease_duration": ttl, "renewable": true}))
    };
    vec![
        ("empty body", Reply::text(200, "")),
        ("204", Reply::text(204, "")),
        ("no field", Reply::json(200, &json!({}))),
        ("auth is null", auth(Value::Null)),
        ("auth is a list", auth(json!([]))),
        ("null", Reply::text(200, "null")),
        ("only errors", Reply::json(200, &json!({"errors": []}))),
        (
            "HTML",
            Reply::text(200, "<html>Log in</html>").header("content-type", "text/html"),
        ),
        (
            "half a document",
            Reply::text(200, r#"{"auth": {"client_token": "hvs."#),
        ),
        ("10,000 levels", Reply::text(200, deep)),
        ("empty token", token(json!(""), json!(60))),
        ("token is a number", token(json!(1), json!(60))),
        ("token no header can carry", token(json!("a\nb"), json!(60))),
        ("no time to live", token(json!("hvs.x"), json!(0))),
        ("time to live is text", token(json!("hvs.x"), json!("60"))),
        (
            "303",
            Reply::text(303, "").header("location", "/v1/elsewhere"),
        ),
        (
            "308",
            Reply::text(308, "").header("location", "/v1/elsewhere"),
        ),
        ("300", Reply::text(300, "")),
        ("304", Reply::text(304, "")),
    ]
}

/// D1, S10: a login reply without a usable token fails its mount, is asked for once more, and is not kept.
#[tokio::test]
async fn an_odd_answer_to_a_login_fails_that_mount_and_no_other() -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (row, reply) in odd_answers() {
        stage.store.forget_requests();
        // An identity of its own for each row, so that none waits for what another was refused.
        let volume = stage.volume_of("web", class(ONE).with("roleName", row))?;
        stage.store.on_login(reply);
        let outcome = stage.mount(&volume).await?;
        failures.note(row, check_failure(&outcome, Code::Unknown, "bad_answer"));
        failures.note(
            row,
            async {
                ensure!(stage.store.logins() <= 2, "{} logins", stage.store.logins());
                stage.store.heal();
                ensure!(stage.content(&volume).await? == "v");
                Ok(())
            }
            .await,
        );
    }
    failures.none()
}

/// S10: what is missing is said, and neither body nor token are.
#[tokio::test]
async fn a_login_without_a_token_says_so() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on_login(auth(Value::Null));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unknown, "bad_answer")
        .await?;
    assert!(
        text.starts_with("failed to login: login returned no token"),
        "{text}"
    );
    Ok(())
}

/// S10: a second factor is something that no workload can give.
#[tokio::test]
async fn a_demand_for_a_second_factor_is_a_refusal() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on_login(auth(json!({
        "client_token": "", "lease_duration": 0,
        "mfa_requirement": {"mfa_request_id": "1", "mfa_constraints": {}},
    })));
    let text = stage
        .refused(&stage.volume(ONE)?, Code::Unauthenticated, "login_refused")
        .await?;
    assert!(text.contains("second factor"), "{text}");
    assert_eq!(stage.store.logins(), 1);
    Ok(())
}
