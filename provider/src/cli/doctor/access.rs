//! Token and login of the pod that is played.

use std::sync::Arc;

use coffer_provider_core::gojson::Json;
use coffer_provider_core::params::MountSpec;
use coffer_provider_core::problem::shown;
use coffer_provider_core::target::Target;
use jiff::Timestamp;
use secrecy::SecretString;

use super::Step;
use crate::cli::class_file::PlayedPod;
use crate::cli::mount::Claims;
use crate::config::Config;
use crate::run::Parts;
use crate::vault::endpoint;
use crate::vault::http::Stores;
use crate::vault::session::{JwtSource, Proof, SessionKey};

/// What the token says of itself; the store has the last word.
pub(super) fn token(pod: &PlayedPod, claims: Option<&Claims>, audience: &str) -> Step {
    if pod.token.is_none() {
        return Step::skipped("token", "no service account token given")
            .with_hint("give one with --token-file (kubectl create token NAME --audience=vault)");
    }
    let Some(claims) = claims else {
        return Step::failed(
            "token",
            "the token is no JWT",
            "give a service account token",
        );
    };
    if let Some((what, hint)) = claims.complaint(audience, Timestamp::now()) {
        return Step::failed("token", what, hint);
    }
    let whose = match &claims.account {
        Some((namespace, name)) => format!("{}/{}", shown(namespace), shown(name)),
        None => "nobody in Kubernetes".to_owned(),
    };
    let detail = format!(
        "of {whose} for {}, issuer {}, {}",
        claims.told_audiences(),
        shown(&claims.issuer),
        claims.told_end()
    );
    Step::ok("token", detail)
}

/// A store token for what follows, or why there is none.
pub(super) async fn log_in(
    parts: &Parts,
    spec: &MountSpec,
    target: &Target,
    pod: &PlayedPod,
    config: &Config,
) -> (Step, Option<SecretString>) {
    let Some((_, jwt)) = &pod.token else {
        return (Step::skipped("login", "no token given"), None);
    };
    let key = SessionKey {
        identity: Arc::new(parts.mounter.identity(spec, target.clone())),
        proof: Proof::Given,
    };
    let jwt = JwtSource::Driver(Arc::new(SecretString::from(jwt.as_str())));
    let deadline = tokio::time::Instant::now() + config.mount_deadline;
    let place = place(&key, target);
    match parts
        .sessions
        .token(&parts.sessions.open(&key), &jwt, deadline)
        .await
    {
        Ok(token) => (Step::ok("login", place), Some(token.secret().clone())),
        Err(fault) => {
            let what = format!("{} ({place})", fault.what);
            (Step::failed("login", what, fault.hint), None)
        }
    }
}

fn place(key: &SessionKey, target: &Target) -> String {
    let (role, mount) = (shown(&key.identity.role), shown(&key.identity.auth_mount));
    match &target.namespace {
        Some(namespace) => format!(
            "role {role} of auth/{mount} in namespace {}",
            shown(namespace)
        ),
        None => format!("role {role} of auth/{mount}"),
    }
}

/// Whether the store knows a token that was given instead of a login.
pub(super) async fn look_up(stores: &Stores, target: &Target, token: &SecretString) -> Step {
    let asked = match endpoint::lookup_self(target, token) {
        Ok(prepared) => stores
            .send(target, prepared, super::call())
            .await
            .map_err(|failed| failed.fault),
        Err(fault) => Err(fault),
    };
    let answer = match asked {
        Ok(answer) => answer,
        Err(fault) => return Step::failed("login", fault.what, fault.hint),
    };
    match answer.status {
        200 => Step::ok(
            "login",
            format!("the given store token is known, {}", about(&answer.body)),
        ),
        403 => Step::failed(
            "login",
            "the store refuses the given token (403)",
            "it has ended, is of another namespace, or its policy forbids auth/token/lookup-self",
        ),
        status => Step::failed(
            "login",
            format!("asked about the given token, the store answered {status}"),
            "check vaultNamespace and the store's log",
        ),
    }
}

fn about(body: &[u8]) -> String {
    let body = Json::parse(body).ok();
    let data = body.as_ref().and_then(|body| body.get("data"));
    let policies = data.and_then(|data| data.get("policies")?.as_array());
    let names: Vec<String> = policies
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(shown)
        .collect();
    let life = data.and_then(|data| data.get("ttl")?.as_i64()).unwrap_or(0);
    let end = match life {
        0 => "it never ends".to_owned(),
        seconds => format!("it ends in {seconds} s"),
    };
    format!("policies {}, {end}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::{Claims, PlayedPod, about, token};

    fn pod(token: Option<&str>) -> PlayedPod {
        PlayedPod {
            namespace: "shop".to_owned(),
            service_account: "web".to_owned(),
            token: token.map(|text| ("vault".to_owned(), text.to_owned().into())),
        }
    }

    #[test]
    fn a_token_is_judged_by_its_claims_and_never_repeated() {
        // {"aud":["vault"],"sub":"system:serviceaccount:shop:web","iss":"i"}
        let jwt = "h.eyJhdWQiOlsidmF1bHQiXSwic3ViIjoic3lzdGVtOnNlcnZpY2VhY2NvdW50OnNob3A6d2ViIiwiaXNzIjoiaSJ9.signature";
        let claims = Claims::read(jwt);
        for (given, audience, state, part) in [
            (None, "vault", State::Skipped, "no service account token"),
            (Some("hvs.x"), "vault", State::Failed, "no JWT"),
            (
                Some(jwt),
                "other",
                State::Failed,
                "not for the audience \"other\"",
            ),
            (
                Some(jwt),
                "vault",
                State::Ok,
                "of shop/web for audience \"vault\", issuer i, it never ends",
            ),
        ] {
            let claims = claims.as_ref().filter(|_| given == Some(jwt));
            let step = token(&pod(given), claims, audience);
            assert_eq!(step.state, state, "{step:?}");
            assert!(step.detail.contains(part), "{step:?}");
            assert!(!step.detail.contains("signature"));
        }
    }

    #[test]
    fn a_given_token_is_told_by_policies_and_life() {
        let body = br#"{"data":{"policies":["a","b"],"ttl":60,"id":"hvs.x"}}"#;
        assert_eq!(about(body), "policies a, b, it ends in 60 s");
        assert_eq!(about(b"nonsense"), "policies , it never ends");
    }
}
