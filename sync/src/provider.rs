//! Providers: found by name among socket directories, asked as the driver asks them.
//!
//! One connection per provider, made again when it fails; no retry inside a call. When a provider is asked, and
//! what its files become, is decided elsewhere.

mod request;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use coffer_proto::v1alpha1::{MountResponse, ObjectVersion, VersionRequest};
use coffer_sync_core::bytes::SecretBytes;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub use self::request::{Asked, Pod};
use crate::manifest::is_provider_name;
use crate::metrics::Metrics;
use crate::rate::Rate;

/// Connections that are kept: a cluster has a handful of providers, and classes may name any.
const MOST_LINKS: usize = 32;
/// What one permit for answers stands for.
const PERMIT_BYTES: usize = 1024;

/// What the operator says about providers.
#[derive(Clone, Debug)]
pub struct ProviderRules {
    /// Where sockets are, in this order.
    pub directories: Vec<PathBuf>,
    /// The longest that a call may take.
    pub timeout: Duration,
    /// The largest answer, in bytes.
    pub answer_bytes: usize,
    /// All answers in memory together, in bytes.
    pub bytes_in_flight: usize,
    /// Calls per second and provider.
    pub per_second: f64,
    /// Calls at once after a pause.
    pub burst: u32,
    /// Calls of all providers that may be under way.
    pub at_once: usize,
}

/// All providers.
pub struct Providers {
    rules: ProviderRules,
    metrics: Arc<Metrics>,
    room: Arc<Semaphore>,
    /// Held to find or make one.
    links: Mutex<HashMap<String, Arc<Link>>>,
}

struct Link {
    channel: Channel,
    calls: Rate,
    in_flight: AtomicI64,
    /// Connections so far. Behind each may be another process.
    connections: Arc<AtomicUsize>,
    /// Name and version as it told them, or its name alone where it did not; and on which connection.
    identity: Mutex<Option<(usize, String)>>,
}

/// The files of an answer. No Debug: they are secret.
pub struct Fetched {
    /// Paths and bytes as they came.
    pub files: Vec<(String, SecretBytes)>,
    /// Versions of the objects.
    pub versions: Vec<ObjectVersion>,
    /// Name and version of the provider.
    pub identity: String,
    room: OwnedSemaphorePermit,
}

/// Why there are no files. Texts are the provider's, neither masked nor cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// The class names no provider that could exist.
    Name,
    /// There is no socket of that name.
    NoSocket,
    /// There is no room for its answer: others are kept, or calls hang.
    Busy,
    /// It answered by a gRPC status, or did not.
    Status(Code, String),
    /// It answered with an error code.
    Error(String),
    /// It named no object versions: an answer of nothing.
    NoVersions,
}

impl CallFault {
    /// Whether the provider was not there, rather than that it refused.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        match self {
            Self::Status(code, _) => matches!(code, Code::Unavailable | Code::DeadlineExceeded),
            Self::Name | Self::NoSocket | Self::Busy | Self::Error(_) | Self::NoVersions => false,
        }
    }

    /// Whether another token may help.
    #[must_use]
    pub const fn is_refused_token(&self) -> bool {
        matches!(self, Self::Status(Code::Unauthenticated, _))
    }
}

impl Providers {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(rules: ProviderRules, metrics: Arc<Metrics>) -> Self {
        let permits = (rules.bytes_in_flight.max(rules.answer_bytes) / PERMIT_BYTES).max(1);
        Self {
            rules,
            metrics,
            room: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
            links: Mutex::default(),
        }
    }

    /// Whether there can be such a provider, and a socket of its name.
    ///
    /// # Errors
    /// There is not.
    pub fn check(&self, provider: &str) -> Result<(), CallFault> {
        if !is_provider_name(provider) {
            return Err(CallFault::Name);
        }
        if sockets(&self.rules.directories, provider).all(|path| !path.exists()) {
            return Err(CallFault::NoSocket);
        }
        Ok(())
    }

