//! Serves `CSIDriverProvider`: budget, panic boundary, log line and metrics around each Mount.
//!
//! What a Mount does is in `mounter.rs`; which code a fault gets, in `status.rs`.

mod budget;
mod port;
mod report;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coffer_proto::v1alpha1::csi_driver_provider_server::CsiDriverProvider;
use coffer_proto::v1alpha1::{
    File, MountRequest, MountResponse, ObjectVersion, VersionRequest, VersionResponse,
};
use coffer_provider_core::fault::{Fault, MountFault, Phase, Reason};
use coffer_provider_core::mount::reply_size;
use coffer_provider_core::params::{ParsedAttributes, Wire};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::events::Events;
use crate::metrics::Metrics;
use crate::mounter::Mounted;
use crate::volumes::News;

pub use port::Mounts;
use report::Report;

/// The contract's version, as the driver sends and expects it.
const CONTRACT: &str = "v1alpha1";

/// The gRPC service.
#[derive(Clone)]
pub struct Provider {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    mounts: Arc<dyn Mounts>,
    mount_deadline: Duration,
    metrics: Arc<Metrics>,
    report: Report,
    /// Cancelled when the time to finish what is in flight is over.
    give_up: CancellationToken,
}

impl Provider {
    /// `name` is the runtime name in Version; Mounts end after `mount_deadline` at the latest, and at
    /// once when `give_up` is cancelled. What is worth an Event is handed to `events`.
    #[must_use]
    pub fn new(
        name: &str,
        mounts: Arc<dyn Mounts>,
        mount_deadline: Duration,
        metrics: Arc<Metrics>,
        events: Events,
        give_up: CancellationToken,
    ) -> Self {
        let report = Report::new(Arc::clone(&metrics), events);
        let name = format!("{name}-csi-provider");
        Self {
            inner: Arc::new(Inner {
                name,
                mounts,
                mount_deadline,
                metrics,
                report,
                give_up,
            }),
        }
    }
}

#[tonic::async_trait]
impl CsiDriverProvider for Provider {
    async fn version(
        &self,
        _: Request<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        Ok(Response::new(VersionResponse {
            version: CONTRACT.to_owned(),
            runtime_name: self.inner.name.clone(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn mount(
        &self,
        request: Request<MountRequest>,
    ) -> Result<Response<MountResponse>, Status> {
        let budget = budget::of(request.metadata(), self.inner.mount_deadline);
        let _in_flight = self.inner.metrics.mount_started();
        let request = request.into_inner();
        let attributes = ParsedAttributes::new(&request.attributes);
        let open = self.inner.report.open(attributes.subject());
        let inner = Arc::clone(&self.inner);
        let work = tokio::spawn(async move { inner.run(request, attributes, budget).await });
        let work = AbortOnDrop(work);
        let ended = work.finish().await.unwrap_or_else(|fault| {
            self.inner.metrics.panicked();
            Ended::unread(fault)
        });
        match ended.outcome {
            Ok(mounted) => {
                let size = reply_size(&mounted.files);
                open.succeeded(&mounted, size, ended.news);
                Ok(Response::new(reply(mounted)))
            }
            Err(fault) => Err(open.failed(ended.phase, &fault, ended.news)),
        }
    }
}

/// How a Mount ended.
struct Ended {
    phase: Phase,
    outcome: Result<Mounted, MountFault>,
    news: Option<News>,
}

impl Ended {
    /// A Mount of which not even the volume is known.
    const fn unread(fault: MountFault) -> Self {
        Self {
            phase: Phase::First,
            outcome: Err(fault),
            news: None,
        }
    }
}

impl Inner {
    async fn run(
        &self,
        request: MountRequest,
        attributes: ParsedAttributes,
        budget: Duration,
    ) -> Ended {
        let spec = match self.mounts.read(wire(&request, &attributes)) {
            Ok(spec) => spec,
            Err(fault) => return Ended::unread(fault),
        };
        // The strings hold tokens and are not needed any more.
        drop((request, attributes));
        let phase = self.mounts.phase(&spec);
        let deadline = Instant::now() + budget;
        let outcome = tokio::select! {
            outcome = tokio::time::timeout_at(deadline, self.mounts.mount(&spec, deadline)) => {
                outcome.unwrap_or_else(|_| Err(out_of_time(budget)))
            }
            () = self.give_up.cancelled() => Err(draining()),
        };
        let news = self.mounts.ended(&spec, &outcome);
        Ended {
            phase,
            outcome,
            news,
        }
    }
}

/// A task that ends with its caller: nobody reads the answer then. Logins and reads that were sent run
/// on by themselves and are remembered, so that nothing is issued and forgotten.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn finish(mut self) -> Result<T, MountFault> {
        (&mut self.0).await.map_err(|_| {
            MountFault::Whole(Fault::new(
                Reason::Internal,
                "the provider failed inside this mount; other mounts go on",
                "report this with the provider's log",
            ))
        })
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn wire<'a>(request: &'a MountRequest, attributes: &'a ParsedAttributes) -> Wire<'a> {
    // Named one by one so that a new field is a decision. What the driver believes to be mounted is not
    // needed: versions are made from the bytes alone.
    let MountRequest {
        attributes: _,
        secrets,
        target_path,
        permission,
        current_object_version: _,
    } = request;
    Wire {
        attributes,
        secrets,
        target_path,
        permission,
    }
}

fn reply(mounted: Mounted) -> MountResponse {
    let mut response = MountResponse::default();
    for file in mounted.files {
        response.object_version.push(ObjectVersion {
            id: file.path.clone(),
            version: file.version,
        });
        response.files.push(File {
            path: file.path,
            // Bits up to 0777 always fit.
            mode: i32::try_from(file.mode).unwrap_or(0o644),
            contents: bytes::Bytes::from_owner(file.contents),
        });
    }
    response
}

fn out_of_time(budget: Duration) -> MountFault {
    MountFault::Whole(Fault::new(
        Reason::StoreTimeout,
        format!(
            "the store did not answer everything within {} (phase mount)",
            budget::shown(budget)
        ),
        "check the store's load, and how many objects the class has",
    ))
}

fn draining() -> MountFault {
    MountFault::Whole(Fault::new(
        Reason::Draining,
        "the provider is shutting down and could not finish in time",
        "the driver tries again and reaches the next process",
    ))
}
