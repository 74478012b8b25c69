//! Loads against a provider that is played: what arrives, what is counted, what is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_proto::v1alpha1::csi_driver_provider_server::{
    CsiDriverProvider, CsiDriverProviderServer,
};
use coffer_proto::v1alpha1::{File, MountRequest, MountResponse, VersionRequest, VersionResponse};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::bench::frame::Frame;
use crate::driver::attributes::{Class, Pod, Volume};
use crate::fixture::directory;

/// Refuses every mount whose number divides by this; none for zero.
struct Played {
    refused: usize,
    arrived: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl CsiDriverProvider for Played {
    async fn version(
        &self,
        _: Request<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn mount(&self, _: Request<MountRequest>) -> Result<Response<MountResponse>, Status> {
        let number = self.arrived.fetch_add(1, Ordering::Relaxed) + 1;
        if self.refused > 0 && number.is_multiple_of(self.refused) {
            return Err(Status::internal("the store is away"));
        }
        let files = vec![File {
            path: "a".to_owned(),
            ..File::default()
        }];
        Ok(Response::new(MountResponse {
            files,
            ..MountResponse::default()
        }))
    }
}

struct Server {
    arrived: Arc<AtomicUsize>,
    place: TempDir,
    task: JoinHandle<()>,
}

impl Server {
    fn start(refused: usize) -> Self {
        let place = directory("load").unwrap();
        let listener = UnixListener::bind(place.path().join("p.sock")).unwrap();
        let arrived = Arc::default();
        let played = Played {
            refused,
            arrived: Arc::clone(&arrived),
        };
        let task = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .serve_with_incoming(
                    CsiDriverProviderServer::new(played),
                    UnixListenerStream::new(listener),
                )
                .await
                .unwrap();
        });
        Self {
            arrived,
            place,
            task,
        }
    }

    async fn load(&self, lines: usize, at_a_time: usize) -> Load {
        let socket = self.place.path().join("p.sock");
        Load::open(&socket, lines, at_a_time).await.unwrap()
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn frame() -> Frame {
    Frame::of(&Volume::new(
        Pod::new("load", "pod").unwrap(),
        Class::new("load"),
    ))
}

#[tokio::test]
async fn a_counted_load_sends_exactly_so_many_over_all_lines() {
    let (server, frame) = (Server::start(0), frame());
    let load = server.load(3, 4).await;
    let outcome = load.count(50, |at| frame.of_pod(at)).await.unwrap();
    assert_eq!(
        (outcome.done, outcome.failed, server.arrived()),
        (50, 0, 50)
    );
    assert!(outcome.summary().is_some() && outcome.whole().is_ok());
}

#[tokio::test]
async fn refusals_are_counted_apart_and_the_first_is_told() {
    let (server, frame) = (Server::start(5), frame());
    let load = server.load(1, 1).await;
    let outcome = load.count(20, |_| frame.same()).await.unwrap();
    assert_eq!((outcome.done, outcome.failed), (16, 4));
    assert!(outcome.failed_times.summary().is_some());
    let error = outcome.whole().unwrap_err().to_string();
    assert!(error.contains("4 of 20"), "{error}");
    assert!(
        error.contains("code 13: the%20store%20is%20away"),
        "{error}"
    );
}

#[tokio::test]
async fn a_paced_load_sends_on_whatever_becomes_of_those_before() {
    let (server, frame) = (Server::start(1), frame());
    let load = server.load(2, 1).await;
    let long = Duration::from_millis(200);
    let outcome = load.paced(100, long, |_| frame.same()).await.unwrap();
    assert_eq!((outcome.done, outcome.summary()), (0, None));
    assert!(outcome.failed > 1 && outcome.took >= long, "{outcome:?}");
    assert_eq!(outcome.failed, server.arrived());
}
