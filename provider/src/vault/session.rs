//! One login per identity, shared by its pods, renewed before it ends, given back when unused.
//!
//! The lock of a session is held across its login: that is the single flight. A denial never becomes a
//! login loop, and a token on which a live lease hangs is never revoked, because pods run on it.

mod login;
mod token;
mod upkeep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::auth::Identity;
use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::issued::pause;
use coffer_provider_core::params::Pod;
use secrecy::SecretString;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::http::Stores;
use super::memory::{Memory, SessionId};
use crate::metrics::{CacheName, Metrics};
use crate::ports::{Chance, TokenRequests};
use coffer_frame::telemetry::RepeatGate;

pub use token::{LeaseGuard, StoreToken, TokenLife};

/// After a refusal, and after a login that a 403 asked for, an identity does not log in again for so
/// long: one login a minute cannot hurt a store.
const LOGIN_PAUSE: Duration = Duration::from_secs(60);

/// How long a login may take at least: whoever waits for it may have more time than who started it.
const LOGIN_BUDGET: Duration = Duration::from_secs(10);

/// Who may use a login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Every caller whose token was proven against the cluster's keys.
    Proven,
    /// The same for the callers of one pod, by its UID, where roles bind pods and not accounts.
    ProvenPod(String),
    /// Only callers with exactly this token (SHA-256), because it could not be proven.
    Token([u8; 32]),
    /// The pod for which a token was requested, by its UID.
    Requested(String),
    /// The operator, who gave a store token.
    Given,
}

impl Proof {
    /// Whether a caller needs no further proof of being who it says it is.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        match self {
            Self::Proven | Self::ProvenPod(_) | Self::Given => true,
            Self::Token(_) | Self::Requested(_) => false,
        }
    }
}

/// What one login serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose login it is.
    pub identity: Arc<Identity>,
    /// Who may use it.
    pub proof: Proof,
}

/// Where the token for a login comes from, when one is needed.
#[derive(Clone)]
pub enum JwtSource {
    /// The driver sent it.
    Driver(Arc<SecretString>),
    /// It is requested, for this pod and audience.
    Request(Pod, Option<String>),
}

/// All logins of the process.
pub struct Sessions {
    sessions: Mutex<HashMap<SessionKey, Arc<Session>>>,
    capacity: usize,
    next_id: AtomicU64,
    memory: Arc<Memory>,
    stores: Arc<Stores>,
    requests: Arc<dyn TokenRequests>,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
    background: TaskTracker,
    /// Tokens that nobody logs in with any more: given back as soon as nothing hangs on them.
    retired: Mutex<Vec<Arc<StoreToken>>>,
    closed: AtomicBool,
    /// Which roles were told lately that they may not give leases back.
    missing_rights: RepeatGate,
}

/// One login with what belongs to it.
pub struct Session {
    id: SessionId,
    key: SessionKey,
    /// Set by the first login that the store granted: whoever holds this session has proven itself.
    granted: AtomicBool,
    /// When it was used last; locked for moments only.
    used: Mutex<Instant>,
    state: AsyncMutex<State>,
}

impl Session {
    /// Its number, never used twice.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// What it serves.
    #[must_use]
    pub const fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Whether its callers are known to be who they say: by the cluster's keys, or because the store let
    /// them in once.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.key.proof.is_proven() || self.granted.load(Ordering::Relaxed)
    }

    /// Whether nothing would be lost with it: nobody is logging in, and no live lease hangs on it.
    fn is_idle(&self) -> bool {
        self.state
            .try_lock()
            .is_ok_and(|state| !state.login.as_ref().is_some_and(|token| token.has_leases()))
    }
}

#[derive(Default)]
struct State {
    login: Option<Arc<StoreToken>>,
    /// After logins that failed while the old token serves on: how many, and when the next one is tried.
    rests: Option<(u32, Instant)>,
    failure: Option<(Instant, Fault)>,
    checked: Option<Instant>,
}

