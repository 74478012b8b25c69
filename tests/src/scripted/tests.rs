//! The scripted store, asked by an ordinary HTTP client.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::fixture::eventually;
use crate::tls::http_client;

fn client() -> Client {
    http_client().unwrap()
}

async fn login(store: &ScriptedStore) -> String {
    let url = format!("{}/v1/auth/kubernetes/login", store.address());
    let reply: Value = client()
        .post(url)
        .json(&json!({"role": "r"}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    reply["auth"]["client_token"].as_str().unwrap().to_owned()
}

async fn get(store: &ScriptedStore, path: &str, token: &str) -> reqwest::Result<Response> {
    let url = format!("{}{path}", store.address());
    client()
        .get(url)
        .header("X-Vault-Token", token)
        .send()
        .await
}

#[tokio::test]
async fn without_a_script_it_is_a_healthy_store() {
    let store = ScriptedStore::start().await.unwrap();
    store.put("secret/data/foo", json!({"bar": "old"}));
    store.put("secret/data/foo", json!({"bar": "hello"}));
    let token = login(&store).await;
    let reply: Value = get(&store, "/v1/secret/data/foo", &token)
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(reply["data"]["data"]["bar"], "hello");
    assert_eq!(reply["data"]["metadata"]["version"], 2);
    assert_eq!(
        get(&store, "/v1/secret/data/other", &token)
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        get(&store, "/v1/secret/data/foo", "junk")
            .await
            .unwrap()
            .status(),
        403
    );
    store.revoke_all();
    assert_eq!(
        get(&store, "/v1/secret/data/foo", &token)
            .await
            .unwrap()
            .status(),
        403
    );
}

#[tokio::test]
async fn requests_are_recorded_with_all_they_carried() {
    let store = ScriptedStore::start().await.unwrap();
    let token = login(&store).await;
    get(&store, "/v1/secret/data/foo?version=1", &token)
        .await
        .unwrap();
    let requests = store.requests();
    assert!(requests[0].is_login());
    assert_eq!(requests[0].json()["role"], "r");
    assert_eq!(requests[1].path, "/v1/secret/data/foo");
    assert_eq!(requests[1].query, "version=1");
    assert_eq!(requests[1].header("x-vault-token"), Some(token.as_str()));
    assert!(requests[0].at <= requests[1].at);
    assert_eq!((store.logins(), store.count("/v1/secret/data/foo")), (1, 1));
}

#[tokio::test]
async fn the_last_rule_that_answers_wins_until_the_store_is_healed() {
    let store = ScriptedStore::start().await.unwrap();
    store.on("/v1/a", Reply::errors(500, &["first"]));
    store.on(
        "/v1/a",
        Reply::errors(503, &["Vault is sealed"]).header("Retry-After", "1"),
    );
    store.rule(|arrived| (arrived.query == "x").then(Reply::hang_up));
    let reply = get(&store, "/v1/a", "").await.unwrap();
    assert_eq!(
        (
            reply.status().as_u16(),
            reply.headers()["retry-after"].to_str().unwrap()
        ),
        (503, "1")
    );
    assert!(get(&store, "/v1/a?x", "").await.is_err());
    store.heal();
    assert_eq!(get(&store, "/v1/a", "").await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_answer_waits_at_its_gate_and_the_gauge_sees_how_many_do() {
    let store = ScriptedStore::start().await.unwrap();
    let gate = Arc::new(Notify::new());
    store.on("/v1/a", Reply::text(200, "x").behind(&gate));
    let three = futures_util::future::join_all((0..3).map(|_| get(&store, "/v1/a", "")));
    let open = async {
        eventually(Duration::from_secs(10), "three requests", async || {
            anyhow::ensure!(store.count("/v1/a") == 3, "not yet");
            Ok(())
        })
        .await
        .unwrap();
        for _ in 0..3 {
            gate.notify_one();
            tokio::task::yield_now().await;
        }
        gate.notify_waiters();
    };
    let (replies, ()) = tokio::join!(three, open);
    assert!(replies.into_iter().all(|reply| reply.is_ok()));
    assert_eq!(store.most_in_flight(), 3);
}

#[tokio::test]
async fn a_body_may_be_cut_off_or_come_slowly() {
    let store = ScriptedStore::start().await.unwrap();
    store.on("/v1/cut", Reply::text(200, "0123456789").cut_after(4));
    store.on(
        "/v1/slow",
        Reply::text(200, "0123456789").slowly(4, Duration::from_millis(1)),
    );
    assert!(
        get(&store, "/v1/cut", "")
            .await
            .unwrap()
            .text()
            .await
            .is_err()
    );
    assert_eq!(
        get(&store, "/v1/slow", "")
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "0123456789"
    );
}

#[tokio::test]
async fn an_answer_may_be_no_http_or_never_come() {
    let store = ScriptedStore::start().await.unwrap();
    store.on("/v1/raw", Reply::verbatim("SSH-2.0-OpenSSH\r\n"));
    store.on("/v1/never", Reply::silence());
    assert!(get(&store, "/v1/raw", "").await.is_err());
    let never = tokio::time::timeout(Duration::from_millis(100), get(&store, "/v1/never", ""));
    assert!(never.await.is_err());
    eventually(
        Duration::from_secs(10),
        "the client's going away",
        async || {
            anyhow::ensure!(store.in_flight() == 0, "{} in flight", store.in_flight());
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_connection_may_be_reset() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let store = ScriptedStore::start().await.unwrap();
    store.on("/v1/reset", Reply::reset());
    let mut stream = tokio::net::TcpStream::connect(store.address).await.unwrap();
    let request = b"GET /v1/reset HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let error = stream.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_endless_body_ends_with_its_reader() {
    let store = ScriptedStore::start().await.unwrap();
    store.on("/v1/endless", Reply::endless());
    let mut reply = get(&store, "/v1/endless", "").await.unwrap();
    let mut seen = 0;
    while seen < 4 << 20 {
        seen += reply.chunk().await.unwrap().unwrap().len();
    }
    drop(reply);
    eventually(Duration::from_secs(10), "the end of the body", async || {
        anyhow::ensure!(store.in_flight() == 0, "{} in flight", store.in_flight());
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let store = ScriptedStore::start().await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(store.address).await.unwrap();
    stream.write_all(b"\x16\x03\x01\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
