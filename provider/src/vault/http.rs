//! Requests to stores: which address, after whom in the queue, and what came back.
//!
//! A target may have several addresses. They are tried one at a time, the healthy one first; an address
//! that fails in a row is not asked before a probe finds it well. Here are also the limits that protect the
//! node. What an answer means to a Mount is not decided here, and no address is asked twice for one request.

mod body;
mod discovery;
mod exchange;
mod failover;
mod failure;
mod health;
mod pool;
mod queue;
mod redirect;

use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::breaker::Sign;
use coffer_provider_core::fault::Fault;
use coffer_provider_core::response::{Head, Response, is_unexecuted};
use coffer_provider_core::target::{Address, Target};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::endpoint::Prepared;
use super::rate::Rate;
use super::retry::MAX_TRIES;
use crate::dns::Nameservers;
use crate::metrics::{Metrics, StoreOp};
use crate::ports::Chance;

use exchange::Exchange;
use failover::Failure;
use health::{Health, Watch};
use queue::Queue;

/// Limits of the process towards stores.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// DNS, TCP and TLS together; SRV records, where they are asked, have as long before. Kubelet waits two
    /// minutes; a dead host must be known long before.
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
    /// Requests in flight to one address.
    pub in_flight_per_address: usize,
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
            // One that hangs leaves a quarter to the others.
            in_flight_per_address: 48,
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
    /// Who is asked for SRV records of the addresses that are found by them.
    pub nameservers: Nameservers,
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

impl Answer {
    /// What is known before the body is looked at.
    #[must_use]
    pub fn head(&self) -> Head<'_> {
        Head {
            status: self.status,
            content_type: &self.content_type,
        }
    }
}

/// A request that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// Why.
    pub fault: Fault,
    /// Whether the store may have received it: a request that writes must not be sent again then.
    pub maybe_sent: bool,
    /// Whether anybody was asked at all. If not, asking again within the same Mount is of no use.
    pub asked: bool,
}

impl NoAnswer {
    /// The store cannot have received it.
    #[must_use]
    pub const fn never_sent(fault: Fault) -> Self {
        Self {
            fault,
            maybe_sent: false,
            asked: true,
        }
    }

    /// It ended here: by a breaker, or in our own queue.
    #[must_use]
    pub const fn not_asked(fault: Fault) -> Self {
        Self {
            fault,
            maybe_sent: false,
            asked: false,
        }
    }

    /// The store may have received it.
    #[must_use]
    pub const fn maybe_sent(fault: Fault) -> Self {
        Self {
            fault,
            maybe_sent: true,
            asked: true,
        }
    }
}

/// What a request is for, and how long it may wait for its turn.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its kind. One that writes is sent to a second address only if the first cannot have carried it out.
    pub op: StoreOp,
    /// When waiting for a turn and turning to further addresses ends, on the runtime's clock as every
    /// deadline. A request that was sent has the time of its phases.
    pub deadline: Instant,
    /// Whether a pod may be waiting to start. Three quarters of the places are for all, the rest for these.
    pub first: bool,
}

impl Call {
    /// How long upkeep waits for its turn: it comes again, or is at best effort.
    const UPKEEP: Duration = Duration::from_secs(5);

    /// Whether a Mount waits for it.
    const fn is_of_mount(self) -> bool {
        matches!(self.op, StoreOp::Read | StoreOp::Write | StoreOp::Login)
    }

    /// For a renewal, a revocation and the like, which no pod waits for.
    #[must_use]
    pub fn upkeep(op: StoreOp) -> Self {
        Self {
            op,
            deadline: Instant::now() + Self::UPKEEP,
            first: false,
        }
    }
}

/// Everything between the process and its stores.
pub struct Stores {
    exchange: Arc<Exchange>,
    queue: Arc<Queue>,
    health: Health,
}

/// What came of asking one address.
enum Asked {
    /// An answer of a store that works, or a fault that no other address can mend.
    Done(Result<Answer, NoAnswer>),
    /// A failure of this address.
    Failed(Failure),
}

