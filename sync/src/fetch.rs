//! What a provider returns for one class and account: asked once for all who want it at the same time.
//!
//! A dynamic engine then issues one credential and not one per Secret. What becomes of the files is decided elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_proto::v1alpha1::ObjectVersion;
use coffer_sync_core::condition::masked;
use coffer_sync_core::decide::{Failure, FailureKind};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, Token};
use crate::luck::luck;
use crate::metrics::Metrics;
use crate::provider::{Asked, CallFault, Fetched, Pod, ProviderRules, Providers};
use crate::token::{Tokens, Whose};

/// How long an answer serves those who come after it.
const REUSE: Duration = Duration::from_secs(5);
/// Answers whose versions are remembered.
const MOST_VERSIONS: usize = 20_000;

/// What is fetched, for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Namespace of class, account and object.
    pub namespace: String,
    /// ServiceAccount.
    pub account: String,
    /// Name of the class.
    pub class: String,
    /// Its uid.
    pub class_uid: String,
    /// Its generation.
    pub generation: i64,
    /// Name of the provider.
    pub provider: String,
    /// Audience of the token; none where the provider wants none.
    pub audience: Option<String>,
}

/// No files, and whether that is because the provider was not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFiles {
    /// Why.
    pub failure: Failure,
    /// Whether the provider was reached, if it was called.
    pub reached: Option<bool>,
}

/// Fetches for all objects.
pub struct Fetcher {
    tokens: Tokens,
    providers: Providers,
    pod: Pod,
    /// Held to find or make one. Shared with those who clear it.
    flights: Arc<Flights>,
    /// Held to look one up.
    versions: Mutex<HashMap<(String, String), Vec<ObjectVersion>>>,
}

type Flights = Mutex<HashMap<Wanted, Arc<Flight>>>;

#[derive(Default)]
struct Flight {
    outcome: OnceCell<Result<Arc<Fetched>, NoFiles>>,
}

