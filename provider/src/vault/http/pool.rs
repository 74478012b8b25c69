//! One server's connections: a reqwest client with our TLS material, made anew when its files change.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::target::Address;
use http::HeaderValue;
use tokio::time::Instant;

use super::exchange::Server;
use crate::metrics::Metrics;
use crate::vault::http::HttpRules;
use crate::vault::tls::{self, Fingerprint};

/// How often files are looked at while a pool is in use: replaced ones take effect well within a minute.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// A server's client. Empty until the first use.
#[derive(Default)]
pub(super) struct Pool {
    /// Held for moments only; files are read outside.
    state: Mutex<Option<State>>,
}

#[derive(Clone)]
struct State {
    client: reqwest::Client,
    fingerprint: Fingerprint,
    ca_ends: Option<i64>,
    checked: Instant,
    used: Instant,
}

impl Pool {
    pub(super) fn last_used(&self) -> Option<Instant> {
        self.lock().as_ref().map(|state| state.used)
    }

    /// When the first of its CA certificates ends, in Unix time, if it was used since.
    pub(super) fn ca_ends(&self, since: Option<Instant>) -> Option<i64> {
        let state = self.lock();
        let used = state.as_ref().filter(|state| Some(state.used) >= since);
        used?.ca_ends
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, made at first use. When files changed and the new ones cannot be used, the old
    /// client stays: a half-written certificate must not cut off running pods.
    pub(super) async fn client(
        &self,
        server: &Server,
        rules: &HttpRules,
        connect: Duration,
        metrics: &Metrics,
    ) -> Result<reqwest::Client, Fault> {
        let now = Instant::now();
        let current = self.lock().as_mut().map(|state| {
            state.used = now;
            state.clone()
        });
        let Some(current) = current else {
            return self.rebuild(server, rules, connect).await;
        };
        if now.duration_since(current.checked) < CHECK_EVERY {
            return Ok(current.client);
        }
        if let Some(state) = self.lock().as_mut() {
            state.checked = now;
        }
        let tls = server.tls.clone();
        if blocking(move || tls::fingerprint(&tls)).await? == current.fingerprint {
            return Ok(current.client);
        }
        self.rebuild(server, rules, connect).await.or_else(|fault| {
            metrics.tls_reload_failed();
            tracing::warn!(store = %server.address.place(), error = %fault, "changed TLS files cannot be used, the old ones stay");
            Ok(current.client)
        })
    }

    async fn rebuild(
        &self,
        server: &Server,
        rules: &HttpRules,
        connect: Duration,
    ) -> Result<reqwest::Client, Fault> {
        let (tls, dirs) = (server.tls.clone(), rules.tls_dirs.clone());
        let (fingerprint, loaded) =
            blocking(move || (tls::fingerprint(&tls), tls::load(&tls, &dirs))).await?;
        let loaded = loaded?;
        let client = build(server, loaded.config, connect, rules.proxy.as_deref())?;
        let now = Instant::now();
        *self.lock() = Some(State {
            client: client.clone(),
            fingerprint,
            ca_ends: loaded.ca_ends,
            checked: now,
            used: now,
        });
        Ok(client)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Fault::new(
            Reason::Internal,
            "reading TLS files was interrupted",
            "report this",
        )
    })
}

fn build(
    server: &Server,
    config: rustls::ClientConfig,
    connect: Duration,
    proxy: Option<&str>,
) -> Result<reqwest::Client, Fault> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect)
        // A store closes idle connections after 5 minutes at the latest; ours go first.
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("coffer-provider/", env!("CARGO_PKG_VERSION")))
        .referer(false);
    if let Some(proxy) = proxy {
        let proxy = reqwest::Proxy::all(proxy).map_err(|_| {
            Fault::new(
                Reason::BadRequest,
                "the proxy is no URL",
                "check --vault-proxy-addr",
            )
        })?;
        builder = builder.proxy(proxy);
    }
    match &server.address {
        Address::Unix(path) => builder = builder.unix_socket(path.as_str()),
        Address::Tcp { host, .. } if server.tls.server_name.is_some() => {
            builder = builder.dns_resolver(Arc::new(SameHost(host.clone())));
        }
        Address::Tcp { .. } => {}
    }
    builder.build().map_err(|_| {
        Fault::new(
            Reason::Internal,
            "no HTTP client can be built",
            "report this",
        )
    })
}

/// Turns a built request into one for this server's client. With a server name of its own the URL
/// carries that name, because SNI and verification follow the URL; the host is resolved instead.
pub(super) fn address_request(
    mut request: http::Request<Vec<u8>>,
    server: &Server,
) -> Result<reqwest::Request, Fault> {
    let unwritable = || {
        Fault::new(
            Reason::BadRequest,
            "address or server name does not make a URL",
            "check vaultTLSServerName",
        )
    };
    if let (
        Address::Tcp {
            https: true,
            host,
            port,
            ..
        },
        Some(name),
    ) = (&server.address, &server.tls.server_name)
    {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let uri = format!("https://{name}:{port}{path}");
        *request.uri_mut() = uri.parse().map_err(|_| unwritable())?;
        let host = HeaderValue::from_str(&format!("{host}:{port}")).map_err(|_| unwritable())?;
        request.headers_mut().insert(http::header::HOST, host);
    }
    reqwest::Request::try_from(request).map_err(|_| unwritable())
}

/// Resolves every name as this host.
struct SameHost(String);

impl reqwest::dns::Resolve for SameHost {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let host = self.0.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
