//! Which requests a class needs: equal ones once, different ones apart, writes never twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use coffer_tests::scripted::Reply;
use serde_json::json;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class, many};

const ISSUE: &str = "/v1/pki/issue/web";

fn certificate(file: &str, name: &str) -> String {
    format!(
        "- {{objectName: {file}, secretPath: pki/issue/web, method: PUT, secretArgs: {{common_name: {name}}}, secretKey: cn}}\n"
    )
}

/// Answers with the common name that was asked for and a number of its own.
fn issue(stage: &Stage) {
    let serial = AtomicUsize::new(0);
    stage.store.rule(move |asked| {
        let number = (asked.path == ISSUE).then(|| serial.fetch_add(1, Ordering::SeqCst))?;
        let name = asked.json()["common_name"].clone();
        Some(Reply::data(&json!({"cn": name, "serial": number})))
    });
}

/// D3, K3: one path with different arguments is two requests with two answers.
#[tokio::test]
async fn different_arguments_are_different_requests() -> Result<()> {
    let stage = Stage::set().await?;
    issue(&stage);
    let objects = certificate("one", "one.example") + &certificate("two", "two.example");
    let files = stage.mount(&stage.volume(&objects)?).await?.files()?;
    assert_eq!(
        (&files["one"][..], &files["two"][..]),
        (&b"one.example"[..], &b"two.example"[..])
    );
    assert_eq!(stage.asked("pki/issue/web"), 2);
    Ok(())
}

/// K3: objects that ask for the same share one answer, so that a key fits its certificate.
#[tokio::test]
async fn equal_requests_are_one_and_share_their_answer() -> Result<()> {
    let stage = Stage::set().await?;
    issue(&stage);
    let one = certificate("cn", "one.example");
    // The same arguments in another order and another notation.
    let other = "- objectName: serial\n  secretPath: /v1/pki/issue/web/\n  method: PUT\n  secretKey: serial\n  secretArgs:\n    \"common_name\": 'one.example'\n";
    let files = stage.mount(&stage.volume(&(one + other))?).await?.files()?;
    assert_eq!(
        (&files["cn"][..], &files["serial"][..]),
        (&b"one.example"[..], &b"0"[..])
    );
    assert_eq!(stage.asked("pki/issue/web"), 1);
    Ok(())
}

/// D13: spellings of one path, and GET written or not, are one read.
#[tokio::test]
async fn spellings_of_one_path_are_one_read() -> Result<()> {
    let stage = Stage::set().await?;
    let spellings = [
        "secret/data/a",
        "/secret/data/a",
        "v1/secret/data/a",
        "/v1/secret/data/a",
        "secret//data/a/",
    ];
    let mut objects = String::new();
    for (at, path) in spellings.iter().enumerate() {
        for method in ["", "GET"] {
            objects += &format!(
                "- {{objectName: o{at}{method}, secretPath: {path}, method: '{method}', secretKey: k}}\n"
            );
        }
    }
    let files = stage.mount(&stage.volume(&objects)?).await?.files()?;
    assert_eq!(files.len(), 10);
    assert!(files.values().all(|file| file == "v"));
    assert_eq!(stage.asked("secret/data/a"), 1);
    Ok(())
}

/// D3: another query, method or body is another request.
#[tokio::test]
async fn query_method_and_body_tell_requests_apart() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.rule(|asked| {
        let what = format!(
            "{} {} {}",
            asked.method,
            asked.query,
            String::from_utf8_lossy(&asked.body)
        );
        asked
            .path
            .starts_with("/v1/x")
            .then(|| Reply::data(&json!({"k": what})))
    });
    let objects = "
