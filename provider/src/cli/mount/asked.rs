//! Asks a provider that runs already, by the driver's own call, instead of playing one.
//!
//! It logs in, reads and remembers as for any pod, one of the name `coffer-cli`.

use std::io;
use std::path::Path;
use std::time::Duration;

use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use coffer_proto::v1alpha1::{MountRequest, MountResponse};
use coffer_provider_core::mount::MountFile;
use coffer_provider_core::secret::SecretBytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::{ClassFile, Failed, Failure, PERMISSION, PlayedPod, SECRETS, TARGET};

/// The files of a Mount that whoever listens on `socket` carries out, within `deadline`.
///
/// # Errors
/// 3 when nobody answers there; else what the status says.
pub(super) async fn mount(
    socket: &Path,
    class: &ClassFile,
    pod: &PlayedPod,
    deadline: Duration,
) -> Result<Vec<MountFile>, Failure> {
    let channel = connect(socket).await.map_err(|error| {
        let hint = "start the provider, or name the socket that it listens on; ask as its user";
        Failed::new(3, format!("{}: {error}; {hint}", socket.display()))
    })?;
    let mut request = Request::new(MountRequest {
        attributes: class.attributes(pod).to_string(),
        secrets: SECRETS.to_owned(),
        target_path: TARGET.to_owned(),
        permission: PERMISSION.to_owned(),
        current_object_version: Vec::new(),
    });
    request.set_timeout(deadline);
    let reply = CsiDriverProviderClient::new(channel).mount(request).await;
    let reply = reply.map_err(|status| Failure::of_status(&status))?;
    Ok(files(reply.into_inner()))
}

async fn connect(socket: &Path) -> io::Result<Channel> {
    let mut stream = Some(TokioIo::new(UnixStream::connect(socket).await?));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take();
        std::future::ready(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|_| io::Error::other("does not speak gRPC"))
}

fn files(reply: MountResponse) -> Vec<MountFile> {
    let versions = reply.object_version;
    let version = |path: &str| {
        let found = versions.iter().find(|version| version.id == path);
        found.map(|found| found.version.clone()).unwrap_or_default()
    };
    reply
        .files
        .into_iter()
        .map(|file| MountFile {
            version: version(&file.path),
            path: file.path,
            mode: u32::try_from(file.mode).unwrap_or_default(),
            contents: SecretBytes::new(file.contents.to_vec()),
        })
        .collect()
}
