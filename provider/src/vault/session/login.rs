//! The exchanges of a session: login, renewal, look-up and revocation.

use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::auth::Identity;
use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::gojson::Json;
use coffer_provider_core::issued::Renewal;
use coffer_provider_core::response::{Head, Response};
use secrecy::SecretString;
use tokio::time::Instant;

use super::token::Terms;
use super::{JwtSource, Session, Sessions, StoreToken};
use crate::metrics::{LoginMethod, LoginResult, RenewKind, StoreOp};
use crate::vault::endpoint;
use crate::vault::http::{Answer, Call, NoAnswer};
use crate::vault::retry::{Allowance, Repeat, Repeats, repeat};

impl Sessions {
    /// Logs in once, as often as it takes to get an answer.
    pub(super) async fn log_in(
        &self,
        identity: &Identity,
        jwt: &JwtSource,
        deadline: Instant,
    ) -> Result<StoreToken, Fault> {
        let requested;
        let jwt = match jwt {
            JwtSource::Driver(token) => token.as_ref(),
            JwtSource::Request(pod, audience) => {
                requested = self.requests.request(pod, audience.as_deref()).await?;
                &requested
            }
        };
        let attempt = || self.login_attempt(identity, jwt, deadline);
        let allowed = Allowance {
            kind: Repeat::Yes,
            tries: self.stores.tries(),
            deadline,
            repeats: &Repeats::default(),
        };
        let outcome = repeat(allowed, || self.chance.random(), &self.metrics, attempt).await;
        let result = match &outcome {
            Ok(_) => LoginResult::Ok,
            Err(failed) if failed.fault.reason == Reason::LoginRefused => LoginResult::Refused,
            Err(_) => LoginResult::Error,
        };
        self.metrics.login(method(&identity.auth_mount), result);
        outcome.map_err(|failed| failed.fault)
    }

    async fn login_attempt(
        &self,
        identity: &Identity,
        jwt: &SecretString,
        deadline: Instant,
    ) -> Result<StoreToken, NoAnswer> {
        let target = &identity.target;
        let prepared = endpoint::login(target, &identity.auth_mount, &identity.role, jwt)
            .map_err(NoAnswer::never_sent)?;
        // Its life counts from here: the answer may have taken its time.
        let asked = self.chance.instant();
        // Whoever waits for a login may be a pod that starts.
        let call = Call {
            op: StoreOp::Login,
            deadline,
            first: true,
        };
        let answer = self.stores.send(target, prepared, call).await?;
        let response =
            read(&answer).map_err(|fault| NoAnswer::maybe_sent(refused_login(fault, identity)))?;
        let auth = response
            .auth()
            .ok_or_else(|| NoAnswer::maybe_sent(no_token(&answer)))?;
        if auth
            .get("mfa_requirement")
            .is_some_and(|demand| !demand.is_null())
        {
            return Err(NoAnswer::maybe_sent(Fault::new(
                Reason::LoginRefused,
                "the store demands a second factor",
                "workloads cannot give one: exempt the role",
            )));
        }
        let (token, terms) = parts(auth).ok_or_else(|| NoAnswer::maybe_sent(no_token(&answer)))?;
        Ok(StoreToken::issued(target.clone(), token, terms, asked))
    }

    /// Renews a token by its default. A refusal is remembered with the token.
    pub(super) async fn renew(&self, token: &StoreToken) -> Result<StoreToken, Fault> {
        let renewed = self.renew_attempt(token).await;
        self.metrics.renewal(RenewKind::Token, renewed.is_ok());
        if let Err(fault) = &renewed {
            let is_refused = Renewal::of_fault(fault.reason) == Renewal::Refused;
            token.renewal_failed(is_refused, self.chance.instant(), self.chance.random());
        }
        renewed
    }

    async fn renew_attempt(&self, token: &StoreToken) -> Result<StoreToken, Fault> {
        let prepared = endpoint::renew_self(&token.target, token.secret())?;
        let asked = self.chance.instant();
        let answer = self
            .stores
            .send(&token.target, prepared, Call::upkeep(StoreOp::Renew))
            .await
            .map_err(|failed| failed.fault)?;
        let response = read(&answer)?;
        let (_, terms) = response
            .auth()
            .and_then(parts)
            .ok_or_else(|| no_token(&answer))?;
        Ok(token.renewed(terms.life, terms.renewable, asked))
    }

    /// Whether the store still knows a token. What cannot be found out counts as alive: a login would
    /// not help then either.
    pub(super) async fn still_lives(&self, token: &StoreToken) -> bool {
        let Ok(prepared) = endpoint::lookup_self(&token.target, token.secret()) else {
            return true;
        };
        let answer = self
            .stores
            .send(&token.target, prepared, Call::upkeep(StoreOp::Read))
            .await;
        answer.map_or(true, |answer| answer.status != 403)
    }

    /// Gives a token back, at best effort.
    pub(super) async fn revoke(&self, token: &StoreToken) {
        let Ok(prepared) = endpoint::revoke_self(&token.target, token.secret()) else {
            return;
        };
        let answer = self
            .stores
            .send(&token.target, prepared, Call::upkeep(StoreOp::Revoke))
            .await;
        let ok = answer.is_ok_and(|answer| (200..300).contains(&answer.status));
        self.metrics.revocation(RenewKind::Token, ok);
    }

