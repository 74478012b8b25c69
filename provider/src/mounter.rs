//! A Mount from its strings to its files: reads, judges, logs in, fetches, assembles.
//!
//! Each step is decided in the core or done in `vault`; here is only their order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::auth::{Identity, NoDriverToken, TokenChoice, choose_token};
use coffer_provider_core::fault::{Fault, MountFault, ObjectFault, Phase, Place, Reason};
use coffer_provider_core::mount::{Assembled, MountFile, assemble};
use coffer_provider_core::notice::Outcome;
use coffer_provider_core::params::{
    ClassSpec, Dialect, MountSpec, Note, Parameters, Refused, Wire, read_mount,
};
use coffer_provider_core::policy::{Policy, Rule, Verdict};
use coffer_provider_core::problem::Problem;
use coffer_provider_core::refresh::RefreshRules;
use coffer_provider_core::request::Plan;
use coffer_provider_core::target::{Layer, Target};
use hashbrown::HashMap;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::assemblies::{Assemblies, Ingredients};
use crate::metrics::{CacheName, Metrics, PolicyRule};
use crate::ports::Chance;
use crate::proof::{Expected, Prover, digest};
use crate::server::Mounts;
use crate::vault::memory::SessionId;
use crate::vault::reads::{Asker, Fetched, Origin, Reads};
use crate::vault::session::{JwtSource, Proof, SessionKey, Sessions};
use crate::version_key::VersionKeys;
use crate::volumes::{News, Standing, Volumes};
use coffer_frame::telemetry::RepeatGate;

/// What the operator decides about every Mount.
#[derive(Clone)]
pub struct MountRules {
    /// Which peer's habits decide where they differ.
    pub dialect: Dialect,
    /// Connection settings below those of a class, the weakest first.
    pub layers: Vec<Layer>,
    /// Auth mount of classes that name none.
    pub auth_mount: String,
    /// Audience that is looked up among the driver's tokens when a class names none.
    pub audience: String,
    /// Whether every pod logs in for itself, because roles bind pods and not accounts.
    pub login_per_pod: bool,
    /// What a class may name.
    pub policy: Policy,
    /// The driver's limit on a reply, in bytes.
    pub reply_bytes: usize,
    /// How far the files of running pods may lag behind the store.
    pub refresh: RefreshRules,
    /// Files that were made of what is remembered are kept up to so many bytes.
    pub assembled_bytes: usize,
}

/// Where the files of a Mount came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// At least one answer was read from the store.
    Store,
    /// Everything was known already: read a moment ago, or issued for the pod and not due yet.
    Memory,
    /// At least one answer is the last good one, because the store gave no usable answer for this reason.
    Stale(Reason),
}

impl Source {
    /// The name used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Memory => "memory",
            Self::Stale(_) => "stale",
        }
    }

    /// Why bytes are old; none where they are as they should be.
    #[must_use]
    pub const fn stale(self) -> Option<Reason> {
        match self {
            Self::Store | Self::Memory => None,
            Self::Stale(reason) => Some(reason),
        }
    }

    /// Where the answers of a Mount came from as a whole.
    fn of(fetched: &[Result<Fetched, Fault>]) -> Self {
        let origins = || fetched.iter().flatten().map(|answer| answer.origin);
        let stale = origins().find_map(|origin| match origin {
            Origin::Stale(reason) => Some(Self::Stale(reason)),
            Origin::Store | Origin::Memory => None,
        });
        stale.unwrap_or(if origins().any(|origin| origin == Origin::Store) {
            Self::Store
        } else {
            Self::Memory
        })
    }
}

/// A Mount that succeeded.
pub struct Mounted {
    /// Every file of the volume.
    pub files: Vec<MountFile>,
    /// Its optional objects that do not exist.
    pub absent: Vec<ObjectFault>,
    /// Whether this process answered the volume before.
    pub phase: Phase,
    /// Whether anything differs from the last answer.
    pub changed: bool,
    /// Where the files came from.
    pub source: Source,
    /// When the oldest answer used was read. What was issued for the pod and is not due is as good as read
    /// in this Mount, so that a long lease is not taken for neglect.
    pub read_at: Instant,
    /// Host and port of the store.
    pub store: String,
}