- {objectName: a, secretPath: x, secretKey: k}
- {objectName: b, secretPath: 'x?version=1', secretKey: k}
- {objectName: c, secretPath: 'x?version=2', secretKey: k}
- {objectName: d, secretPath: x, method: LIST, secretKey: k}
- {objectName: e, secretPath: x, method: POST, secretKey: k}
- {objectName: f, secretPath: x, method: POST, secretArgs: {}, secretKey: k}
- {objectName: g, secretPath: x, secretArgs: {a: 1}, secretKey: k}";
    let files = stage.mount(&stage.volume(objects)?).await?.files()?;
    let told: Vec<_> = files
        .values()
        .map(|file| String::from_utf8_lossy(file).into_owned())
        .collect();
    assert_eq!(
        told,
        [
            "GET  ",
            "GET version=1 ",
            "GET version=2 ",
            "LIST  ",
            "POST  ",
            "POST  {}",
            "GET  {\"a\":1}"
        ]
    );
    Ok(())
}

/// D12: 20 slow reads go out eight at a time; files stand in the order of the class.
#[tokio::test]
async fn reads_of_one_mount_go_out_side_by_side() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.rule(|asked| {
        let number = asked.path.strip_prefix("/v1/secret/data/")?.to_owned();
        let reply = Reply::data(&json!({"data": {"k": number}, "metadata": {}}));
        Some(reply.after(Duration::from_millis(100)))
    });
    let outcome = stage.mount(&stage.volume(&many(20))?).await?;
    let files = &outcome.response()?.files;
    let told: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), &file.contents[..]))
        .collect();
    let names: Vec<(String, String)> = (0..20)
        .map(|at| (format!("o{at}"), at.to_string()))
        .collect();
    let expected: Vec<_> = names
        .iter()
        .map(|(name, number)| (name.as_str(), number.as_bytes()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(stage.store.most_in_flight(), 8);
    assert_eq!(stage.store.requests().len(), 21);
    Ok(())
}

/// D14, L3: a write whose answer was lost is not sent again, and the text says what that may mean.
#[tokio::test]
async fn a_write_that_was_sent_is_never_sent_twice() -> Result<()> {
    let stage = Stage::with(&["--vault-client-timeout", "1s"]).await?;
    let mut failures = Failures::default();
    for (row, reply, reason) in [
        ("FIN", Reply::hang_up(), "store_unreachable"),
        ("RST", Reply::reset(), "store_unreachable"),
        (
            "cut",
            Reply::data(&json!({"cn": "x"})).cut_after(10),
            "store_unreachable",
        ),
        ("silence", Reply::silence(), "store_timeout"),
        (
            "500",
            Reply::errors(500, &["internal error"]),
            "store_error",
        ),
        ("no JSON", Reply::text(200, "<html>"), "bad_answer"),
    ] {
        for method in ["PUT", "POST", "PATCH", "DELETE"] {
            // Failures of two rows in a row would open the breaker.
            stage.content(&stage.volume(ONE)?).await?;
            stage.store.forget_requests();
            stage.store.on(ISSUE, reply.clone());
            let objects = certificate("one", "one.example").replace("PUT", method);
            let outcome = stage.mount(&stage.volume(&objects)?).await?;
            let text = check_failure(&outcome, Code::Unknown, reason);
            failures.note(
                &format!("{row} {method}"),
                text.and_then(|text| {
                    ensure!(
                        text.contains("it may have been issued and is not asked for twice"),
                        "{text}"
                    );
                    ensure!(
                        stage.asked("pki/issue/web") == 1,
                        "{} times",
                        stage.asked("pki/issue/web")
                    );
                    Ok(())
                }),
            );
        }
    }
    failures.none()
}

/// L3: what was not asked for, because a write found the store away, is not said to have been issued.
#[tokio::test]
async fn what_was_not_asked_for_is_not_said_to_be_issued() -> Result<()> {
    let stage = Stage::with(&["--inflight-per-mount", "1"]).await?;
    stage.store.on(ISSUE, Reply::reset());
    let objects = format!("{}\n{ONE}", certificate("one", "one.example"));
    let outcome = stage.mount(&stage.volume(&objects)?).await?;
    let text = check_failure(&outcome, Code::Unknown, "store_unreachable")?;
    assert_eq!(stage.asked("secret/data/a"), 0);
    assert!(
        text.contains("\"a\" (path secret/data/a): store "),
        "{text}"
    );
    assert_eq!(text.matches("it may have been issued").count(), 1, "{text}");
    Ok(())
}

/// K1: an absent path and an absent key are told apart, with the path and the peers' words.
#[tokio::test]
async fn what_is_not_there_is_named() -> Result<()> {
    let stage = Stage::set().await?;
    let volume = stage.volume(&ONE.replace("secretKey: k", "secretKey: other"))?;
    let text = stage.refused(&volume, Code::NotFound, "not_found").await?;
    assert!(
        text.contains("{secret/data/a}: {key \"other\" does not exist at the secret path}"),
        "{text}"
    );
    assert!(
        !text.contains("\"k\""),
        "a key that exists is not named: {text}"
    );
    let volume = stage.volume(&ONE.replace("data/a", "data/b"))?;
    let text = stage.refused(&volume, Code::NotFound, "not_found").await?;
    assert!(
        text.contains("Code: 404") && text.contains("path secret/data/b"),
        "{text}"
    );
    assert!(text.contains("if secret is KV version 1"), "{text}");
    Ok(())
}

/// D23: a map under a key named `data` of KV version 1 does not hide its neighbours.
#[tokio::test]
async fn a_map_called_data_in_kv_version_1_hides_nothing() -> Result<()> {
    let stage = Stage::set().await?;
    stage.store.on(
        "/v1/kv/app",
        Reply::data(&json!({"data": {"inner": "i"}, "k": "beside"})),
    );
    let objects = "- {objectName: a, secretPath: kv/app, secretKey: k}\n- {objectName: b, secretPath: kv/app, secretKey: data}";
    let files = stage
        .mount(&stage.volume_of("web", class(objects))?)
        .await?
        .files()?;
    assert_eq!(
        (&files["a"][..], &files["b"][..]),
        (&b"beside"[..], &br#"{"inner":"i"}"#[..])
    );
    Ok(())
}

/// K2: values of all kinds become the peers' bytes; no number is rewritten.
#[tokio::test]
async fn values_that_are_no_strings_keep_their_digits() -> Result<()> {
    let stage = Stage::set().await?;
    let body = r#"{"data":{"data":{"e":"","n":null,"t":true,"f":1.0,"x":1E400,"d":123456789012345678901234567890,"l":[6,"x",true],"o":{"b":"<&>","a":1},"b":"dg==","h":"76"},"metadata":{}}}"#;
    stage.store.on("/v1/secret/data/a", Reply::text(200, body));
    let mut objects = String::new();
    for key in ["e", "n", "t", "f", "x", "d", "l", "o"] {
        objects +=
            &format!("- {{objectName: {key}, secretPath: secret/data/a, secretKey: {key}}}\n");
    }
    objects += "- {objectName: b64, secretPath: secret/data/a, secretKey: b, encoding: Base64}\n- {objectName: hex, secretPath: secret/data/a, secretKey: h, encoding: HEX}";
    let files = stage.mount(&stage.volume(&objects)?).await?.files()?;
    for (file, expected) in [
        ("e", ""),
        ("n", "null"),
        ("t", "true"),
        ("f", "1.0"),
        ("x", "1E400"),
        ("d", "123456789012345678901234567890"),
        ("l", "[6,\"x\",true]"),
        ("o", "{\"a\":1,\"b\":\"\\u003c\\u0026\\u003e\"}"),
        ("b64", "v"),
        ("hex", "v"),
    ] {
        assert_eq!(files[file], expected, "{file}");
    }
    let wrong = "- {objectName: a, secretPath: secret/data/a, secretKey: o, encoding: hex}";
    let text = stage
        .refused(&stage.volume(wrong)?, Code::FailedPrecondition, "bad_value")
        .await?;
    assert!(
        text.contains("object \"a\"") && text.contains("hex") && !text.contains("u003c"),
        "{text}"
    );
    Ok(())
}
