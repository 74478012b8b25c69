//! Whether the driver could reach us: dials the socket by its path, as the driver does, and asks Version.
//!
//! So a deleted file, another process behind it and a dead accept loop are all seen. The store is never
//! asked.

use std::io;
use std::path::Path;
use std::time::Duration;

use coffer_proto::v1alpha1::VersionRequest;
use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::metrics::code_name;

/// How long an answer may take. The probe's own timeout is 3 s, so the cause still reaches the kubelet.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why the driver could not reach us.
#[derive(Debug, thiserror::Error)]
pub enum NotLive {
    /// There is no socket at the path, or nobody listens on it.
    #[error("cannot connect to the provider socket: {0}")]
    Connect(io::ErrorKind),
    /// Another process has taken the path over.
    #[error("the provider socket belongs to another process")]
    Foreign,
    /// Connected, but HTTP/2 did not come up.
    #[error("the provider socket does not speak gRPC")]
    Handshake,
    /// Version failed.
    #[error("Version answered {0}")]
    Refused(&'static str),
    /// No answer in time.
    #[error("no answer to Version within 1 s")]
    TimedOut,
}

/// Connects to the socket at `path` and calls Version, within one second.
///
/// # Errors
/// What [`NotLive`] lists; its text names neither the path nor anything that was answered.
pub async fn dial(path: &Path) -> Result<(), NotLive> {
    timeout(PATIENCE, ask_version(path))
        .await
        .unwrap_or(Err(NotLive::TimedOut))
}

async fn ask_version(path: &Path) -> Result<(), NotLive> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| NotLive::Connect(error.kind()))?;
    if !is_ours(&stream) {
        return Err(NotLive::Foreign);
    }
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream
            .take()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|_| NotLive::Handshake)?;
    let request = VersionRequest {
        version: "v1alpha1".to_owned(),
    };
    match CsiDriverProviderClient::new(channel).version(request).await {
        Ok(_) => Ok(()),
        Err(status) => Err(NotLive::Refused(code_name(status.code()))),
    }
}

/// Whether the process that listens is this one (the kernel keeps who called `listen`).
fn is_ours(stream: &UnixStream) -> bool {
    let listener = stream.peer_cred().ok().and_then(|peer| peer.pid());
    listener.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id())
}
