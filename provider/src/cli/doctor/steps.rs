//! The layers, from the class down to the rights on each path.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffer_provider_core::fault::MountFault;
use coffer_provider_core::gojson::Json;
use coffer_provider_core::params::{MountSpec, Wire};
use coffer_provider_core::target::{Address, Layer, Target};
use secrecy::ExposeSecret;

use super::{State, Step};
use crate::cli::{Failed, class_file, mount, version};
use crate::config::{Config, MountArguments};
use crate::metrics::{Metrics, StoreOp};
use crate::run;
use crate::vault::endpoint;
use crate::vault::http::{Answer, Stores};
use crate::vault::session::{JwtSource, Proof, SessionKey};

struct Examination<'a> {
    config: &'a Config,
    arguments: &'a MountArguments,
    stores: Stores,
    steps: Vec<Step>,
}

/// Looks at every layer.
pub(super) async fn examine(
    arguments: &MountArguments,
    config: &Config,
) -> Result<Vec<Step>, Failed> {
    let metrics = Arc::new(Metrics::new(version::build(), 1));
    let stores = Stores::new(config.http, config.http_rules.clone(), Arc::clone(&metrics));
    let mut examination = Examination {
        config,
        arguments,
        stores,
        steps: Vec::new(),
    };
    examination.socket().await;
    let cluster = run::cluster(config, &metrics).await;
    let parts = run::build(config, cluster, &metrics).map_err(crate::cli::bad_configuration)?;
    let spec = examination.class(&parts)?;
    let target =
        match &spec {
            Some(spec) => parts.mounter.target(spec),
            None => Layer::resolve(&config.rules.layers.iter().collect::<Vec<_>>()).map_err(
                |problems| MountFault::Input {
                    reason: coffer_provider_core::fault::Reason::BadRequest,
                    problems,
                },
            ),
        };
    let target = target.map_err(|fault| Failed::new(64, fault.to_string()))?;
    if examination.store(&target).await {
        examination.access(&parts, spec.as_ref(), &target).await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(5), parts.sessions.shut_down()).await;
    Ok(examination.steps)
}

