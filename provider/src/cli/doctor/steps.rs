//! The order of the steps, from the socket down to the rights on each path, and what depends on what.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::fault::MountFault;
use coffer_provider_core::params::MountSpec;
use coffer_provider_core::problem::Problem;
use coffer_provider_core::target::{Layer, Target};
use secrecy::SecretString;

use super::{Step, access, capabilities, network, socket};
use crate::cli::class_file::PlayedPod;
use crate::cli::class_file::{self, ClassFile};
use crate::cli::mount::{Claims, Failure, play, read_spec, secret_file};
use crate::cli::{Failed, bad_configuration, version};
use crate::config::{Config, MountArguments};
use crate::metrics::Metrics;
use crate::ports::Machine;
use crate::run::{self, Parts};
use crate::vault::http::Stores;

/// How long giving back the login may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// What pods of a class would ask for, and as whom.
struct Subject {
    spec: MountSpec,
    target: Target,
    pod: PlayedPod,
    claims: Option<Claims>,
    audience: String,
}

struct Examination<'a> {
    config: &'a Config,
    stores: Arc<Stores>,
    parts: Parts,
    /// Used instead of a login.
    store_token: Option<SecretString>,
    steps: Vec<Step>,
}

/// Looks at every layer.
pub(super) async fn examine(
    arguments: &MountArguments,
    config: &Config,
    proxied: bool,
) -> Result<Vec<Step>, Failure> {
    let metrics = Arc::new(Metrics::new(version::build(), 1));
    let parts = run::build(config, None, Arc::new(Machine), &metrics).map_err(bad_configuration)?;
    let first = Path::new(socket::LOOKED_AT_FIRST);
    let mut examination = Examination {
        config,
        stores: Arc::clone(&parts.stores),
        parts,
        store_token: arguments
            .store_token_file
            .as_deref()
            .map(secret_file)
            .transpose()?,
        steps: socket::look(&config.endpoint, first, &config.provider_name).await,
    };
    let subject = examination.class(arguments)?;
    examination.policy(subject.as_ref())?;
    let reached = match examination.target(arguments, subject.as_ref())? {
        Some(target) => {
            let proxied = proxied || config.http_rules.proxy.is_some();
            let Examination { stores, steps, .. } = &mut examination;
            let mut reached = Err("store");
            for address in target.address.iter() {
                let only = Target {
                    address: stores.located(address).await.into(),
                    ..target.clone()
                };
                let found = network::examine(stores, &only, proxied, steps).await;
                reached = reached.or(found);
            }
            reached
        }
        None => {
            network::skip_all(
                "needs class, which names the address",
                &mut examination.steps,
            );
            Err("class")
        }
    };
    examination.access(subject.as_ref(), reached).await;
    let farewell = examination.parts.sessions.shut_down();
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    Ok(examination.steps)
}

