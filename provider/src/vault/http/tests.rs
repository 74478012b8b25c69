//! Exchanges with a hand-made server over a unix socket in a directory of its own.

use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::fault::Reason;
use coffer_provider_core::request::{Method, Request};
use coffer_provider_core::target::{Layer, Target};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::Instant;

use super::{Answer, Call, HttpLimits, HttpRules, NoAnswer, Stores};
use crate::metrics::{BuildInfo, Metrics, StoreOp};
use crate::ports::Machine;
use crate::vault::endpoint;

fn stores(limits: HttpLimits) -> Stores {
    let metrics = Arc::new(Metrics::new(BuildInfo::default(), 1));
    Stores::new(limits, HttpRules::default(), Arc::new(Machine), metrics)
}

fn read() -> Call {
    Call {
        op: StoreOp::Read,
        deadline: Instant::now() + Duration::from_secs(30),
        first: true,
    }
}

/// Sends one read to a server that answers each connection with the given bytes, then closes.
async fn exchange(limits: HttpLimits, reply: Vec<u8>) -> Result<Answer, NoAnswer> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await.unwrap();
        let _ = stream.write_all(&reply).await;
        let _ = stream.shutdown().await;
    });
    let layer = Layer {
        address: format!("unix://{}", path.display()),
        ..Layer::default()
    };
    let target: Target = Layer::resolve(&[&layer]).unwrap();
    let request = Request {
        method: Method::Get,
        path: "a".to_owned(),
        query: Vec::new(),
        body: None,
    };
    let prepared = endpoint::object(&target, &SecretString::from("t"), &request)
        .ok()
        .unwrap();
    let outcome = stores(limits).send(&target, prepared, read()).await;
    server.abort();
    outcome
}

fn head(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{rest}").into_bytes()
}

#[tokio::test]
async fn an_answer_is_read_whole_with_its_head() {
    let reply = b"HTTP/1.1 429 x\r\nContent-Type: text/plain\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nhi".to_vec();
    let answer = exchange(HttpLimits::default(), reply).await.ok().unwrap();
    assert_eq!(
        (
            answer.status,
            answer.content_type.as_str(),
            answer.body.as_slice()
        ),
        (429, "text/plain", &b"hi"[..])
    );
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_body_above_the_cap_is_refused_announced_or_not() {
    let limits = HttpLimits {
        body_bytes: 1000,
        ..HttpLimits::default()
    };
    let announced = head("Content-Length: 1001\r\n\r\n");
    let mut endless = head("\r\n");
    endless.extend(vec![b'x'; 1001]);
    for reply in [announced, endless] {
        let refused = exchange(limits, reply).await.err().unwrap();
        assert_eq!(refused.fault.reason, Reason::BadAnswer, "{}", refused.fault);
    }
}

#[tokio::test]
async fn a_body_that_ends_too_early_is_no_answer() {
    let reply = head("Content-Length: 10\r\n\r\n{\"a\":");
    let refused = exchange(HttpLimits::default(), reply).await.err().unwrap();
    assert_eq!(
        (refused.fault.reason, refused.maybe_sent),
        (Reason::StoreUnreachable, true)
    );
}

#[tokio::test]
async fn a_missing_socket_is_told_with_its_phase() {
    let layer = Layer {
        address: "unix:///nonexistent/s".to_owned(),
        ..Layer::default()
    };
    let target = Layer::resolve(&[&layer]).unwrap();
    let prepared = endpoint::lookup_self(&target, &SecretString::from("t"))
        .ok()
        .unwrap();
    let refused = stores(HttpLimits::default())
        .send(&target, prepared, read())
        .await
        .err()
        .unwrap();
    assert_eq!(
        (refused.fault.reason, refused.maybe_sent),
        (Reason::StoreUnreachable, false)
    );
    assert!(
        refused.fault.what.contains("phase connect"),
        "{}",
        refused.fault
    );
}
