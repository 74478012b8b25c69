//! An HTTP server on loopback that answers at once and counts, for loads that a test's scripted store
//! would be too slow for: it keeps no request, only numbers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Decides the answer to a request.
pub(super) trait Answers: Send + Sync + 'static {
    /// Status and JSON body for a method, a path and a body.
    fn answer(&self, method: &str, path: &str, body: &Bytes) -> (StatusCode, Bytes);
}

/// The running server; it ends, with its connections, on drop.
pub(super) struct Counter<A> {
    address: SocketAddr,
    shared: Arc<Shared<A>>,
    task: Option<JoinHandle<()>>,
}

struct Shared<A> {
    answers: A,
    arrived: AtomicU64,
}

impl<A: Answers> Counter<A> {
    pub(super) async fn start(answers: A) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let arrived = AtomicU64::new(0);
        let shared = Arc::new(Shared { answers, arrived });
        let task = Some(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn answers(&self) -> &A {
        &self.shared.answers
    }

    /// How many requests arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        self.shared.arrived.load(Ordering::Relaxed)
    }

    /// Ends the server with all connections; from then on connecting is refused.
    pub(super) async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Cancelled, as just asked for.
            let _ = task.await;
        }
    }

    /// Serves again on the same port.
    pub(super) async fn restore(&mut self) -> Result<()> {
        self.kill().await;
        let listener = TcpListener::bind(self.address).await?;
        self.task = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        Ok(())
    }
}

impl<A> Drop for Counter<A> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn accept<A: Answers>(listener: TcpListener, shared: Arc<Shared<A>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection<A: Answers>(stream: TcpStream, shared: Arc<Shared<A>>) {
    // An answer is one small packet: nothing is gained by waiting for a second one.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    // A peer that goes away is no concern of the server's.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer<A: Answers>(
    request: Request<Incoming>,
    shared: Arc<Shared<A>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    shared.arrived.fetch_add(1, Ordering::Relaxed);
    let (status, body) = shared
        .answers
        .answer(head.method.as_str(), head.uri.path(), &body);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::http_client;

    struct Echo;

    impl Answers for Echo {
        fn answer(&self, method: &str, path: &str, body: &Bytes) -> (StatusCode, Bytes) {
            let text = format!("{method} {path} {}", String::from_utf8_lossy(body));
            (StatusCode::OK, text.into())
        }
    }

    #[tokio::test]
    async fn requests_are_answered_and_counted_and_none_while_it_is_killed() {
        let mut server = Counter::start(Echo).await.unwrap();
        let client = http_client().unwrap();
        let put = || {
            client
                .put(server.address() + "/v1/a?x=1")
                .body("body")
                .send()
        };
        let text = put().await.unwrap().text().await.unwrap();
        assert_eq!((text.as_str(), server.arrived()), ("PUT /v1/a body", 1));
        let url = server.address() + "/v1/b";
        server.kill().await;
        assert!(client.get(&url).send().await.is_err());
        server.restore().await.unwrap();
        assert!(client.get(&url).send().await.is_ok());
        assert_eq!(server.arrived(), 2);
    }
}
