//! One login per identity, shared by its pods, renewed before it ends, given back when unused.
//!
//! The lock of a session is held across its login: that is the single flight. A denial never becomes a
//! login loop, and a token on which a live lease hangs is never revoked, because pods run on it.

mod login;
mod strays;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::auth::Identity;
use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::params::Pod;
use secrecy::SecretString;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::http::Stores;
use crate::metrics::{CacheName, Metrics};
use crate::ports::{Chance, TokenRequests};

pub(crate) use login::digest;
pub use token::{LeaseGuard, StoreToken, TokenLife};

/// After a refusal, and after a login that a 403 asked for, an identity does not log in again for so
/// long: one login a minute cannot hurt a store.
const LOGIN_PAUSE: Duration = Duration::from_secs(60);

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
    /// Tokens that serve no login any more but have leases.
    strays: Mutex<Vec<Arc<StoreToken>>>,
    capacity: usize,
    stores: Arc<Stores>,
    requests: Arc<dyn TokenRequests>,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
    background: TaskTracker,
}

#[derive(Default)]
struct Session {
    state: AsyncMutex<State>,
}

#[derive(Default)]
struct State {
    login: Option<Arc<StoreToken>>,
    failure: Option<(Instant, Fault)>,
    checked: Option<Instant>,
}

