//! One object as a round sees it: everything that its source and its class say.
//!
//! Nothing is fetched or written here.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_sync_core::claim::{Source, opens_class, secret_name};
use coffer_sync_core::decide::Revision;
use coffer_sync_core::mapping::Pair;
use coffer_sync_core::options::{self, Door, Immutable, Options};
use coffer_sync_core::problem::Problem;
use coffer_sync_core::schedule::{Object, Seen};

use super::{Class, Sync, WorldRules};

/// One object at one time.
#[derive(Clone)]
pub struct Job {
    /// Which object.
    pub object: Object,
    /// Its source.
    pub source: Source,
    /// What of it makes it due when it changes.
    pub seen: Seen,
    /// Its class; none where that is missing.
    pub class: Option<Arc<Class>>,
    /// Name of the class.
    pub class_name: String,
    /// ServiceAccount that is asked as.
    pub account: Result<String, Problem>,
    /// Name of the Secret.
    pub secret: Result<String, Problem>,
    /// Type of the Secret as written.
    pub type_: String,
    /// Files and keys.
    pub pairs: Vec<Pair>,
    /// Labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    pub annotations: BTreeMap<String, String>,
    /// Options, or what is wrong with them.
    pub options: Result<Options, Vec<Problem>>,
    /// Names of options that mean nothing.
    pub unknown: Vec<Problem>,
    /// The older source that claims the same Secret, in words.
    pub rival: Option<String>,
}

impl Job {
    /// Spec and options at this time.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.seen.revision
    }

    /// Name of the provider; empty where the class is missing.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.class
            .as_ref()
            .map_or("", |class| class.spec.provider.as_str())
    }
}

/// The object of an entry of `secretObjects`; none when the class has no such entry or is closed.
pub(super) fn of_class(
    object: &Object,
    class: &Arc<Class>,
    index: usize,
    rival: Option<String>,
    rules: &WorldRules,
) -> Option<Job> {
    let entry = class.spec.secret_objects.get(index)?;
    let account = opens_class(&class.annotations)?.map(str::to_owned);
    let parsed = options::parse(
        Door::Class,
        &class.annotations,
        &entry.annotations,
        rules.refresh_interval,
    );
    let pairs = entry.data.iter().map(|pair| Pair {
        source: pair.object_name.clone(),
        key: pair.key.clone(),
    });
    Some(Job {
        object: object.clone(),
        source: class.source.clone(),
        seen: Seen {
            uid: class.source.uid.clone(),
            revision: class.revision(),
            force: String::new(),
            class: None,
        },
        class: Some(Arc::clone(class)),
        class_name: class.source.name.clone(),
        account,
        secret: secret_name(&entry.secret_name, is_versioned(&parsed.options)),
        type_: entry.type_.clone(),
        pairs: pairs.collect(),
        labels: entry.labels.clone(),
        annotations: options::copied(&entry.annotations),
        options: parsed.options,
        unknown: parsed.unknown,
        rival,
    })
}

/// The object of a SecretSync.
pub(super) fn of_sync(
    object: &Object,
    sync: &Sync,
    class: Option<Arc<Class>>,
    rival: Option<String>,
    rules: &WorldRules,
) -> Job {
    let none = BTreeMap::new();
    let parsed = options::parse(Door::Sync, &sync.annotations, &none, rules.refresh_interval);
    let wanted = &sync.spec.secret_object;
    let pairs = wanted.data.iter().map(|pair| Pair {
        source: pair.source_path.clone(),
        key: pair.target_key.clone(),
    });
    Job {
        object: object.clone(),
        source: sync.source.clone(),
        seen: Seen {
            uid: sync.source.uid.clone(),
            revision: sync.revision(),
            force: sync.spec.force_synchronization.clone(),
            class: class
                .as_ref()
                .map(|class| (class.source.uid.clone(), class.revision())),
        },
        class,
        class_name: sync.spec.secret_provider_class_name.clone(),
        account: Ok(sync.spec.service_account_name.clone()),
        secret: secret_name(&sync.source.name, is_versioned(&parsed.options)),
        type_: wanted.type_.clone(),
        pairs: pairs.collect(),
        labels: wanted.labels.clone(),
        annotations: wanted.annotations.clone(),
        options: parsed.options,
        unknown: parsed.unknown,
        rival,
    }
}

fn is_versioned(options: &Result<Options, Vec<Problem>>) -> bool {
    options
        .as_ref()
        .is_ok_and(|options| options.immutable == Immutable::Versioned)
}
