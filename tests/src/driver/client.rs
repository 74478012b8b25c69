//! Calls a provider as the driver's gRPC client does, and refuses what the driver should refuse.
//!
//! One HTTP/2 connection without TLS over the unix socket, calls multiplexed on it, waiting for the
//! socket to come back, retrying Unavailable (service config in the driver's
//! `pkg/secrets-store/provider_client.go`, v1.6.0). The waits lack grpc-go's jitter of a fifth.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use coffer_proto::attributes::TOKENS;
use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use coffer_proto::v1alpha1::{MountRequest, MountResponse, VersionRequest, VersionResponse};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use super::attributes::parse;
use super::oracle::{MAX_REPLY, Violation, judge, judge_change, judge_code};

/// The contract version that both sides name.
pub const CONTRACT: &str = "v1alpha1";
/// The driver's limit for a Version call.
const VERSION_DEADLINE: Duration = Duration::from_secs(5);

/// How patient the client is.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// Waits before the second and the third attempt after Unavailable.
    pub retry_waits: Vec<Duration>,
    /// First wait before dialling again; each further one is 1.6 times as long, up to 120 s.
    pub redial: Duration,
    /// Kubelet's deadline, over all attempts; sent as `grpc-timeout`.
    pub deadline: Duration,
}

impl DriverOptions {
    /// The driver's own waits.
    #[must_use]
    pub fn faithful() -> Self {
        Self {
            retry_waits: vec![Duration::from_millis(1000), Duration::from_millis(1100)],
            redial: Duration::from_secs(1),
            deadline: Duration::from_secs(120),
        }
    }

    /// The driver's order of events in a hundredth of its time; the deadline stays.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            retry_waits: vec![Duration::from_millis(10), Duration::from_millis(11)],
            redial: Duration::from_millis(10),
            ..Self::faithful()
        }
    }
}

/// How a Mount ended.
#[derive(Debug)]
pub struct MountOutcome {
    /// The reply, or the status that the driver would hand to kubelet.
    pub reply: Result<MountResponse, Status>,
    /// The code of each attempt, the last one included.
    pub attempts: Vec<Code>,
    /// From the first attempt to the end.
    pub elapsed: Duration,
}

impl MountOutcome {
    /// The reply of a Mount that should have succeeded.
    ///
    /// # Errors
    /// With code and text when it failed.
    pub fn response(&self) -> Result<&MountResponse> {
        match &self.reply {
            Ok(reply) => Ok(reply),
            Err(status) => bail!(
                "mount failed with {:?}: {}",
                status.code(),
                status.message()
            ),
        }
    }

    /// The status of a Mount that should have failed.
    ///
    /// # Errors
    /// With the paths of the files when it succeeded.
    pub fn failure(&self) -> Result<&Status> {
        match &self.reply {
            Err(status) => Ok(status),
            Ok(reply) => bail!("mount succeeded where it should fail: {reply:?}"),
        }
    }

    /// Contents by path.
    ///
    /// # Errors
    /// As [`Self::response`].
    pub fn files(&self) -> Result<BTreeMap<String, Bytes>> {
        let files = self.response()?.files.iter();
        Ok(files
            .map(|file| (file.path.clone(), file.contents.clone()))
            .collect())
    }

    /// Modes by path.
    ///
    /// # Errors
    /// As [`Self::response`].
    pub fn modes(&self) -> Result<BTreeMap<String, i32>> {
        let files = self.response()?.files.iter();
        Ok(files.map(|file| (file.path.clone(), file.mode)).collect())
    }

    /// Versions by object.
    ///
    /// # Errors
    /// As [`Self::response`].
    pub fn versions(&self) -> Result<BTreeMap<String, String>> {
        let versions = self.response()?.object_version.iter();
        Ok(versions
            .map(|object| (object.id.clone(), object.version.clone()))
            .collect())
    }
}

/// The driver's side of one provider. Clones share the connection and the memory of replies.
#[derive(Clone)]
pub struct Driver {
    client: CsiDriverProviderClient<Channel>,
    options: DriverOptions,
    draining: bool,
    /// Last good reply by target path, with the request it answered. Held for map operations only.
    remembered: Arc<Mutex<BTreeMap<String, Remembered>>>,
}

struct Remembered {
    asked: BTreeMap<String, String>,
    reply: MountResponse,
}

impl Driver {
    /// A client with the driver's own waits. It dials at the first call, as the driver does.
    ///
    /// # Errors
    /// When there is no file at the path, which the driver calls `provider not found`.
    pub fn connect(socket: impl AsRef<Path>) -> Result<Self> {
        Self::connect_with(socket, DriverOptions::faithful())
    }

