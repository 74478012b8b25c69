//! The port for probes and scrapes: `/livez`, `/readyz` (also `/health/ready`) and `/metrics`.
//!
//! Nothing here asks the store: an outage would restart the provider on every node and throw its memory
//! away. Nothing here shows configuration or secrets, and there are no debug endpoints.

mod accept;
mod liveness;
mod readiness;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::liveness::{NotLive, dial};
pub use self::readiness::Readiness;
use crate::metrics::Metrics;
use coffer_frame::connections::Connections;

/// How long a caller may take to say what it wants. Probes say it at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one connection may live, whatever it does: the scrape timeout that the chart sets.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers may take that are under way at shutdown.
const DRAIN: Duration = Duration::from_secs(1);

/// Pause after a failed accept: out of descriptors, it fails again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the port answers from.
#[derive(Debug)]
pub struct Admin {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// Path of the socket that the driver uses; `/livez` dials it.
    pub socket: PathBuf,
}

/// Serves until `shutdown`, which is to come last: readiness must still say 503 while Mounts drain.
/// One request per connection; of too many connections the oldest is closed.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, shutdown: CancellationToken) {
    let mut connections = Connections::default();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                failing = false;
                connections.spawn(converse(stream, Arc::clone(&admin)));
            }
            // The listener outlives every error of one accept.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let error = error.to_string();
                    tracing::warn!(error, "cannot accept connections for probes and metrics");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Whoever still talks after that is cut off when the connections are dropped.
    let _ = timeout(DRAIN, connections.finished()).await;
}

async fn converse(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A caller that goes away or talks nonsense is no event.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

/// What a path stands for.
enum Page {
    Live,
    Ready,
    Metrics,
}

impl Page {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Live),
            // The second is the peers' path.
            "/readyz" | "/health/ready" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }
}

impl Admin {
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let Some(page) = Page::at(request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND, "not found");
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            Page::Live => verdict(dial(&self.socket).await.map_err(|cause| cause.to_string())),
            Page::Ready => verdict(self.readiness.check()),
            Page::Metrics => self.scrape(request.headers()),
        }
    }

    fn scrape(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let accept = headers
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let openmetrics = accept::prefers_openmetrics(accept);
        let body = self.metrics.encode(openmetrics);
        respond(StatusCode::OK, Metrics::content_type(openmetrics), body)
    }
}

fn verdict(checked: Result<(), String>) -> Response<Full<Bytes>> {
    match checked {
        Ok(()) => plain(StatusCode::OK, "ok"),
        Err(cause) => plain(StatusCode::SERVICE_UNAVAILABLE, cause),
    }
}

fn plain(status: StatusCode, line: impl Into<String>) -> Response<Full<Bytes>> {
    let mut line = line.into();
    line.push('\n');
    respond(status, "text/plain; charset=utf-8", line)
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