/// Carries Mounts out.
pub struct Mounter {
    rules: MountRules,
    own: Target,
    sessions: Arc<Sessions>,
    reads: Arc<Reads>,
    prover: Arc<Prover>,
    keys: Arc<VersionKeys>,
    assemblies: Assemblies,
    volumes: Volumes,
    classes: Mutex<HashMap<Parameters, Arc<ClassSpec>>>,
    warned: RepeatGate,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
}

/// How many classes are kept parsed. A node sees far fewer.
const MAX_CLASSES: usize = 1024;

/// How long a Mount waits for the cluster's keys while they are being fetched for the first time.
const WAIT_FOR_KEYS: Duration = Duration::from_millis(500);

impl Mounter {
    /// Fails when the operator's own layers make no target.
    ///
    /// # Errors
    /// All problems of the layers.
    pub fn new(
        rules: MountRules,
        sessions: Arc<Sessions>,
        reads: Arc<Reads>,
        prover: Arc<Prover>,
        keys: Arc<VersionKeys>,
        chance: Arc<dyn Chance>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Vec<Problem>> {
        let own = Layer::resolve(&rules.layers.iter().collect::<Vec<_>>())?;
        let assemblies = Assemblies::new(rules.assembled_bytes);
        Ok(Self {
            rules,
            own,
            sessions,
            reads,
            prover,
            keys,
            assemblies,
            volumes: Volumes::default(),
            classes: Mutex::default(),
            warned: RepeatGate::default(),
            chance,
            metrics,
        })
    }

    /// How the volumes in use stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.volumes.standing(self.chance.instant())
    }

    /// Forgets volumes that nobody mounts any more.
    pub fn sweep(&self) {
        let now = self.chance.instant();
        self.volumes.sweep(now);
        self.assemblies.sweep(now);
    }

    /// As [`Mounts::mount`], with a session that the caller has filled already.
    ///
    /// # Errors
    /// Why there is no file at all.
    pub async fn mount_as(
        &self,
        spec: &MountSpec,
        deadline: Instant,
        proof: Option<Proof>,
    ) -> Result<Mounted, MountFault> {
        let began = self.chance.instant();
        let phase = Mounts::phase(self, spec);
        let target = self.target(spec)?;
        self.judge(spec, &target)?;
        let identity = self.identity(spec, target);
        let place = place(&identity);
        let (proof, jwt, why) = match proof {
            Some(proof) => (proof, JwtSource::Request(spec.pod.clone(), None), None),
            None => self.token(spec, &identity).await?,
        };
        let identity = Arc::new(identity);
        let asker = Asker {
            session: self.sessions.open(&SessionKey { identity, proof }),
            jwt,
            pod: pod_key(spec),
            phase,
            interval: self.rules.refresh.interval_of(spec.class.refresh_interval),
            began,
            started: Instant::now(),
            deadline,
            repeats: Arc::default(),
        };
        let plan = &spec.class.plan;
        let fetched = self.fetch(&asker, plan, &place, why.as_ref()).await?;
        self.keys.wait().await;
        let session = asker.session.id();
        let Assembled { files, absent } = self
            .assemble_once(session, spec, &fetched, &place)
            .inspect_err(|_| self.give_back(&asker, plan, &fetched))?;
        let oldest = fetched
            .iter()
            .flatten()
            .filter_map(|answer| answer.began)
            .min();
        let read_at = oldest.unwrap_or(began);
        let now = self.chance.instant();
        let changed = self.volumes.answered(spec, &files, read_at, now);
        Ok(Mounted {
            files,
            absent,
            phase,
            changed,
            source: Source::of(&fetched),
            read_at,
            store: place.store,
        })
    }

    /// Where a Mount of this class would go.
    ///
    /// # Errors
    /// All problems of the layers together.
    pub fn target(&self, spec: &MountSpec) -> Result<Target, MountFault> {
        let mut layers: Vec<&Layer> = self.rules.layers.iter().collect();
        layers.push(&spec.class.layer);
        Layer::resolve(&layers).map_err(|problems| MountFault::Input {
            reason: Reason::BadRequest,
            problems,
        })
    }

    /// Whose login serves a Mount of this class.
    #[must_use]
    pub fn identity(&self, spec: &MountSpec, target: Target) -> Identity {
        Identity {
            target,
            auth_mount: spec
                .class
                .auth_mount
                .clone()
                .unwrap_or_else(|| self.rules.auth_mount.clone()),
            role: spec.class.role.clone(),
            audience: spec.class.audience.clone(),
            namespace: spec.pod.namespace.clone(),
            service_account: spec.pod.service_account.clone(),
        }
    }