    /// A client with other waits.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_with(socket: impl AsRef<Path>, options: DriverOptions) -> Result<Self> {
        let socket = socket.as_ref().to_path_buf();
        std::fs::metadata(&socket)
            .with_context(|| format!("provider not found: {}", socket.display()))?;
        let redial = options.redial;
        let dial = tower::service_fn(move |_: Uri| dial(socket.clone(), redial));
        let channel = Endpoint::from_static("http://localhost")
            .user_agent("grpc-go/1.79.3")?
            .connect_with_connector_lazy(dial);
        let client = CsiDriverProviderClient::new(channel).max_decoding_message_size(MAX_REPLY);
        Ok(Self {
            client,
            options,
            draining: false,
            remembered: Arc::default(),
        })
    }

    /// The same driver in a test where the provider shuts down: Unavailable is then a right answer.
    #[must_use]
    pub fn draining(&self) -> Self {
        Self {
            draining: true,
            ..self.clone()
        }
    }

    /// Mounts, and judges every attempt and the reply.
    ///
    /// # Errors
    /// When a reply breaks a rule of [`super::oracle`]. A status with a final code is no error here.
    #[track_caller]
    pub fn mount(
        &self,
        request: &MountRequest,
    ) -> impl Future<Output = Result<MountOutcome>> + Send {
        let caller = std::panic::Location::caller();
        let (driver, request) = (self.clone(), request.clone());
        async move {
            let outcome = driver.mount_raw(&request).await;
            let violations = driver.judge(&request, &outcome)?;
            if violations.is_empty() {
                return Ok(outcome);
            }
            let told = outcome
                .reply
                .as_ref()
                .err()
                .map(Status::message)
                .unwrap_or_default();
            let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
            bail!(
                "the driver at {caller} must not get this reply: {}; {told}",
                list.join("; ")
            )
        }
    }

    /// Mounts without judging.
    pub async fn mount_raw(&self, request: &MountRequest) -> MountOutcome {
        let start = Instant::now();
        let mut attempts = Vec::new();
        let reply = tokio::select! {
            // First, so that our end of the call wins over tonic's reading of the same deadline.
            biased;
            () = tokio::time::sleep(self.options.deadline) => {
                attempts.push(Code::DeadlineExceeded);
                Err(Status::deadline_exceeded("context deadline exceeded"))
            }
            reply = self.attempt_all(request, start, &mut attempts) => reply,
        };
        MountOutcome {
            reply,
            attempts,
            elapsed: start.elapsed(),
        }
    }

    /// Asks for the version, as the driver's health check does.
    ///
    /// # Errors
    /// The status, or DeadlineExceeded after 5 s.
    pub async fn version(&self) -> Result<VersionResponse, Status> {
        let mut client = self.client.clone();
        let call = client.version(VersionRequest {
            version: CONTRACT.to_owned(),
        });
        match tokio::time::timeout(VERSION_DEADLINE, call).await {
            Ok(reply) => reply.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
        }
    }

    async fn attempt_all(
        &self,
        request: &MountRequest,
        start: Instant,
        attempts: &mut Vec<Code>,
    ) -> Result<MountResponse, Status> {
        loop {
            let reply = self.attempt(request, start, attempts.len()).await;
            attempts.push(reply.as_ref().map_or_else(Status::code, |_| Code::Ok));
            let wait = match &reply {
                Err(status) if status.code() == Code::Unavailable => {
                    retry_wait(status, self.options.retry_waits.get(attempts.len() - 1))
                }
                _ => None,
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return reply,
            }
        }
    }

    async fn attempt(
        &self,
        request: &MountRequest,
        start: Instant,
        before: usize,
    ) -> Result<MountResponse, Status> {
        let mut call = Request::new(request.clone());
        call.set_timeout(self.options.deadline.saturating_sub(start.elapsed()));
        if before > 0 {
            call.metadata_mut()
                .insert("grpc-previous-rpc-attempts", before.into());
        }
        let reply = self.client.clone().mount(call).await;
        reply.map(tonic::Response::into_inner).map_err(as_grpc_go)
    }

    fn judge(&self, request: &MountRequest, outcome: &MountOutcome) -> Result<Vec<Violation>> {
        let codes = outcome.attempts.iter();
        let mut found: Vec<Violation> = codes
            .filter_map(|code| judge_code(*code, self.draining))
            .collect();
        if let Ok(reply) = &outcome.reply {
            found.extend(judge(reply));
            found.extend(self.compare(request, reply)?);
        }
        Ok(found)
    }

    /// Compares with the last reply to the same request (its tokens aside) and remembers the new one.
    fn compare(&self, request: &MountRequest, reply: &MountResponse) -> Result<Vec<Violation>> {
        let mut asked = parse(&request.attributes)?;
        asked.remove(TOKENS);
        let path = request.target_path.clone();
        let now = Remembered {
            asked,
            reply: reply.clone(),
        };
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = remembered
            .get(&path)
            .filter(|before| before.asked == now.asked);
        let found = before
            .map(|before| judge_change(&before.reply, reply))
            .unwrap_or_default();
        remembered.insert(path, now);
        Ok(found)
    }
}

/// Dials until somebody listens, as grpc-go does under `waitForReady`.
async fn dial(socket: PathBuf, redial: Duration) -> Result<TokioIo<UnixStream>, std::io::Error> {
    const LONGEST: Duration = Duration::from_secs(120);
    let mut wait = redial;
    loop {
        match UnixStream::connect(&socket).await {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(_) => tokio::time::sleep(wait).await,
        }
        wait = wait.mul_f64(1.6).min(LONGEST);
    }
}

/// How long to wait before the next attempt: what the server asks, else the policy; none for "stop".
fn retry_wait(status: &Status, policy: Option<&Duration>) -> Option<Duration> {
    let policy = *policy?;
    match pushback(status.metadata()) {
        None => Some(policy),
        Some(asked) => u64::try_from(asked).ok().map(Duration::from_millis),
    }
}

/// `grpc-retry-pushback-ms`; what is no number counts as "stop", as in grpc-go.
fn pushback(metadata: &MetadataMap) -> Option<i64> {
    let value = metadata.get("grpc-retry-pushback-ms")?;
    Some(
        value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(-1),
    )
}

/// The status that grpc-go makes where tonic's client makes another.
fn as_grpc_go(status: Status) -> Status {
    let message = status.message();
    if status.code() == Code::OutOfRange && message.contains("decoded message length too large") {
        let message = format!("grpc: received message larger than max ({MAX_REPLY})");
        return Status::resource_exhausted(message);
    }
    // A source is there only when the transport failed and no status came from the server.
    match status.source() {
        Some(source) => Status::unavailable(format!("error reading from server: {source}")),
        None => status,
    }
}

#[cfg(test)]
pub(super) mod tests;