    /// Renews a lease by its default.
    pub async fn renew_lease(&self, token: &StoreToken, lease: &str) -> Renewal {
        let renewal = self
            .renew_lease_attempt(token, lease)
            .await
            .unwrap_or_else(|fault| Renewal::of_fault(fault.reason));
        let ok = matches!(renewal, Renewal::Granted(_));
        self.metrics.renewal(RenewKind::Lease, ok);
        renewal
    }

    async fn renew_lease_attempt(&self, token: &StoreToken, lease: &str) -> Result<Renewal, Fault> {
        let prepared = endpoint::renew_lease(&token.target, token.secret(), lease)?;
        let answer = self
            .stores
            .send(&token.target, prepared, Call::upkeep(StoreOp::Renew))
            .await
            .map_err(|failed| failed.fault)?;
        let renewed = read(&answer)?.lease();
        Ok(renewed.map_or(Renewal::Refused, |lease| Renewal::Granted(lease.life)))
    }

    /// Gives a lease back, at best effort.
    pub async fn revoke_lease(&self, token: &StoreToken, lease: &str) {
        let Ok(prepared) = endpoint::revoke_lease(&token.target, token.secret(), lease) else {
            return;
        };
        let answer = self
            .stores
            .send(&token.target, prepared, Call::upkeep(StoreOp::Revoke))
            .await;
        let status = answer.ok().map(|answer| answer.status);
        let ok = status.is_some_and(|status| (200..300).contains(&status));
        self.metrics.revocation(RenewKind::Lease, ok);
        if status == Some(403) && !token.has_ended(self.chance.instant()) {
            self.tell_of_missing_right(token);
        }
    }

    /// Says that a role may not give leases back: the default policy of a store grants renewal only.
    fn tell_of_missing_right(&self, token: &StoreToken) {
        let (store, role) = (&token.target.address, self.role_of(token));
        let now = self.chance.instant().into_std();
        if self.missing_rights.admit((store, &role), now).is_some() {
            tracing::warn!(
                %store, role,
                "leases that nobody needs cannot be given back and live until they end: allow update on sys/leases/revoke"
            );
        }
    }

    /// The role that a token was given to; empty when its session is gone.
    fn role_of(&self, token: &StoreToken) -> String {
        let sessions = self.lock();
        let is_of = |session: &&Arc<Session>| {
            let state = session.state.try_lock();
            let login = state.as_ref().ok().and_then(|state| state.login.as_ref());
            login.is_some_and(|login| login.is_same(token))
        };
        let session = sessions.values().find(is_of);
        session.map_or_else(String::new, |session| session.key.identity.role.clone())
    }
}

fn read(answer: &Answer) -> Result<Response, Fault> {
    let head = Head {
        status: answer.status,
        content_type: &answer.content_type,
    };
    Response::read(head, &answer.body).map_err(|fault| Fault {
        retry_after: answer.retry_after,
        ..fault
    })
}

/// Token and terms; none unless all of it can be used.
fn parts(auth: &Json) -> Option<(SecretString, Terms)> {
    let token = auth
        .get("client_token")
        .and_then(Json::as_str)
        .filter(|token| endpoint::is_sendable(token))?;
    let seconds = auth.get("lease_duration").and_then(Json::as_i64)?;
    let life = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    let renewable = auth
        .get("renewable")
        .and_then(Json::as_bool)
        .unwrap_or(false);
    let uses = auth.get("num_uses").and_then(Json::as_i64);
    let terms = Terms {
        life: Duration::from_secs(life),
        renewable,
        uses: uses
            .and_then(|uses| u64::try_from(uses).ok())
            .filter(|uses| *uses > 0),
    };
    Some((SecretString::from(token.to_owned()), terms))
}

fn no_token(answer: &Answer) -> Fault {
    Fault::new(
        Reason::BadAnswer,
        format!(
            "login returned no token (status {}, {} bytes)",
            answer.status,
            answer.body.len()
        ),
        "check that vaultAddress points at the store and that the auth mount is one for logins",
    )
}

/// What a refused login means: the store answers 400 to an unknown role and 403 to a wrong binding.
fn refused_login(fault: Fault, identity: &Identity) -> Fault {
    if !matches!(
        fault.reason,
        Reason::Denied | Reason::BadRequest | Reason::NotFound
    ) {
        return fault;
    }
    let what = fault.what.to_ascii_lowercase();
    let (mount, role) = (&identity.auth_mount, &identity.role);
    let hint = if what.contains("namespace not found") {
        "check vaultNamespace: the store has no such namespace".to_owned()
    } else if what.contains("audience") || what.contains("aud") {
        "the role expects another audience: set audience in the class to the role's".to_owned()
    } else if what.contains("not authorized") || what.contains("bound") || what.contains("claim") {
        format!("bind this service account and namespace to role {role} of auth/{mount}")
    } else if what.contains("expired") || what.contains("not valid yet") {
        "clock skew? compare the clocks of the store and the node".to_owned()
    } else if what.contains("role") {
        format!("create role {role} in auth/{mount}, or name an existing one")
    } else {
        format!(
            "check that auth/{mount} exists, that role {role} binds this service account, and the audience"
        )
    };
    Fault {
        reason: Reason::LoginRefused,
        hint,
        ..fault
    }
}

/// The metric's method, by the mount's name: the class does not say which method it is.
fn method(mount: &str) -> LoginMethod {
    if mount.contains("kubernetes") || mount.contains("k8s") {
        LoginMethod::Kubernetes
    } else if mount.contains("jwt") || mount.contains("oidc") {
        LoginMethod::Jwt
    } else {
        LoginMethod::Other
    }
}
