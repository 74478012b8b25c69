//! The port over loopback, with a provider behind a real socket where `/livez` needs one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_proto::v1alpha1::csi_driver_provider_server::{
    CsiDriverProvider, CsiDriverProviderServer,
};
use coffer_proto::v1alpha1::{MountRequest, MountResponse, VersionRequest, VersionResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Admin, Readiness, serve};
use crate::metrics::{BuildInfo, Metrics};
use coffer_frame::connections::MAX_CONNECTIONS;

/// A running port; all of it ends with the test.
struct Port {
    address: SocketAddr,
    readiness: Arc<Readiness>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

async fn port(socket: &Path) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let readiness = Arc::new(Readiness::default());
    let build = BuildInfo {
        version: "1.2.3",
        revision: "r",
        rustc: "c",
    };
    let admin = Admin {
        metrics: Arc::new(Metrics::new(build, 1)),
        readiness: Arc::clone(&readiness),
        socket: socket.to_owned(),
    };
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Arc::new(admin), shutdown.clone()));
    Port {
        address,
        readiness,
        shutdown,
        served,
    }
}

impl Port {
    /// The whole answer to one request with these lines.
    async fn ask(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{lines}\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Status and body of a GET.
    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(&format!("GET {path} HTTP/1.1")).await;
        (status(&answer), body(&answer).to_owned())
    }
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status line")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("headers and body").1
}

struct Provider(Result<(), Status>);

#[tonic::async_trait]
impl CsiDriverProvider for Provider {
    async fn version(
        &self,
        request: Request<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        assert_eq!(request.into_inner().version, "v1alpha1");
        self.0
            .clone()
            .map(|()| Response::new(VersionResponse::default()))
    }

    async fn mount(&self, _: Request<MountRequest>) -> Result<Response<MountResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

fn provider(path: &Path, version: Result<(), Status>) -> JoinHandle<()> {
    let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
    let service = CsiDriverProviderServer::new(Provider(version));
    let server = Server::builder().serve_with_incoming(service, incoming);
    tokio::spawn(async move { server.await.unwrap() })
}

#[tokio::test]
async fn livez_asks_version_over_the_path_of_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("vault.sock");
    let port = port(&socket).await;
    let (code, cause) = port.get("/livez").await;
    assert_eq!(
        (code, cause.as_str()),
        (
            503,
            "cannot connect to the provider socket: entity not found\n"
        )
    );

    let running = provider(&socket, Ok(()));
    assert_eq!(port.get("/livez").await, (200, "ok\n".to_owned()));

    std::fs::remove_file(&socket).unwrap();
    assert_eq!(
        port.get("/livez").await.0,
        503,
        "the file is gone though the process serves on"
    );
    running.abort();
}

#[tokio::test]
async fn livez_tells_a_version_that_fails_without_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("vault.sock");
    let running = provider(&socket, Err(Status::internal("marker")));
    let answer = port(&socket).await.get("/livez").await;
    assert_eq!(answer, (503, "Version answered Internal\n".to_owned()));
    running.abort();
}

#[tokio::test]
async fn livez_sees_an_accept_loop_that_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("vault.sock");
    let _nobody_accepts = UnixListener::bind(&socket).unwrap();
    let started = Instant::now();
    let answer = port(&socket).await.get("/livez").await;
    assert_eq!(
        answer,
        (503, "no answer to Version within 1 s\n".to_owned())
    );
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "took {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn readyz_and_its_alias_name_what_is_missing() {
    let port = port(Path::new("/nonexistent")).await;
    port.readiness.config_parsed();
    port.readiness.socket_bound();
    for path in ["/readyz", "/health/ready"] {
        assert_eq!(
            port.get(path).await,
            (503, "version key not loaded\n".to_owned()),
            "{path}"
        );
    }
    port.readiness.version_key_settled();
    for path in ["/readyz", "/health/ready", "/readyz?verbose"] {
        assert_eq!(port.get(path).await, (200, "ok\n".to_owned()), "{path}");
    }
    port.readiness.draining();
    assert_eq!(port.get("/readyz").await, (503, "draining\n".to_owned()));
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let port = port(Path::new("/nonexistent")).await;
    let classic = port.ask("GET /metrics HTTP/1.1").await;
    assert!(classic.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(
        classic.contains("coffer_build_info{version=\"1.2.3\",revision=\"r\",rustc=\"c\"} 1\n")
    );
    let open = port
        .ask("GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text")
        .await;
    assert!(
        open.contains(
            "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        )
    );
    assert!(open.ends_with("# EOF\n"));
    let tasks = open
        .lines()
        .find_map(|line| line.strip_prefix("coffer_tasks "))
        .unwrap();
    assert!(
        tasks.parse::<u64>().unwrap() >= 2,
        "the accept loop and this connection"
    );
}

#[tokio::test]
async fn only_get_and_head_of_known_paths_are_answered() {
    let port = port(Path::new("/nonexistent")).await;
    for (request, expected) in [
        ("GET / HTTP/1.1", 404),
        ("GET /debug/pprof HTTP/1.1", 404),
        ("GET /livez/ HTTP/1.1", 404),
        ("POST /anything HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("DELETE /livez HTTP/1.1", 405),
        ("HEAD /metrics HTTP/1.1", 200),
        ("HEAD /readyz HTTP/1.1", 503),
        ("nonsense", 400),
    ] {
        assert_eq!(status(&port.ask(request).await), expected, "{request}");
    }
    assert_eq!(body(&port.ask("HEAD /metrics HTTP/1.1").await), "");
    assert!(
        port.ask("PUT /readyz HTTP/1.1")
            .await
            .contains("allow: GET, HEAD\r\n")
    );
}

#[tokio::test]
async fn connections_held_open_do_not_keep_a_probe_out() {
    let port = port(Path::new("/nonexistent")).await;
    let mut held = Vec::new();
    for _ in 0..=MAX_CONNECTIONS {
        held.push(TcpStream::connect(port.address).await.unwrap());
    }
    let started = Instant::now();
    assert_eq!(port.get("/readyz").await.0, 503);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "took {:?}",
        started.elapsed()
    );
    let closed = held[0].read(&mut [0; 1]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "the oldest was closed");
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_cut_off() {
    let port = port(Path::new("/nonexistent")).await;
    let mut silent = TcpStream::connect(port.address).await.unwrap();
    silent.write_all(b"GET /metrics HT").await.unwrap();
    let mut answer = Vec::new();
    let cut = tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut answer)).await;
    assert!(cut.is_ok(), "still open");
}

#[tokio::test]
async fn shutdown_ends_the_port() {
    let port = port(Path::new("/nonexistent")).await;
    assert_eq!(port.get("/readyz").await.0, 503);
    port.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), port.served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(port.address).await.is_err());
}
