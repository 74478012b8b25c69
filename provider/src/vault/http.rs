//! Connections to stores: one pool per target, a request in, status and body out.
//!
//! Here are the limits that protect the node: phases, body size, buffers of the whole process,
//! requests in flight, and where a token may be sent after a redirect. What an answer means is not
//! decided here, and nothing is tried again.

mod body;
mod failure;
mod pool;
mod redirect;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::target::{Address, Target, Tls};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::endpoint::Prepared;
use super::rate::{Limiter, Rate};
use super::retry::MAX_TRIES;
use crate::metrics::{Metrics, StoreOp, StoreStatus, Target as TargetLabel};

use body::Buffers;
use pool::Pool;

/// Limits of the process towards stores.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// DNS, TCP and TLS together. Kubelet waits two minutes; a dead host must be known long before.
    pub connect: Duration,
    /// From the sent request to the head of the answer.
    pub first_byte: Duration,
    /// From the head to the end of the body.
    pub body: Duration,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// All bodies in memory together, in bytes.
    pub buffered_bytes: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// How many times a request that only reads is sent, first try included.
    pub tries: u32,
    /// Requests per second; none for as many as come.
    pub rate: Option<Rate>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(10),
            body: Duration::from_secs(10),
            // Twice the driver's reply limit: base64 in JSON is a third larger than the file.
            body_bytes: 8 << 20,
            buffered_bytes: 32 << 20,
            in_flight: 64,
            tries: MAX_TRIES,
            rate: None,
        }
    }
}

/// What the operator says about connections.
#[derive(Clone, Debug, Default)]
pub struct HttpRules {
    /// The operator's own addresses, for the `target` label and for redirects.
    pub own: Vec<Address>,
    /// Further addresses that a redirect may lead to.
    pub redirects: Vec<Address>,
    /// Headers that every request carries besides our own.
    pub headers: http::HeaderMap,
    /// Proxy for every store; none for that of the environment.
    pub proxy: Option<String>,
    /// Redirects are answers that cannot be used.
    pub no_redirects: bool,
    /// Directories beneath which TLS files are opened without following links out.
    pub tls_dirs: Vec<String>,
}

/// An answer with its body. No Debug: the body is secret.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty if absent.
    pub content_type: String,
    /// How long the store asks to wait before trying again.
    pub retry_after: Option<Duration>,
    /// `Date`: the store's clock, or that of a proxy in front of it.
    pub date: Option<String>,
    /// The body, wiped on drop.
    pub body: Zeroizing<Vec<u8>>,
    _buffer: body::Reserved,
}

/// A request that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// Why.
    pub fault: Fault,
    /// Whether the store may have received it: a request that writes must not be sent again then.
    pub maybe_sent: bool,
}

impl NoAnswer {
    /// The store cannot have received it.
    #[must_use]
    pub const fn never_sent(fault: Fault) -> Self {
        Self {
            fault,
            maybe_sent: false,
        }
    }

    /// The store may have received it.
    #[must_use]
    pub const fn maybe_sent(fault: Fault) -> Self {
        Self {
            fault,
            maybe_sent: true,
        }
    }
}

/// All connections of the process.
pub struct Stores {
    pools: Mutex<HashMap<(Address, Tls), Arc<Pool>>>,
    limits: HttpLimits,
    rules: HttpRules,
    buffers: Buffers,
    in_flight: Semaphore,
    limiter: Option<Limiter>,
    metrics: Arc<Metrics>,
}

/// The most pools that are kept: a node with more stores than this opens connections anew.
const MAX_POOLS: usize = 256;

impl Stores {
    /// No connection is made before the first request.
    #[must_use]
    pub fn new(limits: HttpLimits, rules: HttpRules, metrics: Arc<Metrics>) -> Self {
        Self {
            pools: Mutex::new(HashMap::new()),
            limits,
            rules,
            buffers: Buffers::new(limits.buffered_bytes, limits.body_bytes),
            in_flight: Semaphore::new(limits.in_flight),
            limiter: limits.rate.map(Limiter::new),
            metrics,
        }
    }