impl Sessions {
    /// No login is made before the first use. `capacity` logins are kept; 0 keeps none.
    #[must_use]
    pub fn new(
        capacity: usize,
        memory: Arc<Memory>,
        stores: Arc<Stores>,
        requests: Arc<dyn TokenRequests>,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            sessions: Mutex::new(HashMap::new()),
            capacity,
            next_id: AtomicU64::new(0),
            memory,
            stores,
            requests,
            chance,
            metrics,
            background: TaskTracker::new(),
            retired: Mutex::default(),
            closed: AtomicBool::new(false),
            missing_rights: RepeatGate::default(),
        }
    }

    /// A token for the identity: the warm one, a renewed one, or that of a new login.
    ///
    /// # Errors
    /// When the login fails, or failed less than a minute ago because the store refused it.
    pub async fn token(
        self: &Arc<Self>,
        session: &Arc<Session>,
        jwt: &JwtSource,
        deadline: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        let arrived = self.chance.instant();
        let state = session.state.lock().await;
        let warm = state.serving(self.chance.instant());
        self.metrics.cache_lookup(CacheName::Login, warm.is_some());
        if let Some(token) = warm {
            return Ok(token);
        }
        if let Some(fault) = state.recent_failure(arrived, self.chance.instant()) {
            return Err(fault);
        }
        drop(state);
        self.detached_login(session, jwt, deadline, arrived).await
    }

    /// What to do after a store refused a token with 403 in a Mount that began at `began`: a newer token
    /// if there is one, a new login if the token is dead, none if it lives, because then a policy denies
    /// and a login cannot help.
    pub async fn after_denial(
        self: &Arc<Self>,
        session: &Arc<Session>,
        refused: &Arc<StoreToken>,
        jwt: &JwtSource,
        began: Instant,
        deadline: Instant,
    ) -> Option<Arc<StoreToken>> {
        // A token of this very Mount's own login cannot have died yet, and that of the operator is the
        // only one there is: the policy denies.
        if refused.obtained >= began || session.key.proof == Proof::Given {
            return None;
        }
        let mut state = session.state.lock().await;
        let now = self.chance.instant();
        match &state.login {
            Some(newer) if !newer.is_same(refused) => return Some(Arc::clone(newer)),
            Some(_)
                if state
                    .checked
                    .is_some_and(|at| now.duration_since(at) < LOGIN_PAUSE) =>
            {
                return None;
            }
            Some(_) => {
                state.checked = Some(now);
                // To ask would be a use, which such a token may not have.
                if !refused.is_limited() && self.still_lives(refused).await {
                    return None;
                }
                // It may live after all, where a role may not look at its own token.
                if let Some(dead) = state.login.take() {
                    self.retire(dead);
                }
            }
            // Somebody else found the token dead and is logging in.
            None => {}
        }
        drop(state);
        self.detached_login(session, jwt, deadline, now).await.ok()
    }

    /// Uses a store token that the operator gave instead of a login.
    pub async fn adopt(&self, session: &Session, token: SecretString) {
        let target = session.key.identity.target.clone();
        let now = self.chance.instant();
        session.state.lock().await.login = Some(Arc::new(StoreToken::given(target, token, now)));
    }

    /// Gives every token back on which no live lease hangs, and waits for what is under way. There are no
    /// logins afterwards.
    pub async fn shut_down(self: &Arc<Self>) {
        self.closed.store(true, Ordering::SeqCst);
        let sessions: Vec<Arc<Session>> = self.lock().drain().map(|(_, session)| session).collect();
        for session in sessions {
            if let Some(token) = session.state.lock().await.login.take() {
                self.retire(token);
            }
        }
        self.give_back_retired();
        self.background.close();
        self.background.wait().await;
    }

    /// Runs a login to its end even if the caller goes away, so that no token is issued and forgotten.
    async fn detached_login(
        self: &Arc<Self>,
        session: &Arc<Session>,
        jwt: &JwtSource,
        deadline: Instant,
        arrived: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        let (this, session, jwt) = (Arc::clone(self), Arc::clone(session), jwt.clone());
        let login = self
            .background
            .spawn(async move { this.fly(&session, &jwt, deadline, arrived).await });
        login.await.unwrap_or_else(|_| {
            Err(Fault::new(
                Reason::Internal,
                "the login ended unexpectedly",
                "report this",
            ))
        })
    }

    /// The single flight: whoever comes second finds the first one's outcome.
    async fn fly(
        self: &Arc<Self>,
        session: &Session,
        jwt: &JwtSource,
        deadline: Instant,
        arrived: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        let mut state = session.state.lock().await;
        if self.closed.load(Ordering::SeqCst) {
            return Err(closing());
        }
        if let Some(token) = state.serving(self.chance.instant()) {
            return Ok(token);
        }
        if let Some(fault) = state.recent_failure(arrived, self.chance.instant()) {
            return Err(fault);
        }
        // It runs for all who wait, not only for the one that happened to come first with little time.
        let deadline = deadline.max(Instant::now() + LOGIN_BUDGET);
        let outcome = match state.login.clone() {
            Some(old) => {
                self.replace(old, &mut state, &session.key, jwt, deadline)
                    .await
            }
            None => self
                .log_in(&session.key.identity, jwt, deadline)
                .await
                .map(Arc::new),
        };
        match outcome {
            Ok(token) => {
                session.granted.store(true, Ordering::Relaxed);
                state.failure = None;
                state.login = (self.capacity > 0).then(|| Arc::clone(&token));
                Ok(token)
            }
            Err(fault) => {
                state.login = None;
                state.failure = Some((self.chance.instant(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Renews an ageing token, or logs in anew and gives the old one back. While no login can be had the old
    /// one serves on until its end; a refusal ends it.
    async fn replace(
        self: &Arc<Self>,
        old: Arc<StoreToken>,
        state: &mut State,
        key: &SessionKey,
        jwt: &JwtSource,
        deadline: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        if old.may_be_renewed(self.chance.instant())
            && let Ok(renewed) = self.renew(&old).await
        {
            return Ok(Arc::new(renewed));
        }
        match self.log_in(&key.identity, jwt, deadline).await {
            Ok(fresh) => {
                state.rests = None;
                self.retire(old);
                Ok(Arc::new(fresh))
            }
            Err(fault)
                if fault.reason != Reason::LoginRefused && old.is_usable(self.chance.instant()) =>
            {
                let failures = state.rests.map_or(0, |(failures, _)| failures);
                let until = self.chance.instant() + pause(failures, self.chance.random());
                state.rests = Some((failures.saturating_add(1), until));
                if failures == 0 {
                    tracing::warn!(role = %key.identity.role, error = %fault, "no login can be had: the old token serves on");
                }
                Ok(old)
            }
            Err(fault) => {
                self.retire(old);
                Err(fault)
            }
        }
    }

    /// Ends a token: it is revoked in the background, at once or when nothing hangs on it any more.
    fn retire(self: &Arc<Self>, token: Arc<StoreToken>) {
        let now = self.chance.instant();
        if token.may_be_revoked(now) {
            self.spawn_revoke(token);
        } else if token.is_ours() && !token.has_ended(now) {
            self.retired
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(token);
        }
    }

    fn spawn_revoke(self: &Arc<Self>, token: Arc<StoreToken>) {
        let this = Arc::clone(self);
        self.background
            .spawn(async move { this.revoke(&token).await });
    }

    /// Gives a lease back in the background.
    pub fn spawn_revoke_lease(self: &Arc<Self>, token: Arc<StoreToken>, lease: String) {
        let this = Arc::clone(self);
        self.background
            .spawn(async move { this.revoke_lease(&token, &lease).await });
    }

    /// Lends a token to a Mount: when logins are not kept it ends with the Mount, however that ends.
    #[must_use]
    pub(in crate::vault) fn lend(self: &Arc<Self>, token: Arc<StoreToken>) -> Lent {
        Lent {
            sessions: Arc::clone(self),
            token,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of a key, made where there is none.
    pub fn open(self: &Arc<Self>, key: &SessionKey) -> Arc<Session> {
        let now = self.chance.instant();
        let mut sessions = self.lock();
        if let Some(session) = sessions.get(key) {
            *session.used.lock().unwrap_or_else(PoisonError::into_inner) = now;
            return Arc::clone(session);
        }
        while sessions.len() >= self.capacity.max(1) && self.evict(&mut sessions) {}
        let session = Arc::new(Session {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            key: key.clone(),
            granted: AtomicBool::new(false),
            used: Mutex::new(now),
            state: AsyncMutex::default(),
        });
        sessions.insert(key.clone(), Arc::clone(&session));
        session
    }

    /// Drops the session that was not used the longest, sparing those in use and those with live leases;
    /// false when there is none to drop.
    fn evict(self: &Arc<Self>, sessions: &mut HashMap<SessionKey, Arc<Session>>) -> bool {
        let oldest = sessions
            .iter()
            // Nobody else holds it, so that no login can land in a session that is gone.
            .filter(|(_, session)| Arc::strong_count(session) == 1 && session.is_idle())
            .min_by_key(|(_, session)| *session.used.lock().unwrap_or_else(PoisonError::into_inner))
            .map(|(key, _)| key.clone());
        let Some(session) = oldest.and_then(|key| sessions.remove(&key)) else {
            return false;
        };
        self.metrics.cache_evicted(CacheName::Login);
        self.memory.forget_session(session.id);
        let login = session
            .state
            .try_lock()
            .ok()
            .and_then(|mut state| state.login.take());
        if let Some(token) = login {
            self.retire(token);
        }
        true
    }
}

/// A token in a Mount's hands.
pub(in crate::vault) struct Lent {
    sessions: Arc<Sessions>,
    token: Arc<StoreToken>,
}

impl Lent {
    pub(in crate::vault) const fn token(&self) -> &Arc<StoreToken> {
        &self.token
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.sessions.capacity == 0 {
            self.sessions.retire(Arc::clone(&self.token));
        }
    }
}

fn closing() -> Fault {
    Fault::new(
        Reason::Draining,
        "the provider is shutting down",
        "the driver tries again and reaches the next process",
    )
}

impl State {
    /// The token that serves without a login: a fresh one, or an old one while no login can be had.
    fn serving(&self, now: Instant) -> Option<Arc<StoreToken>> {
        let token = self.login.as_ref()?;
        let serves_on = self.rests.is_some_and(|(_, until)| now < until) && token.is_usable(now);
        (token.is_fresh(now) || serves_on).then(|| Arc::clone(token))
    }

    /// The failure of a flight that ended while we waited for it, or a refusal of the last minute.
    fn recent_failure(&self, arrived: Instant, now: Instant) -> Option<Fault> {
        let (at, fault) = self.failure.as_ref()?;
        let pause = now.saturating_duration_since(*at);
        let refused = fault.reason == Reason::LoginRefused && pause < LOGIN_PAUSE;
        (*at >= arrived || refused).then(|| fault.clone())
    }
}