    fn class(&self, parameters: Parameters) -> Result<Arc<ClassSpec>, Refused> {
        let known = self
            .classes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&parameters)
            .cloned();
        self.metrics
            .cache_lookup(CacheName::Params, known.is_some());
        if let Some(class) = known {
            return Ok(class);
        }
        let class = Arc::new(ClassSpec::parse(&parameters, self.rules.dialect)?);
        self.report_notes(&class);
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        if classes.len() >= MAX_CLASSES {
            classes.clear();
            self.metrics.cache_evicted(CacheName::Params);
        }
        classes.insert(parameters, Arc::clone(&class));
        Ok(class)
    }

    /// Said once per class text, not once per republish.
    fn report_notes(&self, class: &ClassSpec) {
        let unknown = class
            .notes
            .iter()
            .filter(|note| matches!(note, Note::UnknownKey { .. }))
            .count();
        self.metrics
            .unknown_parameters(u64::try_from(unknown).unwrap_or(u64::MAX));
        for note in &class.notes {
            tracing::warn!(role = %class.role, %note, "class accepted with a remark");
        }
        if class.verify_asked && self.own.tls.skip_verify {
            tracing::warn!(role = %class.role, "vaultSkipTLSVerify: false cannot undo the operator's --vault-tls-skip-verify: certificates are not verified");
        }
    }

    fn judge(&self, spec: &MountSpec, target: &Target) -> Result<(), MountFault> {
        self.enforce(self.rules.policy.judge(&spec.class, target, &self.own))
    }

    fn enforce(&self, verdict: Verdict) -> Result<(), MountFault> {
        for (rule, problem) in &verdict.warned {
            self.metrics.policy_warned(PolicyRule::from(*rule));
            self.warn_of(*rule, problem);
        }
        if verdict.refused.is_empty() {
            return Ok(());
        }
        Err(MountFault::Input {
            reason: Reason::NotAllowed,
            problems: verdict.refused,
        })
    }

    /// Every use is counted; the same one is said once in a while, not at each republish.
    fn warn_of(&self, rule: Rule, problem: &Problem) {
        let key = (rule, &problem.field, &problem.what);
        if let Some(repeated) = self.warned.admit(key, std::time::Instant::now()) {
            tracing::warn!(rule = rule.as_str(), repeated, %problem, "allowed, but the strict profile would refuse it");
        }
    }

    /// The token for a login, who may share that login, and why none of the driver's tokens will do.
    async fn token(
        &self,
        spec: &MountSpec,
        identity: &Identity,
    ) -> Result<(Proof, JwtSource, Option<NoDriverToken>), MountFault> {
        let wanted = spec.class.audience.as_deref();
        match choose_token(
            &spec.tokens,
            wanted,
            &self.rules.audience,
            self.chance.now(),
        ) {
            TokenChoice::Driver(token) => {
                let jwt = SecretString::from(token.expose().to_owned());
                let audience = wanted.unwrap_or(&self.rules.audience);
                let proof = match self.prove(&jwt, identity, audience).await {
                    Proof::Proven if self.rules.login_per_pod => Proof::ProvenPod(pod_key(spec)),
                    proof => proof,
                };
                Ok((proof, JwtSource::Driver(Arc::new(jwt)), None))
            }
            TokenChoice::Request { audience, why } => {
                if audience.is_none() {
                    self.enforce(self.rules.policy.judge_api_server_audience())?;
                }
                self.note_request(spec, &why);
                let source = JwtSource::Request(spec.pod.clone(), audience.map(str::to_owned));
                Ok((Proof::Requested(pod_key(spec)), source, Some(why)))
            }
        }
    }

    async fn prove(&self, jwt: &SecretString, identity: &Identity, audience: &str) -> Proof {
        self.prover.wait_for_keys(WAIT_FOR_KEYS).await;
        let subject = identity.subject();
        let expected = Expected {
            subject: &subject,
            audience: Some(audience),
            now: self.chance.now(),
        };
        if self.prover.proves(jwt, expected) {
            return Proof::Proven;
        }
        if self.prover.misses_key_of(jwt) {
            self.prover.fetch_soon();
        }
        Proof::Token(digest(jwt))
    }

    fn note_request(&self, spec: &MountSpec, why: &NoDriverToken) {
        tracing::debug!(namespace = %spec.pod.namespace, pod = %spec.pod.name, %why, "a token will be requested if a login is needed");
    }

    async fn fetch(
        &self,
        asker: &Asker,
        plan: &Plan,
        place: &Place,
        why: Option<&NoDriverToken>,
    ) -> Result<Vec<Result<Fetched, Fault>>, MountFault> {
        self.reads
            .fetch_all(asker, &plan.requests)
            .await
            .map_err(|fault| MountFault::Login {
                fault: without_token(fault, why),
                place: Box::new(place.clone()),
            })
    }

    /// The files, made before if all answers came out of memory and are the same.
    fn assemble_once(
        &self,
        session: SessionId,
        spec: &MountSpec,
        fetched: &[Result<Fetched, Fault>],
        place: &Place,
    ) -> Result<Assembled, MountFault> {
        let reads = fetched
            .iter()
            .map(|answer| answer.as_ref().ok()?.id)
            .collect();
        let Some(reads) = reads else {
            return self.assemble(spec, fetched, place);
        };
        let of = Ingredients {
            session,
            spec,
            reads,
            key: self.keys.current(),
        };
        let now = self.chance.instant();
        if let Some(made) = self.assemblies.get(&of, now) {
            return Ok(made);
        }
        let assembled = self.assemble(spec, fetched, place)?;
        self.assemblies.put(of, &assembled, now);
        Ok(assembled)
    }

    fn assemble(
        &self,
        spec: &MountSpec,
        fetched: &[Result<Fetched, Fault>],
        place: &Place,
    ) -> Result<Assembled, MountFault> {
        let read: Vec<_> = fetched
            .iter()
            .map(|answer| answer.as_ref().map_err(Fault::clone)?.response())
            .collect();
        let answers = spec.class.plan.by_object.iter().map(|at| match &read[*at] {
            Ok(response) => Ok(response.as_ref()),
            Err(fault) => Err(fault.clone()),
        });
        let key = self.keys.current();
        assemble(
            spec,
            answers,
            self.rules.dialect,
            key.as_deref(),
            self.rules.reply_bytes,
            place,
        )
    }

    fn give_back(&self, asker: &Asker, plan: &Plan, fetched: &[Result<Fetched, Fault>]) {
        for (request, answer) in plan.requests.iter().zip(fetched) {
            if answer.as_ref().is_ok_and(|answer| answer.issued) {
                self.reads.give_back(asker, request);
            }
        }
    }
}

