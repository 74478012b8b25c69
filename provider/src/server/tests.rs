//! The service over one connection in memory, with a stand-in for what carries Mounts out.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use coffer_proto::v1alpha1::csi_driver_provider_server::CsiDriverProviderServer;
use coffer_proto::v1alpha1::{MountRequest, VersionRequest};
use coffer_provider_core::fault::{MountFault, Phase, Reason};
use coffer_provider_core::mount::MountFile;
use coffer_provider_core::params::{ClassSpec, Dialect, MountSpec, Wire, read_mount};
use coffer_provider_core::secret::SecretBytes;
use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use tokio::sync::Barrier;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server, Uri};

use super::{Mounts, Provider};
use crate::events::Events;
use crate::metrics::{BuildInfo, Metrics};
use crate::mounter::{Mounted, Source};
use crate::volumes::News;
use coffer_frame::telemetry::tell_only_places_of_panics;

/// What must not be told of anywhere.
const CANARY: &str = "canary-5b1d";

/// The pod whose mount panics.
const BROKEN: &str = "pod-17";

/// Delivers the pod's name as a file, once all callers are there; for one pod it panics.
struct Fake {
    all: Barrier,
}

#[async_trait]
impl Mounts for Fake {
    fn read(&self, wire: Wire<'_>) -> Result<MountSpec, MountFault> {
        let parse = |parameters| ClassSpec::parse(&parameters, Dialect::Vault).map(Arc::new);
        read_mount(wire, parse).map_err(|problems| MountFault::Input {
            reason: Reason::BadRequest,
            problems,
        })
    }

    fn phase(&self, _: &MountSpec) -> Phase {
        Phase::First
    }

    async fn mount(&self, spec: &MountSpec, _: Instant) -> Result<Mounted, MountFault> {
        self.all.wait().await;
        assert!(spec.pod.name != BROKEN, "made up, about {CANARY}");
        Ok(Mounted {
            files: vec![MountFile {
                path: "f".to_owned(),
                mode: 0o644,
                contents: SecretBytes::new(spec.pod.name.clone().into_bytes()),
                version: "1".to_owned(),
            }],
            absent: Vec::new(),
            phase: Phase::First,
            changed: true,
            source: Source::Store,
            read_at: Instant::now(),
            store: "store:8200".to_owned(),
        })
    }

    fn ended(&self, _: &MountSpec, _: &Result<Mounted, MountFault>) -> Option<News> {
        None
    }
}

/// The lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client on the one connection there is; once that ends every call fails.
async fn connect(service: Provider) -> CsiDriverProviderClient<Channel> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let incoming = tokio_stream::once(Ok::<_, io::Error>(theirs));
    let service = CsiDriverProviderServer::new(service);
    tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
    let mut ours = Some(TokioIo::new(ours));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = ours
            .take()
            .ok_or_else(|| io::Error::other("the connection has ended"));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    CsiDriverProviderClient::new(channel)
}

fn request(pod: &str) -> MountRequest {
    let attributes = serde_json::json!({
        "csi.storage.k8s.io/pod.name": pod,
        "csi.storage.k8s.io/pod.namespace": "shop",
        "secretProviderClass": "class",
        "roleName": "app",
        "objects": "- {objectName: f, secretPath: secret/data/a, secretKey: k}",
    });
    MountRequest {
        attributes: attributes.to_string(),
        secrets: "null".to_owned(),
        target_path: format!("/{pod}"),
        permission: "420".to_owned(),
        ..MountRequest::default()
    }
}

/// R2: a panic ends the mount it happens in, and nothing else on that connection.
#[tokio::test]
async fn a_panic_in_one_of_fifty_mounts_ends_that_one_alone() {
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || lines.clone())
        .finish();
    let _subscribed = tracing::subscriber::set_default(subscriber);
    let before = std::panic::take_hook();
    tell_only_places_of_panics("a bug in the provider");
    let build = BuildInfo::default();
    let metrics = Arc::new(Metrics::new(build, 1));
    let fake = Arc::new(Fake {
        all: Barrier::new(50),
    });
    let provider = Provider::new(
        "vault",
        fake,
        Duration::from_secs(60),
        Arc::clone(&metrics),
        Events::off(),
        CancellationToken::new(),
    );
    let client = connect(provider).await;
    let mounts = (0..50).map(|at| {
        let mut client = client.clone();
        async move {
            let pod = format!("pod-{at}");
            let outcome = client.mount(request(&pod)).await;
            (pod, outcome)
        }
    });
    let outcomes = join_all(mounts).await;
    std::panic::set_hook(before);

    for (pod, outcome) in outcomes {
        match outcome {
            Ok(reply) => assert_eq!(reply.into_inner().files[0].contents, pod),
            Err(status) => {
                assert_eq!((pod.as_str(), status.code()), (BROKEN, Code::Internal));
                assert!(status.message().ends_with("[internal]"), "{status:?}");
                assert!(!format!("{status:?}").contains(CANARY), "{status:?}");
            }
        }
    }
    let told = metrics.encode(false);
    for series in [
        "coffer_panics_total 1\n",
        "coffer_mount_requests_total{phase=\"first\",code=\"Ok\"} 49\n",
        "coffer_mount_requests_total{phase=\"first\",code=\"Internal\"} 1\n",
        "coffer_mount_failures_total{phase=\"first\",reason=\"internal\"} 1\n",
        "coffer_mount_in_flight 0\n",
    ] {
        assert!(told.contains(series), "{series} in {told}");
    }
    let log = log.text();
    assert_eq!(log.matches("panic: a bug in the provider").count(), 1);
    assert!(log.contains("server/tests.rs:"), "the place: {log}");
    let failed = log.lines().find(|line| line.contains("mount failed"));
    assert!(failed.is_some_and(|line| line.contains(BROKEN)), "{log}");
    assert!(!log.contains(CANARY), "{log}");
    let version = VersionRequest::default();
    let version = client.clone().version(version).await.unwrap().into_inner();
    assert_eq!(version.runtime_name, "vault-csi-provider");
}
