//! Whether a provider answers where the driver calls, and whether a dead socket stands before it.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use coffer_proto::v1alpha1::VersionRequest;
use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;

use super::Step;

/// The default of the driver's `--additional-provider-volume-paths`. It looks here before its main
/// directory, and a file counts even if nobody listens (secrets-store-csi-driver
/// pkg/secrets-store/provider_client.go).
pub(super) const LOOKED_AT_FIRST: &str = "/etc/kubernetes/secrets-store-csi-providers";

/// How long an answer to Version may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at our socket, and at one of the same name in the directory that the driver reads first.
pub(super) async fn look(endpoint: &Path, first: &Path, name: &str) -> Vec<Step> {
    let mut steps = vec![own(endpoint).await];
    let before = first.join(format!("{name}.sock"));
    if before.symlink_metadata().is_ok() && !is_same(&before, endpoint) {
        steps.push(shadow(&before).await);
    }
    steps
}

async fn own(path: &Path) -> Step {
    let shown = path.display();
    let Ok(found) = path.metadata() else {
        return Step::skipped("socket", format!("{shown} does not exist"))
            .with_hint("start the provider, or name its socket with --endpoint");
    };
    if !found.file_type().is_socket() {
        return Step::failed(
            "socket",
            format!("{shown} is no socket"),
            "remove it, or name the socket with --endpoint",
        );
    }
    match version(path).await {
        Ok(version) => Step::ok("socket", format!("{shown}: {version} answers")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Step::skipped("socket", format!("{shown}: {error}")).with_hint("ask as root")
        }
        Err(error) => Step::failed(
            "socket",
            format!("{shown}: {error}"),
            "nobody answers: start the provider, which replaces the file",
        ),
    }
}

async fn shadow(path: &Path) -> Step {
    let shown = path.display();
    match version(path).await {
        Ok(version) => Step::ok("socket", format!("{shown}: {version} answers"))
            .with_hint("the driver looks here first and calls this one"),
        Err(error) => Step::failed(
            "socket",
            format!("{shown} is stale ({error}), and the driver looks there first"),
            "remove the file, then restart the driver: it keeps the connection",
        ),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    id(one).is_some() && id(one) == id(other)
}

/// Name and version of whoever listens.
async fn version(path: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(path).await?;
    let asked = tokio::time::timeout(PATIENCE, ask(stream)).await;
    asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask(stream: UnixStream) -> io::Result<String> {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await;
    let channel = channel.map_err(|_| io::Error::other("it speaks no gRPC"))?;
    let request = VersionRequest {
        version: "v1alpha1".to_owned(),
    };
    let answer = CsiDriverProviderClient::new(channel).version(request).await;
    let answer = answer.map_err(|_| io::Error::other("it does not answer Version"))?;
    let answer = answer.into_inner();
    Ok(format!(
        "{} {}",
        answer.runtime_name, answer.runtime_version
    ))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::look;

    #[tokio::test]
    async fn a_stale_socket_before_ours_is_found() {
        let place = tempfile::tempdir().unwrap();
        let first = place.path().join("first");
        std::fs::create_dir(&first).unwrap();
        let ours = place.path().join("vault.sock");
        let told = async || look(&ours, &first, "vault").await;
        let states = async || {
            told()
                .await
                .iter()
                .map(|step| step.state)
                .collect::<Vec<_>>()
        };
        assert_eq!(states().await, [State::Skipped]);
        for path in [&ours, &first.join("vault.sock")] {
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        }
        assert_eq!(states().await, [State::Failed, State::Failed]);
        let stale = &told().await[1];
        assert!(
            stale.detail.contains("is stale (Connection refused"),
            "{stale:?}"
        );
        assert!(stale.hint.contains("restart the driver"));
        std::fs::remove_file(&ours).unwrap();
        std::fs::write(&ours, "").unwrap();
        assert!(told().await[0].detail.ends_with("is no socket"));
    }

    #[tokio::test]
    async fn one_socket_in_both_places_is_told_once() {
        let place = tempfile::tempdir().unwrap();
        let ours = place.path().join("vault.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&ours).unwrap();
        assert_eq!(look(&ours, place.path(), "vault").await.len(), 1);
    }
}