impl Examination<'_> {
    /// What the class asks for; none without a class or when it is broken.
    fn class(&mut self, arguments: &MountArguments) -> Result<Option<Subject>, Failed> {
        let Some(path) = &arguments.class_file else {
            let skipped = Step::skipped("class", "no class given");
            self.steps
                .push(skipped.with_hint("name a file with a class to examine login and paths"));
            return Ok(None);
        };
        let class = match class_file::read(path, arguments.class_name.as_deref()) {
            Ok(class) => class,
            // What cannot be read or found is the caller's mistake, and no finding.
            Err(failed) if failed.code != 1 => return Err(failed),
            Err(failed) => {
                self.steps
                    .push(Step::failed("class", failed.text, "mend the manifest"));
                return Ok(None);
            }
        };
        let played = play(arguments, &class, self.config)?;
        let read = self.read(&class, &played.pod);
        Ok(match read {
            Ok((spec, target)) => {
                let objects = spec.class.objects.len();
                let detail = format!("{}: {objects} objects at {}", class.name, target.address);
                let notes = spec.class.notes.iter().map(ToString::to_string);
                let remarks: Vec<String> = played.remarks.into_iter().chain(notes).collect();
                self.steps
                    .push(Step::ok("class", detail).with_hint(remarks.join("; ")));
                Some(Subject {
                    spec,
                    target,
                    pod: played.pod,
                    claims: played.claims,
                    audience: played.audience,
                })
            }
            Err(fault) => {
                let hint = format!("`coffer-provider check {}` tells where", path.display());
                self.steps
                    .push(Step::failed("class", fault.to_string(), hint));
                None
            }
        })
    }

    fn read(&self, class: &ClassFile, pod: &PlayedPod) -> Result<(MountSpec, Target), MountFault> {
        let spec = read_spec(&self.parts, class, pod)?;
        let target = self.parts.mounter.target(&spec)?;
        Ok((spec, target))
    }

    /// Whether the operator allows what the class asks for.
    fn policy(&mut self, subject: Option<&Subject>) -> Result<(), Failed> {
        let Some(Subject { spec, target, .. }) = subject else {
            self.steps.push(Step::skipped("policy", "needs class"));
            return Ok(());
        };
        let own = self.own_target()?;
        let verdict = self.config.rules.policy.judge(&spec.class, target, &own);
        let listed = |problems: &mut dyn Iterator<Item = &Problem>| {
            problems
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        };
        self.steps.push(if !verdict.refused.is_empty() {
            let what = listed(&mut verdict.refused.iter());
            Step::failed(
                "policy",
                what,
                "change the class, or the operator's policy options",
            )
        } else if verdict.warned.is_empty() {
            Step::ok(
                "policy",
                "the class asks for nothing that strict would refuse",
            )
        } else {
            let warned = listed(&mut verdict.warned.iter().map(|(_, problem)| problem));
            Step::ok(
                "policy",
                format!("allowed, but strict would refuse: {warned}"),
            )
        });
        Ok(())
    }

    /// The store to look at. Of a broken class only that which the operator names: where it would go
    /// itself is not known.
    fn target(
        &self,
        arguments: &MountArguments,
        subject: Option<&Subject>,
    ) -> Result<Option<Target>, Failed> {
        let layers = &self.config.rules.layers;
        let is_named = layers.iter().any(|layer| !layer.address.is_empty());
        match subject {
            Some(subject) => Ok(Some(subject.target.clone())),
            None if arguments.class_file.is_none() || is_named => self.own_target().map(Some),
            None => Ok(None),
        }
    }

    fn own_target(&self) -> Result<Target, Failed> {
        Layer::resolve(&self.config.rules.layers.iter().collect::<Vec<_>>())
            .map_err(bad_configuration)
    }

    /// Token, login and rights, as far as the store was reached.
    async fn access(&mut self, subject: Option<&Subject>, reached: Result<(), &'static str>) {
        let Some(subject) = subject else {
            let skipped = ["token", "login", "capabilities"];
            self.steps
                .extend(skipped.map(|name| Step::skipped(name, "needs class")));
            return;
        };
        let Subject {
            spec,
            target,
            pod,
            claims,
            audience,
        } = subject;
        self.steps.push(match self.store_token {
            Some(_) => Step::skipped("token", "a store token is used instead"),
            None => access::token(pod, claims.as_ref(), audience),
        });
        if let Err(broken) = reached {
            let skipped = ["login", "capabilities"];
            let needs = format!("needs {broken}");
            self.steps
                .extend(skipped.map(|name| Step::skipped(name, &needs)));
            return;
        }
        let (login, token) = match &self.store_token {
            Some(token) => {
                let login = access::look_up(&self.stores, target, token).await;
                (login, Some(token.clone()))
            }
            None => access::log_in(&self.parts, spec, target, pod, self.config).await,
        };
        let is_in = login.state == super::State::Ok;
        self.steps.push(login);
        match token.filter(|_| is_in) {
            Some(token) => {
                let found = capabilities::examine(&self.stores, target, &token, spec).await;
                self.steps.extend(found);
            }
            None => self
                .steps
                .push(Step::skipped("capabilities", "needs login")),
        }
    }
}