impl Examination<'_> {
    fn say(
        &mut self,
        name: &'static str,
        state: State,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.steps.push(Step {
            name,
            state,
            detail: detail.into(),
            hint: hint.into(),
        });
    }

    /// Whether a provider answers where the driver would call.
    async fn socket(&mut self) {
        let path = self.config.endpoint.clone();
        let shown = path.display().to_string();
        if !path.exists() {
            self.say(
                "socket",
                State::Skipped,
                format!("{shown} does not exist"),
                "start the provider, or name its socket with --endpoint",
            );
            return;
        }
        match tokio::net::UnixStream::connect(&path).await {
            Ok(_) => self.say(
                "socket",
                State::Ok,
                format!("{shown} accepts connections"),
                "",
            ),
            Err(error) => self.say(
                "socket",
                State::Failed,
                format!("{shown}: {error}"),
                "nobody listens: remove the file or start the provider",
            ),
        }
    }

    fn class(&mut self, parts: &run::Parts) -> Result<Option<MountSpec>, Failed> {
        let Some(path) = &self.arguments.class_file else {
            self.say(
                "class",
                State::Skipped,
                "no class given",
                "name a file with a class to examine login and paths",
            );
            return Ok(None);
        };
        let class = class_file::read(path)?;
        let pod = mount::played_pod(self.arguments, &class, self.config)?;
        let attributes = class.attributes(&pod);
        let wire = Wire {
            attributes: &attributes,
            secrets: "null",
            permission: "420",
            target_path: "cli",
        };
        match parts.mounter.read(wire) {
            Ok(spec) => {
                self.say(
                    "class",
                    State::Ok,
                    format!(
                        "{}: {} objects",
                        class.metadata.name,
                        spec.class.objects.len()
                    ),
                    "",
                );
                Ok(Some(spec))
            }
            Err(fault) => Err(Failed::new(1, fault.to_string())),
        }
    }

    /// Address, connection and state of the store; whether it can be asked further.
    async fn store(&mut self, target: &Target) -> bool {
        let place = target.address.to_string();
        if let Address::Tcp { host, port, .. } = &target.address {
            let host = host.trim_matches(['[', ']']);
            match tokio::net::lookup_host((host, *port)).await {
                Ok(found) => {
                    let found: Vec<String> =
                        found.map(|address| address.ip().to_string()).collect();
                    self.say(
                        "dns",
                        State::Ok,
                        format!("{host} is {}", found.join(", ")),
                        "",
                    );
                }
                Err(error) => {
                    self.say(
                        "dns",
                        State::Failed,
                        format!("{host}: {error}"),
                        "check the host in the address and the DNS",
                    );
                    return false;
                }
            }
        }
        let answer = match endpoint::health(target) {
            Ok(prepared) => self
                .stores
                .send(target, prepared, StoreOp::Read)
                .await
                .map_err(|failed| failed.fault),
            Err(fault) => Err(fault),
        };
        match answer {
            Err(fault) => {
                self.say(
                    "connection",
                    State::Failed,
                    format!("{place}: {}", fault.what),
                    fault.hint,
                );
                false
            }
            Ok(answer) => {
                self.say("connection", State::Ok, place, "");
                self.health(&answer)
            }
        }
    }

    /// The statuses of sys/health: 200 active, 429 and 473 standby, 472 secondary, 501 not initialised,
    /// 503 sealed.
    fn health(&mut self, answer: &Answer) -> bool {
        let version = Json::parse(&answer.body).ok();
        let version = version
            .as_ref()
            .and_then(|json| json.get("version")?.as_str())
            .unwrap_or("of unknown version");
        let (state, detail, hint) = match answer.status {
            200 => (State::Ok, format!("active, {version}"), ""),
            429 | 473 => (State::Ok, format!("standby, {version}"), ""),
            472 => (
                State::Failed,
                "disaster recovery secondary".to_owned(),
                "name the primary",
            ),
            501 => (
                State::Failed,
                "not initialised".to_owned(),
                "initialise the store",
            ),
            503 => (State::Failed, "sealed".to_owned(), "unseal the store"),
            status => (
                State::Failed,
                format!("answered {status}"),
                "is this a Vault or OpenBao server?",
            ),
        };
        self.say("store", state, detail, hint);
        state == State::Ok
    }

    /// Token, login and rights; needs a class.
    async fn access(&mut self, parts: &run::Parts, spec: Option<&MountSpec>, target: &Target) {
        let Some(spec) = spec else {
            self.say("login", State::Skipped, "no class given", "");
            return;
        };
        let identity = parts.mounter.identity(spec, target.clone());
        let audience = spec
            .class
            .audience
            .clone()
            .unwrap_or_else(|| self.config.rules.audience.clone());
        let key = SessionKey {
            identity,
            proof: Proof::Given,
        };
        let jwt = match (
            &self.arguments.store_token_file,
            spec.tokens.for_audience(&audience),
        ) {
            (Some(path), _) => match mount::secret_file(path) {
                Ok(token) => {
                    parts.sessions.adopt(&key, token).await;
                    JwtSource::Request(spec.pod.clone(), None)
                }
                Err(failed) => {
                    return self.say("login", State::Failed, failed.text, "name a readable file");
                }
            },
            (None, Some(token)) => {
                self.token(token.expose(), &audience);
                JwtSource::Driver(Arc::new(token.expose().to_owned().into()))
            }
            (None, None) => {
                return self.say(
                    "login",
                    State::Skipped,
                    "no token given",
                    "give one with --token-file or --vault-token-file",
                );
            }
        };
        let deadline = tokio::time::Instant::now() + self.config.mount_deadline;
        match parts.sessions.token(&key, &jwt, deadline).await {
            Ok(token) => {
                let place = format!(
                    "role {} of auth/{}",
                    key.identity.role, key.identity.auth_mount
                );
                self.say("login", State::Ok, place, "");
                self.capabilities(target, token.secret().expose_secret(), spec)
                    .await;
            }
            Err(fault) => self.say("login", State::Failed, fault.what, fault.hint),
        }
    }

    /// What the token says of itself; nobody has checked it yet.
    fn token(&mut self, jwt: &str, audience: &str) {
        let claims = jwt
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
            .and_then(|bytes| Json::parse(&bytes).ok());
        let Some(claims) = claims else {
            return self.say(
                "token",
                State::Failed,
                "the token is no JWT",
                "give a service account token",
            );
        };
        let listed = match claims.get("aud") {
            Some(Json::Array(list)) => list
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect(),
            Some(Json::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let expired = claims
            .get("exp")
            .and_then(Json::as_i64)
            .is_some_and(|exp| exp <= jiff::Timestamp::now().as_second());
        if expired {
            self.say(
                "token",
                State::Failed,
                "the token has expired",
                "get a new one",
            );
        } else if listed.iter().any(|one| one == audience) {
            self.say(
                "token",
                State::Ok,
                format!("for audience \"{audience}\""),
                "",
            );
        } else {
            self.say(
                "token",
                State::Failed,
                format!("for audiences {listed:?}, not \"{audience}\""),
                "request it for the audience that class and role expect",
            );
        }
    }

    /// What the login may do on each path of the class.
    async fn capabilities(&mut self, target: &Target, token: &str, spec: &MountSpec) {
        let token = token.to_owned().into();
        let mut paths: Vec<&str> = spec
            .class
            .objects
            .iter()
            .map(|object| object.request.path.as_str())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let answer = match endpoint::capabilities_self(target, &token, &paths) {
            Ok(prepared) => self
                .stores
                .send(target, prepared, StoreOp::Read)
                .await
                .map_err(|failed| failed.fault.what),
            Err(fault) => Err(fault.what),
        };
        let body =
            answer.and_then(|answer| Json::parse(&answer.body).map_err(|error| error.to_string()));
        let body = match body {
            Ok(body) => body,
            Err(what) => {
                return self.say(
                    "capabilities",
                    State::Skipped,
                    what,
                    "the policy may forbid asking",
                );
            }
        };
        for path in paths {
            let rights = body
                .get(path)
                .or_else(|| body.get("data").and_then(|data| data.get(path)));
            let rights: Vec<&str> = rights
                .and_then(Json::as_array)
                .map(|list| list.iter().filter_map(Json::as_str).collect())
                .unwrap_or_default();
            let needs = spec
                .class
                .objects
                .iter()
                .filter(|object| object.request.path == path)
                .map(|object| need(object.request.method));
            let missing: Vec<&str> = needs
                .filter(|needed| !rights.contains(needed) && !rights.contains(&"root"))
                .collect();
            let detail = format!(
                "{path}: {}",
                if rights.is_empty() {
                    "none".to_owned()
                } else {
                    rights.join(", ")
                }
            );
            match missing.first() {
                None => self.say("capabilities", State::Ok, detail, ""),
                Some(needed) => self.say(
                    "capabilities",
                    State::Failed,
                    detail,
                    format!("the role's policy needs {needed} on {path}"),
                ),
            }
        }
    }
}

/// The capability that a method needs.
const fn need(method: coffer_provider_core::request::Method) -> &'static str {
    use coffer_provider_core::request::Method;
    match method {
        Method::Get => "read",
        Method::List => "list",
        Method::Put | Method::Post => "update",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}
