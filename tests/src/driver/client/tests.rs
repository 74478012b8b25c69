//! The client against a provider of a few lines on a real socket.

use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_proto::v1alpha1::csi_driver_provider_server::{
    CsiDriverProvider, CsiDriverProviderServer,
};
use coffer_proto::v1alpha1::{File, ObjectVersion};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Response, async_trait};

use super::*;
use crate::driver::attributes::{Class, Pod, Volume};
use crate::fixture::directory;

type Answer = Box<dyn Fn(usize) -> Result<MountResponse, Status> + Send + Sync>;

/// Answers the n-th Mount with `answer(n)` and keeps what the calls carried.
struct Provider {
    answer: Answer,
    calls: AtomicUsize,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
}

#[async_trait]
impl CsiDriverProvider for Provider {
    async fn version(
        &self,
        request: Request<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        let version = request.into_inner().version;
        Ok(Response::new(VersionResponse {
            version,
            ..VersionResponse::default()
        }))
    }

    async fn mount(
        &self,
        request: Request<MountRequest>,
    ) -> Result<Response<MountResponse>, Status> {
        self.seen.lock().unwrap().push(request.metadata().clone());
        (self.answer)(self.calls.fetch_add(1, Ordering::SeqCst)).map(Response::new)
    }
}

pub(crate) struct Served {
    place: TempDir,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
    server: Server,
}

/// A server and what ends it, with its connections, when used or dropped.
struct Server {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) fn start(
        answer: impl Fn(usize) -> Result<MountResponse, Status> + Send + Sync + 'static,
    ) -> Self {
        let place = directory("client").unwrap();
        let seen = Arc::default();
        let server = serve(
            &place.path().join("p.sock"),
            Box::new(answer),
            Arc::clone(&seen),
        );
        Self {
            place,
            seen,
            server,
        }
    }

    pub(crate) fn driver(&self) -> Driver {
        Driver::connect_with(self.place.path().join("p.sock"), DriverOptions::quick()).unwrap()
    }

    /// How many Mounts arrived.
    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn serve(socket: &Path, answer: Answer, seen: Arc<Mutex<Vec<MetadataMap>>>) -> Server {
    let listener = UnixListener::bind(socket).unwrap();
    let provider = Provider {
        answer,
        calls: AtomicUsize::new(0),
        seen,
    };
    let service = CsiDriverProviderServer::new(provider).max_encoding_message_size(usize::MAX);
    let (end, ended) = oneshot::channel();
    let server = tonic::transport::Server::builder().serve_with_incoming_shutdown(
        service,
        UnixListenerStream::new(listener),
        // Told to end and sender dropped are the same to it.
        async { drop(ended.await) },
    );
    let task = tokio::spawn(async { server.await.unwrap() });
    Server { end, task }
}

pub(crate) fn good(contents: &str, version: &str) -> MountResponse {
    MountResponse {
        object_version: vec![ObjectVersion {
            id: "a".to_owned(),
            version: version.to_owned(),
        }],
        error: None,
        files: vec![File {
            path: "a".to_owned(),
            mode: 0o644,
            contents: Bytes::copy_from_slice(contents.as_bytes()),
        }],
    }
}

fn request() -> MountRequest {
    Volume::new(
        Pod::new("default", "p").unwrap(),
        Class::new("c").with("k", "v"),
    )
    .first_mount()
}

