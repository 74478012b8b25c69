//! What each path answers, and over loopback what the port does with those who hold it up.

use axum::body::{Body, to_bytes};
use http::{Method, Request};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::*;
use crate::metrics::BuildInfo;
use coffer_frame::connections::MAX_CONNECTIONS;

fn admin() -> Arc<Admin> {
    let view = ObjectView {
        kind: "SecretSync".to_owned(),
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        secret: "db".to_owned(),
        state: "ready".to_owned(),
        reason: "Synced".to_owned(),
        last_success: Timestamp::from_millisecond(1_900_000_000_500).ok(),
        next_refresh: None,
    };
    Arc::new(Admin {
        metrics: Arc::new(Metrics::new(BuildInfo::default(), false)),
        liveness: Arc::new(Liveness::default()),
        readiness: Arc::new(Readiness::default()),
        objects: Arc::new(move || vec![view.clone()]),
    })
}

async fn ask(admin: &Arc<Admin>, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = router(Arc::clone(admin)).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

async fn fetch(admin: &Arc<Admin>, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (status, _, text) = ask(admin, request).await;
    (status.as_u16(), text)
}

#[tokio::test(start_paused = true)]
async fn livez_says_when_the_loop_stands_still() {
    let admin = admin();
    assert_eq!(fetch(&admin, "/livez").await, (200, "ok\n".to_owned()));
    tokio::time::advance(Duration::from_secs(125)).await;
    let cause = "the loop has not moved for 125 s\n".to_owned();
    assert_eq!(fetch(&admin, "/livez").await, (503, cause));
    admin.liveness.moved();
    assert_eq!(fetch(&admin, "/livez").await.0, 200);
}

/// How a part of the process tells what it is doing.
type Set = fn(&Readiness);

#[tokio::test]
async fn readyz_and_its_alias_say_the_same() {
    let admin = admin();
    let says: [(Set, u16, &str); 4] = [
        (
            |readiness| readiness.starting("no classes"),
            503,
            "starting: no classes\n",
        ),
        (Readiness::standing_by, 200, "standing by\n"),
        (Readiness::ready, 200, "ok\n"),
        (Readiness::draining, 503, "draining\n"),
    ];
    for (set, status, text) in says {
        set(&admin.readiness);
        for path in ["/readyz", "/health/ready", "/readyz?verbose"] {
            let answer = fetch(&admin, path).await;
            assert_eq!(answer, (status, text.to_owned()), "{path}");
        }
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let admin = admin();
    for (accept, kind, end) in [
        ("*/*", "text/plain; version=0.0.4", "\n"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.2",
            "application/openmetrics-text; version=1.0.0",
            "# EOF\n",
        ),
    ] {
        let request = Request::get("/metrics").header(ACCEPT, accept);
        let request = request.body(Body::empty()).unwrap();
        let (status, headers, text) = ask(&admin, request).await;
        assert_eq!(status, StatusCode::OK);
        let found = headers[CONTENT_TYPE].to_str().unwrap();
        assert!(found.starts_with(kind), "{accept}: {found}");
        assert!(text.contains("coffer_build_info{") && text.ends_with(end));
    }
}

#[tokio::test]
async fn objects_are_listed_with_their_times() {
    let (status, text) = fetch(&admin(), "/objects").await;
    assert_eq!(status, 200);
    let expected = r#"[{"kind":"SecretSync","namespace":"shop","name":"db","secret":"db","state":"ready","reason":"Synced","lastSuccess":"2030-03-17T17:46:40Z","nextRefresh":null}]"#;
    assert_eq!(text, format!("{expected}\n"));
}

#[tokio::test]
async fn only_get_and_head_of_known_paths_are_answered() {
    let admin = admin();
    for (method, path, expected) in [
        (Method::GET, "/", 404),
        (Method::GET, "/debug/pprof", 404),
        (Method::GET, "/livez/", 404),
        (Method::POST, "/metrics", 405),
        (Method::DELETE, "/objects", 405),
        (Method::HEAD, "/metrics", 200),
        (Method::HEAD, "/readyz", 503),
    ] {
        let request = Request::builder().method(method.clone()).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let (status, _, text) = ask(&admin, request).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}");
        assert!(method != Method::HEAD || text.is_empty());
    }
}

async fn port() -> (std::net::SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(listener, admin(), shutdown.clone()));
    (address, shutdown, served)
}

/// The status of a GET over the wire.
async fn status(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn connections_held_open_do_not_keep_a_probe_out() {
    let (address, _shutdown, _served) = port().await;
    let mut held = Vec::new();
    for _ in 0..=MAX_CONNECTIONS {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(status(address, "/livez").await, "200");
    let closed = held[0].read(&mut [0; 1]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "the oldest was closed");
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_cut_off() {
    let (address, _shutdown, _served) = port().await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /metrics HT").await.unwrap();
    let mut answer = Vec::new();
    let cut = timeout(Duration::from_secs(5), silent.read_to_end(&mut answer)).await;
    assert!(cut.is_ok(), "still open");
}

#[tokio::test]
async fn shutdown_ends_the_port() {
    let (address, shutdown, served) = port().await;
    assert_eq!(status(address, "/livez").await, "200");
    shutdown.cancel();
    timeout(Duration::from_secs(5), served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
