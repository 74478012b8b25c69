//! One Secret that an object asks for, with what is known before its mapping is looked at.

use std::collections::BTreeMap;

use coffer_sync_core::claim::{Claim, Source, claims_sync, opens_class};
use coffer_sync_core::condition::Fault;
use coffer_sync_core::decide::{FailureKind, Refusal};
use coffer_sync_core::key::name;
use coffer_sync_core::options::{Door, Options, Parsed, parse};
use coffer_sync_core::problem::{Problem, shown};
use coffer_sync_core::render::normal_type;
use coffer_sync_core::secret_type::gate::AllowedTypes;

use super::super::documents::Found;
use super::super::report::{SecretReport, Told};
use super::{MANIFEST, UNKNOWN_OPTION, failure, fault, not_claimed};
use crate::config::Config;
use crate::desired::Request;
use crate::manifest::{ClassSecretObject, ClassSpec, SyncSpec, is_provider_name};

/// Where a Secret is asked for.
enum Asked<'d> {
    Sync(&'d SyncSpec),
    Object(&'d ClassSecretObject),
}

/// One Secret that is asked for.
pub(super) struct Wish<'d> {
    file: &'d str,
    pub(super) source: &'d Source,
    index: usize,
    asked: Asked<'d>,
    class: String,
    provider: Option<String>,
    pub(super) options: Result<Options, Vec<Problem>>,
    problems: Vec<Told>,
    warnings: Vec<Told>,
}

impl<'d> Wish<'d> {
    /// What a SecretSync asks for, with its class if that is there too.
    pub(super) fn of_sync(
        sync: &'d Found<SyncSpec>,
        classes: &'d [Found<ClassSpec>],
        config: &Config,
    ) -> Self {
        let spec = &sync.spec;
        let class = classes.iter().find(|class| {
            class.source.namespace == sync.source.namespace
                && class.source.name == spec.secret_provider_class_name
        });
        let parsed = parse(
            Door::Sync,
            &sync.annotations,
            &spec.secret_object.annotations,
            config.refresh_interval,
        );
        let asked = Asked::Sync(spec);
        let mut wish = Self::new(sync, 0, asked, &spec.secret_provider_class_name, parsed);
        let written = spec.secret_sync_controller_name.as_str();
        let ours = config.controller_name.as_str();
        if !claims_sync(written, ours, config.claim_unnamed) {
            wish.problems.push(not_claimed(written, ours));
        }
        if name::check(&spec.secret_provider_class_name).is_err() {
            let text = "spec.secretProviderClassName is no name of a SecretProviderClass";
            wish.problems.push(failure(FailureKind::Class, text));
        }
        if name::check(&spec.service_account_name).is_err() {
            let text = "spec.serviceAccountName is no name of a ServiceAccount";
            wish.problems.push(failure(FailureKind::Token, text));
        }
        if let Some(class) = class {
            wish.fetched_by(&class.spec);
        }
        wish
    }

    /// What the entries of an open class ask for.
    pub(super) fn of_class(class: &'d Found<ClassSpec>, config: &Config) -> Vec<Self> {
        let objects = class.spec.secret_objects.iter().enumerate();
        let wishes = objects.map(|(index, object)| {
            let parsed = parse(
                Door::Class,
                &class.annotations,
                &object.annotations,
                config.refresh_interval,
            );
            let asked = Asked::Object(object);
            let mut wish = Self::new(class, index, asked, &class.source.name, parsed);
            if let Some(Err(problem)) = opens_class(&class.annotations) {
                let refusal = Refusal::InvalidOption(problem.to_string());
                wish.problems.push(fault(&Fault::from(&refusal)));
            }
            wish.fetched_by(&class.spec);
            wish
        });
        wishes.collect()
    }

    fn new<S>(
        found: &'d Found<S>,
        index: usize,
        asked: Asked<'d>,
        class: &str,
        parsed: Parsed,
    ) -> Self {
        let problems = found.problems.iter();
        let unknown = parsed.unknown.iter();
        Self {
            file: &found.file,
            source: &found.source,
            index,
            asked,
            class: class.to_owned(),
            provider: None,
            problems: problems
                .map(|problem| Told::new(MANIFEST, problem))
                .collect(),
            warnings: unknown
                .map(|problem| Told::new(UNKNOWN_OPTION, problem))
                .collect(),
            options: parsed.options,
        }
    }

    fn fetched_by(&mut self, class: &ClassSpec) {
        if !is_provider_name(&class.provider) {
            let text = format!(
                "spec.provider of the class is `{}`; write 1 to 30 letters, digits, `_` or `-`",
                shown(&class.provider)
            );
            self.problems.push(failure(FailureKind::Class, text));
        }
        self.provider = Some(class.provider.clone());
    }

    /// The name of the Secret, as the driver trims it.
    fn secret(&self) -> &str {
        match self.asked {
            Asked::Sync(_) => &self.source.name,
            Asked::Object(object) => object.secret_name.trim(),
        }
    }

    pub(super) fn claim(&self) -> Claim {
        Claim {
            source: self.source.clone(),
            index: self.index,
            secret: self.secret().to_owned(),
        }
    }

    pub(super) fn request<'a>(
        &'a self,
        options: &'a Options,
        allowed: &'a AllowedTypes,
    ) -> Request<'a> {
        match self.asked {
            Asked::Sync(spec) => Request::of_sync(self.source, spec, options, allowed),
            Asked::Object(object) => Request::of_object(self.source, object, options, allowed),
        }
    }

    /// Everything that is known so far.
    pub(super) fn report(&self) -> SecretReport {
        let type_ = match self.asked {
            Asked::Sync(spec) => &spec.secret_object.type_,
            Asked::Object(object) => &object.type_,
        };
        SecretReport {
            file: self.file.to_owned(),
            source: format!("{} {}", self.source.door.kind(), self.source.name),
            class: self.class.clone(),
            provider: self.provider.clone(),
            namespace: self.source.namespace.clone(),
            name: self.secret().to_owned(),
            type_: normal_type(self.source.door, type_),
            owner: None,
            immutable: false,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            mapped: Vec::new(),
            all_keys: false,
            keys: None,
            absent: Vec::new(),
            problems: self.problems.clone(),
            warnings: self.warnings.clone(),
        }
    }
}