impl Fetcher {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(
        cluster: Arc<Cluster>,
        rules: ProviderRules,
        pod: Pod,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            tokens: Tokens::new(cluster, Arc::clone(&metrics)),
            providers: Providers::new(rules, metrics),
            pod,
            flights: Arc::default(),
            versions: Mutex::default(),
        }
    }

    /// The files: those of an equal call that is under way or ended less than 5 s ago, else of a call of its own.
    ///
    /// # Errors
    /// When there are none; a failure is shared by those who waited for it and by nobody else.
    pub async fn fetch(
        &self,
        wanted: &Wanted,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Arc<Fetched>, NoFiles> {
        let flight = self.flight(wanted);
        // Where the caller that asks goes away, the next one asks in its place.
        let outcome = flight
            .outcome
            .get_or_init(|| async {
                let outcome = self.ask(wanted, parameters).await;
                self.let_go(wanted, &flight, outcome.is_ok());
                outcome.map(Arc::new)
            })
            .await;
        outcome.clone()
    }

    fn flight(&self, wanted: &Wanted) -> Arc<Flight> {
        let mut flights = lock(&self.flights);
        Arc::clone(flights.entry(wanted.clone()).or_default())
    }

    /// Lets nobody join any more: at once after a failure, a moment later after an answer, so that its bytes do not
    /// stay in memory until somebody asks again.
    fn let_go(&self, wanted: &Wanted, flight: &Arc<Flight>, is_answer: bool) {
        let (flights, wanted, flight) = (
            Arc::clone(&self.flights),
            wanted.clone(),
            Arc::clone(flight),
        );
        let remove = move || {
            let mut flights = lock(&flights);
            if flights
                .get(&wanted)
                .is_some_and(|there| Arc::ptr_eq(there, &flight))
            {
                flights.remove(&wanted);
            }
        };
        if !is_answer {
            return remove();
        }
        tokio::spawn(async move {
            tokio::time::sleep(REUSE).await;
            remove();
        });
    }

    async fn ask(
        &self,
        wanted: &Wanted,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Fetched, NoFiles> {
        let whose = wanted.audience.as_ref().map(|audience| Whose {
            namespace: wanted.namespace.clone(),
            account: wanted.account.clone(),
            audience: audience.clone(),
        });
        let provider = &wanted.provider;
        let found = self.providers.check(provider);
        found.map_err(|fault| no_files(&fault, provider, None))?;
        let (mut token, was_held) = self.token(whose.as_ref()).await?;
        let first = self
            .call(wanted, parameters, whose.as_ref(), token.as_deref())
            .await;
        let outcome = match (first, &whose) {
            (Err(fault), Some(whose)) if was_held && fault.is_refused_token() => {
                if let Some(refused) = &token {
                    self.tokens.forget(whose, refused);
                }
                (token, _) = self.token(Some(whose)).await?;
                self.call(wanted, parameters, Some(whose), token.as_deref())
                    .await
            }
            (first, _) => first,
        };
        let fetched = outcome.map_err(|fault| no_files(&fault, provider, token.as_deref()))?;
        self.remember(wanted, &fetched.versions);
        Ok(fetched)
    }

    async fn token(&self, whose: Option<&Whose>) -> Result<(Option<Arc<Token>>, bool), NoFiles> {
        let Some(whose) = whose else {
            return Ok((None, false));
        };
        let held = self.tokens.get(whose, Timestamp::now(), luck()).await;
        let (token, was_held) = held.map_err(|answer| {
            let account = format!("{}/{}", whose.namespace, whose.account);
            let message = masked(&answer.message, []);
            NoFiles {
                failure: Failure {
                    kind: FailureKind::Token,
                    message: format!("no token for ServiceAccount {account}: {message}"),
                    retry_after: answer.retry_after,
                },
                reached: None,
            }
        })?;
        Ok((Some(token), was_held))
    }

    async fn call(
        &self,
        wanted: &Wanted,
        parameters: &BTreeMap<String, String>,
        whose: Option<&Whose>,
        token: Option<&Token>,
    ) -> Result<Fetched, CallFault> {
        let asked = Asked {
            pod: &self.pod,
            namespace: &wanted.namespace,
            account: &wanted.account,
            class: &wanted.class,
            parameters,
            token: whose
                .zip(token)
                .map(|(whose, token)| (whose.audience.as_str(), token)),
            versions: self.remembered(wanted),
        };
        self.providers.mount(&wanted.provider, &asked).await
    }

    fn remembered(&self, wanted: &Wanted) -> Vec<ObjectVersion> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.get(&of(wanted)).cloned().unwrap_or_default()
    }

    fn remember(&self, wanted: &Wanted, versions: &[ObjectVersion]) {
        let mut all = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        // They are a hint only: losing them costs nothing.
        if all.len() >= MOST_VERSIONS {
            all.clear();
        }
        all.insert(of(wanted), versions.to_vec());
    }
}

fn lock(flights: &Flights) -> std::sync::MutexGuard<'_, HashMap<Wanted, Arc<Flight>>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of(wanted: &Wanted) -> (String, String) {
    (wanted.class_uid.clone(), wanted.account.clone())
}

/// A provider may quote what it was sent: no piece of the token stays in its text.
fn no_files(fault: &CallFault, provider: &str, token: Option<&Token>) -> NoFiles {
    let kind = match fault {
        CallFault::Name | CallFault::NoSocket => FailureKind::Class,
        CallFault::Busy => FailureKind::Internal,
        CallFault::Status(..) | CallFault::Error(_) | CallFault::NoVersions => {
            FailureKind::Provider
        }
    };
    NoFiles {
        failure: Failure {
            kind,
            message: masked(
                &fault.told(provider),
                token.map(|token| token.token.as_bytes()),
            ),
            retry_after: None,
        },
        reached: match fault {
            CallFault::Name | CallFault::NoSocket | CallFault::Busy => None,
            _ => Some(!fault.is_unreachable()),
        },
    }
}
