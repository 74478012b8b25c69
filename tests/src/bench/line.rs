//! A connection to a provider that sends what is encoded already and looks at no more than the outcome.
//!
//! HTTP/2 without TLS over the unix socket, as the driver's. It neither retries nor judges: that is for
//! `driver::client`, which each scene uses for its first mount.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Kubelet's deadline, as the driver passes it on.
const DEADLINE: &str = "120S";

/// An open connection; it ends on drop.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Line {
    pub(super) async fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move {
            // A connection that breaks fails the calls on it.
            let _ = connection.await;
        });
        Ok(Self { sender, task })
    }

    /// Mounts; how long it took until the last byte.
    ///
    /// # Errors
    /// When the provider refuses, with code and text, or answers with no file.
    pub(super) async fn mount(&self, frame: Bytes) -> Result<Duration> {
        let request = Request::post("http://localhost/v1alpha1.CSIDriverProvider/Mount")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", DEADLINE)
            .body(Full::new(frame))?;
        let started = Instant::now();
        let mut sender = self.sender.clone();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        accept(response).await?;
        Ok(started.elapsed())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(response: Response<Incoming>) -> Result<()> {
    let (head, mut body) = response.into_parts();
    // A refusal without a message stands in the head.
    judge(&head.headers)?;
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if let Some(trailers) = frame.trailers_ref() {
            judge(trailers)?;
        }
    }
    anyhow::ensure!(bytes > 5, "an answer without a file");
    Ok(())
}

fn judge(headers: &HeaderMap) -> Result<()> {
    let Some(code) = headers.get("grpc-status") else {
        return Ok(());
    };
    if code == "0" {
        return Ok(());
    }
    let text = headers
        .get("grpc-message")
        .map(|text| text.to_str().context("a text that is not ASCII"))
        .transpose()?;
    bail!("code {}: {}", code.to_str()?, text.unwrap_or_default())
}
