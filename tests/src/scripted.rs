//! A store whose every answer a test decides: HTTP/1.1 on loopback, in process.
//!
//! Without a script it is a small healthy Vault: logins give a token, KV v2 reads come from a map, a
//! token that it did not give is denied. A test overrides single paths with `Reply`s, which may
//! also be late, slow, cut off or no HTTP at all.

mod healthy;
mod reply;
mod serve;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::http1::header;
use healthy::Healthy;
pub use reply::Reply;

/// A request that arrived.
#[derive(Clone)]
pub struct Arrived {
    pub method: String,
    /// Path without query.
    pub path: String,
    /// What follows `?`; empty when nothing does.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// When it had arrived in whole.
    pub at: Instant,
}

impl Arrived {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it is a login.
    #[must_use]
    pub fn is_login(&self) -> bool {
        self.path.starts_with("/v1/auth/") && self.path.ends_with("/login")
    }
}

type Rule = Arc<dyn Fn(&Arrived) -> Option<Reply> + Send + Sync>;

/// The running store; it ends, with its connections, on drop.
pub struct ScriptedStore {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What the connections share. The lock is held for short sections without an await.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    healthy: Healthy,
    arrived: Vec<Arrived>,
    connections: usize,
    in_flight: usize,
    most_in_flight: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request and decides its answer. The rules run outside of the lock, so that one may ask the store.
    fn answer(&self, arrived: Arrived) -> Reply {
        let rules = {
            let mut state = self.state();
            state.arrived.push(arrived.clone());
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.rules.clone()
        };
        let scripted = rules.iter().rev().find_map(|rule| rule(&arrived));
        scripted.unwrap_or_else(|| self.state().healthy.answer(&arrived))
    }
}

impl ScriptedStore {
    /// Starts a healthy store on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(serve::accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port of loopback that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Adds a rule; of several that answer, the last one added does. None leaves the request to the others.
    pub fn rule(&self, rule: impl Fn(&Arrived) -> Option<Reply> + Send + Sync + 'static) {
        self.shared.state().rules.push(Arc::new(rule));
    }

    /// Answers every request to this path (such as `/v1/secret/data/a`, without query) with the same reply.
    pub fn on(&self, path: &str, reply: Reply) {
        let path = path.to_owned();
        self.rule(move |arrived| (arrived.path == path).then(|| reply.clone()));
    }

    /// Answers every login with the same reply.
    pub fn on_login(&self, reply: Reply) {
        self.rule(move |arrived| arrived.is_login().then(|| reply.clone()));
    }

    /// Forgets all rules: the store is healthy again.
    pub fn heal(&self) {
        self.shared.state().rules.clear();
    }

    /// Sets a KV v2 secret; `path` as in a class: `secret/data/<name>`. Each call is a new version.
    pub fn put(&self, path: &str, data: Value) {
        self.shared.state().healthy.put(path, data);
    }

    /// Deletes a secret.
    pub fn delete(&self, path: &str) {
        self.shared.state().healthy.delete(path);
    }

    /// Makes every token given so far invalid.
    pub fn revoke_all(&self) {
        self.shared.state().healthy.revoke_all();
    }

    /// Seconds for which the tokens of the next logins are valid, by the reply's word.
    pub fn set_token_ttl(&self, seconds: u64) {
        self.shared.state().healthy.token_ttl = seconds;
    }

    /// All requests so far, in the order they arrived.
    #[must_use]
    pub fn requests(&self) -> Vec<Arrived> {
        self.shared.state().arrived.clone()
    }

    /// How many requests to this path arrived.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.shared
            .state()
            .arrived
            .iter()
            .filter(|arrived| arrived.path == path)
            .count()
    }

    /// How many logins arrived.
    #[must_use]
    pub fn logins(&self) -> usize {
        self.shared
            .state()
            .arrived
            .iter()
            .filter(|arrived| arrived.is_login())
            .count()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many requests are unanswered now. One whose client went away counts no more.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.state().in_flight
    }

    /// How many requests were unanswered at once, at most.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.shared.state().most_in_flight
    }

    /// Forgets the requests so far and the gauge, not the secrets, tokens and rules.
    pub fn forget_requests(&self) {
        let mut state = self.shared.state();
        state.arrived.clear();
        state.most_in_flight = state.in_flight;
    }
}

impl Drop for ScriptedStore {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
