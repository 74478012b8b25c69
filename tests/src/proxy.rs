//! Stands between a provider and a real store: counts requests, delays, cuts, refuses.
//!
//! It changes no byte. What is not HTTP/1.1, such as TLS, passes through uncounted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::http1::read_request;

/// The first byte of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub method: String,
    /// Path and query.
    pub target: String,
}

/// The running proxy; it ends, with its connections, on drop.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    /// Counts the cuts; a connection ends when it sees the number change.
    cuts: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    passed: Vec<Passed>,
    connections: usize,
    latency: Duration,
    refusing: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Starts in front of `upstream`, a URL such as a store's address.
    ///
    /// # Errors
    /// When the URL has no host and port of loopback, or no port can be had.
    pub async fn start(upstream: &str) -> Result<Self> {
        let url = url::Url::parse(upstream)?;
        let upstream = *url
            .socket_addrs(|| None)?
            .first()
            .context("no address to pass on to")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, cuts) = (Mutex::default(), watch::Sender::new(0));
        let shared = Arc::new(Shared {
            upstream,
            state,
            cuts,
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Host and port to connect to.
    #[must_use]
    pub const fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a plain URL.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that went through so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Passed> {
        self.shared.state().passed.clone()
    }

    /// How many requests went to paths that begin with `prefix`.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        self.shared
            .state()
            .passed
            .iter()
            .filter(|passed| passed.target.starts_with(prefix))
            .count()
    }

    /// How many connections came.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Forgets the requests and connections so far.
    pub fn forget(&self) {
        let mut state = self.shared.state();
        state.passed.clear();
        state.connections = 0;
    }

    /// Holds each request, or each connection of what is not HTTP, back for this long from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.state().latency = latency;
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends each connection as soon as it comes, and those that are; or stops doing so.
    pub fn refuse(&self, refusing: bool) {
        self.shared.state().refusing = refusing;
        if refusing {
            self.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let refusing = {
            let mut state = shared.state();
            state.connections += 1;
            state.refusing
        };
        if !refusing {
            connections.spawn(connection(stream, Arc::clone(&shared)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    tokio::select! {
        _ = cuts.changed() => {}
        // Either side going away ends the connection, and is nothing to report.
        _ = pass(stream, &shared) => {}
    }
}

async fn pass(stream: TcpStream, shared: &Shared) -> Result<()> {
    let (down, mut to_client) = stream.into_split();
    let (mut from_store, up) = TcpStream::connect(shared.upstream).await?.into_split();
    tokio::select! {
        sent = pass_requests(down, up, shared) => sent,
        answered = copy(&mut from_store, &mut to_client) => Ok(answered.map(|_| ())?),
    }
}

async fn pass_requests(down: OwnedReadHalf, mut up: OwnedWriteHalf, shared: &Shared) -> Result<()> {
    let mut down = BufReader::new(down);
    if down.fill_buf().await?.first() == Some(&TLS_HANDSHAKE) {
        wait(shared).await;
        copy(&mut down, &mut up).await?;
        return Ok(());
    }
    while let Some(message) = read_request(&mut down).await? {
        let (method, target) = (message.method, message.target);
        shared.state().passed.push(Passed { method, target });
        wait(shared).await;
        up.write_all(&message.raw).await?;
    }
    Ok(())
}

async fn wait(shared: &Shared) {
    let latency = shared.state().latency;
    tokio::time::sleep(latency).await;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::scripted::{Reply, ScriptedStore};
    use crate::tls::http_client;

    async fn both() -> (ScriptedStore, Proxy, reqwest::Client) {
        let store = ScriptedStore::start().await.unwrap();
        store.rule(|_| Some(Reply::text(200, "hello")));
        let proxy = Proxy::start(&store.address()).await.unwrap();
        (store, proxy, http_client().unwrap())
    }

    #[tokio::test]
    async fn requests_pass_unchanged_and_are_counted() {
        let (store, proxy, client) = both().await;
        for path in ["/v1/a?x=1", "/v1/b"] {
            let reply = client
                .put(proxy.address() + path)
                .body("body")
                .send()
                .await
                .unwrap();
            assert_eq!(reply.text().await.unwrap(), "hello");
        }
        assert_eq!(
            (
                proxy.count("/v1/"),
                proxy.count("/v1/a"),
                proxy.connections()
            ),
            (2, 1, 1)
        );
        assert_eq!(proxy.requests()[0].method, "PUT");
        assert_eq!(store.requests()[0].body, "body");
        proxy.forget();
        assert!(proxy.requests().is_empty());
    }

    #[tokio::test]
    async fn while_it_refuses_nothing_passes_and_later_all_does() {
        let (_store, proxy, client) = both().await;
        let get = || client.get(proxy.address()).send();
        get().await.unwrap();
        proxy.refuse(true);
        assert!(get().await.is_err());
        proxy.refuse(false);
        assert!(get().await.is_ok());
    }

    #[tokio::test]
    async fn a_cut_ends_a_request_that_is_held_back() {
        let (_store, proxy, client) = both().await;
        proxy.set_latency(Duration::from_secs(600));
        let start = Instant::now();
        let cut = async {
            crate::fixture::eventually(Duration::from_secs(10), "a request", || async {
                proxy.requests().first().cloned().context("none yet")
            })
            .await
            .unwrap();
            proxy.cut();
        };
        let (reply, ()) = tokio::join!(client.get(proxy.address()).send(), cut);
        assert!(reply.is_err() && start.elapsed() < Duration::from_secs(60));
    }
}
