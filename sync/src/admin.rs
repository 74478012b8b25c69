//! The port for probes, scrapes and people: `/livez`, `/readyz` (also `/health/ready`), `/metrics` and `/objects`.
//!
//! Nothing here asks a provider or the API server: an outage of theirs must not restart us. Nothing here shows
//! configuration or values, and there are no debug endpoints.

mod liveness;
mod objects;
mod readiness;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::liveness::Liveness;
pub use self::objects::{ObjectView, Objects};
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

/// What Prometheus asks for by name when it can read it.
const OPENMETRICS: &str = "application/openmetrics-text";

/// What the port answers from.
pub struct Admin {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/livez` says.
    pub liveness: Arc<Liveness>,
    /// What `/readyz` says.
    pub readiness: Arc<Readiness>,
    /// What `/objects` shows.
    pub objects: Objects,
}

/// Serves until `shutdown`, which is to come last: readiness must still say 503 while work drains. One request per
/// connection; of too many connections the oldest is closed.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, shutdown: CancellationToken) {
    let router = router(admin);
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
                connections.spawn(converse(stream, router.clone()));
            }
            // The listener outlives every error of one accept.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot accept connections for probes and metrics");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Whoever still talks after that is cut off when the connections are dropped.
    let _ = timeout(DRAIN, connections.finished()).await;
}

async fn converse(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A caller that goes away or talks nonsense is no event.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

/// Answers GET and HEAD of known paths; no body is ever read.
fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        // As in the peers.
        .route("/health/ready", get(readyz))
        .route("/metrics", get(metrics))
        .route("/objects", get(objects))
        .with_state(admin)
}

async fn livez(State(admin): State<Arc<Admin>>) -> Response {
    verdict(admin.liveness.check().map(|()| "ok"))
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    verdict(admin.readiness.check())
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let openmetrics = accept.is_some_and(|accept| accept.contains(OPENMETRICS));
    let kind = Metrics::content_type(openmetrics);
    ([(CONTENT_TYPE, kind)], admin.metrics.encode(openmetrics)).into_response()
}

async fn objects(State(admin): State<Arc<Admin>>) -> Response {
    let views = (admin.objects)();
    // Texts and times can always be written.
    let mut body = serde_json::to_string(&views).unwrap_or_default();
    body.push('\n');
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn verdict(checked: Result<&'static str, String>) -> Response {
    match checked {
        Ok(word) => format!("{word}\n").into_response(),
        Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("{cause}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
