//! A provider of any vendor on a unix socket, in process: its answers are what a test says, its requests are kept.
//!
//! For what a real store cannot be made to show, and for numbers of objects that no store need hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use coffer_proto::attributes::CLASS;
use coffer_proto::v1alpha1::csi_driver_provider_server::{
    CsiDriverProvider, CsiDriverProviderServer,
};
use coffer_proto::v1alpha1::{
    Error, File, MountRequest, MountResponse, ObjectVersion, VersionRequest, VersionResponse,
};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What a vendor's provider answers.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Paths and contents.
    pub files: BTreeMap<String, Bytes>,
    /// Those of single classes, by the class's name; every other class gets `files`.
    pub classes: BTreeMap<String, BTreeMap<String, Bytes>>,
    /// How long each answer takes.
    pub delay: Option<Duration>,
    /// A gRPC error instead.
    pub failure: Option<Status>,
    /// An error code instead.
    pub code: Option<String>,
    /// Whether object versions are left out.
    pub no_versions: bool,
    /// Whether calls hang until their caller gives up.
    pub hangs: bool,
}

impl Script {
    /// What this class is answered.
    fn of(&self, class: Option<&String>) -> Self {
        let own = class.and_then(|class| self.classes.get(class));
        Self {
            files: own.unwrap_or(&self.files).clone(),
            classes: BTreeMap::new(),
            failure: self.failure.clone(),
            code: self.code.clone(),
            ..*self
        }
    }
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// The rest, field by field.
    pub secrets: String,
    pub target_path: String,
    pub permission: String,
    /// Ids and versions.
    pub versions: Vec<(String, String)>,
}

impl Arrived {
    /// The tokens by audience.
    ///
    /// # Errors
    /// When there are none, or they are no JSON.
    pub fn tokens(&self) -> Result<Value> {
        let text = self
            .attributes
            .get(coffer_proto::attributes::TOKENS)
            .context("no tokens")?;
        Ok(serde_json::from_str(text)?)
    }
}

#[derive(Default)]
struct State {
    script: Script,
    arrived: Vec<Arrived>,
    in_flight: usize,
    most_in_flight: usize,
}

/// A running provider; its socket goes with it.
pub struct Vendor {
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
    socket: std::path::PathBuf,
}

impl Vendor {
    /// Serves on this path.
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn serve(socket: &Path) -> Result<Self> {
        let state = Arc::<Mutex<State>>::default();
        let listener =
            UnixListener::bind(socket).with_context(|| format!("binding {}", socket.display()))?;
        let service = CsiDriverProviderServer::new(Answering(Arc::clone(&state)))
            .max_encoding_message_size(64 << 20);
        let incoming = UnixListenerStream::new(listener);
        let served = Server::builder().serve_with_incoming(service, incoming);
        let server = tokio::spawn(async move {
            // It ends with the test.
            let _ = served.await;
        });
        Ok(Self {
            state,
            server,
            socket: socket.to_owned(),
        })
    }

    /// Puts one file in the answer.
    pub fn put(&self, path: &str, contents: impl Into<Bytes>) {
        self.lock()
            .script
            .files
            .insert(path.to_owned(), contents.into());
    }

    /// Takes one file out of the answer.
    pub fn remove(&self, path: &str) {
        self.lock().script.files.remove(path);
    }

    /// Changes the script.
    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.lock().script);
    }

    /// The requests so far.
    #[must_use]
    pub fn arrived(&self) -> Vec<Arrived> {
        self.lock().arrived.clone()
    }

    /// How many requests came so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().arrived.len()
    }

    /// The most calls that were under way at one time.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.lock().most_in_flight
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.server.abort();
        // Somebody may have removed it; then there is nothing left to remove.
        let _ = std::fs::remove_file(&self.socket);
    }
}

struct Answering(Arc<Mutex<State>>);

/// Counts a call as over, however it ends.
struct InFlight(Arc<Mutex<State>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_flight -= 1;
    }
}

impl Answering {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, request: MountRequest) -> Result<(Script, InFlight), Status> {
        let attributes: BTreeMap<String, String> = serde_json::from_str(&request.attributes)
            .map_err(|_| Status::invalid_argument("attributes are no map of strings"))?;
        let versions = request.current_object_version.into_iter();
        let mut state = self.lock();
        let script = state.script.of(attributes.get(CLASS));
        state.arrived.push(Arrived {
            attributes,
            secrets: request.secrets,
            target_path: request.target_path,
            permission: request.permission,
            versions: versions
                .map(|version| (version.id, version.version))
                .collect(),
        });
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        Ok((script, InFlight(Arc::clone(&self.0))))
    }
}

#[tonic::async_trait]
impl CsiDriverProvider for Answering {
    async fn version(
        &self,
        _: Request<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        Ok(Response::new(VersionResponse {
            version: "v1alpha1".to_owned(),
            runtime_name: "vendor".to_owned(),
            runtime_version: "1.0".to_owned(),
        }))
    }

    async fn mount(
        &self,
        request: Request<MountRequest>,
    ) -> Result<Response<MountResponse>, Status> {
        let (script, _in_flight) = self.arrive(request.into_inner())?;
        if script.hangs {
            return std::future::pending().await;
        }
        if let Some(delay) = script.delay {
            tokio::time::sleep(delay).await;
        }
        if let Some(failure) = script.failure {
            return Err(failure);
        }
        let versions = script.files.keys().map(|path| ObjectVersion {
            id: path.clone(),
            version: "v1".to_owned(),
        });
        let object_version = if script.no_versions {
            Vec::new()
        } else if script.files.is_empty() {
            vec![ObjectVersion {
                id: "none".to_owned(),
                version: "v1".to_owned(),
            }]
        } else {
            versions.collect()
        };
        let files = script.files.iter().map(|(path, contents)| File {
            path: path.clone(),
            mode: 0o644,
            contents: contents.clone(),
        });
        Ok(Response::new(MountResponse {
            object_version,
            error: script.code.map(|code| Error { code }),
            files: files.collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_class_gets_files_of_its_own_and_every_other_class_the_common_ones() {
        let answering = Answering(Arc::default());
        let files = |contents| BTreeMap::from([("f".to_owned(), Bytes::from_static(contents))]);
        {
            let script = &mut answering.lock().script;
            script.files = files(b"common");
            script.classes.insert("a".to_owned(), files(b"own"));
        }
        for (class, expected) in [("a", "own"), ("b", "common")] {
            let request = MountRequest {
                attributes: json!({CLASS: class}).to_string(),
                ..MountRequest::default()
            };
            let answer = answering.mount(Request::new(request)).await.unwrap();
            let files = answer.into_inner().files;
            assert_eq!(&files[0].contents[..], expected.as_bytes(), "{class}");
        }
    }
}