    /// Calls Mount.
    ///
    /// # Errors
    /// When there are no files.
    pub async fn mount(&self, provider: &str, asked: &Asked<'_>) -> Result<Fetched, CallFault> {
        self.check(provider)?;
        let link = self.link(provider);
        link.calls.turn().await;
        let room = self.room().await?;
        let began = Instant::now();
        self.metrics.provider_in_flight(provider, link.enter());
        let outcome = self.call(&link, asked).await;
        self.metrics.provider_in_flight(provider, link.leave());
        let code = outcome.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.metrics
            .provider_request(provider, code_name(code), began.elapsed());
        let answer = outcome
            .map_err(|status| CallFault::Status(status.code(), status.message().to_owned()))?;
        let identity = self.identity(&link, provider).await;
        let fetched = read(answer, identity, room)?;
        Ok(self.grown(fetched))
    }

    /// Room for an answer. Each call under way has its share, and answers that are kept leave one over, so that
    /// calls that hang do not keep other providers from being asked.
    async fn room(&self) -> Result<OwnedSemaphorePermit, CallFault> {
        let rules = &self.rules;
        let share = rules.bytes_in_flight / (rules.at_once + 1);
        let permits = share.min(rules.answer_bytes).max(PERMIT_BYTES) / PERMIT_BYTES;
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let wait = Arc::clone(&self.room).acquire_many_owned(permits);
        match tokio::time::timeout(rules.timeout, wait).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(CallFault::Busy),
        }
    }

    /// Of an answer larger than its share the rest counts as well, as far as there is room: it is in memory by now.
    fn grown(&self, mut fetched: Fetched) -> Fetched {
        let bytes: usize = fetched.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let missing = bytes
            .div_ceil(PERMIT_BYTES)
            .saturating_sub(fetched.room.num_permits());
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        if let Ok(rest) = Arc::clone(&self.room).try_acquire_many_owned(missing) {
            fetched.room.merge(rest);
        }
        fetched
    }

    async fn call(&self, link: &Link, asked: &Asked<'_>) -> Result<MountResponse, Status> {
        let mut client = CsiDriverProviderClient::new(link.channel.clone())
            .max_decoding_message_size(self.rules.answer_bytes);
        let call = client.mount(asked.request());
        match tokio::time::timeout(self.rules.timeout, call).await {
            Ok(outcome) => outcome.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }

    /// Name and version for messages; the name alone where it does not tell.
    async fn identity(&self, link: &Link, provider: &str) -> String {
        let connection = link.connections.load(Ordering::Acquire);
        let known = link.lock_identity().clone();
        if let Some((_, known)) = known.filter(|(of, _)| *of == connection) {
            return known;
        }
        let mut client = CsiDriverProviderClient::new(link.channel.clone());
        let request = VersionRequest {
            version: "v1alpha1".to_owned(),
        };
        let told = tokio::time::timeout(self.rules.timeout, client.version(request)).await;
        let identity = match told {
            Ok(Ok(told)) => {
                let told = told.into_inner();
                format!("{} {}", told.runtime_name, told.runtime_version)
            }
            _ => provider.to_owned(),
        };
        *link.lock_identity() = Some((connection, identity.clone()));
        identity
    }

    fn link(&self, provider: &str) -> Arc<Link> {
        let mut links = self.lock();
        if let Some(link) = links.get(provider) {
            return Arc::clone(link);
        }
        if links.len() >= MOST_LINKS {
            links.clear();
        }
        let connections = Arc::<AtomicUsize>::default();
        let directories = self.rules.directories.clone();
        let link = Arc::new(Link {
            channel: connect(directories, provider.to_owned(), Arc::clone(&connections)),
            calls: Rate::new(self.rules.per_second, self.rules.burst),
            in_flight: 0.into(),
            connections,
            identity: Mutex::default(),
        });
        links.insert(provider.to_owned(), Arc::clone(&link));
        link
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn lock_identity(&self) -> std::sync::MutexGuard<'_, Option<(usize, String)>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> i64 {
        self.in_flight.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn leave(&self) -> i64 {
        self.in_flight.fetch_sub(1, Ordering::Relaxed) - 1
    }
}

fn read(
    answer: MountResponse,
    identity: String,
    mut room: OwnedSemaphorePermit,
) -> Result<Fetched, CallFault> {
    let MountResponse {
        object_version,
        error,
        files,
    } = answer;
    let code = error.map(|error| error.code).unwrap_or_default();
    if !code.is_empty() {
        return Err(CallFault::Error(code));
    }
    if object_version.is_empty() {
        return Err(CallFault::NoVersions);
    }
    let bytes: usize = files.iter().map(|file| file.contents.len()).sum();
    let needed = bytes.div_ceil(PERMIT_BYTES).max(1);
    drop(room.split(room.num_permits().saturating_sub(needed)));
    let files = files
        .into_iter()
        .map(|file| (file.path, SecretBytes::new(file.contents.into())));
    Ok(Fetched {
        files: files.collect(),
        versions: object_version,
        identity,
        room,
    })
}

fn sockets(directories: &[PathBuf], provider: &str) -> impl Iterator<Item = PathBuf> {
    directories
        .iter()
        .map(move |directory| directory.join(format!("{provider}.sock")))
}

/// The socket is looked up again for each connection, so that a provider that moves is found, and one that left its
/// socket behind is passed over.
fn connect(directories: Vec<PathBuf>, provider: String, connections: Arc<AtomicUsize>) -> Channel {
    let dial = tower::service_fn(move |_: Uri| {
        connections.fetch_add(1, Ordering::AcqRel);
        let paths: Vec<PathBuf> = sockets(&directories, &provider).collect();
        async move { open(&paths).await }
    });
    // The driver sends this authority too.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(dial)
}

async fn open(paths: &[PathBuf]) -> std::io::Result<TokioIo<UnixStream>> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for path in paths {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The label of a gRPC code.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

impl CallFault {
    /// What happened, in words: the provider's own text behind the code.
    #[must_use]
    pub fn told(&self, provider: &str) -> String {
        match self {
            Self::Name => {
                "spec.provider names no provider: 1 to 30 letters, digits, `_` or `-`".to_owned()
            }
            Self::NoSocket => format!(
                "there is no socket {provider}.sock in the provider directories (--provider-dirs)"
            ),
            Self::Busy => "there is no room for another answer now".to_owned(),
            Self::Status(code, text) => {
                format!("provider {provider} answered {}: {text}", code_name(*code))
            }
            Self::Error(code) => format!("provider {provider} answered error code {code}"),
            Self::NoVersions => format!("provider {provider} answered without object versions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_provider_that_is_not_there_is_unreachable() {
        for code in (0..17).map(Code::from_i32) {
            let fault = CallFault::Status(code, String::new());
            let absent = matches!(code_name(code), "Unavailable" | "DeadlineExceeded");
            assert_eq!(fault.is_unreachable(), absent, "{code:?}");
        }
    }

    #[test]
    fn an_error_code_and_an_answer_without_versions_are_no_files() {
        let room = || {
            let room = Arc::new(Semaphore::new(8));
            room.try_acquire_many_owned(8).unwrap()
        };
        let answer = |error: Option<&str>| MountResponse {
            error: error.map(|code| coffer_proto::v1alpha1::Error {
                code: code.to_owned(),
            }),
            ..MountResponse::default()
        };
        let fault = |answer| read(answer, String::new(), room()).err().unwrap();
        assert_eq!(fault(answer(Some("x"))), CallFault::Error("x".to_owned()));
        assert_eq!(fault(answer(Some(""))), CallFault::NoVersions);
        assert_eq!(fault(answer(None)), CallFault::NoVersions);
    }
}
