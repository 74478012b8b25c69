//! The Kubernetes API: every request passes here, with a deadline, at a bounded rate, counted.
//!
//! Answers are read as far as their status; what they mean is decided in the core. Requests are built as HTTP,
//! because a typed client hides whether a patch created something and what the server warned of.

mod event;
mod key;
mod lease;
mod metadata;
mod secret;
mod status;
mod token;
mod workload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffer_sync_core::answer::Answer;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use zeroize::Zeroizing;

pub use self::key::KeyFault;
pub use self::lease::Lease;
pub use self::metadata::{Document, Seen};
pub use self::secret::{Patch, Written};
pub use self::status::{ClassState, SyncStatus};
pub use self::token::Token;
use crate::metrics::Metrics;
use crate::rate::Rate;

/// The longest that a request may take: shorter than the ten seconds within which a leader has to renew.
const LIMIT: Duration = Duration::from_secs(8);
/// Connecting takes longer than this only where nobody answers.
const CONNECT: Duration = Duration::from_secs(5);
/// Only metadata is asked for, so that values do not come back to us.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const JSON: &str = "application/json";

/// How the API server is reached.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A kubeconfig file; none for that of the pod.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Its context; none for the current one.
    pub context: Option<String>,
}

/// The API server.
pub struct Cluster {
    client: Client,
    metrics: Arc<Metrics>,
    calls: Rate,
}

/// A successful answer. No Debug: bodies may hold Secrets.
pub struct Reply {
    /// The HTTP status.
    pub code: u16,
    /// The body, wiped on drop.
    pub body: Zeroizing<Vec<u8>>,
}

/// One request: what is done, to what, with which body.
struct Call<'a> {
    verb: &'static str,
    method: Method,
    path: String,
    content_type: &'static str,
    accept: &'static str,
    body: &'a [u8],
    when: When,
}

/// Whom a call waits for.
#[derive(Clone, Copy)]
enum When {
    /// Nobody: leadership hangs on it.
    Now,
    /// Those before it.
    InTurn,
    /// Those who write Secrets as well: it only tells of them.
    Last,
}

impl<'a> Call<'a> {
    fn new(verb: &'static str, method: Method, path: String) -> Self {
        Self {
            verb,
            method,
            path,
            content_type: JSON,
            accept: JSON,
            body: &[],
            when: When::InTurn,
        }
    }

    fn body(mut self, content_type: &'static str, body: &'a [u8]) -> Self {
        self.content_type = content_type;
        self.body = body;
        self
    }

    const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    const fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }
}

/// Reads the configuration of the client. Nothing is sent.
///
/// # Errors
/// There is none, or it cannot be used.
pub async fn access(access: &Access) -> anyhow::Result<Config> {
    let mut config = match &access.kubeconfig {
        Some(path) => kubeconfig(path, access.context.clone()).await?,
        None => Config::incluster()?,
    };
    config.connect_timeout = Some(CONNECT);
    // Retries are ours: counted, at our rate, and not before Retry-After.
    config.default_retry = false;
    Ok(config)
}

async fn kubeconfig(path: &Path, context: Option<String>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let file = Kubeconfig::read_from(path)?;
    Ok(Config::from_custom_kubeconfig(file, &options).await?)
}

impl Cluster {
    /// `per_second` calls with a burst.
    #[must_use]
    pub fn new(client: Client, per_second: f64, burst: u32, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            calls: Rate::new(per_second, burst),
        }
    }

    /// For watches, which are no single calls.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Sends one request when its turn has come. An answer other than success is told apart by the core.
    async fn send(&self, call: Call<'_>) -> Result<Reply, Answer> {
        match call.when {
            When::Now => {}
            When::InTurn => self.calls.turn().await,
            When::Last => self.calls.last_turn().await,
        }
        let verb = call.verb;
        let outcome = tokio::time::timeout(LIMIT, self.exchange(call)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(unanswered("no answer in time")));
        let code = match &outcome {
            Ok(reply) => reply.code,
            Err(answer) => answer.code,
        };
        self.metrics.kube_request(verb, code);
        outcome
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Reply, Answer> {
        let request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(CONTENT_TYPE, call.content_type)
            .header(ACCEPT, call.accept)
            .body(Body::from(call.body.to_vec()))
            .map_err(|_| unanswered("the request makes no URL"))?;
        let response = self.client.send(request).await;
        let response = response.map_err(|error| unanswered(kind(&error)))?;
        let code = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = response.into_body().collect_bytes().await;
        let body = body.map_err(|error| unanswered(kind(&error)))?;
        let body = Zeroizing::new(Vec::from(body));
        if (200..300).contains(&code) {
            return Ok(Reply { code, body });
        }
        let status: Status = serde_json::from_slice(&body).unwrap_or_default();
        Err(status.answer(code, retry_after))
    }
}

/// What went wrong before there was an answer, without what it may quote.
fn kind(error: &kube::Error) -> &'static str {
    match error {
        kube::Error::Auth(_) => "the credentials for the API server cannot be used",
        kube::Error::SerdeError(_) => "the API server's answer cannot be read",
        _ => "the API server cannot be reached",
    }
}

fn unanswered(message: &str) -> Answer {
    Answer {
        message: message.to_owned(),
        ..Answer::default()
    }
}

/// An answer that cannot be read is as good as none.
fn unreadable<E>(_: E) -> Answer {
    unanswered("the API server's answer cannot be read")
}

/// A `Status` of the API server, as far as it matters.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Option<Vec<Cause>>,
    retry_after_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

impl Status {
    fn answer(self, code: u16, retry_after: Option<Duration>) -> Answer {
        let details = self.details.unwrap_or_default();
        let message = if self.message.is_empty() {
            format!("the API server answered {code}")
        } else {
            self.message
        };
        let causes = details.causes.unwrap_or_default();
        Answer {
            code,
            message,
            causes: causes.into_iter().map(|cause| cause.reason).collect(),
            retry_after: retry_after.or(details.retry_after_seconds.map(Duration::from_secs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sync §13: quota and terminating namespaces are told by causes and texts, not by the code.
    #[test]
    fn a_status_keeps_its_message_its_causes_and_when_to_come_back() {
        let text = r#"{"message":"no","details":{"causes":[{"reason":"NamespaceTerminating"}],"retryAfterSeconds":3}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        let answer = status.answer(403, None);
        assert_eq!(answer.code, 403);
        assert_eq!(answer.message, "no");
        assert_eq!(answer.causes, ["NamespaceTerminating"]);
        assert_eq!(answer.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn an_answer_that_is_no_status_is_told_by_its_code() {
        let status: Status = serde_json::from_str("{}").unwrap();
        assert_eq!(
            status.answer(502, None).message,
            "the API server answered 502"
        );
    }
}