#[async_trait]
impl Mounts for Mounter {
    fn read(&self, wire: Wire<'_>) -> Result<MountSpec, MountFault> {
        read_mount(wire, |parameters| self.class(parameters)).map_err(|problems| {
            MountFault::Input {
                reason: Reason::BadRequest,
                problems,
            }
        })
    }

    fn phase(&self, spec: &MountSpec) -> Phase {
        self.volumes.phase(&spec.pod, &spec.volume)
    }

    async fn mount(&self, spec: &MountSpec, deadline: Instant) -> Result<Mounted, MountFault> {
        self.mount_as(spec, deadline, None).await
    }

    fn ended(&self, spec: &MountSpec, outcome: &Result<Mounted, MountFault>) -> Option<News> {
        let outcome = match outcome {
            Ok(mounted) if mounted.source.stale().is_some() => Outcome::Stale,
            Ok(_) => Outcome::Fresh,
            // That we end says nothing of the volume.
            Err(fault) if fault.reason() == Reason::Draining => return None,
            Err(_) => Outcome::Failed,
        };
        self.volumes.ended(spec, outcome, self.chance.instant())
    }
}

/// Says of a missing token which one was looked for among the driver's, before what became of a request.
fn without_token(fault: Fault, why: Option<&NoDriverToken>) -> Fault {
    match why {
        Some(why) if fault.reason == Reason::NoToken => Fault {
            what: format!("{why}, and {}", fault.what),
            ..fault
        },
        _ => fault,
    }
}

/// What tells pods apart: the UID, or the volume where a caller sends none.
fn pod_key(spec: &MountSpec) -> String {
    if spec.pod.uid.is_empty() {
        return format!("{}/{}/{}", spec.pod.namespace, spec.pod.name, spec.volume);
    }
    spec.pod.uid.clone()
}

fn place(identity: &Identity) -> Place {
    Place {
        role: identity.role.clone(),
        store: identity.target.address.place(),
        namespace: identity.namespace.clone(),
        service_account: identity.service_account.clone(),
    }
}