    /// Sends a request and reads the whole answer, following at most one redirect to a server that the
    /// token is meant for.
    ///
    /// # Errors
    /// When no complete answer came.
    pub async fn send(
        &self,
        target: &Target,
        prepared: Prepared,
        op: StoreOp,
    ) -> Result<Answer, NoAnswer> {
        let _permit = self.in_flight.acquire().await.map_err(|_| closing())?;
        let answer = self.send_once(target, copy(&prepared), op).await?;
        let location = redirect::location(&answer.0).filter(|_| !self.rules.no_redirects);
        let Some(location) = location else {
            return self.read(answer, op, target).await;
        };
        let next = redirect::follow(&target.address, &location, |address| {
            self.may_redirect_to(address)
        })
        .map_err(NoAnswer::never_sent)?;
        let moved = Target {
            address: next.address,
            ..target.clone()
        };
        let mut prepared = prepared;
        *prepared.0.uri_mut() = next.uri;
        let answer = self.send_once(&moved, prepared, op).await?;
        self.read(answer, op, &moved).await
    }

    /// How many times a request that only reads is sent.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.limits.tries
    }

    fn may_redirect_to(&self, address: &Address) -> bool {
        let known = self.rules.own.iter().chain(&self.rules.redirects);
        known.into_iter().any(|own| own.same_server(address))
    }

    async fn send_once(
        &self,
        target: &Target,
        prepared: Prepared,
        op: StoreOp,
    ) -> Result<(reqwest::Response, Instant), NoAnswer> {
        let client = self.client(target).await.map_err(NoAnswer::never_sent)?;
        if let Some(limiter) = &self.limiter {
            limiter.turn().await;
        }
        let mut prepared = prepared;
        prepared.0.headers_mut().extend(self.rules.headers.clone());
        let request = pool::address_request(prepared.0, target).map_err(NoAnswer::never_sent)?;
        let _gauge = self.metrics.store_request_started();
        let started = Instant::now();
        let sent = timeout(self.limits.first_byte, client.execute(request)).await;
        let outcome = match sent {
            Ok(Ok(response)) => return Ok((response, started)),
            Ok(Err(error)) => failure::of_request(&error, target),
            Err(_) => failure::timed_out("first byte", self.limits.first_byte, target),
        };
        self.metrics.store_request(
            op,
            StoreStatus::Error,
            self.label(target),
            started.elapsed(),
        );
        Err(outcome)
    }

    async fn read(
        &self,
        (response, started): (reqwest::Response, Instant),
        op: StoreOp,
        target: &Target,
    ) -> Result<Answer, NoAnswer> {
        let status = response.status().as_u16();
        let content_type = header(&response, http::header::CONTENT_TYPE);
        let retry_after = redirect::retry_after(&header(&response, http::header::RETRY_AFTER));
        let date = Some(header(&response, http::header::DATE)).filter(|date| !date.is_empty());
        let read = timeout(self.limits.body, self.buffers.read(response)).await;
        let outcome = match read {
            Ok(Ok((body, buffer))) => Ok(Answer {
                status,
                content_type,
                retry_after,
                date,
                body,
                _buffer: buffer,
            }),
            Ok(Err(body::BadBody::TooLarge)) => Err(failure::too_large(
                self.limits.body_bytes,
                status,
                &content_type,
            )),
            Ok(Err(body::BadBody::Broken(error))) => Err(failure::of_request(&error, target)),
            Err(_) => Err(failure::timed_out("body", self.limits.body, target)),
        };
        let label = if outcome.is_ok() {
            StoreStatus::from_http(status)
        } else {
            StoreStatus::Error
        };
        self.metrics
            .store_request(op, label, self.label(target), started.elapsed());
        outcome
    }

    fn label(&self, target: &Target) -> TargetLabel {
        let place = self
            .rules
            .own
            .iter()
            .position(|own| own.same_server(&target.address));
        place.map_or(TargetLabel::OTHER, TargetLabel::listed)
    }

    /// The client of a target, made at its first use and again when its files changed.
    async fn client(&self, target: &Target) -> Result<reqwest::Client, Fault> {
        let key = (target.address.clone(), target.tls.clone());
        let pool = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            if pools.len() >= MAX_POOLS && !pools.contains_key(&key) {
                let oldest = pools
                    .iter()
                    .min_by_key(|(_, pool)| pool.last_used())
                    .map(|(key, _)| key.clone());
                oldest.map(|key| pools.remove(&key));
            }
            Arc::clone(pools.entry(key).or_default())
        };
        pool.client(target, &self.rules, self.limits.connect, &self.metrics)
            .await
    }
}

fn copy(prepared: &Prepared) -> Prepared {
    Prepared(prepared.0.clone())
}

fn header(response: &reqwest::Response, name: http::HeaderName) -> String {
    let value = response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn closing() -> NoAnswer {
    NoAnswer::never_sent(Fault::new(
        Reason::Draining,
        "the provider is shutting down",
        "the driver tries again",
    ))
}

#[cfg(test)]
mod tests;