fn text(metadata: &MetadataMap, key: &str) -> String {
    metadata
        .get(key)
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_good_reply_is_handed_over_with_its_parts() {
    let served = Served::start(|_| Ok(good("hello", "1")));
    let outcome = served.driver().mount(&request()).await.unwrap();
    assert_eq!(outcome.files().unwrap()["a"], "hello");
    assert_eq!(outcome.modes().unwrap()["a"], 0o644);
    assert_eq!(outcome.versions().unwrap()["a"], "1");
    assert_eq!(outcome.attempts, [Code::Ok]);
    assert!(outcome.failure().is_err());
}

#[tokio::test]
async fn a_call_carries_the_headers_of_the_driver() {
    let served = Served::start(|_| Ok(good("", "1")));
    served.driver().mount(&request()).await.unwrap();
    let seen = served.seen.lock().unwrap();
    assert!(text(&seen[0], "user-agent").starts_with("grpc-go/1.79.3"));
    let timeout = text(&seen[0], "grpc-timeout");
    assert!(
        timeout.starts_with("119") || timeout.starts_with("120"),
        "{timeout}"
    );
    assert_eq!(text(&seen[0], "grpc-accept-encoding"), "");
}

#[tokio::test]
async fn a_final_code_is_an_outcome_and_is_not_tried_again() {
    let served = Served::start(|_| Err(Status::permission_denied("no such right")));
    let outcome = served.driver().mount(&request()).await.unwrap();
    assert_eq!(outcome.failure().unwrap().message(), "no such right");
    assert_eq!(outcome.attempts, [Code::PermissionDenied]);
}

#[tokio::test]
async fn unavailable_is_tried_three_times_and_tells_the_count() {
    let served = Served::start(|n| {
        if n < 2 {
            Err(Status::unavailable(""))
        } else {
            Ok(good("", "1"))
        }
    });
    let outcome = served.driver().draining().mount(&request()).await.unwrap();
    assert_eq!(
        outcome.attempts,
        [Code::Unavailable, Code::Unavailable, Code::Ok]
    );
    let seen = served.seen.lock().unwrap();
    let counts: Vec<String> = seen
        .iter()
        .map(|metadata| text(metadata, "grpc-previous-rpc-attempts"))
        .collect();
    assert_eq!(counts, ["", "1", "2"]);
}

#[tokio::test]
async fn after_the_third_unavailable_it_is_passed_on() {
    let served = Served::start(|_| Err(Status::unavailable("draining")));
    let outcome = served.driver().draining().mount(&request()).await.unwrap();
    assert_eq!(outcome.attempts, [Code::Unavailable; 3]);
    let error = served
        .driver()
        .mount(&request())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("code Unavailable is not final to kubelet"),
        "{error}"
    );
}

#[tokio::test]
async fn pushback_of_the_server_stops_the_retries() {
    let served = Served::start(|_| {
        let mut status = Status::unavailable("");
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
        Err(status)
    });
    let outcome = served.driver().mount_raw(&request()).await;
    assert_eq!(outcome.attempts, [Code::Unavailable]);
}

#[tokio::test]
async fn a_reply_that_breaks_a_rule_fails_the_test_unless_asked_for_raw() {
    let served = Served::start(|_| Ok(MountResponse::default()));
    let error = served
        .driver()
        .mount(&request())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no object version; success without a file"),
        "{error}"
    );
    assert!(served.driver().mount_raw(&request()).await.reply.is_ok());
}

#[tokio::test]
async fn a_version_that_does_not_follow_the_bytes_fails_the_second_mount() {
    let served = Served::start(|n| Ok(good(&n.to_string(), "1")));
    let driver = served.driver();
    let request = request();
    driver.mount(&request).await.unwrap();
    let error = driver.mount(&request).await.unwrap_err().to_string();
    assert!(error.contains("its version did not"), "{error}");
}

#[tokio::test]
async fn a_reply_above_four_mebibytes_is_resource_exhausted() {
    let served = Served::start(|_| Ok(good(&"x".repeat(MAX_REPLY + 1), "1")));
    let outcome = served.driver().mount_raw(&request()).await;
    let status = outcome.failure().unwrap();
    assert_eq!(
        status.code(),
        Code::ResourceExhausted,
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn the_deadline_is_the_clients_own_end() {
    let served = Served::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(good("", "1"))
    });
    let socket = served.place.path().join("p.sock");
    let options = DriverOptions {
        deadline: Duration::from_millis(50),
        ..DriverOptions::quick()
    };
    let outcome = Driver::connect_with(socket, options)
        .unwrap()
        .mount_raw(&request())
        .await;
    assert_eq!(outcome.attempts, [Code::DeadlineExceeded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_provider_that_comes_back() {
    let served = Served::start(|_| Ok(good("old", "1")));
    let socket = served.place.path().join("p.sock");
    let driver = served.driver();
    driver.mount(&request()).await.unwrap();
    served.server.end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), served.server.task)
        .await
        .unwrap()
        .unwrap();
    std::fs::remove_file(&socket).unwrap();
    let waiting = tokio::spawn({
        let driver = driver.draining();
        async move { driver.mount(&request()).await }
    });
    let _next = serve(&socket, Box::new(|_| Ok(good("new", "2"))), Arc::default());
    let outcome = waiting.await.unwrap().unwrap();
    assert_eq!(outcome.files().unwrap()["a"], "new");
}

#[tokio::test]
async fn the_version_call_names_the_contract() {
    let served = Served::start(|_| Ok(good("", "1")));
    assert_eq!(served.driver().version().await.unwrap().version, "v1alpha1");
}

#[tokio::test]
async fn a_missing_socket_is_a_provider_not_found() {
    let error = Driver::connect("/nonexistent/p.sock")
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("provider not found"), "{error}");
}