impl Stores {
    /// No connection is made before the first request.
    #[must_use]
    pub fn new(
        limits: HttpLimits,
        rules: HttpRules,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let queue = Arc::new(Queue::new(
            &limits,
            Arc::clone(&chance),
            Arc::clone(&metrics),
        ));
        let exchange = Arc::new(Exchange::new(
            limits,
            rules,
            Arc::clone(&chance),
            Arc::clone(&metrics),
        ));
        let observed = Arc::downgrade(&exchange);
        metrics.before_scrape(move |metrics| {
            if let Some(exchange) = observed.upgrade() {
                metrics.ca_expiry(exchange.ca_ends());
            }
        });
        let health = Health::new(Arc::clone(&exchange), Arc::clone(&queue), chance, metrics);
        Self {
            exchange,
            queue,
            health,
        }
    }

    /// Sends a request and reads the whole answer, following at most one redirect to a server that the
    /// token is meant for. Of several addresses the healthy ones are asked first, each at most once.
    ///
    /// # Errors
    /// When no complete answer came; of a target with several addresses also when none of them gave one
    /// that a working store gives.
    pub async fn send(
        &self,
        target: &Target,
        prepared: Prepared,
        call: Call,
    ) -> Result<Answer, NoAnswer> {
        let mut failures = Vec::new();
        for watch in self.health.by_choice(target) {
            if !failures.is_empty() && Instant::now() >= call.deadline {
                break;
            }
            match self.ask(&watch, &prepared, call).await {
                Asked::Done(outcome) => return outcome,
                Asked::Failed(failure) => {
                    let is_last = !failure.may_move_on;
                    failures.push(failure);
                    if is_last {
                        break;
                    }
                }
            }
        }
        failover::none_left(failures, target.address.are_several())
    }

    /// Whether no address of the target could be used when last asked: it is not worth more than one
    /// request of a Mount then.
    #[must_use]
    pub fn is_doubtful(&self, target: &Target) -> bool {
        self.health.is_away(target)
    }

    /// How many times a request that only reads is sent.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.exchange.limits().tries
    }

    /// Where requests to an address go now: elsewhere than written if SRV records say so.
    pub async fn located(&self, address: &Address) -> Address {
        let located = self.exchange.locate(address).await;
        located.unwrap_or_else(|| address.clone())
    }

    /// Ends all probes. Requests can still be sent.
    pub async fn shut_down(&self) {
        self.health.shut_down().await;
    }

    async fn ask(&self, watch: &Arc<Watch>, prepared: &Prepared, call: Call) -> Asked {
        let server = watch.server();
        // Before the queue: who will be refused need not wait.
        if let Some(fault) = watch.refusal() {
            return Asked::Failed(Failure::not_asked(server, fault));
        }
        let _place = match self.queue.enter(&server.address, call).await {
            Ok(place) => place,
            Err(fault) => return Asked::Done(Err(NoAnswer::not_asked(fault))),
        };
        let admitted = match watch.admit() {
            Ok(admitted) => admitted,
            Err(fault) => return Asked::Failed(Failure::not_asked(server, fault)),
        };
        let outcome = self.exchange.send(server, prepared, call.op).await;
        let writes = call.op == StoreOp::Write;
        match outcome {
            Ok(answer) => {
                if let (429 | 503, Some(wait)) = (answer.status, answer.retry_after) {
                    self.queue.pause(&server.address, wait);
                }
                let Some(fault) = ill(&answer) else {
                    admitted.report(Sign::Well);
                    return Asked::Done(Ok(answer));
                };
                admitted.report(Sign::Ill(fault.clone()));
                let may_move_on = !writes || is_unexecuted(answer.head(), &answer.body);
                Asked::Failed(Failure::answered(server, fault, answer, may_move_on))
            }
            Err(failed) => {
                let sign = Sign::of_fault(&failed.fault);
                admitted.report(sign.clone());
                if !matches!(sign, Sign::Ill(_) | Sign::Untrusted(_)) {
                    return Asked::Done(Err(failed));
                }
                let may_move_on = !writes || !failed.maybe_sent;
                Asked::Failed(Failure::unanswered(server, failed, may_move_on))
            }
        }
    }
}

/// What is wrong with the store that gave this answer; none if it works.
fn ill(answer: &Answer) -> Option<Fault> {
    if Sign::is_well(answer.status) {
        return None;
    }
    let fault = Response::read(answer.head(), &answer.body).err()?;
    Some(Fault {
        retry_after: answer.retry_after,
        ..fault
    })
}

#[cfg(test)]
mod tests;
