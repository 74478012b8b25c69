//! One exchange with one server: a request in, status and body out, at most one redirect between.
//!
//! Connections, phases, sizes, where SRV records say that the server is, and where a token may be sent after
//! a redirect. Which server is asked, and what its answer says of it, is decided by the caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::Fault;
use coffer_provider_core::target::{Address, Tls};
use tokio::time::{Instant, timeout};

use super::body::{BadBody, Buffers};
use super::discovery::Discovery;
use super::pool::{self, Pool};
use super::{Answer, HttpLimits, HttpRules, NoAnswer, failure, redirect};
use crate::dns::Dns;
use crate::metrics::{Metrics, StoreOp, StoreStatus, Target as TargetLabel};
use crate::ports::Chance;
use crate::vault::endpoint::Prepared;
use crate::vault::rate::Limiter;

/// One address with the TLS settings it is reached by. Classes that differ in these do not share
/// connections, nor each other's mistakes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) tls: Tls,
}

/// All connections of the process.
pub(super) struct Exchange {
    pools: Mutex<HashMap<Server, Arc<Pool>>>,
    limits: HttpLimits,
    rules: HttpRules,
    discovery: Discovery,
    buffers: Buffers,
    limiter: Option<Limiter>,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
}

/// What a request is counted as.
#[derive(Clone, Copy)]
struct Counted {
    op: StoreOp,
    target: TargetLabel,
}

/// The most pools that are kept: a node with more stores than this opens connections anew.
const MAX_POOLS: usize = 256;

/// A CA that no request was verified by for so long is not in use: old drivers ask every few hours.
const IN_USE: Duration = Duration::from_secs(24 * 3600);

impl Exchange {
    pub(super) fn new(
        limits: HttpLimits,
        rules: HttpRules,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let dns = Arc::new(Dns::new(rules.nameservers));
        Self {
            pools: Mutex::default(),
            discovery: Discovery::new(dns, limits.connect, Arc::clone(&chance)),
            limits,
            rules,
            buffers: Buffers::new(limits.buffered_bytes, limits.body_bytes),
            limiter: limits.rate.map(Limiter::new),
            chance,
            metrics,
        }
    }

    pub(super) const fn limits(&self) -> &HttpLimits {
        &self.limits
    }

    /// Sends a request to this server, which may be where SRV records say, and reads the whole answer.
    pub(super) async fn send(
        &self,
        server: &Server,
        prepared: &Prepared,
        op: StoreOp,
    ) -> Result<Answer, NoAnswer> {
        // Of a host that records lead to the operator's list knows nothing.
        let counted = self.counted(op, &server.address);
        let located = self.locate(&server.address).await.map(|address| Server {
            address,
            tls: server.tls.clone(),
        });
        let server = located.as_ref().unwrap_or(server);
        let request = prepared.at(&server.address).map_err(NoAnswer::never_sent)?;
        let answer = self.send_once(server, request.clone(), counted).await?;
        let location = redirect::location(&answer.0).filter(|_| !self.rules.no_redirects);
        let Some(location) = location else {
            return self.read(answer, counted, server).await;
        };
        let next = redirect::follow(&server.address, &location, |address| {
            self.may_redirect_to(address)
        })
        .map_err(NoAnswer::never_sent)?;
        let moved = Server {
            address: next.address,
            tls: server.tls.clone(),
        };
        let mut request = request;
        *request.uri_mut() = next.uri;
        let counted = self.counted(op, &moved.address);
        let answer = self.send_once(&moved, request, counted).await?;
        self.read(answer, counted, &moved).await
    }

    /// Where SRV records say that the store is, or its host itself where there are none; none for an
    /// address that leaves nothing open.
    pub(super) async fn locate(&self, address: &Address) -> Option<Address> {
        self.discovery.locate(address).await
    }