impl Sessions {
    /// No login is made before the first use. `capacity` logins are kept; 0 keeps none.
    #[must_use]
    pub fn new(
        capacity: usize,
        stores: Arc<Stores>,
        requests: Arc<dyn TokenRequests>,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            sessions: Mutex::new(HashMap::new()),
            strays: Mutex::default(),
            capacity,
            stores,
            requests,
            chance,
            metrics,
            background: TaskTracker::new(),
        }
    }

    /// A token for the identity: the warm one, a renewed one, or that of a new login.
    ///
    /// # Errors
    /// When the login fails, or failed less than a minute ago because the store refused it.
    pub async fn token(
        self: &Arc<Self>,
        key: &SessionKey,
        jwt: &JwtSource,
        deadline: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        let arrived = Instant::now();
        let session = self.session(key);
        let state = session.state.lock().await;
        let warm = state
            .login
            .as_ref()
            .filter(|token| token.is_fresh(Instant::now()));
        self.metrics.cache_lookup(CacheName::Login, warm.is_some());
        if let Some(token) = warm {
            return Ok(Arc::clone(token));
        }
        if let Some(fault) = state.recent_failure(arrived) {
            return Err(fault);
        }
        drop(state);
        self.detached_login(session, key, jwt, deadline, arrived)
            .await
    }

    /// What to do after a store refused a token with 403 in a Mount that began at `began`: a newer token
    /// if there is one, a new login if the token is dead, none if it lives, because then a policy denies
    /// and a login cannot help.
    pub async fn after_denial(
        self: &Arc<Self>,
        key: &SessionKey,
        refused: &Arc<StoreToken>,
        jwt: &JwtSource,
        began: Instant,
        deadline: Instant,
    ) -> Option<Arc<StoreToken>> {
        // A token of this very Mount's own login cannot have died yet, and that of the operator is the
        // only one there is: the policy denies.
        if refused.obtained >= began || key.proof == Proof::Given {
            return None;
        }
        let session = self.session(key);
        let mut state = session.state.lock().await;
        let now = Instant::now();
        match &state.login {
            Some(newer) if !Arc::ptr_eq(newer, refused) => return Some(Arc::clone(newer)),
            Some(_)
                if state
                    .checked
                    .is_some_and(|at| now.duration_since(at) < LOGIN_PAUSE) =>
            {
                return None;
            }
            Some(_) => {
                state.checked = Some(now);
                if self.still_lives(refused).await {
                    return None;
                }
                state.login = None;
            }
            // Somebody else found the token dead and is logging in.
            None => {}
        }
        drop(state);
        self.detached_login(session, key, jwt, deadline, now)
            .await
            .ok()
    }

    /// Uses a store token that the operator gave instead of a login.
    pub async fn adopt(self: &Arc<Self>, key: &SessionKey, token: SecretString) {
        let session = self.session(key);
        session.state.lock().await.login = Some(Arc::new(StoreToken::given(
            key.identity.target.clone(),
            token,
        )));
    }

    /// Renews tokens on which leases hang, so that these do not end with them. Runs now and then.
    pub async fn maintain(self: &Arc<Self>) {
        let sessions: Vec<Arc<Session>> = self.lock().values().cloned().collect();
        self.metrics.tokens_cached(sessions.len());
        for session in sessions {
            // Who logs in just now needs no upkeep, and must not hold up that of others.
            let Ok(mut state) = session.state.try_lock() else {
                continue;
            };
            let now = Instant::now();
            let due = state.login.clone().filter(|token| token.wants_renewal(now));
            if let Some(token) = due
                && let Ok(renewed) = self.renew(&token).await
            {
                state.login = Some(Arc::new(renewed));
            }
        }
        self.maintain_strays().await;
    }

    /// Gives every token back on which no live lease hangs, and waits for what is under way.
    pub async fn shut_down(self: &Arc<Self>) {
        let sessions: Vec<Arc<Session>> = self.lock().drain().map(|(_, session)| session).collect();
        for session in sessions {
            if let Some(token) = session.state.lock().await.login.take() {
                self.retire(token);
            }
        }
        self.retire_strays();
        self.background.close();
        self.background.wait().await;
    }

    /// Runs a login to its end even if the caller goes away, so that no token is issued and forgotten.
    async fn detached_login(
        self: &Arc<Self>,
        session: Arc<Session>,
        key: &SessionKey,
        jwt: &JwtSource,
        deadline: Instant,
        arrived: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        let (this, key, jwt) = (Arc::clone(self), key.clone(), jwt.clone());
        let login = self
            .background
            .spawn(async move { this.fly(&session, &key, &jwt, deadline, arrived).await });
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
        key: &SessionKey,
        jwt: &JwtSource,
        deadline: Instant,
        arrived: Instant,
    ) -> Result<Arc<StoreToken>, Fault> {
        let mut state = session.state.lock().await;
        if let Some(token) = state
            .login
            .as_ref()
            .filter(|token| token.is_fresh(Instant::now()))
        {
            return Ok(Arc::clone(token));
        }
        if let Some(fault) = state.recent_failure(arrived) {
            return Err(fault);
        }
        let outcome = match state.login.take() {
            Some(old) => self.replace(old, key, jwt, deadline).await,
            None => self.log_in(&key.identity, jwt, deadline).await,
        };
        match outcome {
            Ok(token) => {
                let token = Arc::new(token);
                state.failure = None;
                state.login = (self.capacity > 0).then(|| Arc::clone(&token));
                Ok(token)
            }
            Err(fault) => {
                state.failure = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Renews an ageing token, or logs in anew and gives the old one back.
    async fn replace(
        self: &Arc<Self>,
        old: Arc<StoreToken>,
        key: &SessionKey,
        jwt: &JwtSource,
        deadline: Instant,
    ) -> Result<StoreToken, Fault> {
        if old.is_renewable()
            && !old.has_ended(Instant::now())
            && let Ok(renewed) = self.renew(&old).await
        {
            return Ok(renewed);
        }
        let fresh = self.log_in(&key.identity, jwt, deadline).await;
        self.retire(old);
        fresh
    }

    /// Revokes a token in the background unless a live lease hangs on it: then it is kept up for that.
    fn retire(self: &Arc<Self>, token: Arc<StoreToken>) {
        if token.has_leases() {
            self.strays().push(token);
        } else if token.may_be_revoked(Instant::now()) {
            let this = Arc::clone(self);
            self.background
                .spawn(async move { this.revoke(&token).await });
        }
    }

    /// Gives a lease back in the background.
    pub fn spawn_revoke_lease(self: &Arc<Self>, token: Arc<StoreToken>, lease: String) {
        let this = Arc::clone(self);
        self.background
            .spawn(async move { this.revoke_lease(&token, &lease).await });
    }

    /// Ends a token after the one Mount it was for, when logins are not kept.
    pub fn release(self: &Arc<Self>, token: Arc<StoreToken>) {
        if self.capacity == 0 {
            self.retire(token);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionKey, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(self: &Arc<Self>, key: &SessionKey) -> Arc<Session> {
        let mut sessions = self.lock();
        if !sessions.contains_key(key) && sessions.len() >= self.capacity.max(1) {
            self.evict(&mut sessions);
        }
        Arc::clone(sessions.entry(key.clone()).or_default())
    }

    /// Drops the session whose token is oldest, sparing those in use and those with live leases.
    fn evict(self: &Arc<Self>, sessions: &mut HashMap<SessionKey, Arc<Session>>) {
        let idle = |session: &Session| {
            let state = session.state.try_lock().ok()?;
            match &state.login {
                Some(token) if token.has_leases() => None,
                Some(token) => Some(Some(token.obtained)),
                None => Some(None),
            }
        };
        let oldest = sessions
            .iter()
            .filter_map(|(key, session)| idle(session).map(|age| (age, key)))
            .min_by_key(|(age, _)| *age)
            .map(|(_, key)| key.clone());
        let Some(session) = oldest.and_then(|key| sessions.remove(&key)) else {
            return;
        };
        self.metrics.cache_evicted(CacheName::Login);
        if let Some(token) = session
            .state
            .try_lock()
            .ok()
            .and_then(|mut state| state.login.take())
        {
            self.retire(token);
        }
    }
}

impl State {
    /// The failure of a flight that ended while we waited for it, or a refusal of the last minute.
    fn recent_failure(&self, arrived: Instant) -> Option<Fault> {
        let (at, fault) = self.failure.as_ref()?;
        let refused = fault.reason == Reason::LoginRefused && at.elapsed() < LOGIN_PAUSE;
        (*at >= arrived || refused).then(|| fault.clone())
    }
}