    /// The metric's label of an address.
    pub(super) fn label(&self, address: &Address) -> TargetLabel {
        let own = &self.rules.own;
        let place = own.iter().position(|own| own.same_server(address));
        place.map_or(TargetLabel::OTHER, TargetLabel::listed)
    }

    fn may_redirect_to(&self, address: &Address) -> bool {
        let known = self.rules.own.iter().chain(&self.rules.redirects);
        known.into_iter().any(|own| own.same_server(address))
    }

    async fn send_once(
        &self,
        server: &Server,
        mut request: http::Request<Vec<u8>>,
        counted: Counted,
    ) -> Result<(reqwest::Response, Instant), NoAnswer> {
        let client = self.client(server).await.map_err(NoAnswer::never_sent)?;
        if let Some(limiter) = &self.limiter {
            limiter.turn().await;
        }
        request.headers_mut().extend(self.rules.headers.clone());
        let request = pool::address_request(request, server).map_err(NoAnswer::never_sent)?;
        let _gauge = self.metrics.store_request_started();
        let started = Instant::now();
        let sent = timeout(self.limits.first_byte, client.execute(request)).await;
        let outcome = match sent {
            Ok(Ok(response)) => return Ok((response, started)),
            Ok(Err(error)) => failure::of_request(&error, server),
            Err(_) => failure::timed_out("first byte", self.limits.first_byte, server),
        };
        self.count(counted, StoreStatus::Error, started);
        Err(outcome)
    }

    async fn read(
        &self,
        (response, started): (reqwest::Response, Instant),
        counted: Counted,
        server: &Server,
    ) -> Result<Answer, NoAnswer> {
        let status = response.status().as_u16();
        let content_type = header(&response, http::header::CONTENT_TYPE);
        let date = header(&response, http::header::DATE);
        let retry_after = redirect::retry_after(
            &header(&response, http::header::RETRY_AFTER),
            &date,
            self.chance.now(),
        );
        let outcome = match self.buffers.read(response, self.limits.body).await {
            Ok((body, buffer)) => Ok(Answer {
                status,
                content_type,
                retry_after,
                date: Some(date).filter(|date| !date.is_empty()),
                body,
                _buffer: buffer,
            }),
            Err(BadBody::TooLarge) => Err(failure::too_large(
                self.limits.body_bytes,
                status,
                &content_type,
            )),
            Err(BadBody::Broken(error)) => Err(failure::of_request(&error, server)),
            Err(BadBody::TooSlow) => Err(failure::timed_out("body", self.limits.body, server)),
            Err(BadBody::NoRoom) => Err(failure::no_room(server)),
        };
        let label = if outcome.is_ok() {
            StoreStatus::from_http(status)
        } else {
            StoreStatus::Error
        };
        self.count(counted, label, started);
        outcome
    }

    fn counted(&self, op: StoreOp, address: &Address) -> Counted {
        let target = self.label(address);
        Counted { op, target }
    }

    fn count(&self, Counted { op, target }: Counted, status: StoreStatus, started: Instant) {
        self.metrics
            .store_request(op, status, target, started.elapsed());
    }

    /// When the first of the CA certificates in use ends, in Unix time.
    pub(super) fn ca_ends(&self) -> Option<i64> {
        let since = Instant::now().checked_sub(IN_USE);
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.values().filter_map(|pool| pool.ca_ends(since)).min()
    }

    /// The client of a server, made at its first use and again when its files changed.
    async fn client(&self, server: &Server) -> Result<reqwest::Client, Fault> {
        let pool = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            if pools.len() >= MAX_POOLS && !pools.contains_key(server) {
                let oldest = pools
                    .iter()
                    .min_by_key(|(_, pool)| pool.last_used())
                    .map(|(key, _)| key.clone());
                oldest.map(|key| pools.remove(&key));
            }
            Arc::clone(pools.entry(server.clone()).or_default())
        };
        pool.client(server, &self.rules, self.limits.connect, &self.metrics)
            .await
    }
}

fn header(response: &reqwest::Response, name: http::HeaderName) -> String {
    let value = response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
